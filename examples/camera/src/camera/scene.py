"""A scene without a camera: a slowly turning colour field with a bright square that crosses it."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]

SQUARE = 96


class Scene:
    """Endless frames of one size, drawn into the caller's array."""

    def __init__(self, width: int, height: int) -> None:
        self.shape = (height, width, 3)
        rows, columns = np.mgrid[0:height, 0 : 2 * width]
        wave = 127.5 * (1 + np.sin(2 * np.pi * columns / width))
        field = np.stack([wave, 255 * rows / height, 255 - wave], axis=-1).astype(np.uint8)
        self._field: Image = field

    def draw(self, image: Image, number: int) -> None:
        """Frame `number` into `image` of shape (height, width, 3)."""
        height, width, _ = self.shape
        start = (4 * number) % width
        image[...] = self._field[:, start : start + width]
        top = (3 * number) % max(1, height - SQUARE)
        left = (7 * number) % max(1, width - SQUARE)
        image[top : top + SQUARE, left : left + SQUARE] = (255, 240, 60)

    def __iter__(self) -> Iterator[int]:
        number = 0
        while True:
            yield number
            number += 1
