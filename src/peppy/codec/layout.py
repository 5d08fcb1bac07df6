"""The bytes around the body: header, table and bulk regions (docs/reference/messages.md, Payload bytes).

byte 0        1        2                 4                                  8
     +--------+--------+-----------------+----------------------------------+
   0 | version| flags  |   bulk_count    |             body_len             |  header
     |   u8   |   u8   |       u16       |               u32                |  8 bytes
     +--------+--------+-----------------+----------------------------------+
   8 |         offset[i]  u32            |          length[i]  u32          |  table, 8 bytes per bulk field
     +-----------------------------------+----------------------------------+
     |  body, padding to a multiple of 64, region 0, padding, region 1 ...  |
     +----------------------------------------------------------------------+
"""

from struct import Struct
from typing import Any, NamedTuple

VERSION = 1
HEADER_SIZE = 8
ENTRY_SIZE = 8
ALIGNMENT = 64
LARGEST = 2**32 - 1
"""Offsets and lengths are u32: no payload reaches beyond."""

HEADER = Struct("<II")
SHORT_HEADERS = tuple(HEADER.pack(VERSION, length) for length in range(512))
"""Headers of payloads without bulk fields, by the length of their body."""


class Gathered(NamedTuple):
    """A payload in pieces: `head` at byte 0, every `(buffer, offset)` of `parts` at its offset, `length` in all."""

    head: bytes
    parts: list[tuple[Any, int]]
    length: int


def head_size(bulk_count: int) -> int:
    """Bytes of header and table: the body starts here."""
    return HEADER_SIZE + ENTRY_SIZE * bulk_count


def head_struct(bulk_count: int) -> Struct:
    """First word (version, flags, bulk count), body length, then offset and length of every bulk field."""
    return Struct(f"<II{2 * bulk_count}I")


def first_word(bulk_count: int) -> int:
    """Version, flags 0 and the bulk count as one little-endian u32."""
    return VERSION | bulk_count << 16


def aligned(offset: int) -> int:
    """The next multiple of 64."""
    return (offset + ALIGNMENT - 1) & -ALIGNMENT
