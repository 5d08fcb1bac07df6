"""Write an RGB image as a PNG file, with the standard library alone."""

import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt


def write_png(path: Path, image: npt.NDArray[np.uint8]) -> None:
    """`image` has shape (height, width, 3). The file appears whole or not at all."""
    height, width, _ = image.shape
    rows = np.zeros((height, 1 + 3 * width), np.uint8)  # each row starts with its filter, 0: none
    rows[:, 1:] = image.reshape(height, 3 * width)
    header = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b""))
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks))
    unfinished.replace(path)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
