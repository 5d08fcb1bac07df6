"""A stream inside one process: the writer and its readers are separate handles, as they are between processes."""

import os

from peppy.ring import History, Reader, Writer, plan


class Stream:
    """A writer, and a way to attach readers to it."""

    def __init__(self, depth: int, capacity: int, rows: int, loans: int, *, reliable: bool = False) -> None:
        geometry = plan(depth, ring_bytes=64 << 20, capacity=capacity, rows=rows, loans=loans)
        self.writer = Writer.create(geometry, topic_hash=0x70, schema_hash=0x5C, mode=1, reliable=reliable)
        self.doorbells: list[int] = []

    def reader(self, *, newest: bool = False, history: History = History.NONE, doorbell: int = -1) -> Reader:
        claim = self.writer.reserve_row(doorbell, history)
        writer = self.writer
        return Reader.open(writer.data_fd, writer.ctrl_fd, claim, newest=newest, space_fd=writer.space_fd)

    def doorbell(self) -> int:
        self.doorbells.append(os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC))
        return self.doorbells[-1]
