"""Names, lines and reading of logs (docs/reference/daemon.md, Logs and health)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

ERROR_LINES = 20  # how many lines of a log follow a failure
HEADER_START = "Executing "

_BLOCK_BYTES = 64 << 10
_KEEP_LIMIT = 99  # rotated files that `logs.keep` allows
_LINE = re.compile(
    r"\[(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3})\] (?:\[(?P<stream>stdout|stderr|warning|error)\] )?(?P<text>.*)"
)


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a log: local time with milliseconds, `stdout`, `stderr`, `warning`, `error` or None, and the text.

    A line that is none of a log (somebody else wrote it) has an empty time and no stream.
    """

    time: str
    stream: str | None
    text: str

    @property
    def is_header(self) -> bool:
        """Whether this is the first line of a build or run."""
        return bool(self.time) and self.stream is None and self.text.startswith(HEADER_START)


def parse_line(line: str) -> LogLine:
    """The parts of one line (without its newline)."""
    match = _LINE.fullmatch(line)
    return LogLine(match["time"], match["stream"], match["text"]) if match else LogLine("", None, line)


def stamp(moment: datetime | None = None) -> str:
    """`<ts>` of file names: `YYYYMMDD_HHMMSS_mmm`, local time, now unless given."""
    moment = moment or datetime.now()
    return f"{moment:%Y%m%d_%H%M%S}_{moment.microsecond // 1000:03d}"


def log_name(subject: str, moment: datetime | None = None) -> str:
    """`<n>_<t>_<ts>.log` for a path key, `launch_<ts>.log` for `launch`."""
    return f"{subject}_{stamp(moment)}.log"


def newest_log(directory: Path, path_key: str) -> Path | None:
    """The newest add or build log of one node in `directory`, or None."""
    name = re.compile(re.escape(path_key) + r"_\d{8}_\d{6}_\d{3}\.log")
    found = [path for path in directory.glob("*.log") if name.fullmatch(path.name)] if directory.is_dir() else []
    return max(found, key=lambda path: path.name, default=None)


def rotated(log: Path, number: int) -> Path:
    """File `number` of a log: 0 is the log itself, higher ones are older."""
    return log if number == 0 else log.with_name(f"{log.name}.{number}")


def read_log(log: Path, last: int | None = None) -> list[LogLine]:
    """The lines of the latest run in a log and its rotated files, oldest first; only the `last` ones if given.

    A missing log has no lines. A log that was begun without header (add, launch) is read as a whole.
    """
    lines: list[LogLine] = []
    for line in _backwards(log):
        if last is not None and len(lines) >= last:
            break
        lines.append(line)
        if line.is_header:
            break
    lines.reverse()
    return lines


def last_errors(log: Path, count: int = ERROR_LINES) -> list[str]:
    """The texts of the last `count` stderr lines of the latest run, oldest first."""
    texts: list[str] = []
    for line in _backwards(log):
        if line.is_header or len(texts) >= count:
            break
        if line.stream == "stderr":
            texts.append(line.text)
    texts.reverse()
    return texts


def _backwards(log: Path) -> Iterator[LogLine]:
    for number in range(_KEEP_LIMIT + 1):
        path = rotated(log, number)
        try:
            yield from (parse_line(line.decode(errors="replace")) for line in _lines_backwards(path))
        except FileNotFoundError:
            return


def _lines_backwards(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        position = file.seek(0, 2)
        rest = b""
        while position > 0:
            size = min(_BLOCK_BYTES, position)
            position = file.seek(position - size)
            rest, *lines = (file.read(size) + rest).split(b"\n")
            if lines and not lines[-1]:  # what follows the file's last newline
                lines.pop()
            yield from reversed(lines)
        if rest:
            yield rest
