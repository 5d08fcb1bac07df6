"""Every format round-trips, and no bytes get past the decoder but valid ones (docs/reference/messages.md)."""

import random
from typing import Any

import numpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peppy.codec import Gathered, Plan, compile_plan
from peppy.errors import DecodeError
from peppy.model.types import (
    FIXED_SIZE,
    INTEGERS,
    Array,
    Field,
    FieldType,
    MessageFormat,
    Object,
    Scalar,
    Token,
    is_bulk,
)

SINGLES = st.floats(width=32, allow_nan=False)
TIMES = st.floats(allow_nan=False, allow_infinity=False)
FIXED_LENGTH = sorted(set(FIXED_SIZE) - {Token.BYTES})


def scalars() -> st.SearchStrategy[Any]:
    return st.sampled_from(list(Token)).map(Scalar)


def arrays(items: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    fixed = st.builds(Array, st.sampled_from(FIXED_LENGTH).map(Scalar), st.integers(1, 20))
    return fixed | st.builds(Array, items)


def objects(depth: int, optional: bool) -> st.SearchStrategy[Any]:
    kinds = scalars() | arrays(scalars())
    if depth:
        inner = objects(depth - 1, optional=False).map(Object)
        kinds = kinds | inner | arrays(inner)
    field = st.tuples(kinds, st.booleans() if optional else st.just(False))
    return st.lists(field, max_size=5).map(
        lambda fields: tuple(Field(f"f{i}", kind, absent) for i, (kind, absent) in enumerate(fields))
    )


FORMATS = objects(2, optional=True).map(MessageFormat)


def scalar_values(token: Token) -> st.SearchStrategy[Any]:
    if token in INTEGERS:
        return st.integers(*INTEGERS[token])
    return {
        Token.BOOL: st.booleans(),
        Token.F32: SINGLES,
        Token.F64: st.floats(allow_nan=False),
        Token.STRING: st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
        Token.BYTES: st.binary(max_size=5),
        Token.TIME: TIMES,
    }[token]


def values_of(kind: FieldType, path: str, plan: Plan[Any]) -> st.SearchStrategy[Any]:
    if isinstance(kind, Scalar):
        return scalar_values(kind.token)
    if isinstance(kind, Object):
        inner = [values_of(field.type, f"{path}.{field.name}", plan) for field in kind.fields]
        return st.tuples(*inner).map(lambda values: plan.classes[path](*values))
    if isinstance(kind.items, Scalar) and kind.items.token is Token.U8:
        return st.binary(min_size=kind.length or 0, max_size=kind.length or 5)
    items = values_of(kind.items, path, plan)
    return st.lists(items, min_size=kind.length or 0, max_size=kind.length or 4)


def field_values(field: Field, plan: Plan[Any]) -> st.SearchStrategy[Any]:
    values = values_of(field.type, field.name, plan)
    return values | st.none() if field.optional else values


@st.composite
def payloads(draw: st.DrawFn) -> tuple[Plan[Any], list[Any]]:
    plan = compile_plan(draw(FORMATS))
    assert plan.message_format is not None
    return plan, [draw(field_values(field, plan)) for field in plan.message_format.fields]


def joined(encoded: bytes | Gathered) -> bytes:
    if isinstance(encoded, bytes):
        return encoded
    payload = bytearray(encoded.length)
    payload[: len(encoded.head)] = encoded.head
    for buffer, offset in encoded.parts:
        octets = memoryview(buffer).cast("B")
        payload[offset : offset + len(octets)] = octets
    return bytes(payload)


def plain(value: Any) -> Any:
    """Nested lists and tuples instead of structs, arrays and views."""
    if isinstance(value, numpy.ndarray):
        return value.tolist()
    if isinstance(value, memoryview):
        return bytes(value)
    if hasattr(value, "__struct_fields__"):
        return tuple(plain(getattr(value, name)) for name in value.__struct_fields__)
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(payloads())
def test_every_payload_comes_back_as_it_was_sent(case: tuple[Plan[Any], list[Any]]) -> None:
    plan, values = case
    payload = joined(plan.encode(*values))
    assert plan.fixed_size is None or len(payload) <= plan.fixed_size
    for owned in (True, False):
        assert list(plain(plan.decode(payload, owned))) == plain(values)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(payloads())
def test_a_message_filled_in_place_is_the_message_that_is_sent(case: tuple[Plan[Any], list[Any]]) -> None:
    plan, values = case
    assert plan.message_format is not None
    fields = plan.message_format.fields
    shapes = {f.name: len(v) for f, v in zip(fields, values, strict=True) if is_bulk(f.type) and v is not None}
    if any(isinstance(field.type, Object) for field in fields):
        return
    room = plan.room(shapes, 65536)
    buffer = bytearray(room.length)
    draft = room.draft(buffer)
    given_values = {field.identifier: value for field, value in zip(fields, values, strict=True)}
    for name, view in draft.fields.items():
        if view is not None:
            view[:] = list(given_values[name])
    length = draft.finish(given_values | draft.fields)
    assert list(plain(plan.decode(bytes(buffer[:length])))) == plain(values)


def hostile(payload: bytes, chance: random.Random) -> bytes:
    """A payload with a few bytes, its length or its table changed."""
    octets = bytearray(payload)
    for _ in range(chance.randint(1, 4)):
        where = chance.randrange(min(len(octets), 48)) if chance.random() < 0.7 else chance.randrange(len(octets))
        octets[where] = chance.choice((0, 1, 64, 128, 192, 255, chance.randrange(256)))
    if chance.random() < 0.2:
        del octets[chance.randrange(len(octets)) :]
    return bytes(octets)


def example(kind: FieldType, path: str, plan: Plan[Any], chance: random.Random) -> Any:
    if isinstance(kind, Scalar):
        special = {Token.BOOL: True, Token.STRING: "text", Token.BYTES: b"octets"}
        return special.get(kind.token, chance.randrange(100))
    if isinstance(kind, Object):
        return plan.classes[path](*(example(f.type, f"{path}.{f.name}", plan, chance) for f in kind.fields))
    count = chance.randrange(4) if kind.length is None else kind.length
    return [example(kind.items, path, plan, chance) for _ in range(count)]


@pytest.mark.parametrize("seed", range(20))
def test_hostile_bytes_decode_or_raise_decode_error(seed: int) -> None:
    chance = random.Random(seed)
    fields = tuple(Field(f"f{i}", _random_kind(chance, 2), chance.random() < 0.3) for i in range(5))
    plan = compile_plan(MessageFormat(fields))
    payload = joined(plan.encode(*(example(field.type, field.name, plan, chance) for field in fields)))
    for _ in range(500):
        attacked = hostile(payload, chance)
        for owned in (True, False):
            try:
                message = plan.decode(attacked, owned)
            except DecodeError:
                continue
            assert _inside(message, len(attacked))


def _random_kind(chance: random.Random, depth: int) -> FieldType:
    roll = chance.random()
    if roll < 0.3 and depth:
        return Object(tuple(Field(f"g{i}", _random_kind(chance, depth - 1)) for i in range(chance.randrange(3))))
    if roll < 0.7:
        length = chance.choice((None, None, 3, 20))
        return Array(Scalar(chance.choice([t for t in FIXED_LENGTH if t is not Token.BOOL])), length)
    return Scalar(chance.choice(list(Token)))


def _inside(message: Any, limit: int) -> bool:
    """Whether everything that the message holds is real: readable to its last byte, not larger than the payload."""
    text = repr(plain(message))
    return bool(text) and _octets(message) <= limit


def _octets(value: Any) -> int:
    if hasattr(value, "__struct_fields__"):
        return max((_octets(getattr(value, name)) for name in value.__struct_fields__), default=0)
    return value.nbytes if hasattr(value, "nbytes") else len(value) if isinstance(value, bytes | str) else 0
