"""What the status board tells about a daemon that does not answer (docs/reference/daemon.md, Status board)."""

from collections.abc import Generator
from contextlib import contextmanager

from peppy.cli.session import home
from peppy.errors import PeppyError


@contextmanager
def with_board() -> Generator[None]:
    """Adds to an error `Timeout` or `DaemonUnreachable` for how long the daemon has been silent."""
    try:
        yield
    except PeppyError as error:
        if error.kind in ("Timeout", "DaemonUnreachable") and (words := _board_words()):
            raise PeppyError(
                f"{error.message} ({words})", kind="Timeout", hint=error.hint, details=error.details
            ) from None
        raise


def _board_words() -> str | None:
    from peppy.board import BoardReader

    try:
        with BoardReader.open(home()) as reader:
            board = reader.snapshot()
    except (PeppyError, OSError):
        return None
    return f"pid {board.daemon_pid}, silent for {board.silent_seconds:.0f} s"
