"""docs/reference/daemon.md, Logs and health."""

import re
from pathlib import Path

from peppy.daemon.logs import OperationLog
from peppy.process.logs import parse_line


def test_a_line_of_an_add_reads_as_every_log_line(tmp_path: Path):
    with OperationLog(tmp_path / "a.log") as log:
        log.line("Adding node from /x")
        log.line("bad\nworse", "error")
    lines = [parse_line(line) for line in (tmp_path / "a.log").read_text().splitlines()]
    assert [(line.stream, line.text) for line in lines] == [
        (None, "Adding node from /x"),
        ("error", "bad"),
        ("error", "worse"),
    ]
    assert all(re.fullmatch(r"[\d-]{10}T[\d:.]{12}", line.time) for line in lines)


def test_control_characters_do_no_harm(tmp_path: Path):
    with OperationLog(tmp_path / "a.log") as log:
        log.line("\x1b[2Jgone")
    assert "\x1b" not in (tmp_path / "a.log").read_text()


def test_a_log_gets_its_name_later(tmp_path: Path):
    with OperationLog(tmp_path / "random.log") as log:
        log.line("one")
        log.rename(tmp_path / "wheels.log")
        log.line("two")
    assert log.path == tmp_path / "wheels.log"
    assert len((tmp_path / "wheels.log").read_text().splitlines()) == 2
    assert not (tmp_path / "random.log").exists()
