"""Two streams between two processes, one each way: what every measurement of the ring runs over."""

import os
import socket
from struct import Struct
from typing import NamedTuple, Self

from peppy.ring import Claim, History, Reader, View, Writer, plan

_write_number, _read_number = Struct("<Q").pack_into, Struct("<Q").unpack_from
BUDGET = 64 << 20
LAST = (1 << 64) - 1  # the number of the message that ends a measurement
BY_COPY = 4096
"""Messages up to this size are copied out as bytes, larger ones are looked at in place."""


def budget_depth(size: int) -> int:
    """How many messages of so many bytes a stream of the usual depth holds within its budget of memory."""
    return plan(128, BUDGET, size).depth


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
        self._data = bytearray(size)
        self._publish = writer.publish_bytes
        self.send = self._send_loan if loan else self._send_copy

    def _send_copy(self, number: int) -> None:
        data = self._data
        _write_number(data, 0, number)
        data[self._last] = number & 0xFF
        self._publish(data)

    def _send_loan(self, number: int) -> None:
        loan = self._writer.loan(self._size)
        _write_number(loan.view, 0, number)
        loan.view[self._last] = number & 0xFF
        loan.publish()


class Receiver:
    """Takes the next message and touches its number, first and last byte.

    `receive` returns None when there is none; `poll` asks again until there is one; `wait` spins in the core for
    `spin_us`, then sleeps. Each is one function: a call of Python's costs as much as what is measured.
    """

    def __init__(self, reader: Reader, size: int, doorbell: int = -1, spin_us: float = 0.0) -> None:
        self._reader, self._doorbell, self._last, self._spin_us = reader, doorbell, size - 1, spin_us
        copied = size <= BY_COPY
        self.receive = self._receive_copy if copied else self._receive_view
        self.poll = self._poll_copy if copied else self._poll_view
        self.wait = self._wait_copy if copied else self._wait_view

    def _receive_copy(self) -> int | None:
        taken = self._reader.take_bytes()
        if taken.__class__ is not tuple:
            return None
        data, _, _ = taken
        (number,) = _read_number(data)
        if data[self._last] != number & 0xFF:
            raise _torn(number)
        return number

    def _poll_copy(self) -> int:
        take = self._reader.take_bytes
        while (taken := take()).__class__ is not tuple:
            pass
        data, _, _ = taken
        (number,) = _read_number(data)
        if data[self._last] != number & 0xFF:
            raise _torn(number)
        return number

    def _wait_copy(self) -> int:
        while (taken := self._reader.receive_bytes(self._doorbell, None, self._spin_us)).__class__ is not tuple:
            pass
        data, _, _ = taken
        (number,) = _read_number(data)
        if data[self._last] != number & 0xFF:
            raise _torn(number)
        return number

    def _wait_view(self) -> int:
        while (number := self._receive_view()) is None:
            self._reader.wait(self._doorbell, None, self._spin_us)
        return number

    def _receive_view(self) -> int | None:
        view = self._reader.take_view()
        if view.__class__ is not View:
            return None
        (number,) = _read_number(view.data)
        if view.data[self._last] != number & 0xFF:
            raise _torn(number)
        return number

    def _poll_view(self) -> int:
        while (number := self._receive_view()) is None:
            pass
        return number


def _torn(number: int) -> RuntimeError:
    return RuntimeError(f"message {number} is torn")
