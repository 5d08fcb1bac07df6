"""Streams that are closed when their test ends."""

import os
from collections.abc import Callable, Iterator

import pytest
from ring_stream import Stream


@pytest.fixture
def make_stream() -> Iterator[Callable[..., Stream]]:
    streams: list[Stream] = []

    def make(depth: int = 8, capacity: int = 64, rows: int = 4, loans: int = 4, *, reliable: bool = False) -> Stream:
        streams.append(Stream(depth, capacity, rows, loans, reliable=reliable))
        return streams[-1]

    yield make
    for stream in streams:
        stream.writer.close()
        for doorbell in stream.doorbells:
            os.close(doorbell)


@pytest.fixture
def stream(make_stream: Callable[..., Stream]) -> Stream:
    return make_stream()
