"""A goal as the command line follows it: decision, feedback, result (docs/design/protocol.md, A goal).

Its feedback never holds the server up: the goal asks for the one profile under which nobody waits for a client, and
what gets lost is counted (docs/reference/cli.md, Calls and goals).
"""

import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple, Self

from peppy.client import Client
from peppy.client.calls import ask, deadline_ns, failed_call, wait_readable
from peppy.client.interrupt import Interrupts
from peppy.errors import PeppyError
from peppy.model.goals import ResultStatus
from peppy.model.qos import QoSProfile
from peppy.protocol.answers import MemberDetails
from peppy.protocol.calls import CallFailed, CancelGoal, Decided, FeedbackEnd, GetResult, Goal, GoalResult, Withdraw
from peppy.protocol.failures import error_of
from peppy.protocol.frame import Received, close_all
from peppy.protocol.frames import Failed
from peppy.protocol.payloads import Packed, payload_of
from peppy.ring import Claim, Outcome, Reader, StaleClaim, View

AS_DECLARED = -1
FOREVER_NS = 1 << 62
CANCEL_SECS = 5.0
"""How long the server's runtime may take to confirm a cancel."""

END_SECS = 5.0
"""How long the news of the feedback's end may come behind the result."""

MOST_AT_ONCE = 64
"""Messages handed out before the daemon is heard again."""


class GoalEnd(NamedTuple):
    """How a goal ended. `payload` is None where there is no result: the goal was abandoned or is no longer kept."""

    status: ResultStatus
    instance_id: str
    payload: bytes | memoryview | None
    feedback_lost: int


class WatchedGoal:
    """One goal of one action. `fire`, then `follow`. A context manager: its end gives the feedback's row back."""

    def __init__(
        self,
        client: Client,
        action: MemberDetails,
        on_cancel: Callable[[], None],
        on_feedback: Callable[[memoryview], None] | None,
    ) -> None:
        """`on_feedback` gets every payload while the goal is followed, None asks for no feedback; `on_cancel` is called
        when Ctrl-C has cancelled the goal."""
        self.goal_id = secrets.token_hex(8)
        self.was_cancelled = False
        self._client = client
        self._action = action
        self._what = f"action `{action.address}`"
        self._interrupts = Interrupts()  # from the first moment on: between two steps Ctrl-C cancels as well
        self._on_cancel = on_cancel
        self._on_feedback = on_feedback
        self._doorbell = -1 if on_feedback is None else os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._reader: Reader | None = None
        self._feedback_ended = False
        self._end: GoalEnd | None = None
        self._call_id = 0
        self._cancel_id = 0

    def fire(self, request: Packed, seconds: float, allowed: float | None = None) -> Decided:
        """Send the goal and wait for the decision; `allowed` as in `peppy.client.calls.call`.

        Raises as `peppy.client.calls.call`, and `TooManyReaders` or OSError where the feedback cannot be read.
        """
        action = self._action
        fds = (self._doorbell,) if self._doorbell >= 0 else ()
        frame = Goal(
            self._client.new_call_id(),
            self.goal_id,
            "",
            action.name,
            action.hashes,
            deadline_ns(seconds),
            feedback_qos=int(QoSProfile.SensorData) if self._doorbell >= 0 else AS_DECLARED,
            instance_id=action.instance_id,
            interface=action.interface,
            beside=request.beside,
        )
        told = seconds if allowed is None else allowed
        received = ask(self._client, self._interrupts, frame, fds, request, self._what, told)
        try:
            decided = received.frame
            assert isinstance(decided, Decided)
            if decided.accepted and len(received.fds) >= 2 and self._doorbell >= 0:
                with suppress(StaleClaim):  # the server has ended already: there is nothing to read
                    claim = Claim(*decided.claim)
                    self._reader = Reader.open(received.fds[0], received.fds[1], claim, newest=False)
            return decided
        finally:
            close_all(received.fds)

    def follow(self, seconds: float | None) -> GoalEnd:
        """Hand out every feedback message, then how the goal has ended.

        The first Ctrl-C cancels the goal and goes on, the second one raises KeyboardInterrupt. Raises PeppyError of
        kind `ServiceTimeout` when there is no result within `seconds`, where the goal goes on; what the daemon says
        when the goal cannot be cancelled; and `DaemonUnavailable`.
        """
        self._call_id = self._client.new_call_id()
        until_ns = FOREVER_NS if seconds is None else deadline_ns(seconds)
        self._client.tell(GetResult(self._call_id, self.goal_id, until_ns))
        self._go_on(until_ns, lambda: self._end is not None)
        if self._end is None:
            self._client.tell(Withdraw(self._call_id))
            raise self._no_result(seconds or 0.0)
        if self._reader is not None:
            self._go_on(deadline_ns(END_SECS), lambda: self._feedback_ended)
        while not self._hand_out():
            pass
        lost = self._reader.stats().row.lost if self._reader is not None else 0
        return self._end._replace(feedback_lost=lost)

    def close(self) -> None:
        """Give up the row, if there is one. The goal goes on."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self._doorbell >= 0:
            os.close(self._doorbell)
            self._doorbell = -1

    def __enter__(self) -> Self:
        self._interrupts.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._interrupts.__exit__(kind, error, traceback)
        self.close()

    # --- while it runs -----------------------------------------------------------------------------------------------

    def _go_on(self, until_ns: int, done: Callable[[], bool]) -> None:
        """Pass on what comes until `done`, or the time has come."""
        while True:
            if self._interrupts.happened():
                self._cancel()
            while (received := self._client.notice()) is not None:
                self._serve(received)
            if done() or time.monotonic_ns() >= until_ns:
                return
            if self._hand_out() and self._rests():
                doorbells = (self._doorbell,) if self._doorbell >= 0 else ()
                wait_readable(
                    (self._client, self._interrupts, *doorbells), None if until_ns == FOREVER_NS else until_ns
                )

    def _cancel(self) -> None:
        self.was_cancelled = True
        if self._end is None:
            self._cancel_id = self._client.begin(CancelGoal(self.goal_id, deadline_ns(CANCEL_SECS)))
            self._on_cancel()

    def _serve(self, received: Received) -> None:
        match received.frame:
            case GoalResult(call_id=self._call_id) as result:
                payload = payload_of(received)
                status = ResultStatus(result.status)
                has_result = status in (ResultStatus.COMPLETED, ResultStatus.CANCELLED)
                self._end = GoalEnd(status, result.instance_id, payload if has_result else None, 0)
                return
            case CallFailed(call_id=self._call_id) as failure:
                raise failed_call(failure, self._action.instance_id)
            case FeedbackEnd(goal_id=self.goal_id):
                self._feedback_ended = True  # all of it is in the ring, which serves no other goal before we leave it
            case Failed() as failed if received.request_id == self._cancel_id:
                raise error_of(failed)
            case _:
                pass
        close_all(received.fds)

    def _no_result(self, seconds: float) -> PeppyError:
        return PeppyError(
            f"{self._what}: no result within {seconds:g} s; goal `{self.goal_id}` goes on",
            kind="ServiceTimeout",
            hint="give it longer with `--result-timeout`, or none",
        )

    # --- feedback ----------------------------------------------------------------------------------------------------

    def _hand_out(self) -> bool:
        """Pass on some of the messages that are there; whether there are no more."""
        if self._reader is None or self._on_feedback is None:
            return True
        for _ in range(MOST_AT_ONCE):
            view = self._reader.take_view()
            if not isinstance(view, View):
                return True
            self._on_feedback(view.data)
        return False

    def _rests(self) -> bool:
        """Whether a reader may sleep until its doorbell rings: reads the doorbell, then looks again."""
        if self._reader is None:
            return True
        with suppress(BlockingIOError):
            os.eventfd_read(self._doorbell)
        return self._reader.arm() is not Outcome.OK
