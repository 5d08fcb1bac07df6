"""What a person reads when a start has failed (docs/reference/daemon.md, Run)."""

from pathlib import Path

import pytest

from daemon.entries import instance
from peppy.daemon.endings import exit_of, exit_text, startup_failure
from peppy.errors import PeppyError
from peppy.process.records import Exit as ExitRecord
from peppy.protocol.answers import Exit

EXITED = PeppyError("`one` of `wheels:v1` exited during startup", kind="CommandFailed")


@pytest.mark.parametrize(
    ("ended", "text"),
    [
        (Exit(3, None, None), "exit status 3"),
        (Exit(None, "SIGKILL", None), "SIGKILL"),
        (Exit(None, None, None), "exit status unknown"),
    ],
)
def test_an_exit_in_words(ended: Exit, text: str):
    assert exit_text(ended) == text


def test_an_exit_is_told_with_its_local_time():
    ended = exit_of(ExitRecord(0, None, 0, 1_700_000_000_123_000_000, True))
    assert (ended.status, ended.signal, ended.killed) == (0, None, True)
    assert ended.time is not None
    assert ".123" in ended.time


def test_an_exit_without_record_has_a_time_all_the_same():
    assert exit_of(None).time is not None


def test_a_failure_without_words_points_at_the_log(tmp_path: Path):
    failed = instance()
    failed.exit = Exit(1, None, None)
    error = startup_failure(EXITED, failed, tmp_path / "one.log", ("a",))
    assert error.message == "`one` of `wheels:v1` exited during startup: exit status 1"
    assert error.hint == f"see {tmp_path / 'one.log'}"


def test_at_most_twenty_lines_follow(tmp_path: Path):
    log = tmp_path / "one.log"
    log.write_text("".join(f"[2026-01-01T00:00:00.000] [stderr] line {number}\n" for number in range(30)))
    message = startup_failure(EXITED, instance(), log, ("a",)).message
    assert message.splitlines()[1:] == ["--- stderr (last lines) ---", *(f"line {n}" for n in range(10, 30))]
