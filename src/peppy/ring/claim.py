"""The place that a writer keeps for a reader to come."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from peppy.ring._core import ffi

if TYPE_CHECKING:
    from peppy.ring._core import ClaimStruct


class Claim(NamedTuple):
    """A reserved row; it travels beside the stream's two descriptors and is good for one `Reader.open`."""

    epoch_hi: int
    epoch_lo: int
    generation: int
    row: int
    ticket: int
    start_seq: int


def to_struct(claim: Claim) -> ClaimStruct:
    """The C form of a claim."""
    struct = ffi.new("struct peppy_claim *")
    struct.epoch_hi, struct.epoch_lo, struct.generation = claim.epoch_hi, claim.epoch_lo, claim.generation
    struct.row, struct.ticket, struct.start_seq = claim.row, claim.ticket, claim.start_seq
    return struct


def from_struct(struct: ClaimStruct) -> Claim:
    """The Python form of a claim."""
    return Claim(struct.epoch_hi, struct.epoch_lo, struct.generation, struct.row, struct.ticket, struct.start_seq)
