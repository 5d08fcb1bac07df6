"""The argument of a call or a goal, one JSON5 object, as a message (docs/reference/cli.md, Calls and goals)."""

import base64
import json
import math
import struct
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from peppy.cli.render.messages import type_text
from peppy.cli.usage import misuse
from peppy.errors import InvalidInput, PeppyError, Problem
from peppy.model.text import SHOWN, nearest, quoted
from peppy.model.types import INTEGERS, Array, Field, FieldType, Object, Scalar, Token

if TYPE_CHECKING:
    from peppy.codec import Plan
    from peppy.protocol.payloads import Packed

STDIN = "-"
"""This argument stands for the text on standard input."""

_OCTETS = "base64 text, `{ hex: '…' }` or a list of integers from 0 to 255"


# --- the text --------------------------------------------------------------------------------------------------------


def given_object(text: str | None) -> dict[str, object]:
    """The object that a person typed, empty when there is none; `-` reads it from stdin. Usage errors otherwise."""
    if text is None:
        return {}
    value = _parsed(_standard_input() if text == STDIN else text)
    if not isinstance(value, dict):
        raise misuse(f"{quoted(value)} is no object", "write the fields as one object, as in `{ samples: 50 }`")
    return cast(dict[str, object], value)


def _standard_input() -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise misuse(
            f"standard input is no UTF-8 text: {error.reason} at byte {error.start}", "check its encoding"
        ) from None


def _parsed(text: str) -> object:
    """Strict JSON at any size, else JSON5 within the limits of a document."""
    from peppy.manifest.document import parse_value

    try:
        return json.loads(text, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError):
        pass
    try:
        return parse_value(text)
    except (ValueError, RecursionError) as error:
        raise misuse(
            f"{quoted(text)} is no JSON5 object: {error}", "quote it for the shell: `'{ samples: 50 }'`"
        ) from None


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is repeated")  # JSON5's reader says which and where
    return found


# --- the message -----------------------------------------------------------------------------------------------------


def message_of(plan: "Plan[Any]", given: Mapping[str, object]) -> Any:
    """The message with these fields; None for a format without payload.

    InvalidInput with all of MissingField, UnknownField and FieldType; a missing optional field is absent.
    """
    reading = _Reading(plan.classes)
    message_format = plan.message_format
    if message_format is None:
        reading.unknown_fields((), given, "")
        reading.finish(f"`{plan.member}` takes no fields: leave the argument out")
        return None
    message = reading.read_object(Object(message_format.fields), given, "", "")
    reading.finish(f"`{plan.member}` takes {_shape(message_format.fields)}")
    return message


def packed(plan: "Plan[Any]", message: Any) -> "Packed":
    """A message that `message_of` made, ready to travel; `close` it afterwards.

    Raises PeppyError (`Refused`) when it is larger than a call may be, OSError when the system has no room for it.
    """
    from peppy.codec import Gathered
    from peppy.protocol.payloads import pack, pack_pieces

    encoded = plan.encode_message(message)
    try:
        if isinstance(encoded, Gathered):
            return pack_pieces([(encoded.head, 0), *encoded.parts], encoded.length, f"`{plan.member}`")
        return pack(encoded, f"`{plan.member}`")
    except ValueError as error:
        raise PeppyError(str(error), kind="Refused", hint="send it in parts") from None


class _Reading:
    """Goes over all fields and notes everything that is wrong; values that are wrong become None."""

    def __init__(self, classes: Mapping[str, type]) -> None:
        self._classes = classes
        self._problems: list[Problem] = []

    def finish(self, hint: str) -> None:
        if self._problems:
            raise InvalidInput(self._problems, hint=hint)

    def read_object(self, kind: Object, given: Mapping[str, object], shown: str, declared: str) -> Any:
        """One object. `shown` is its dotted path as a person reads it, `declared` that of its class."""
        self.unknown_fields(kind.fields, given, shown)
        values = [self._field(field, given, shown, declared) for field in kind.fields]
        return self._classes[declared](*values)

    def unknown_fields(self, fields: Sequence[Field], given: Mapping[str, object], shown: str) -> None:
        names = [field.name for field in fields]
        for name, value in given.items():
            if name not in names:
                close = nearest(name, names)
                guess = f", nearest is `{close}`" if close else ""
                text = f"there is no such field, given as {_written(value)}{guess}"
                self._problems.append(Problem("UnknownField", text, path=_join(shown, name)))

    def _field(self, field: Field, given: Mapping[str, object], shown: str, declared: str) -> Any:
        path = _join(shown, field.name)
        value = given.get(field.name)
        if value is None and field.optional:
            return None
        if field.name not in given:
            self._problems.append(Problem("MissingField", f"`{type_text(field.type)}` is missing", path=path))
            return None
        return self._value(field.type, value, path, _join(declared, field.name))

    def _value(self, kind: FieldType, value: object, shown: str, declared: str) -> Any:
        if isinstance(kind, Object):
            if isinstance(value, dict):
                return self.read_object(kind, cast(dict[str, object], value), shown, declared)
            return self._wrong(kind, value, shown, "an object")
        if isinstance(kind, Scalar):
            return self._scalar(kind, value, shown)
        return self._array(kind, value, shown, declared)

    def _array(self, kind: Array, value: object, shown: str, declared: str) -> Any:
        if isinstance(kind.items, Scalar) and kind.items.token is Token.U8 and not isinstance(value, list):
            items: Any = self._octets(kind, value, shown)
        elif not isinstance(value, list):
            return self._wrong(kind, value, shown, "a list")
        else:
            elements = cast(list[object], value)
            items = [self._value(kind.items, item, f"{shown}[{at}]", declared) for at, item in enumerate(elements)]
        if items is not None and kind.length is not None and len(items) != kind.length:
            return self._wrong(kind, cast(object, value), shown, f"{kind.length} elements, found {len(items)}")
        return items

    def _scalar(self, kind: Scalar, value: object, shown: str) -> Any:
        if kind.token is Token.BYTES:
            return self._octets(kind, value, shown)
        if (expected := _misfit(kind.token, value)) is not None:
            return self._wrong(kind, value, shown, expected)
        return value

    def _octets(self, kind: FieldType, value: object, shown: str) -> bytes | None:
        octets = _octets(value)
        return self._wrong(kind, value, shown, _OCTETS) if octets is None else octets

    def _wrong(self, kind: FieldType, value: object, shown: str, expected: str) -> None:
        text = f"{_written(value)} is no `{type_text(kind)}`: expected {expected}"
        self._problems.append(Problem("FieldType", text, path=shown))


def _misfit(token: Token, value: object) -> str | None:
    """What was expected instead of a value that `token` cannot have; None when it fits."""
    if token is Token.BOOL:
        return None if isinstance(value, bool) else "true or false"
    if token is Token.STRING:
        return None if isinstance(value, str) and _is_utf8(value) else "a text"
    if token in INTEGERS:
        low, high = INTEGERS[token]
        fits = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return None if fits else f"an integer from {low} to {high}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "seconds since 1970 as a number" if token is Token.TIME else "a number"
    if token is Token.TIME:
        return None if _fits(value, "<d") and math.isfinite(value) else "a finite number of seconds"
    return None if _fits(value, "<f" if token is Token.F32 else "<d") else f"a number in the range of `{token}`"


def _fits(value: float, form: str) -> bool:
    try:
        struct.pack(form, value)
    except OverflowError:
        return False
    return True


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _octets(value: object) -> bytes | None:
    """The octets that a value of JSON5 stands for; None when it stands for none."""
    try:
        if isinstance(value, str):
            return base64.b64decode(value, validate=True)
        if isinstance(value, list):
            numbers = cast(list[Any], value)
            return None if any(isinstance(number, bool) for number in numbers) else bytes(numbers)
        if isinstance(value, dict) and set(entries := cast(dict[str, Any], value)) == {"hex"}:
            return bytes.fromhex(entries["hex"])
    except (ValueError, TypeError):  # binascii.Error is a ValueError
        pass
    return None


# --- words for people ------------------------------------------------------------------------------------------------


def _written(value: object) -> str:
    """A value in backticks; a text keeps its quotation marks, so that `"1"` is no number."""
    return quoted(json.dumps(value, ensure_ascii=False) if isinstance(value, str) else value)


def _shape(fields: Sequence[Field]) -> str:
    """All fields of a format in one line, cut where it gets long."""
    text = ", ".join(f"{field.name}{'?' if field.optional else ''}: {type_text(field.type)}" for field in fields)
    if len(text) > 2 * SHOWN:
        text = text[: 2 * SHOWN - 1] + "…"
    return f"`{{ {text} }}`"


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
