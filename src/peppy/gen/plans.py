"""The statement of a generated module that makes the plan of one format."""

from peppy.gen.payloads import Payloads
from peppy.gen.text import WIDTH, Call, literal
from peppy.model.types import MessageFormat, canonical

_CHUNK = 100
"""Characters of a format's canonical text on one line."""


def plan(
    variable: str, member: str, message_format: MessageFormat | None, payloads: Payloads, decoded: str | None = None
) -> str:
    """The assignment of `variable`, below the format in canonical text.

    `member` is how error texts call the payload, `decoded` the annotation of what `decode` gives; without it the plan
    only encodes fields.
    """
    annotation = "" if decoded is None else f": Plan[{decoded}]"
    if message_format is None:
        return f"{variable}{annotation} = plan_of({literal(member)}, None, {{}})\n"
    name = "_FORMAT" if variable == "_PLAN" else f"{variable}_FORMAT"
    classes = Call("{", [f"{literal(path)}: {cls}" for path, cls in payloads.classes.items()], "}")
    made = Call("plan_of(", [literal(member), name, classes])
    return f"{_format(name, message_format)}{made.text(before=f'{variable}{annotation} = ')}\n"


def _format(name: str, message_format: MessageFormat) -> str:
    text = canonical(message_format)
    if len(f"{name} = '{text}'") <= WIDTH:
        return f"{name} = {literal(text)}\n"
    lines = "".join(f"    {literal(chunk)}\n" for chunk in _chunks(text))
    return f"{name} = (\n{lines})\n"


def _chunks(text: str) -> list[str]:
    """Canonical text in pieces for one line each, broken between fields where that is possible."""
    chunks: list[str] = []
    while len(text) > _CHUNK:
        end = text.rfind(",[", 0, _CHUNK) + 1 or _CHUNK
        chunks.append(text[:end])
        text = text[end:]
    return [*chunks, text]
