"""Calls and goals through a real daemon, by programs that speak its protocol (docs/design/protocol.md, Sequences)."""

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import msgspec
import pytest
from living import LivingDaemon

from peppy.model.goals import CancelState, ResultStatus
from peppy.model.home import daemon_socket
from peppy.protocol import PROTOCOL_VERSION
from peppy.protocol import calls as frames
from peppy.protocol.answers import Answer, EndpointOpened, GoalCancelled, GoalEndKept
from peppy.protocol.blocking import BlockingConnection, connect
from peppy.protocol.frame import ConnectionClosed, Received
from peppy.protocol.frames import Done, Ending, Frame, Hello, Welcome
from peppy.protocol.payloads import sealed
from peppy.ring import layout_hash

F = TypeVar("F", bound=Frame)
A = TypeVar("A", bound=Answer)
WATCHDOG_SECS = 60.0
HASHES = (1, 2)
LARGE = 20 << 20
VIEWS = ("any", "cam")
"""A slot that every camera passes."""


class Program:
    """A standalone program on its own connection, or a command line."""

    def __init__(
        self,
        daemon: LivingDaemon,
        role: str,
        name: str,
        slots: tuple[tuple[str, str], ...] = (),
        state: str | None = None,
    ) -> None:
        self._connection = BlockingConnection(connect(daemon_socket(daemon.home)))
        said = tuple((link_id, "node", node, "v1", True) for link_id, node in slots)
        hello = Hello(
            PROTOCOL_VERSION, "0.1.0", layout_hash(), role, os.getpid(), name, "v1", f"{name}-1", state, (), said
        )
        self._connection.send(hello)
        self.receive(Welcome)
        self._requests = 0

    def receive(self, kind: type[F]) -> F:
        """The next frame, which is of this type."""
        return self.received(kind)[0]

    def received(self, kind: type[F]) -> tuple[F, Received]:
        """The same, with what came with it."""
        received = self._connection.receive(WATCHDOG_SECS)
        assert isinstance(received.frame, kind), received.frame
        return received.frame, received

    def send(self, frame: Frame, payload: bytes = b"", fds: tuple[int, ...] = ()) -> None:
        self._connection.send(frame, 0, fds, payload)

    def ask(self, frame: Frame, kind: type[A], payload: bytes = b"") -> A:
        """The answer to a request, which nothing else comes before."""
        self._requests += 1
        self._connection.send(frame, self._requests, (), payload)
        return self.answer(kind)

    def answer(self, kind: type[A]) -> A:
        return msgspec.msgpack.decode(self.receive(Done).result, type=kind)

    def close(self) -> None:
        self._connection.close()


@contextmanager
def program(
    daemon: LivingDaemon, role: str, name: str, *slots: tuple[str, str], state: str | None = None
) -> Iterator[Program]:
    made = Program(daemon, role, name, slots, state)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def camera(shared: LivingDaemon) -> Iterator[Program]:
    with program(shared, "standalone", "cam") as made:
        yield made


@pytest.fixture
def viewer(shared: LivingDaemon) -> Iterator[Program]:
    with program(shared, "standalone", "view", VIEWS) as made:
        yield made


def in_secs(secs: float) -> int:
    return time.monotonic_ns() + int(secs * 1e9)


def call(program: Program, call_id: int = 1, payload: bytes = b"request", instance_id: str | None = None) -> None:
    program.send(frames.Call(call_id, "any", "zoom", HASHES, in_secs(60), instance_id), payload)


def serve(camera: Program, kind: str = "service", name: str = "zoom") -> None:
    camera.ask(frames.EndpointOpen(1, kind, name, None, HASHES), EndpointOpened)


def take(camera: Program, viewer: Program) -> int:
    """The camera takes the next call or goal of the viewer's, which hears of it; the delivery number."""
    delivery = camera.receive(frames.Deliver).delivery
    camera.send(frames.Acknowledge(delivery))
    assert viewer.receive(frames.Acknowledged).instance_id == "cam-1"
    return delivery


def test_a_discovered_producer_answers_a_call(viewer: Program, camera: Program):
    serve(camera)
    call(viewer)
    camera.send(frames.Discovered(camera.receive(frames.Discover).number))
    camera.send(frames.Reply(take(camera, viewer)), b"response")
    answered, received = viewer.received(frames.Answered)
    assert (answered.instance_id, answered.error, received.payload) == ("cam-1", None, b"response")


def test_a_command_line_calls_an_instance_that_serves_later(shared: LivingDaemon, camera: Program):
    with program(shared, "cli", "") as cli:
        call(cli, instance_id="cam-1")
        serve(camera)
        deliver, received = camera.received(frames.Deliver)
        assert (deliver.caller_instance_id, received.payload) == (f"peppy-cli-{os.getpid()}", b"request")
        camera.send(frames.Reply(deliver.delivery, "KeyError: 'x'"))
        assert cli.receive(frames.Answered).error == "KeyError: 'x'"


def test_a_large_payload_passes_in_its_own_memory(viewer: Program, camera: Program):
    serve(camera)
    memfd = sealed(((bytes(LARGE), 0),), LARGE)
    viewer.send(frames.Call(1, "any", "zoom", HASHES, in_secs(60), beside=LARGE), fds=(memfd,))
    camera.send(frames.Discovered(camera.receive(frames.Discover).number))
    deliver, received = camera.received(frames.Deliver)
    assert (deliver.beside, os.fstat(received.fds[0]).st_ino) == (LARGE, os.fstat(memfd).st_ino)
    for fd in (memfd, *received.fds):
        os.close(fd)


def test_a_goal_lives_is_cancelled_and_ends(viewer: Program, camera: Program):
    goal_id = fire(viewer, camera)
    viewer.send(frames.GetResult(2, goal_id, in_secs(60)))
    viewer._connection.send(frames.CancelGoal(goal_id, in_secs(60)), 9)  # pyright: ignore[reportPrivateUsage]
    assert camera.receive(frames.SignalGoal).goal_id == goal_id
    camera.send(frames.GoalSignalled(goal_id))
    assert viewer.answer(GoalCancelled).state == CancelState.SIGNALLED
    camera.ask(frames.GoalEnded(goal_id, int(ResultStatus.CANCELLED)), GoalEndKept, b"result")
    result, received = viewer.received(frames.GoalResult)
    assert (result.status, result.instance_id, received.payload) == (ResultStatus.CANCELLED, "cam-1", b"result")


def fire(viewer: Program, camera: Program) -> str:
    """A goal of the viewer's is accepted; its id."""
    goal_id = secrets.token_hex(8)
    serve(camera, "action", "track")
    viewer.send(frames.Goal(1, goal_id, "any", "track", HASHES, in_secs(60)), b"goal")
    camera.send(frames.Discovered(camera.receive(frames.Discover).number))
    camera.send(frames.Decision(take(camera, viewer), True))
    assert viewer.receive(frames.Decided).accepted
    return goal_id


def test_a_goal_outlives_the_daemon_and_who_waits_for_its_result_gets_it(daemon: LivingDaemon):
    with program(daemon, "standalone", "cam") as camera, program(daemon, "standalone", "view", VIEWS) as viewer:
        goal_id = fire(viewer, camera)
    daemon.kill()
    daemon.start()
    with (
        program(daemon, "standalone", "view", VIEWS, state="running") as viewer,
        program(daemon, "standalone", "cam", state="running") as camera,
    ):
        viewer.send(frames.GetResult(2, goal_id, in_secs(60)))
        viewer.send(frames.FollowGoal(goal_id))
        serve(camera, "action", "track")
        camera.send(frames.GoalKept(goal_id, 1, "view-1"))
        camera.ask(frames.GoalEnded(goal_id, int(ResultStatus.COMPLETED), 7), GoalEndKept, b"result")
        result, received = viewer.received(frames.GoalResult)
        assert (result.status, received.payload) == (ResultStatus.COMPLETED, b"result")
        assert viewer.receive(frames.FeedbackEnd) == frames.FeedbackEnd(goal_id, 7)


def test_a_program_that_says_that_it_ends_ends_its_goals(viewer: Program, camera: Program):
    goal_id = fire(viewer, camera)
    viewer.send(frames.GetResult(2, goal_id, in_secs(60)))
    camera.send(Ending(None))
    camera.close()
    assert viewer.receive(frames.GoalResult).status == ResultStatus.ABANDONED


def test_who_breaks_the_rules_is_alone_in_losing_its_connection(viewer: Program, camera: Program):
    serve(camera)
    call(viewer, 1)
    camera.receive(frames.Discover)
    viewer.send(
        frames.Goal(1, secrets.token_hex(8), "any", "track", HASHES, in_secs(60))
    )  # the id of the call that is open
    with pytest.raises(ConnectionClosed):
        viewer.receive(frames.CallFailed)
    camera.send(frames.EndpointClose(1))
    serve(camera)
