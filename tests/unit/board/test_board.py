"""The status board in real shared memory, read by real processes (docs/reference/daemon.md, Status board)."""

import hashlib
import mmap
import os
import struct
import subprocess
import sys
import textwrap
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import posix_ipc
import pytest

from peppy.board import BoardReader, BoardWriter, Counts, layout, reader, segment
from peppy.errors import DaemonUnavailable

COUNTS = Counts(nodes=1, starting=2, running=3, stopping=4, finished=5, failed=6, streams=7, calls=8)


def create(home: Path) -> BoardWriter:
    return BoardWriter.create(home, "0.1.0", "core-node-calm-hopper-1234", "0123456789abcdef")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    assert not shm(tmp_path).exists()


def shm(home: Path) -> Path:
    return Path(f"/dev/shm{segment.board_name(home)}")


@pytest.fixture
def writer(home: Path) -> Iterator[BoardWriter]:
    board = create(home)
    yield board
    board.close()


@pytest.fixture
def foreign(home: Path) -> Iterator[Path]:
    """The name of the board, for a test that puts something else there; taken away afterwards."""
    yield shm(home)
    shm(home).unlink(missing_ok=True)


def refused(home: Path) -> str:
    with pytest.raises(DaemonUnavailable) as raised:
        BoardReader.open(home)
    return raised.value.message


def test_the_board_says_what_the_daemon_wrote(home: Path, writer: BoardWriter) -> None:
    before = time.monotonic_ns()
    writer.heartbeat(COUNTS)
    with BoardReader.open(home) as board:
        found = board.snapshot()
    assert (found.data_root, found.daemon_pid, found.counts) == (home, os.getpid(), COUNTS)
    assert (found.version, found.core_node_name) == ("0.1.0", "core-node-calm-hopper-1234")
    assert found.epoch == "0123456789abcdef"
    assert before <= found.heartbeat_ns <= time.monotonic_ns()
    assert (found.clock_mode, found.clock_ns, found.clock_stamp_ns) == ("wall", 0, 0)


def test_the_time_of_silence_grows_until_the_next_heartbeat(home: Path, writer: BoardWriter) -> None:
    with BoardReader.open(home) as board:
        first = board.snapshot().silent_seconds
        assert board.snapshot().silent_seconds > first
        heartbeat = board.snapshot().heartbeat_ns
        writer.heartbeat(COUNTS)
        assert board.snapshot().heartbeat_ns > heartbeat


def test_the_name_is_made_of_user_and_real_path(home: Path, writer: BoardWriter, tmp_path: Path) -> None:
    digest = hashlib.sha256(bytes(home)).hexdigest()[:12]
    assert writer.name == f"/peppy-{os.geteuid()}-{digest}"
    link = tmp_path / "link"
    link.symlink_to(home)
    with BoardReader.open(link) as board:
        assert board.snapshot().data_root == home


@pytest.mark.usefixtures("writer")
def test_only_the_owner_can_open_the_page(home: Path) -> None:
    assert shm(home).stat().st_mode & 0o777 == 0o600
    assert shm(home).stat().st_size == 4096


def test_fields_stand_where_the_page_is_drawn(home: Path, writer: BoardWriter) -> None:
    writer.heartbeat(COUNTS)
    page = shm(home).read_bytes()
    assert struct.unpack_from("<8sII", page) == (b"PEPPYBRD", 1, 4096)
    assert struct.unpack_from("<Q", page, 16)[0] % 2 == 0
    assert struct.unpack_from("<I", page, 24)[0] == zlib.crc32(page[32:2384])
    assert struct.unpack_from("<2I", page, 64) == (os.getpid(), 0)
    assert struct.unpack_from("<8I", page, 72) == (1, 2, 3, 4, 5, 6, 7, 8)
    assert page[112:144].rstrip(b"\0") == b"0123456789abcdef"
    assert page[144:208].rstrip(b"\0") == b"0.1.0"
    assert page[208:336].rstrip(b"\0") == b"core-node-calm-hopper-1234"
    assert page[336:2384].rstrip(b"\0") == bytes(home)
    assert page[2384:] == bytes(4096 - 2384)


def test_the_reader_cannot_write(writer: BoardWriter) -> None:
    page, _ = segment.open_page(writer.name, read_only=True)
    with pytest.raises(TypeError):
        page[0:1] = b"x"
    page.close()


# --- life -----------------------------------------------------------------------------------------------------------


def test_the_name_is_gone_after_a_clean_end(home: Path) -> None:
    create(home).close()
    assert "No shared memory" in refused(home)


def test_the_page_of_a_killed_daemon_is_taken_over(home: Path) -> None:
    inode = _after_a_killed_daemon(home).stat().st_ino
    board = create(home)
    assert shm(home).stat().st_ino == inode
    with BoardReader.open(home) as opened:
        assert opened.snapshot().daemon_pid == os.getpid()
    board.close()


def test_a_page_that_was_left_half_written_is_taken_over(home: Path) -> None:
    page, _ = segment.open_page("/" + _after_a_killed_daemon(home).name, read_only=False)
    page[16:24] = struct.pack("<Q", 7)
    with BoardReader.open(home) as opened, pytest.raises(DaemonUnavailable, match="ended while writing"):
        opened.snapshot()
    board = create(home)
    with BoardReader.open(home) as opened:
        assert opened.snapshot().daemon_pid == os.getpid()
    assert struct.unpack("<Q", page[16:24]) == (8,)
    page.close()
    board.close()


def _after_a_killed_daemon(home: Path) -> Path:
    create(home)._page.close()  # pyright: ignore[reportPrivateUsage] - a killed process unmaps and says nothing
    return shm(home)


def test_a_page_that_somebody_unlinked_is_made_again(home: Path, writer: BoardWriter) -> None:
    with BoardReader.open(home) as old:
        shm(home).unlink()
        writer.heartbeat(COUNTS)
        stale = old.snapshot()
        writer.heartbeat(COUNTS)
        with BoardReader.open(home) as new:
            assert new.snapshot().heartbeat_ns > stale.heartbeat_ns
        assert old.snapshot().heartbeat_ns == stale.heartbeat_ns


def test_a_page_that_somebody_exchanged_is_replaced(home: Path, writer: BoardWriter) -> None:
    shm(home).unlink()
    shm(home).write_bytes(b"not a board")
    writer.heartbeat(COUNTS)
    with BoardReader.open(home) as board:
        assert board.snapshot().counts == COUNTS


def test_a_writer_that_lost_its_name_takes_nothing_foreign_away(home: Path, foreign: Path) -> None:
    board = create(home)
    foreign.unlink()
    foreign.write_bytes(b"somebody else's")
    board.close()
    assert foreign.read_bytes() == b"somebody else's"


def test_an_unusable_page_is_replaced_at_start(home: Path, foreign: Path) -> None:
    foreign.write_bytes(bytes(17))
    board = create(home)
    with BoardReader.open(home) as opened:
        assert opened.snapshot().daemon_pid == os.getpid()
    board.close()


def test_a_text_that_does_not_fit_is_refused_before_anything_is_made(home: Path) -> None:
    with pytest.raises(ValueError, match="core node name"):
        BoardWriter.create(home, "0.1.0", "x" * 129, "epoch")


# --- hostile pages --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("writer")
def test_a_page_that_others_may_open_is_refused(home: Path) -> None:
    shm(home).chmod(0o644)
    assert "has the mode 644" in refused(home)


def test_a_page_of_another_user_is_refused(home: Path, writer: BoardWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = os.geteuid()
    monkeypatch.setattr(reader, "board_name", lambda _: writer.name)
    with monkeypatch.context() as somebody_else:
        somebody_else.setattr(segment.os, "geteuid", lambda: owner + 1)
        assert f"belongs to the user with uid {owner}" in refused(home)


def test_a_page_of_another_size_is_refused(home: Path, foreign: Path) -> None:
    foreign.touch(0o600)
    os.truncate(foreign, 4095)
    assert "has 4095 bytes" in refused(home)


@pytest.mark.parametrize("identity", [b"PEPPYBRX", b"PEPPYBRD\2", b"PEPPYBRD\1\0\0\0\0\x20"])
def test_a_page_of_another_layout_is_refused(home: Path, foreign: Path, identity: bytes) -> None:
    foreign.touch(0o600)
    foreign.write_bytes(identity.ljust(4096, b"\0"))
    assert "another layout" in refused(home)


@pytest.mark.usefixtures("writer")
@pytest.mark.parametrize("offset", [24, 32, 63, 104, 336, 2383])
def test_a_page_with_a_wrong_byte_is_not_available(home: Path, offset: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "TRIES", 20)
    flip(home, offset)
    with BoardReader.open(home) as board, pytest.raises(DaemonUnavailable):
        board.snapshot()


def flip(home: Path, offset: int) -> None:
    with shm(home).open("r+b") as page:
        page.seek(offset)
        byte = page.read(1)[0]
        page.seek(offset)
        page.write(bytes([byte ^ 0xFF]))


@pytest.mark.usefixtures("writer")
@pytest.mark.parametrize(("offset", "text"), [(112, b"\xff"), (68, b"\x09")])
def test_a_whole_page_that_makes_no_sense_is_not_available(
    home: Path, offset: int, text: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "TRIES", 20)
    data = bytearray(shm(home).read_bytes())
    data[offset : offset + 1] = text
    data[24:28] = struct.pack("<I", zlib.crc32(data[32:2384]))
    with shm(home).open("r+b") as page:
        page.write(data)
    with BoardReader.open(home) as board, pytest.raises(DaemonUnavailable):
        board.snapshot()


def test_the_board_of_another_root_is_refused(
    home: Path, writer: BoardWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.setattr(reader, "board_name", lambda _: writer.name)
    with BoardReader.open(other) as board, pytest.raises(DaemonUnavailable, match=f"the board of `{home}`"):
        board.snapshot()


def test_a_symbolic_link_in_the_place_of_the_page_is_not_followed(home: Path, foreign: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(bytes(4096))
    foreign.symlink_to(target)
    board = create(home)
    assert target.read_bytes() == bytes(4096)
    board.close()


# --- two processes --------------------------------------------------------------------------------------------------

WRITER = """
    import sys
    from pathlib import Path
    from peppy.board import BoardWriter, Counts
    board = BoardWriter.create(Path(sys.argv[1]), "0.1.0", "core", "epoch")
    print("ready", flush=True)
    number = 0
    try:
        while not Path(sys.argv[1], "enough").exists():
            for _ in range(200):
                number += 1
                board.heartbeat(Counts(*[number] * 8))
    finally:
        board.close()
    print(number)
"""


def test_a_reader_in_another_process_never_sees_a_torn_board(home: Path) -> None:
    program = [sys.executable, "-c", textwrap.dedent(WRITER), str(home)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        numbers: list[int] = []
        torn: list[Counts] = []
        with BoardReader.open(home) as board:
            for _ in range(20_000):
                counts = board.snapshot().counts
                numbers.append(counts.nodes)
                if counts != Counts(*[counts.nodes] * 8):
                    torn.append(counts)
        (home / "enough").touch()
        written = int(process.stdout.read())
    assert not torn
    assert numbers == sorted(numbers)
    assert 1 < len(set(numbers)) <= written


def test_layout_is_one_page() -> None:
    assert layout.SIZE == mmap.PAGESIZE == 4096
    assert posix_ipc.PAGE_SIZE == 4096
