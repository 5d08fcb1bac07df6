"""What every frame is (docs/design/protocol.md, One frame)."""

from typing import ClassVar

import msgspec


class Frame(msgspec.Struct, array_like=True):
    """Anything that travels on the socket; `descriptors` says how many file descriptors ride on it."""

    Answer: ClassVar[type[msgspec.Struct] | None] = None
    descriptors: ClassVar[range] = range(1)  # how many are allowed: none, unless a class says more
    may_lose_descriptors: ClassVar[bool] = False  # arrives `truncated` when the receiver has no room for descriptors
    carries: ClassVar[bool] = False  # a payload that the daemon never decodes comes with it


class Problem(msgspec.Struct, array_like=True):
    """`peppy.errors.Problem` on the wire."""

    kind: str
    message: str
    file: str | None = None
    line: int | None = None
    column: int | None = None
    path: str | None = None
    hint: str | None = None
