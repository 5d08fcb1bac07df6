"""The status board: what the daemon says of itself without being asked (docs/reference/daemon.md, Status board)."""

from peppy.board.layout import Counts, Snapshot
from peppy.board.reader import BoardReader
from peppy.board.writer import BoardWriter

__all__ = ["BoardReader", "BoardWriter", "Counts", "Snapshot"]
