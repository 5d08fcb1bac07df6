"""Two streams between two processes, one each way: what every measurement of the ring runs over."""

import os
import socket
from struct import Struct
from typing import NamedTuple, Self

from peppy.ring import Claim, History, Reader, ReceiveBuffer, SendBuffer, View, Writer, plan

_NUMBER = Struct("<Q")
BUDGET = 64 << 20
BY_COPY = 4096
"""Messages up to this size are copied out into a reused buffer, larger ones are looked at in place."""


class Link(NamedTuple):
    """This process's ends: it writes one stream, reads the other, and sleeps on its doorbell."""

    writer: Writer
    reader: Reader
    doorbell: int

    @classmethod
    def open(cls, channel: socket.socket, size: int, depth: int = 128) -> Self:
        """Make the own stream, and exchange invitations with the other end."""
        doorbell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        socket.send_fds(channel, [b"doorbell"], [doorbell])
        _, (other,), _, _ = socket.recv_fds(channel, 64, 1)
        writer = Writer.create(plan(depth, BUDGET, size), topic_hash=0, schema_hash=0, mode=1)
        claim = writer.reserve_row(other, History.ALL)
        text = " ".join(map(str, claim)).encode()
        socket.send_fds(channel, [text], [writer.data_fd, writer.ctrl_fd])
        text, (data_fd, ctrl_fd), _, _ = socket.recv_fds(channel, 4096, 2)
        reader = Reader.open(data_fd, ctrl_fd, Claim(*map(int, text.split())), newest=False)
        os.close(data_fd)
        os.close(ctrl_fd)
        channel.send(b"ready")
        channel.recv(64)
        return cls(writer, reader, doorbell)


class Sender:
    """Writes number and last byte of each message, then publishes a copy of the whole, or the place itself (loan)."""

    def __init__(self, writer: Writer, size: int, loan: bool) -> None:
        self._writer, self._size, self._last = writer, size, size - 1
        self._buffer = SendBuffer(size)
        self.send = self._send_loan if loan else self._send_copy

    def _send_copy(self, number: int) -> None:
        data = self._buffer.data
        _NUMBER.pack_into(data, 0, number)
        data[self._last] = number & 0xFF
        self._writer.publish(self._buffer, self._size)

    def _send_loan(self, number: int) -> None:
        loan = self._writer.loan(self._size)
        _NUMBER.pack_into(loan.view, 0, number)
        loan.view[self._last] = number & 0xFF
        loan.publish()


class Receiver:
    """Takes the next message and touches its number, first and last byte.

    `receive` returns None when there is none; `poll` asks again until there is one.
    """

    def __init__(self, reader: Reader, size: int) -> None:
        self._reader, self._last = reader, size - 1
        self._buffer = ReceiveBuffer(min(size, BY_COPY))
        copied = size <= BY_COPY
        self.receive = self._receive_copy if copied else self._receive_view
        self.poll = self._poll_copy if copied else self._poll_view

    def _receive_copy(self) -> int | None:
        if self._reader.take_into(self._buffer).__class__ is not tuple:
            return None
        return _touched(self._buffer.data, self._last)

    def _poll_copy(self) -> int:
        take, buffer = self._reader.take_into, self._buffer
        while take(buffer).__class__ is not tuple:
            pass
        return _touched(buffer.data, self._last)

    def _receive_view(self) -> int | None:
        view = self._reader.take_view()
        return _touched(view.data, self._last) if view.__class__ is View else None

    def _poll_view(self) -> int:
        take = self._reader.take_view
        while (view := take()).__class__ is not View:
            pass
        return _touched(view.data, self._last)


def _touched(data: bytearray | memoryview, last: int) -> int:
    (number,) = _NUMBER.unpack_from(data)
    if data[last] != number & 0xFF:
        raise RuntimeError(f"message {number} is torn")
    return number
