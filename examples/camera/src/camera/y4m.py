"""YUV4MPEG2 files: the plain video format that ffmpeg and mpv write with `-f yuv4mpegpipe`."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]

SIGNATURE = b"YUV4MPEG2"
LINE_LIMIT = 4096
LARGEST_SIDE = 16384


class BadVideo(ValueError):
    """The file is no YUV4MPEG2 video of 8 bits with 4:2:0 or 4:4:4 colours."""


class Video:
    """Plays the file round and round; `shape` is (height, width, 3)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file:
            self._width, self._height, self._subsampled = _header(file)
        self.shape = (self._height, self._width, 3)

    def __iter__(self) -> Iterator[Image]:
        """RGB images of `shape`, forever. BadVideo when the file holds no whole frame."""
        while True:
            played = 0
            with self._path.open("rb") as file:
                _header(file)
                while (planes := self._planes(file)) is not None:
                    played += 1
                    yield _rgb(*planes)
            if not played:
                raise BadVideo(f"`{self._path}` holds no whole frame")

    def _planes(self, file: BinaryIO) -> tuple[Image, Image, Image] | None:
        if not file.readline(LINE_LIMIT).startswith(b"FRAME"):
            return None
        small = (-(-self._height // 2), -(-self._width // 2)) if self._subsampled else (self._height, self._width)
        planes = [_plane(file, shape) for shape in ((self._height, self._width), small, small)]
        if any(plane is None for plane in planes):
            return None
        luma, blue, red = (plane for plane in planes if plane is not None)
        if self._subsampled:
            blue, red = (
                plane.repeat(2, axis=0).repeat(2, axis=1)[: self._height, : self._width] for plane in (blue, red)
            )
        return luma, blue, red


def _header(file: BinaryIO) -> tuple[int, int, bool]:
    words = file.readline(LINE_LIMIT).split()
    if not words or words[0] != SIGNATURE:
        raise BadVideo(f"`{file.name}` is no YUV4MPEG2 file")
    fields = {word[:1]: word[1:].decode("ascii", "replace") for word in words[1:]}
    try:
        width, height = int(fields[b"W"]), int(fields[b"H"])
    except (KeyError, ValueError):
        raise BadVideo(f"`{file.name}` does not say its width and height") from None
    if not (0 < width <= LARGEST_SIDE and 0 < height <= LARGEST_SIDE):
        raise BadVideo(f"`{file.name}` is {width} x {height}, at most {LARGEST_SIDE} a side can be played")
    colours = fields.get(b"C", "420")
    if colours.startswith("420") and "p1" not in colours:
        return width, height, True
    if colours == "444":
        return width, height, False
    raise BadVideo(f"`{file.name}` has colours `{colours}`; only 8-bit 420 and 444 can be played")


def _plane(file: BinaryIO, shape: tuple[int, int]) -> Image | None:
    size = shape[0] * shape[1]
    data = file.read(size)
    return np.frombuffer(data, np.uint8).reshape(shape) if len(data) == size else None


def _rgb(luma: Image, blue: Image, red: Image) -> Image:
    """BT.601, studio range, in integers of 1/256."""
    y = 298 * (luma.astype(np.int32) - 16)
    u, v = blue.astype(np.int32) - 128, red.astype(np.int32) - 128
    image = np.empty((*luma.shape, 3), np.uint8)
    for channel, value in enumerate((y + 409 * v, y - 100 * u - 208 * v, y + 516 * u)):
        image[..., channel] = np.clip((value + 128) >> 8, 0, 255)
    return image
