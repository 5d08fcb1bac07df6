"""The output of a running operation: a moving region of ten lines on a terminal, plain lines elsewhere."""

from collections import deque
from typing import TextIO

from peppy.cli.terminal import DIM, coloured, columns, cut, harmless, is_terminal

REGION_LINES = 10
KEPT_LINES = 20
"""The last lines that follow the error when the operation fails."""


class LiveOutput:
    """Shows lines as they come; everything else that is written to the same stream goes through `beside`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._moves = is_terminal(stream)
        self._region: deque[str] = deque(maxlen=REGION_LINES)
        self._drawn = 0
        self.last_lines: deque[str] = deque(maxlen=KEPT_LINES)

    @property
    def is_drawn(self) -> bool:
        """Whether the region stands above the cursor now."""
        return self._drawn > 0

    def line(self, text: str) -> None:
        """One more line of output."""
        self.last_lines.append(text)
        if not self._moves:
            print(text, file=self._stream, flush=True)
            return
        self._region.append(harmless(text))
        self._erase()
        self._draw()

    def beside(self, text: str) -> None:
        """A line that stays: it stands above the region."""
        self._erase()
        print(text, file=self._stream)
        self._draw()

    def close(self) -> None:
        """Takes the region away; what happened is told by what is printed next."""
        self._erase()
        self._region.clear()
        self._stream.flush()

    def _erase(self) -> None:
        if self._drawn:
            self._stream.write(f"\x1b[{self._drawn}F\x1b[J")
            self._drawn = 0

    def _draw(self) -> None:
        width = (columns(self._stream) or 0) - 1
        for text in self._region:
            print(coloured("  " + cut(text, width - 2), DIM, self._stream), file=self._stream)
        self._drawn = len(self._region)
        self._stream.flush()
