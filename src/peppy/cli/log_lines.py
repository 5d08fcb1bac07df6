"""Lines of logs as the shim and the daemon write them (docs/reference/daemon.md, Logs and health)."""

import re
from collections import deque
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

_LINE = re.compile(
    r"\[(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3})\] (?:\[(stdout|stderr|warning|error)\] )?(.*)", re.DOTALL
)
_LAST = re.compile(r"Exited with (status \d+|signal \S+)")


class LogLine(NamedTuple):
    """One line: local time as written (None for foreign lines), `stdout`, `stderr`, `warning`, `error` or None."""

    time: str | None
    stream: str | None
    text: str

    @property
    def is_last(self) -> bool:
        """Whether the build or instance has ended with this line."""
        return self.time is not None and self.stream is None and bool(_LAST.fullmatch(self.text))

    def as_data(self) -> dict[str, str | None]:
        """`{time, stream, text}` of JSON output; the time in RFC 3339 with offset."""
        time = self.time and datetime.fromisoformat(self.time).astimezone().isoformat(timespec="milliseconds")
        return {"time": time, "stream": self.stream, "text": self.text}


def parse_line(line: str) -> LogLine:
    """The parts of one line without its newline; a line of another form is all text."""
    match = _LINE.fullmatch(line)
    return LogLine(match[1], match[2], match[3]) if match else LogLine(None, None, line)


def last_lines(lines: Iterable[str], count: int | None) -> list[str]:
    """The last `count` lines, all when None."""
    return list(lines) if count is None else list(deque(lines, maxlen=count))


def read_lines(path: Path) -> list[str]:
    """All lines of a log; bytes that are no UTF-8 are replaced. OSError when it cannot be read."""
    text = path.read_bytes().decode(errors="replace")
    return text.removesuffix("\n").split("\n") if text else []
