"""A control plane with parties whose connections are lists, for tests of calls and goals."""

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any, TypeVar

from peppy.daemon.control_plane import ControlPlane
from peppy.model.names import Reference
from peppy.protocol import calls as frames
from peppy.protocol.answers import Answer, EndpointOpened
from peppy.protocol.frame import Received, numbered
from peppy.protocol.frames import Failed, Frame

F = TypeVar("F", bound=Frame)
CORE = "core-node-calm-hopper-1234"
HASHES = (1, 2)
GOAL = "00c0ffee00c0ffee"
FOREVER_NS = time.monotonic_ns() + 3_600_000_000_000


class Peer:
    """One connection: what was sent to it, with how many descriptors and which payload."""

    def __init__(self, instance_id: str, node: str = "cam:v1", pid: int | None = None, *, cli: bool = False) -> None:
        reference = Reference.parse(node)
        assert reference is not None
        self.instance_id, self.reference = instance_id, reference
        self.pid = os.getpid() if pid is None else pid
        self.has_slots = not cli
        self.sent: list[Frame] = []
        self.answers: dict[int, Answer | Failed] = {}
        self.carried: list[tuple[Frame, bytes, int]] = []
        self.contents: list[bytes] = []

    def send(self, frame: Frame, fds: tuple[int, ...] = (), *, request_id: int = 0) -> None:
        for fd in fds:
            os.fstat(fd)
        self.sent.append(frame)
        self.carried.append((frame, b"", len(fds)))
        if request_id:
            assert isinstance(frame, Failed)
            self.answers[request_id] = frame

    def carry(self, frame: frames.Carrier, payload: bytes, fds: tuple[int, ...] = ()) -> None:
        for fd in fds:
            os.fstat(fd)
        self.sent.append(frame)
        self.carried.append((frame, payload, len(fds)))
        if fds and not payload:
            self.contents.append(os.pread(fds[-1], 100, 0))

    def answer(self, result: Answer, request_id: int) -> None:
        self.answers[request_id] = result
        self.sent.append(Frame())

    def of(self, kind: type[F]) -> list[F]:
        """What it was sent of this type."""
        return [frame for frame in self.sent if isinstance(frame, kind)]

    def last(self, kind: type[F]) -> F:
        """The latest frame of this type."""
        return self.of(kind)[-1]

    def take(self) -> list[Frame]:
        """What it was sent since the last time."""
        taken, self.sent = self.sent, []
        return taken


class Slots:
    """Slots that the test fills: whom each of them admits, and whom it calls directly."""

    def __init__(self) -> None:
        self.directed: dict[str, str] = {}
        self.admitted: set[str] | None = None
        self.node = "cam:v1"

    def passes(self, consumer_id: str, link_id: str, producer_id: str, producer: Reference) -> bool:
        if str(producer) != self.node or producer_id == consumer_id:
            return False
        if (only := self.directed.get(link_id)) is not None:
            return producer_id == only
        return self.admitted is None or producer_id in self.admitted

    def direct(self, _consumer_id: str, link_id: str) -> str | None:
        return self.directed.get(link_id)


class Plane:
    """The control plane under test."""

    def __init__(self, retention_secs: float = 30.0) -> None:
        self.slots = Slots()
        self.control = ControlPlane(self.slots, CORE, retention_secs)
        self._requests = 0

    def join(self, instance_id: str, node: str = "cam:v1", pid: int | None = None) -> Peer:
        """A node process has connected."""
        peer = Peer(instance_id, node, pid)
        self.control.connected(peer, again=False)
        return peer

    def rejoin(self, peer: Peer) -> Peer:
        """The same process has a new connection."""
        back = Peer(peer.instance_id, str(peer.reference), peer.pid)
        self.control.connected(back, again=True)
        return back

    def say(self, peer: Peer, frame: Frame, payload: bytes = b"", fds: tuple[int, ...] = ()) -> int:
        """The peer sends a frame; the request id, if it is one."""
        request_id = 0
        if numbered(type(frame)):
            self._requests += 1
            request_id = self._requests
        self.control.handle(peer, Received(frame, request_id, fds, False, payload))
        self.control.rest()
        return request_id

    def say_together(self, peer: Peer, *notices: Frame) -> None:
        """The peer sends notices so close to each other that one read brings them all."""
        for frame in notices:
            self.control.handle(peer, Received(frame, 0))
        self.control.rest()

    def ask(self, peer: Peer, frame: Frame, payload: bytes = b"", fds: tuple[int, ...] = ()) -> Answer | Failed | None:
        """The peer sends a request; the answer, None while there is none."""
        return peer.answers.get(self.say(peer, frame, payload, fds))

    # --- the usual frames ----------------------------------------------------------------------------------------

    def serve(self, peer: Peer, kind: str = "service", name: str = "zoom", number: int = 1, **more: Any) -> None:
        """The peer opens an endpoint."""
        fields: dict[str, Any] = {"interface": None, "hashes": HASHES, **more}
        assert self.ask(peer, frames.EndpointOpen(number, kind, name, **fields)) == EndpointOpened()

    def call(self, peer: Peer, call_id: int = 1, link_id: str = "left", payload: bytes = b"q", **more: Any) -> None:
        """The peer calls `zoom`."""
        fields: dict[str, Any] = {"name": "zoom", "hashes": HASHES, "deadline_ns": FOREVER_NS, **more}
        self.say(peer, frames.Call(call_id, link_id, **fields), payload)

    def fire(self, peer: Peer, call_id: int = 1, goal_id: str = GOAL, link_id: str = "left", **more: Any) -> None:
        """The peer fires a goal of `track`."""
        fds = more.pop("fds", ())
        fields: dict[str, Any] = {"name": "track", "hashes": HASHES, "deadline_ns": FOREVER_NS, **more}
        self.say(peer, frames.Goal(call_id, goal_id, link_id, **fields), b"g", fds)

    def acknowledge(self, peer: Peer) -> int:
        """The peer takes what it was given last; its delivery number."""
        delivery = peer.last(frames.Deliver).delivery
        self.say(peer, frames.Acknowledge(delivery))
        return delivery

    def lose(self, peer: Peer) -> None:
        """The peer's connection ends."""
        self.control.disconnected(peer)

    def end(self, peer: Peer) -> None:
        """The peer ends, and with it whatever it has not finished."""
        self.control.leaving(peer)
        self.control.disconnected(peer)

    def has_ended(self, peer: Peer) -> bool:
        """Whether the end of the peer's process has been noticed."""
        return self.control.party(peer).ended

    async def until(self, claim: Callable[[], object]) -> None:
        """Waits for something that the event loop brings."""
        while not claim():
            await asyncio.sleep(0.001)


def with_plane(claim: Callable[[Plane], Coroutine[Any, Any, None]], **settings: Any) -> None:
    """Run the claim; the control plane leaves no descriptor."""

    async def run() -> None:
        before = open_fds()
        plane = Plane(**settings)
        async with asyncio.timeout(60):
            await claim(plane)
        plane.control.close()
        assert open_fds() == before

    asyncio.run(run())


def open_fds() -> int:
    """Descriptors that this process has."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def kinds(sent: Iterable[Frame]) -> list[str]:
    """The names of frames, in order."""
    return [type(frame).__name__ for frame in sent]


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)
