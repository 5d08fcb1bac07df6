"""docs/reference/daemon.md, Logs and health."""

import asyncio
from datetime import datetime
from pathlib import Path

import pytest

from peppy.process.follow import follow
from peppy.process.logs import LogLine, last_errors, log_name, newest_log, parse_line, read_log, rotated

TIME = "2026-11-03T13:59:04.507"
HEADER = f"[{TIME}] Executing run_cmd: uv run wheels (working_dir: /x)\n"


def line(stream: str, text: str) -> str:
    return f"[{TIME}] [{stream}] {text}\n"


@pytest.mark.parametrize("stream", ["stdout", "stderr", "warning", "error"])
def test_a_line_has_time_stream_and_text(stream: str):
    assert parse_line(f"[{TIME}] [{stream}] hello [x] ") == LogLine(TIME, stream, "hello [x] ")


def test_header_and_last_line_have_no_stream():
    assert parse_line(HEADER.rstrip("\n")).is_header
    assert parse_line(f"[{TIME}] Exited with status 0") == LogLine(TIME, None, "Exited with status 0")


def test_output_that_looks_like_a_header_is_none():
    assert not parse_line(f"[{TIME}] [stdout] Executing run_cmd: x").is_header


def test_a_foreign_line_is_only_text():
    assert parse_line("who wrote this?") == LogLine("", None, "who wrote this?")


def test_log_names_carry_subject_and_local_time():
    moment = datetime(2026, 11, 3, 13, 59, 2, 118_900)
    assert log_name("wheels_0.2.0", moment) == "wheels_0.2.0_20261103_135902_118.log"


def test_the_newest_log_is_that_of_exactly_this_node(tmp_path: Path):
    for name in ("a_1_20260101_000000_000.log", "a_1_20260102_000000_000.log", "a_1_2_20270101_000000_000.log"):
        (tmp_path / name).touch()
    newest = newest_log(tmp_path, "a_1")
    assert newest is not None
    assert newest.name == "a_1_20260102_000000_000.log"


def test_a_node_without_log_has_none(tmp_path: Path):
    assert newest_log(tmp_path / "missing", "a_1") is None


def test_reading_starts_at_the_header_of_the_latest_run(tmp_path: Path):
    log = tmp_path / "left.log"
    rotated(log, 3).write_text(HEADER + line("stdout", "an earlier run"))
    rotated(log, 2).write_text(HEADER + line("stdout", "1"))
    rotated(log, 1).write_text(line("stdout", "2"))
    log.write_text(line("stdout", "3"))
    assert [entry.text for entry in read_log(log)[1:]] == ["1", "2", "3"]


def test_the_last_lines_are_the_newest(tmp_path: Path):
    log = tmp_path / "left.log"
    log.write_text(HEADER + "".join(line("stdout", f"{n:05} {'x' * 200}") for n in range(5_000)))
    assert [entry.text[:5] for entry in read_log(log, 3)] == ["04997", "04998", "04999"]
    assert len(read_log(log)) == 5_001


def test_a_missing_log_has_no_lines(tmp_path: Path):
    assert read_log(tmp_path / "missing.log") == []


def test_the_last_errors_are_the_stderr_lines_of_this_run(tmp_path: Path):
    log = tmp_path / "left.log"
    log.write_text(
        HEADER
        + line("stderr", "old")
        + HEADER
        + "".join(line("stderr", str(n)) + line("stdout", "-") for n in range(30))
    )
    assert last_errors(log, 20) == [str(n) for n in range(10, 30)]
    assert last_errors(log, 100) == [str(n) for n in range(30)]


async def _followed(log: Path, steps: list[str]) -> list[str]:
    """What following yields when the files are as the shim leaves them in the middle of its renames."""
    ended = asyncio.Event()
    lines = follow(log, ended)
    texts = [(await anext(lines)).text]
    for step in steps:
        source, _, target = step.partition(" ")
        log.with_name(source).rename(log.with_name(target))
    log.write_text(line("stdout", "third"))
    ended.set()
    return [*texts, *[found.text async for found in lines]]


def test_following_skips_no_file_while_a_rotation_goes_on(tmp_path: Path):
    log = tmp_path / "node.log"
    rotated(log, 1).write_text(line("stdout", "second"))
    log.write_text(line("stdout", "first"))
    steps = ["node.log node.log.3", "node.log.1 node.log.2"]  # `.1` is missing: the log is still to become it
    assert asyncio.run(_followed(log, steps)) == ["first", "second", "third"]
