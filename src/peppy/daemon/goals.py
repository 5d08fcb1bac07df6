"""The goal table: what has become of every accepted goal (docs/reference/services_actions.md, State machine).

Every way into a terminal state does, in this order: the outcome is stored, everybody who waits for it is answered, the
feedback ends. The first terminal event wins.
"""

import asyncio

from peppy.daemon import parties
from peppy.daemon.goal_checks import is_goal_id, observed, outcome_of
from peppy.daemon.parties import Call, Cancel, Endpoint, Goal, Party, Poll, Route
from peppy.daemon.retention import Retention
from peppy.errors import PeppyError
from peppy.model.goals import CancelState, ResultStatus
from peppy.protocol import calls as frames
from peppy.protocol.answers import GoalCancelled, GoalEndKept
from peppy.protocol.failures import failed
from peppy.protocol.frame import ProtocolViolation, Received
from peppy.protocol.streams import RowLeft
from peppy.ring import Observer

WINDOW_SECS = 5.0
"""After its start a daemon waits so long for the servers of goals that somebody asks about."""

POLLS = 256
"""Questions for one result that wait at a time."""

ACCEPTED = 256
"""Goals whose acceptance a client may not have heard of yet."""

POSITION_UNKNOWN = -1


class GoalTable:
    """All goals from their acceptance until they are forgotten. Lives on the daemon's event loop."""

    def __init__(self, core_node: str, retention_secs: float) -> None:
        self._core_node = core_node
        self._goals: dict[str, Goal] = {}  # live or retained
        self._awaited: dict[str, Goal] = {}  # asked about after the daemon's start, their servers are not back yet
        self._window: asyncio.TimerHandle | None = None
        self._retention = Retention(retention_secs, self._expired)
        self.routes: dict[type[frames.Frame], Route] = {
            frames.GetResult: self._get_result,
            frames.CancelGoal: self._cancel_goal,
            frames.FollowGoal: self._follow,
            frames.GoalSignalled: self._signalled,
            frames.GoalEnded: self._goal_ended,
            frames.GoalKept: self._kept,
        }

    def open_window(self) -> None:
        """The daemon begins to serve: questions about goals that it does not know wait for their servers."""
        self._window = asyncio.get_running_loop().call_later(WINDOW_SECS, self._close_window)

    def _close_window(self) -> None:
        self._window = None
        awaited, self._awaited = self._awaited, {}
        for goal in awaited.values():
            for poll in goal.polls:
                self._answer_poll(poll, ResultStatus.EXPIRED)
            for party in goal.followers:
                self._end_feedback(goal, party, POSITION_UNKNOWN)
            self._answer_cancels(goal, CancelState.UNKNOWN)

    def close(self) -> None:
        """The daemon ends; nobody is told anything."""
        if self._window is not None:
            self._window.cancel()
        for goal in (*self._goals.values(), *self._awaited.values()):
            for cancel in goal.cancels:
                _stop(cancel)
        self._retention.close()

    # --- live ----------------------------------------------------------------------------------------------------

    def knows(self, goal_id: str) -> bool:
        """Whether this id has been used for a goal that is remembered."""
        return goal_id in self._goals or goal_id in self._retention.tombstones

    def decided_before(self, goal_id: str, client_id: str, server_id: str) -> Goal | None:
        """The goal of this id if an earlier daemon has let it in: for this client, or, where nobody knows whose it was,
        at this server."""
        goal = self._goals.get(goal_id)
        if goal is None or not goal.came_back:
            return None
        is_same = goal.client_id == client_id if goal.client_id else goal.instance_id == server_id
        return goal if is_same else None

    def accept(
        self, call: Call, goal_id: str, endpoint: Endpoint, frame: frames.Decision, observer: Observer | None
    ) -> Goal:
        """A goal is live, before its client hears of it."""
        goal = self._awaited.pop(goal_id, None) or Goal(goal_id)
        goal.client_id = call.caller.session.instance_id
        self._become_live(goal, endpoint.party, endpoint, observer)
        if frame.stream_id:
            goal.stream_id = frame.stream_id
            goal.row, goal.ticket = frame.claim[3:5]
            if not call.given_up:
                self._add_follower(goal, call.caller)
        if not call.given_up:
            self._remember(call.caller, call.call_id, goal)
        self._tell_server(goal)
        return goal

    @staticmethod
    def _remember(client: Party, call_id: int, goal: Goal) -> None:
        client.accepted[call_id] = goal
        if len(client.accepted) > ACCEPTED:
            del client.accepted[next(iter(client.accepted))]

    def _become_live(self, goal: Goal, server: Party, endpoint: Endpoint | None, observer: Observer | None) -> None:
        goal.instance_id = server.session.instance_id
        goal.server, goal.endpoint, goal.observer = server, endpoint, observer
        self._goals[goal.goal_id] = goal
        server.serves.add(goal)
        if endpoint is not None:
            endpoint.live += 1

    def unwanted(self, goal: Goal) -> None:
        """The client gave up before it knew that its goal was accepted: the worker's cancel flag is set."""
        if goal.server is None:
            return
        goal.unwanted = goal.row_left = True
        self._tell_server(goal)
        if goal.client is not None:
            goal.followers.discard(goal.client)
            goal.client.follows.discard(goal)
            goal.client = None

    @staticmethod
    def _tell_server(goal: Goal) -> None:
        """Say what the server of a goal has to know: that it is to be cancelled, that its client's row is free."""
        server = goal.server
        if server is None or not server.online:  # it hears it when it tells that it has kept the goal
            return
        if goal.cancels or goal.unwanted:
            server.session.send(frames.SignalGoal(goal.goal_id))
        if goal.row_left and goal.ticket:
            server.session.send(RowLeft(goal.stream_id, goal.row, goal.ticket))
            goal.ticket = 0

    def _add_follower(self, goal: Goal, party: Party) -> None:
        goal.followers.add(party)
        party.follows.add(goal)
        if party.session.instance_id == goal.client_id:
            goal.client = party

    def _kept(self, party: Party, received: Received) -> bool:
        frame = received.frame
        assert isinstance(frame, frames.GoalKept)
        if len(received.fds) != (2 if frame.stream_id else 0) or not is_goal_id(frame.goal_id):
            raise ProtocolViolation(f"a goal came back with {len(received.fds)} descriptors")
        known = self._goals.get(frame.goal_id)
        if known is None and frame.goal_id not in self._retention.tombstones:
            if len(party.serves) >= parties.SERVED_GOALS:
                raise ProtocolViolation(f"more than {parties.SERVED_GOALS} goals are live")
            observer = observed(received.fds)
            known = self._awaited.pop(frame.goal_id, None) or Goal(frame.goal_id)
            known.client_id, known.came_back = frame.client_instance_id, True
            known.stream_id, known.row, known.ticket = frame.stream_id, frame.row, frame.ticket
            self._become_live(known, party, party.endpoints.get(frame.endpoint_id), observer)
            known.client = next((client for client in known.followers if _fired(client, known)), None)
        if known is not None and known.server is party:
            self._tell_server(known)
        return False

    # --- cancel --------------------------------------------------------------------------------------------------

    def _cancel_goal(self, party: Party, received: Received) -> bool:
        frame = received.frame
        assert isinstance(frame, frames.CancelGoal)
        goal = self._goals.get(frame.goal_id)
        if goal is None and self._window is not None and frame.goal_id not in self._retention.tombstones:
            goal = self._awaited_goal(party, frame.goal_id)
        if goal is None or goal.status is not None:
            state = CancelState.UNKNOWN if goal is None else CancelState.ALREADY_TERMINAL
            party.session.answer(self._cancelled(goal, state), received.request_id)
            return False
        party.admit()
        cancel = Cancel(party, party.session, received.request_id, goal)
        loop = asyncio.get_running_loop()
        cancel.timer = loop.call_at(frame.deadline_ns / 1e9, self._not_confirmed, cancel)
        party.cancels.add(cancel)
        goal.cancels.append(cancel)
        if len(goal.cancels) == 1:
            self._tell_server(goal)
        return False

    def _not_confirmed(self, cancel: Cancel) -> None:
        goal = cancel.goal
        goal.cancels.remove(cancel)
        cancel.party.cancels.discard(cancel)
        self._forget_awaited(goal)
        error = PeppyError(
            f"goal `{goal.goal_id}`: `{goal.instance_id}` did not confirm in time that it is to be cancelled",
            kind="ServiceTimeout",
        )
        cancel.session.send(failed(error), request_id=cancel.request_id)

    def _signalled(self, party: Party, received: Received) -> bool:
        frame = received.frame
        assert isinstance(frame, frames.GoalSignalled)
        goal = self._goals.get(frame.goal_id)
        if goal is not None and goal.server is party:
            self._answer_cancels(goal, CancelState.SIGNALLED)
        return False

    def _answer_cancels(self, goal: Goal, state: CancelState) -> None:
        cancels, goal.cancels = goal.cancels, []
        for cancel in cancels:
            _stop(cancel)
            cancel.session.answer(self._cancelled(goal, state), cancel.request_id)

    def _cancelled(self, goal: Goal | None, state: CancelState) -> GoalCancelled:
        if goal is None or not goal.instance_id:
            return GoalCancelled(int(state), "", "")
        return GoalCancelled(int(state), goal.instance_id, self._core_node)

    # --- result --------------------------------------------------------------------------------------------------

    def _get_result(self, party: Party, received: Received) -> bool:
        frame = received.frame
        assert isinstance(frame, frames.GetResult)
        known = party.questions.get(frame.call_id)
        if isinstance(known, Poll) and known.goal.goal_id == frame.goal_id:  # asked again after a reconnect
            return False
        if known is not None:
            raise ProtocolViolation(f"the call id {frame.call_id} is in use")
        goal = self._goals.get(frame.goal_id)
        if goal is None and self._window is not None and frame.goal_id not in self._retention.tombstones:
            goal = self._awaited_goal(party, frame.goal_id)
        if goal is None:
            self._send_expired(party, frame.call_id, frame.goal_id)
            return False
        poll = Poll(party, frame.call_id, goal, frame.deadline_ns)
        if goal.status is not None:
            self._send_result(poll, goal.status)
        elif len(goal.polls) >= POLLS:
            text = f"goal `{frame.goal_id}`: too many result polls, `{POLLS}` wait already"
            party.session.send(frames.CallFailed(frame.call_id, "ServiceError", text))
        else:
            party.admit()
            party.questions[frame.call_id] = poll
            goal.polls.append(poll)
        return False

    def withdraw(self, poll: Poll) -> None:
        """Whoever asked does not wait any more."""
        poll.party.questions.pop(poll.call_id, None)
        poll.goal.polls.remove(poll)
        self._forget_awaited(poll.goal)

    def _answer_poll(self, poll: Poll, status: ResultStatus) -> None:
        del poll.party.questions[poll.call_id]
        self._send_result(poll, status)

    def _send_result(self, poll: Poll, status: ResultStatus) -> None:
        goal = poll.goal
        result = frames.GoalResult(poll.call_id, goal.instance_id, self._core_node, int(status), goal.beside)
        poll.party.session.carry(result, goal.payload, (goal.memfd,) if goal.memfd >= 0 else ())

    def _send_expired(self, party: Party, call_id: int, goal_id: str) -> None:
        tombstone = self._retention.tombstones.get(goal_id)
        instance_id = tombstone.instance_id if tombstone is not None else ""
        result = frames.GoalResult(call_id, instance_id, self._core_node, int(ResultStatus.EXPIRED))
        party.session.carry(result, b"")

    # --- feedback ------------------------------------------------------------------------------------------------

    def _follow(self, party: Party, received: Received) -> bool:
        frame = received.frame
        assert isinstance(frame, frames.FollowGoal)
        goal = self._goals.get(frame.goal_id)
        tombstone = self._retention.tombstones.get(frame.goal_id)
        if goal is None and tombstone is None and self._window is not None:
            goal = self._awaited_goal(party, frame.goal_id)
        if goal is not None and goal.status is None:
            party.admit_follower()
            self._add_follower(goal, party)
            return False
        known = goal or tombstone
        last_position = known.last_position if known is not None else POSITION_UNKNOWN
        party.session.send(frames.FeedbackEnd(frame.goal_id, last_position))
        return False

    @staticmethod
    def _end_feedback(goal: Goal, party: Party, last_position: int) -> None:
        party.follows.discard(goal)
        party.session.send(frames.FeedbackEnd(goal.goal_id, last_position))

    # --- the end -------------------------------------------------------------------------------------------------

    def _goal_ended(self, party: Party, received: Received) -> bool:
        frame = received.frame
        assert isinstance(frame, frames.GoalEnded)
        status = outcome_of(frame, received.fds)
        goal = self._goals.get(frame.goal_id)
        if goal is not None and goal.server is not party and goal.instance_id != party.session.instance_id:
            raise PeppyError(f"goal `{frame.goal_id}` is not served by {party.name}", kind="NotFound")
        kept = False
        if goal is None and frame.goal_id not in self._retention.tombstones:  # live under the daemon before this one
            goal = self._awaited.pop(frame.goal_id, None) or Goal(frame.goal_id)
            goal.came_back = True
            self._become_live(goal, party, None, None)
        if goal is not None and goal.status is None:
            goal.payload, goal.beside, kept = received.payload, frame.beside, True
            goal.memfd = received.fds[0] if received.fds else -1
            self._end(goal, status, frame.last_position)
        party.session.answer(GoalEndKept(), received.request_id)
        return kept

    def _end(self, goal: Goal, status: ResultStatus, last_position: int) -> None:
        goal.status, goal.last_position = status, last_position
        if goal.server is not None:
            goal.server.serves.discard(goal)
        if goal.endpoint is not None:
            goal.endpoint.live -= 1
        polls, goal.polls = goal.polls, []
        for poll in polls:
            self._answer_poll(poll, status)
        followers, goal.followers = goal.followers, set()
        for party in followers:
            self._end_feedback(goal, party, last_position)
        self._answer_cancels(goal, CancelState.ALREADY_TERMINAL)
        goal.server = goal.endpoint = goal.client = goal.observer = None
        self._retention.keep(goal)

    def _expired(self, goal: Goal) -> None:
        self._goals.pop(goal.goal_id, None)

    def ended(self, party: Party) -> None:
        """A process has ended, and everything that it wrote has been read."""
        for goal in list(party.serves):
            head = goal.observer.stats().head if goal.observer is not None else 0
            self._end(goal, ResultStatus.ABANDONED, head)
        for cancel in list(party.cancels):
            _stop(cancel)
            cancel.goal.cancels.remove(cancel)
        for goal in party.follows:
            goal.followers.discard(party)
            if goal.client is party:
                goal.client, goal.row_left = None, True
                self._tell_server(goal)
            self._forget_awaited(goal)
        party.follows.clear()

    # --- after a restart -----------------------------------------------------------------------------------------

    def _awaited_goal(self, party: Party, goal_id: str) -> Goal:
        """A goal that nobody has told of yet. Raises ProtocolViolation when the process asks for too much."""
        party.admit()
        return self._awaited.setdefault(goal_id, Goal(goal_id))

    def _forget_awaited(self, goal: Goal) -> None:
        if not (goal.polls or goal.followers or goal.cancels) and self._awaited.get(goal.goal_id) is goal:
            del self._awaited[goal.goal_id]


def _fired(party: Party, goal: Goal) -> bool:
    return party.session.instance_id == goal.client_id


def _stop(cancel: Cancel) -> None:
    if cancel.timer is not None:
        cancel.timer.cancel()
    cancel.party.cancels.discard(cancel)
