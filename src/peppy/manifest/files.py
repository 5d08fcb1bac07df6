"""Reading a document from a file (docs/reference/manifest.md, Errors)."""

import os
import stat
from pathlib import Path

from peppy.errors import InvalidInput
from peppy.manifest.document import SIZE_LIMIT, refusal, too_large
from peppy.model.text import escaped

MANIFEST_FILE = "peppy.json5"


def read_bytes(path: Path) -> tuple[bytes, str]:
    """The bytes of a document file, or of the `peppy.json5` in a directory, and its path as text; InvalidInput."""
    file = path
    try:
        file = path / MANIFEST_FILE if path.is_dir() else path
        return _read_regular(file), str(file)
    except FileNotFoundError:
        raise _missing(path, file) from None
    except (OSError, ValueError) as error:
        # ValueError: a path with a NUL character, which the system cannot even be asked for.
        reason = getattr(error, "strerror", None) or str(error)
        shown = escaped(str(file))
        raise refusal("DocumentUnreadable", f"{shown}: {reason}", "make it a readable file") from None


def _missing(path: Path, file: Path) -> InvalidInput:
    if path != file:
        return refusal(
            "DocumentMissing",
            f"no {MANIFEST_FILE} in `{escaped(str(path))}`",
            "name a node's directory, or make one with `peppy node init`",
        )
    return refusal("DocumentMissing", f"no such file: `{escaped(str(file))}`", "check the path")


def _read_regular(file: Path) -> bytes:
    # Without O_NONBLOCK a pipe that nobody writes to would stop the reader for ever.
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as opened:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, "not a file")
        if status.st_size > SIZE_LIMIT:
            raise too_large(str(file), f"{status.st_size} bytes", f"{SIZE_LIMIT} bytes")
        return opened.read(SIZE_LIMIT + 1)
