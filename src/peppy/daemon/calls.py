"""Brings calls and goals to producers and answers back (docs/reference/services_actions.md, Control-plane sequence).

The hot path of every call: no task, no timer, one write per frame, numbers looked up in dictionaries. A call without an
acknowledgement has not run user code; whatever ends it before that says `ServiceUnreachable`, later `ServiceTimeout`.
"""

import itertools
import secrets
from collections.abc import Iterable

from peppy.daemon import parties
from peppy.daemon.discovery import Discovery, Slots
from peppy.daemon.endpoints import Endpoints, check_member
from peppy.daemon.goal_checks import is_goal_id, observed
from peppy.daemon.goals import GoalTable
from peppy.daemon.parties import ACTION, OPEN_QUESTIONS, SERVICE, Call, Endpoint, Party, Route
from peppy.model.names import NAME_LIMIT
from peppy.protocol import calls as frames
from peppy.protocol.answers import EndpointOpened
from peppy.protocol.frame import ProtocolViolation, Received

LIVE_GOALS = 1024
"""Goals of one endpoint that are live or being decided."""

REASON = 4096
"""Characters of an error or a reason that are handed on."""

_THEN_LOST = "then the connection to the daemon was lost"


class CallBroker:
    """All calls in flight. Lives on the daemon's event loop."""

    def __init__(self, slots: Slots, core_node: str, goals: GoalTable) -> None:
        self._core_node = core_node
        self._goals = goals
        self._endpoints = Endpoints()
        self._discovery = Discovery(slots, self._endpoints, self._deliver, self._mismatched)
        self._deciding: dict[str, Call] = {}  # by goal id
        self._taken: list[Call] = []  # acknowledged just now; their callers do not know it yet
        self._numbers = itertools.count(secrets.randbits(62))  # nodes keep the deliveries of an earlier daemon
        self.routes: dict[type[frames.Frame], Route] = {
            frames.Call: self._call,
            frames.Reply: self._reply,
            frames.Acknowledge: self._acknowledge,
            frames.Goal: self._goal,
            frames.Decision: self._decision,
            frames.Discovered: self._discovery.discovered,
            frames.EndpointOpen: self._open,
            frames.EndpointClose: self._close,
        }

    # --- producers -----------------------------------------------------------------------------------------------

    def _open(self, party: Party, received: Received) -> bool:
        frame = received.frame
        assert isinstance(frame, frames.EndpointOpen)
        endpoint = self._endpoints.open(party, frame)
        party.session.answer(EndpointOpened(), received.request_id)
        self._discovery.opened(endpoint)
        return False

    def _close(self, party: Party, received: Received) -> bool:
        frame = received.frame
        assert isinstance(frame, frames.EndpointClose)
        endpoint = party.endpoints.get(frame.endpoint_id)
        if endpoint is None:
            return False
        self._endpoints.close(endpoint)
        for delivery in frame.unserved:
            call = party.deliveries.get(delivery)
            if call is not None and call.endpoint is endpoint:
                self._undeliver(party, call)
                self._producer_stopped(call, party)
        for call in [call for call in party.deliveries.values() if call.endpoint is endpoint and not call.acknowledged]:
            self._undeliver(party, call)
            self._not_taken(call, party)
        return False

    # --- callers -------------------------------------------------------------------------------------------------

    def _call(self, party: Party, received: Received) -> bool:
        frame = received.frame
        assert isinstance(frame, frames.Call)
        if len(received.fds) != (frame.beside >= 0):
            raise ProtocolViolation(f"a call came with {len(received.fds)} descriptors")
        return self._begin(party, received, frame, SERVICE, None)

    def _goal(self, party: Party, received: Received) -> bool:
        frame = received.frame
        assert isinstance(frame, frames.Goal)
        if len(received.fds) - (frame.beside >= 0) not in (0, 1):
            raise ProtocolViolation(f"a goal came with {len(received.fds)} descriptors")
        if not is_goal_id(frame.goal_id):
            raise ProtocolViolation("a goal id is not 16 hexadecimal digits")
        return self._begin(party, received, frame, ACTION, frame.goal_id)

    def _begin(
        self, party: Party, received: Received, frame: frames.Call | frames.Goal, kind: str, goal_id: str | None
    ) -> bool:
        session = party.session
        if (frame.instance_id is None) != session.has_slots:
            raise ProtocolViolation("only a command line names the instance that it calls")
        if frame.call_id in party.questions:
            self._begin_again(party, frame.call_id, goal_id)
            return False
        if frame.call_id in party.settled:
            text = f"the answer of {kind} `{frame.name}` got lost with the connection"
            session.send(frames.CallFailed(frame.call_id, "ServiceTimeout", text))
            return False
        party.admit(len(received.payload))
        key = (kind, frame.name, frame.interface)
        route = party.routes.get((frame.link_id, key)) if session.has_slots else None
        if route is not None and not route.serving:
            route = None
        if route is None:
            check_member(key, frame.hashes)
            if len(frame.link_id) > NAME_LIMIT:
                raise ProtocolViolation("a slot has no such name")
        call = Call(
            caller=party,
            call_id=frame.call_id,
            key=key,
            link_id=frame.link_id,
            hashes=frame.hashes,
            deadline_ns=frame.deadline_ns,
            goal_id=goal_id,
            feedback_qos=frame.feedback_qos if isinstance(frame, frames.Goal) else -1,
            fds=received.fds,
            beside=frame.beside,
            payload=received.payload,
            target=route.instance_id if route is not None else frame.instance_id,
        )
        party.questions[frame.call_id] = call
        party.held_bytes += len(received.payload)
        if route is not None:
            self._deliver(call, route)
        else:
            self._discovery.resolve(call)
        return True

    @staticmethod
    def _begin_again(party: Party, call_id: int, goal_id: str | None) -> None:
        """The caller has lost its connection, and perhaps the acknowledgement with it."""
        call = party.questions[call_id]
        if not isinstance(call, Call) or call.goal_id != goal_id:
            raise ProtocolViolation(f"the call id {call_id} is in use")
        if call.acknowledged and call.endpoint is not None:
            party.session.send(frames.Acknowledged(call_id, call.endpoint.instance_id))

    def withdraw(self, call: Call) -> None:
        """The caller has given up or has ended."""
        call.caller.questions.pop(call.call_id, None)
        producer = call.endpoint.party if call.endpoint is not None else None
        if producer is None or producer.deliveries.get(call.delivery) is not call:
            self._discovery.stop(call)
            self._forget(call)
            return
        producer.session.send(frames.Withdrawn(call.delivery))
        if call.goal_id is None:
            self._undeliver(producer, call)
            self._forget(call)
            return
        call.given_up = True
        call.release()
        if call.endpoint is not None and self._was_decided_before(call, call.endpoint):  # and the decision got lost
            self._undeliver(producer, call)
        self._limit_given_up(producer)

    def _limit_given_up(self, producer: Party) -> None:
        """Of goals that nobody waits for and nobody decides, the eldest are forgotten."""
        if len(producer.deliveries) <= 2 * OPEN_QUESTIONS:
            return
        given_up = [call for call in producer.deliveries.values() if call.given_up]
        for call in given_up[:-OPEN_QUESTIONS]:
            self._undeliver(producer, call)
            self._forget(call)

    def new_rounds(self) -> None:
        """Ask again where nobody has answered; meant to be called once a second."""
        self._discovery.new_rounds()

    # --- delivery ------------------------------------------------------------------------------------------------

    def _deliver(self, call: Call, endpoint: Endpoint) -> None:
        if call.hashes != endpoint.hashes:
            self._mismatched(call, endpoint)
            return
        if self._was_decided_before(call, endpoint):
            return
        if call.goal_id is not None and (why := self._refused(call, call.goal_id, endpoint)) is not None:
            self._forget(call)
            self._refuse(call, endpoint, why)
            return
        party = endpoint.party
        if call.endpoint is None or call.endpoint.party is not party:
            call.delivery = next(self._numbers)  # else it comes again, and the producer may know it
        call.endpoint = endpoint
        party.deliveries[call.delivery] = call
        if call.goal_id is not None:
            self._deciding[call.goal_id] = call
            endpoint.deciding += 1
        deliver = frames.Deliver(
            call.delivery,
            endpoint.endpoint_id,
            call.caller.session.instance_id,
            self._core_node,
            call.deadline_ns,
            call.goal_id,
            call.feedback_qos,
            call.call_id if call.caller.session.has_slots else 0,
            call.beside,
        )
        party.session.carry(deliver, call.payload, call.fds)

    def _was_decided_before(self, call: Call, endpoint: Endpoint) -> bool:
        """Whether this goal comes again because its acknowledgement was lost with an earlier daemon: then its client is
        told so, and it is cancelled. It never runs twice."""
        before = None
        if call.goal_id is not None:
            client_id = call.caller.session.instance_id
            before = self._goals.decided_before(call.goal_id, client_id, endpoint.instance_id)
        if before is None:
            return False
        self._lost(call, f"`{before.instance_id}` took the goal, {_THEN_LOST}")
        self._goals.unwanted(before)
        return True

    def _refused(self, call: Call, goal_id: str, endpoint: Endpoint) -> str | None:
        """Why the goal does not reach the decider."""
        if self._goals.knows(goal_id) or self._deciding.get(goal_id, call) is not call:
            return _in_use(goal_id)
        if len(endpoint.party.serves) >= parties.SERVED_GOALS:
            return f"too many goals: `{parties.SERVED_GOALS}` of `{endpoint.instance_id}` are live"
        if endpoint.live + endpoint.deciding >= LIVE_GOALS:
            return f"too many goals: `{LIVE_GOALS}` are live"
        return None

    def _undeliver(self, party: Party, call: Call) -> None:
        """The delivery is over."""
        party.deliveries.pop(call.delivery, None)
        if call.goal_id is not None and call.endpoint is not None:
            call.endpoint.deciding -= 1

    def _acknowledge(self, party: Party, received: Received) -> bool:
        frame = received.frame
        assert isinstance(frame, frames.Acknowledge)
        call = party.deliveries.get(frame.delivery)
        if call is None or call.acknowledged:
            return False
        if frame.answered:
            self._undeliver(party, call)
            self._lost(call, f"`{party.session.instance_id}` took the request, {_THEN_LOST}")
            return False
        call.acknowledged = True
        if not call.given_up:
            self._taken.append(call)
            call.release()
        return False

    def tell_acknowledged(self) -> None:
        """Tell the callers; not those whose answer came together with the acknowledgement and tells them more."""
        if not self._taken:
            return
        taken, self._taken = self._taken, []
        for call in taken:
            if call.endpoint is not None and call.caller.questions.get(call.call_id) is call:
                acknowledged = frames.Acknowledged(call.call_id, call.endpoint.party.session.instance_id)
                call.caller.session.send(acknowledged)

    def _reply(self, party: Party, received: Received) -> bool:
        frame = received.frame
        assert isinstance(frame, frames.Reply)
        if len(received.fds) != (frame.beside >= 0):
            raise ProtocolViolation(f"a reply came with {len(received.fds)} descriptors")
        call = party.deliveries.get(frame.delivery)
        if call is None:  # its caller has given up
            return False
        if call.goal_id is not None:
            raise ProtocolViolation("a goal got a reply in place of a decision")
        error = frame.error[:REASON] if frame.error is not None else None
        answered = frames.Answered(call.call_id, party.session.instance_id, self._core_node, error, frame.beside)
        call.caller.session.carry(answered, received.payload, received.fds)
        self._undeliver(party, call)
        self._forget(call)
        return False

    def _decision(self, party: Party, received: Received) -> bool:
        frame = received.frame
        assert isinstance(frame, frames.Decision)
        if len(received.fds) not in ((2, 3) if frame.accepted and frame.stream_id else (0,)):
            raise ProtocolViolation(f"a decision came with {len(received.fds)} descriptors")
        call = party.deliveries.get(frame.delivery)
        if call is None:
            return False
        if call.goal_id is None or call.endpoint is None:
            raise ProtocolViolation("a call got a decision in place of a reply")
        observer = observed(received.fds)
        self._undeliver(party, call)
        if self._was_decided_before(call, call.endpoint):
            return False
        self._forget(call)
        if frame.accepted and self._goals.knows(call.goal_id):  # a server has told of it since it was delivered
            self._refuse(call, call.endpoint, _in_use(call.goal_id))
            return False
        goal = self._goals.accept(call, call.goal_id, call.endpoint, frame, observer) if frame.accepted else None
        if not call.given_up:
            self._decided(call, call.endpoint, frame, received.fds)
        elif goal is not None:
            self._goals.unwanted(goal)
        return False

    def _refuse(self, call: Call, endpoint: Endpoint, why: str) -> None:
        if not call.given_up:
            self._decided(call, endpoint, frames.Decision(0, False, why), ())

    def _decided(self, call: Call, endpoint: Endpoint, frame: frames.Decision, fds: tuple[int, ...]) -> None:
        reason = frame.error_message[:REASON] if frame.error_message is not None else None
        decided = frames.Decided(
            call.call_id,
            endpoint.instance_id,
            self._core_node,
            frame.accepted,
            reason,
            frame.stream_id if frame.accepted else 0,
            frame.qos,
            frame.claim,
        )
        call.caller.session.send(decided, fds)

    # --- ends ----------------------------------------------------------------------------------------------------

    def disconnected(self, party: Party) -> None:
        """A process has lost its connection: what it has not acknowledged waits until it serves again."""
        for endpoint in party.endpoints.values():
            self._endpoints.suspend(endpoint)
        for call in [call for call in party.deliveries.values() if not call.acknowledged]:
            self._undeliver(party, call)
            if call.given_up:
                self._forget(call)
            else:
                call.target = party.session.instance_id
                self._discovery.wait(call)

    def ended(self, party: Party) -> None:
        """A process has ended, and everything that it wrote has been read."""
        for endpoint in list(party.endpoints.values()):
            self._endpoints.close(endpoint)
        for call in list(party.deliveries.values()):
            self._undeliver(party, call)
            if call.given_up or call.acknowledged:
                self._producer_stopped(call, party)
            else:
                self._not_taken(call, party)
        for call in self._discovery.chosen(party):
            self._discovery.stop(call)
            self._not_taken(call, party)

    def _not_taken(self, call: Call, party: Party) -> None:
        """The producer will not acknowledge the call: one that was addressed directly waits for its return."""
        if call.discovered:
            self._fail(call, "ServiceUnreachable", f"{call.what}: {party.name} went away before it took the request")
        else:
            self._discovery.resolve(call)

    def _producer_stopped(self, call: Call, party: Party) -> None:
        self._lost(call, f"the producer stopped ({party.name}) before it answered")

    def _lost(self, call: Call, why: str) -> None:
        """A producer has taken the call, and no answer comes any more."""
        if call.given_up:
            self._forget(call)
        else:
            self._fail(call, "ServiceTimeout", f"{call.what}: {why}")

    def _mismatched(self, call: Call, endpoint: Endpoint) -> None:
        text = (
            f"{call.what}: {call.caller.name} and {endpoint.party.name} were generated from different formats "
            f"({_hashes(call.hashes)} and {_hashes(endpoint.hashes)})"
        )
        self._fail(call, "SchemaMismatch", text)

    def _fail(self, call: Call, kind: str, message: str) -> None:
        self._forget(call)
        call.caller.session.send(frames.CallFailed(call.call_id, kind, message))

    def _forget(self, call: Call) -> None:
        """Nobody waits for anything of this call any more."""
        if not call.given_up and call.caller.questions.pop(call.call_id, None) is not None:
            call.caller.answered.append(call.call_id)
        call.release()
        if call.goal_id is not None and self._deciding.get(call.goal_id) is call:
            del self._deciding[call.goal_id]


def _in_use(goal_id: str) -> str:
    return f"the goal id `{goal_id}` is already in use"


def _hashes(hashes: Iterable[int]) -> str:
    return " ".join(f"{schema_hash:016x}" for schema_hash in itertools.islice(hashes, 3))
