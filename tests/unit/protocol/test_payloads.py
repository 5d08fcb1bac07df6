"""Payloads inside and beside their frames (docs/design/protocol.md, One frame)."""

import fcntl
import os
import tempfile
from pathlib import Path

import pytest

from peppy.errors import DecodeError
from peppy.protocol.calls import INSIDE, LARGEST_PAYLOAD, Call
from peppy.protocol.frame import Received
from peppy.protocol.payloads import NOTHING, SEALS, Packed, other_descriptors, pack, pack_pieces, payload_of


def arrived(payload: Packed) -> Received:
    """As the other side gets it: with descriptors of its own."""
    frame = Call(1, "slot", "zoom", (), 0, beside=payload.beside)
    received = Received(frame, 0, tuple(os.dup(fd) for fd in payload.fds), False, payload.inside)
    payload.close()
    return received


def beside(fd: int, length: int) -> Received:
    return Received(Call(1, "slot", "zoom", (), 0, beside=length), 0, (fd,))


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_payload_of_256_kib_stays_inside_its_frame():
    packed = pack(b"x" * INSIDE, "request")
    assert (packed.beside, packed.fds) == (-1, ())
    assert payload_of(arrived(packed)) == b"x" * INSIDE


def test_a_larger_one_travels_beside_it_and_arrives_whole():
    before = open_descriptors()
    payload = os.urandom(INSIDE + 1)
    packed = pack(payload, "request")
    assert (packed.inside, packed.beside) == (b"", INSIDE + 1)
    view = payload_of(arrived(packed))
    assert bytes(view) == payload
    assert isinstance(view, memoryview)
    assert view.readonly
    del view
    assert open_descriptors() == before


def test_a_payload_beside_its_frame_is_mapped_privately_as_every_kernel_allows():
    view = payload_of(arrived(pack(b"x" * (INSIDE + 1), "request")))
    maps = Path("/proc/self/maps").read_text().splitlines()
    assert [line.split()[1] for line in maps if "memfd:peppy-payload" in line] == ["r--p"]
    del view


@pytest.mark.parametrize("bulk", [100, 2 * INSIDE])
def test_pieces_come_to_their_offsets(bulk: int):
    packed = pack_pieces([(b"head", 0), (memoryview(b"b" * bulk), 64)], 64 + bulk, "request")
    assert bytes(payload_of(arrived(packed))) == b"head" + bytes(60) + b"b" * bulk


def test_a_payload_of_more_than_256_mib_is_refused_before_anything_is_made():
    before = open_descriptors()
    with pytest.raises(ValueError, match=r"request of zoom.*`268435457` bytes.*limit is 268435456 bytes \(256 MiB\)"):
        pack_pieces([], LARGEST_PAYLOAD + 1, "request of zoom")
    assert open_descriptors() == before


def test_what_is_sent_can_no_longer_be_changed_by_anybody():
    packed = pack(b"x" * (INSIDE + 1), "request")
    assert packed.memfd is not None
    for change in (lambda fd: os.pwrite(fd, b"y", 0), lambda fd: os.ftruncate(fd, 1)):
        with pytest.raises(PermissionError):
            change(packed.memfd)
    packed.close()


def test_an_unsealed_memfd_is_not_read():
    fd = os.memfd_create("unsealed", os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, 8)
    with pytest.raises(DecodeError, match="not sealed: its seals are `0x0`"):
        payload_of(beside(fd, 8))


@pytest.mark.parametrize("missing", [fcntl.F_SEAL_SHRINK, fcntl.F_SEAL_GROW, fcntl.F_SEAL_WRITE])
def test_a_memfd_with_a_seal_missing_is_not_read(missing: int):
    fd = os.memfd_create("half", os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, 8)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS & ~missing)
    with pytest.raises(DecodeError, match="not sealed"):
        payload_of(beside(fd, 8))


def test_a_memfd_of_another_length_is_not_read():
    packed = pack(b"x" * (INSIDE + 1), "request")
    assert packed.memfd is not None
    with pytest.raises(DecodeError, match=r"has `262145` bytes, the frame says 262146"):
        payload_of(beside(packed.memfd, INSIDE + 2))


def test_a_descriptor_that_is_no_memfd_is_not_read_and_not_kept():
    reading, writing = os.pipe()
    before = open_descriptors()
    with pytest.raises(DecodeError, match="not in a memfd"):
        payload_of(beside(reading, 8))
    with tempfile.TemporaryFile() as file, pytest.raises(DecodeError, match=r"not in a memfd|not sealed"):
        payload_of(beside(os.dup(file.fileno()), 0))
    os.close(writing)
    assert open_descriptors() == before - 2


def test_an_empty_payload_beside_its_frame_is_empty():
    packed = pack_pieces([], 0, "request")
    assert packed == NOTHING
    fd = os.memfd_create("empty", os.MFD_ALLOW_SEALING)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    assert payload_of(beside(fd, 0)) == b""


def test_the_other_descriptors_are_those_before_the_memfd():
    assert other_descriptors(beside(9, 1)._replace(fds=(7, 8, 9))) == (7, 8)
    assert other_descriptors(beside(9, -1)._replace(fds=(7,))) == (7,)
