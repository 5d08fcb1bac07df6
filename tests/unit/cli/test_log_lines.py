"""Reading and following logs as the shim writes them."""

import threading
from pathlib import Path

import pytest

from peppy.cli.following import grown_lines
from peppy.cli.log_lines import LogLine, last_lines, parse_line, read_lines

HEADER = "[2026-02-17T10:15:23.599] Executing run_cmd: uv run hello_world (working_dir: /x)"
COUNT = "[2026-02-17T10:15:23.837] [stdout] hello world count 1"
LAST = "[2026-02-17T10:15:29.852] Exited with status 0"


def test_a_line_has_time_stream_and_text() -> None:
    assert parse_line(COUNT) == LogLine("2026-02-17T10:15:23.837", "stdout", "hello world count 1")


def test_a_header_has_no_stream() -> None:
    assert parse_line(HEADER).stream is None


@pytest.mark.parametrize("line", ["", "plain", "[now] [stdout] x", "[2026-02-17T10:15:23] [stdout] x"])
def test_a_foreign_line_is_all_text(line: str) -> None:
    assert parse_line(line) == LogLine(None, None, line)


@pytest.mark.parametrize("text", ["Exited with status 0", "Exited with signal SIGKILL", "Exited with signal 64"])
def test_the_last_line_is_known(text: str) -> None:
    assert parse_line(f"[2026-02-17T10:15:29.852] {text}").is_last


@pytest.mark.parametrize("line", [COUNT, HEADER, "Exited with status 0", LAST.replace("] E", "] [stdout] E")])
def test_a_node_cannot_fake_the_last_line(line: str) -> None:
    assert not parse_line(line).is_last


def test_times_in_json_have_an_offset(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "UTC-2")
    time.tzset()
    try:
        assert parse_line(COUNT).as_data() == {
            "time": "2026-02-17T10:15:23.837+02:00",
            "stream": "stdout",
            "text": "hello world count 1",
        }
    finally:
        monkeypatch.undo()
        time.tzset()


def test_bytes_that_are_no_text_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"a\xff\nb\n")
    assert read_lines(tmp_path / "log") == ["a\ufffd", "b"]


def test_an_empty_log_has_no_lines(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"")
    assert read_lines(tmp_path / "log") == []


@pytest.mark.parametrize(
    ("count", "expected"), [(None, ["a", "b", "c"]), (2, ["b", "c"]), (0, []), (9, ["a", "b", "c"])]
)
def test_only_the_last_lines_are_kept(count: int | None, expected: list[str]) -> None:
    assert last_lines(["a", "b", "c"], count) == expected


def never_asked() -> bool:
    raise AssertionError("a log that ends needs no question")


def test_following_ends_with_the_last_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(f"{HEADER}\n{COUNT}\n{LAST}\nafterwards\n")
    assert list(grown_lines(log, still_written=never_asked)) == [HEADER, COUNT, LAST]


def test_following_skips_what_is_not_wanted(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(f"{HEADER}\n{COUNT}\n{LAST}\n")
    assert list(grown_lines(log, still_written=never_asked, skip=2)) == [LAST]


def test_following_ends_when_nobody_writes_any_more(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(f"{HEADER}\n")
    assert list(grown_lines(log, still_written=lambda: False)) == [HEADER]


def test_lines_are_followed_as_they_are_written_and_through_a_rotation(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(f"{HEADER}\n[2026-02")
    lines = grown_lines(log, still_written=lambda: True)
    assert next(lines) == HEADER

    def write() -> None:
        with log.open("a") as old:
            old.write(f"{COUNT[8:]}\n")
        log.rename(tmp_path / "log.1")
        log.write_text(f"{LAST}\n")

    writer = threading.Thread(target=write)
    writer.start()
    assert list(lines) == [COUNT, LAST]
    writer.join()
