"""Whatever callers and producers say in whatever order, the control plane keeps its books (docs/design/protocol.md)."""

import os
import random
import time

import pytest

from daemon.plane import FOREVER_NS, HASHES, Peer, Plane, with_plane
from peppy.daemon import goals, parties, retention
from peppy.daemon.control_plane import ControlPlane
from peppy.protocol import calls as frames
from peppy.protocol.frame import ConnectionClosed, ProtocolViolation
from peppy.protocol.frames import Frame
from peppy.protocol.payloads import sealed
from peppy.ring import Writer, plan

CASES = 40
STEPS = 250
SEED = 20261122
NAMES = ("zoom", "track")


class Chaos:
    """Some processes that say anything, mostly about the same few numbers."""

    def __init__(self, plane: Plane, seed: int, writer: Writer) -> None:
        self._plane = plane
        self._choose = random.Random(seed)
        self._writer = writer
        self.peers = [plane.join(f"c{number}") for number in range(4)]
        self.heard: set[type[Frame]] = set()
        self.violations = 0

    def step(self) -> None:
        """One frame, or one end of a connection or a process."""
        choose = self._choose
        place = choose.randrange(len(self.peers))
        peer = self.peers[place]
        self.heard.update(type(frame) for frame in peer.sent[-5:])
        dice = choose.random()
        if dice < 0.01:
            self._plane.end(peer)
            self.peers[place] = self._plane.join(peer.instance_id)
        elif dice < 0.03:
            self._plane.lose(peer)
            self.peers[place] = self._plane.rejoin(peer)
        elif dice < 0.04:
            self._plane.control.tick()
        else:
            self._say(place, peer)

    def _say(self, place: int, peer: Peer) -> None:
        frame, fds = self._frame(peer)
        payload = b"" if getattr(frame, "beside", -1) >= 0 else b"x"
        try:
            self._plane.say(peer, frame, payload if type(frame).carries else b"", fds)
        except ProtocolViolation:
            self.violations += 1
            self._plane.lose(peer)
            self.peers[place] = self._plane.rejoin(peer)
        except ConnectionClosed:
            self.peers[place] = self._plane.join(peer.instance_id)

    def _frame(self, peer: Peer) -> tuple[Frame, tuple[int, ...]]:
        choose = self._choose
        call_id, goal_id = choose.randint(1, 6), f"{choose.randint(1, 6):016x}"
        link, name, number = choose.choice(("left", "any")), choose.choice(NAMES), choose.randint(1, 4)
        hashes = HASHES if choose.random() < 0.95 else (8, 9)
        deadline = FOREVER_NS if choose.random() < 0.9 else time.monotonic_ns() - 10**11
        delivery, asked = self._given(peer), self._asked(peer)
        kind = choose.choice(("service", "action"))
        makers = (
            lambda: (frames.EndpointOpen(number, kind, name, None, hashes), ()),
            lambda: (frames.EndpointClose(number, (delivery, 99)), ()),
            lambda: (frames.Discovered(asked), ()),
            lambda: (frames.Acknowledge(delivery), ()),
            lambda: (frames.Reply(delivery, choose.choice((None, "KeyError: x"))), ()),
            lambda: (frames.Reply(delivery, beside=5), (self._memfd(),)),
            lambda: (frames.Decision(delivery, choose.random() < 0.8), ()),
            lambda: (frames.Decision(delivery, True, stream_id=7, claim=(1, 2, 1, 4, 9, 1)), self._stream()),
            lambda: (frames.GoalSignalled(goal_id), ()),
            lambda: (frames.GoalEnded(goal_id, choose.randint(0, 3), 4), ()),
            lambda: (frames.GoalEnded(goal_id, 0, 4, beside=5), (self._memfd(),)),
            lambda: (frames.GoalKept(goal_id, number, "c1", 7, 4, 9), self._stream()),
            lambda: (frames.Call(call_id, link, name, hashes, deadline), ()),
            lambda: (frames.Call(call_id, link, name, hashes, deadline, beside=5), (self._memfd(),)),
            lambda: (frames.Goal(call_id, goal_id, link, name, hashes, deadline), (os.eventfd(0),)),
            lambda: (frames.Withdraw(call_id), ()),
            lambda: (frames.CancelGoal(goal_id, deadline), ()),
            lambda: (frames.GetResult(call_id + 10, goal_id, deadline), ()),
            lambda: (frames.FollowGoal(goal_id), ()),
        )
        return choose.choice(makers)()

    def _given(self, peer: Peer) -> int:
        """A delivery of the peer's, or of another."""
        whose = peer if self._choose.random() < 0.9 else self._choose.choice(self.peers)
        found = whose.of(frames.Deliver)
        return self._choose.choice(found[-5:]).delivery if found else 1

    def _asked(self, peer: Peer) -> int:
        found = peer.of(frames.Discover)
        return self._choose.choice(found[-5:]).number if found else 1

    @staticmethod
    def _memfd() -> int:
        return sealed(((b"large", 0),), 5)

    def _stream(self) -> tuple[int, int]:
        return os.dup(self._writer.data_fd), os.dup(self._writer.ctrl_fd)


def books_are_right(control: ControlPlane) -> None:
    """What the parties have open and what the tables hold is the same, seen from both sides."""
    everyone = set(control._parties.values())  # pyright: ignore[reportPrivateUsage]
    calls = control._calls  # pyright: ignore[reportPrivateUsage]
    table = control._goals  # pyright: ignore[reportPrivateUsage]
    waiting = calls._discovery.waiting()  # pyright: ignore[reportPrivateUsage]
    delivered = [call for party in everyone for call in party.deliveries.values()]
    asked = [question for party in everyone for question in party.questions.values()]
    open_calls = [question for question in asked if isinstance(question, parties.Call)]
    assert set(open_calls) == {call for call in (*waiting, *delivered) if not call.given_up}
    assert not set(waiting) & set(delivered)
    deciding = calls._deciding.values()  # pyright: ignore[reportPrivateUsage]
    assert set(deciding) <= {*waiting, *delivered}
    for party in everyone:
        mine = [call for call in open_calls if call.caller is party]
        assert party.held_bytes == sum(len(call.payload) for call in mine)
        for endpoint in party.endpoints.values():
            deciding = [call for call in delivered if call.endpoint is endpoint and call.goal_id is not None]
            assert endpoint.deciding == len(deciding)
            assert endpoint.live == sum(goal.endpoint is endpoint for goal in party.serves)
    known = (*table._goals.values(), *table._awaited.values())  # pyright: ignore[reportPrivateUsage]
    polls = [poll for goal in known for poll in goal.polls]
    assert set(polls) == {question for question in asked if isinstance(question, parties.Poll)}
    assert {cancel for goal in known for cancel in goal.cancels} == {
        cancel for party in everyone for cancel in party.cancels
    }
    live = {goal for goal in table._goals.values() if goal.status is None}  # pyright: ignore[reportPrivateUsage]
    assert live == {goal for party in everyone for goal in party.serves}
    followed = {(party, goal) for party in everyone for goal in party.follows}
    assert followed == {(party, goal) for goal in known for party in goal.followers}


def test_any_conversation_leaves_the_books_right(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(retention, "KEPT_BYTES", 4 * retention.ENTRY_BYTES)
    monkeypatch.setattr(retention, "TOMBSTONES", 2)
    monkeypatch.setattr(goals, "POLLS", 3)
    writer = Writer.create(plan(8, ring_bytes=1 << 20, capacity=64), topic_hash=1, schema_hash=2, mode=1)
    heard: set[type[Frame]] = set()

    for case in range(CASES):

        async def claim(plane: Plane, case: int = case) -> None:
            plane.slots.directed["left"] = "c1"
            if case % 2:
                plane.control.start()
            chaos = Chaos(plane, SEED + case, writer)
            for _ in range(STEPS):
                chaos.step()
                books_are_right(plane.control)
            heard.update(chaos.heard)
            for peer in chaos.peers:
                plane.end(peer)
            books_are_right(plane.control)
            assert plane.control.in_flight() == 0

        with_plane(claim)
    writer.close()
    expected = {frames.Answered, frames.Decided, frames.GoalResult, frames.FeedbackEnd, frames.SignalGoal}
    assert expected | {frames.Withdrawn, frames.CallFailed, frames.Acknowledged} <= heard
