"""The control plane of services and actions: who takes part, and where each frame goes.

Who is gone is decided by the end of the process (a pidfd), not by the end of its connection; a command line does not
come back, so its questions end with its connection. What a process wrote before its end counts: it has ended when its
connection has, or 0.1 s after its process, should somebody else hold the connection open.
"""

import asyncio
from functools import partial
from time import monotonic_ns

from peppy.daemon.calls import CallBroker
from peppy.daemon.discovery import Slots
from peppy.daemon.end_watch import EndWatch
from peppy.daemon.goals import GoalTable
from peppy.daemon.parties import Call, Party, PartySession, Poll
from peppy.errors import PeppyError
from peppy.protocol.calls import Frame, Withdraw
from peppy.protocol.failures import failed
from peppy.protocol.frame import ConnectionClosed, ProtocolViolation, Received, close_all

LINGER_NS = 5_000_000_000
"""A question whose deadline passed so long ago belongs to a caller that could not say that it gives up."""

LAST_WORDS_SECS = 0.1


class ControlPlane:
    """Routes the frames of callers and producers. Lives on the daemon's event loop."""

    def __init__(self, slots: Slots, core_node: str, retention_secs: float) -> None:
        self._goals = GoalTable(core_node, retention_secs)
        self._calls = CallBroker(slots, core_node, self._goals)
        self._parties: dict[PartySession, Party] = {}
        self._by_instance: dict[str, Party] = {}  # nodes and standalone programs
        self._routes = {**self._calls.routes, **self._goals.routes, Withdraw: self._withdraw}

    def start(self) -> None:
        """The daemon begins to serve."""
        self._goals.open_window()

    # --- connections ---------------------------------------------------------------------------------------------

    def connected(self, session: PartySession, *, again: bool) -> None:
        """A node has said hello; `again`: it was here before, and registers its endpoints and goals once more.

        Raises ConnectionClosed when its process has ended.
        """
        known = self._by_instance.get(session.instance_id)
        if again and known is not None and known.session.pid == session.pid and not known.ended:
            self._lose(known)
            self._parties.pop(known.session, None)
            known.session, known.online = session, True
            known.settled = frozenset(known.answered)
            self._parties[session] = known
            return
        if known is not None:  # the id is used again before its former end was noticed here
            self._end(known)
        self._by_instance[session.instance_id] = self._enter(session)

    def _enter(self, session: PartySession) -> Party:
        try:
            watch = EndWatch(session.pid)
        except ProcessLookupError:
            raise ConnectionClosed(f"process {session.pid} has ended") from None
        party = self._parties[session] = Party(session, watch)
        watch.begin(partial(self._process_ended, party))
        return party

    def leaving(self, session: PartySession) -> None:
        """A node has said that it ends, which its process need not do."""
        if (party := self._parties.get(session)) is not None:
            party.leaves = True

    def disconnected(self, session: PartySession) -> None:
        """A connection has ended."""
        party = self._parties.get(session)
        if party is None:
            return
        self._lose(party)
        if party.ended or party.leaves or not (session.has_slots or party.follows):
            self._end(party)
        elif not session.has_slots:
            self._give_up(party)

    def _lose(self, party: Party) -> None:
        if party.online:
            party.online = False
            self._calls.disconnected(party)

    def _process_ended(self, party: Party) -> None:
        party.ended = True
        if party.online:
            asyncio.get_running_loop().call_later(LAST_WORDS_SECS, self._end, party)
        else:
            self._end(party)

    def _end(self, party: Party) -> None:
        """The process counts no more."""
        if self._parties.get(party.session) is not party:
            return
        self._forget(party)
        self._give_up(party)
        self._calls.ended(party)
        self._goals.ended(party)

    def _forget(self, party: Party) -> None:
        del self._parties[party.session]
        if self._by_instance.get(party.session.instance_id) is party:
            del self._by_instance[party.session.instance_id]
        party.watch.close()

    def close(self) -> None:
        """The daemon ends; nobody is told anything."""
        for party in list(self._parties.values()):
            self._forget(party)
            for question in party.questions.values():
                if isinstance(question, Call):
                    question.release()
        self._goals.close()

    def party(self, session: PartySession) -> Party:
        """Who speaks here; a command line takes part from its first frame on.

        Raises ConnectionClosed when its process has ended.
        """
        party = self._parties.get(session)
        if party is not None:
            return party
        if session.has_slots:
            raise ConnectionClosed(f"the process of `{session.instance_id}` has ended")
        return self._enter(session)

    # --- frames --------------------------------------------------------------------------------------------------

    def concerns(self, kind: type[Frame]) -> bool:
        """Whether frames of this type belong here."""
        return kind in self._routes

    def handle(self, session: PartySession, received: Received) -> None:
        """Serve one frame and take over its descriptors. Raises ProtocolViolation."""
        kept = False
        try:
            kept = self._routes[type(received.frame)](self.party(session), received)
        except ConnectionClosed:
            raise
        except PeppyError as error:
            if not received.request_id:
                raise ProtocolViolation(error.message) from None
            session.send(failed(error), request_id=received.request_id)
        finally:
            if received.fds and not kept:
                close_all(received.fds)

    def rest(self) -> None:
        """The frames that one process had sent are all handled."""
        self._calls.tell_acknowledged()

    def _withdraw(self, party: Party, received: Received) -> bool:
        frame = received.frame
        assert isinstance(frame, Withdraw)
        if (question := party.questions.get(frame.call_id)) is not None:
            self._drop(question)
        elif (goal := party.accepted.pop(frame.call_id, None)) is not None:  # the two have crossed
            self._goals.unwanted(goal)
        return False

    def _drop(self, question: Call | Poll) -> None:
        if isinstance(question, Call):
            self._calls.withdraw(question)
        else:
            self._goals.withdraw(question)

    def _give_up(self, party: Party) -> None:
        for question in list(party.questions.values()):
            self._drop(question)

    # --- time ----------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Ask once more where nobody answered, and forget what nobody waits for; meant to be called once a second."""
        self._calls.new_rounds()
        latest = monotonic_ns() - LINGER_NS
        for party in self._parties.values():
            for question in [question for question in party.questions.values() if question.deadline_ns < latest]:
                self._drop(question)
        for party in [party for party in self._parties.values() if _is_gone(party)]:
            self._end(party)

    def in_flight(self) -> int:
        """How many calls and goals wait for an answer."""
        return sum(
            isinstance(question, Call) for party in self._parties.values() for question in party.questions.values()
        )


def _is_gone(party: Party) -> bool:
    """Whether this is a command line that does not come back and waits for the end of no goal any more."""
    return not (party.online or party.session.has_slots or party.follows)
