"""Finds the producer of a call (docs/reference/bindings.md, Resolving a call), and keeps it until there is one.

A slot with one producer calls it directly; otherwise everyone that the slot admits is asked, and the first answer wins.
"""

import itertools
import secrets
from collections.abc import Callable
from time import monotonic
from typing import Protocol

from peppy.daemon.endpoints import Endpoints
from peppy.daemon.parties import Call, Endpoint, Key, Party
from peppy.model.names import Reference
from peppy.protocol import calls as frames
from peppy.protocol.frame import Received

ROUND_SECS = 1.0
"""Producers that were asked so long ago are asked once more at the next tick: a round lasts at most 2 s."""

Found = Callable[[Call, Endpoint], None]
"""What to do with a call and the endpoint that was found for it."""


class Slots(Protocol):
    """Whom the slots of an instance admit (docs/reference/bindings.md, Run-time filter)."""

    def passes(self, consumer_id: str, link_id: str, producer_id: str, producer: Reference, /) -> bool: ...

    def direct(self, consumer_id: str, link_id: str, /) -> str | None: ...


class Discovery:
    """Calls that have no producer yet."""

    def __init__(self, slots: Slots, endpoints: Endpoints, deliver: Found, mismatched: Found) -> None:
        """`deliver` takes a call that has its producer, `mismatched` one that has only producers of another format."""
        self._slots = slots
        self._endpoints = endpoints
        self._deliver = deliver
        self._mismatched = mismatched
        self._waiting: dict[Key, dict[Call, None]] = {}
        self._rounds: dict[int, Call] = {}
        self._numbers = itertools.count(secrets.randbits(62))

    def resolve(self, call: Call) -> None:
        """Deliver the call now, or ask who would take it, or keep it until somebody serves it."""
        caller = call.caller.session
        if call.target is None:
            call.target = self._slots.direct(caller.instance_id, call.link_id)
        if call.target is None:
            self.wait(call)
            self._begin_round(call)
            return
        endpoint = self._endpoints.of(call.key).get(call.target)
        if endpoint is None or not self._admits(call, endpoint):
            self.wait(call)
            return
        if caller.has_slots and not call.discovered:
            call.caller.routes[call.link_id, call.key] = endpoint
        self._deliver(call, endpoint)

    def wait(self, call: Call) -> None:
        """Keep the call until its target serves it."""
        self._waiting.setdefault(call.key, {})[call] = None

    def stop(self, call: Call) -> None:
        """The call does not wait any more, or never did."""
        self._rounds.pop(call.number, None)
        call.asked = {}
        waiting = self._waiting.get(call.key)
        if waiting is not None and call in waiting:
            del waiting[call]
            if not waiting:
                del self._waiting[call.key]

    def waiting(self) -> list[Call]:
        """All calls that wait."""
        return [call for waiting in self._waiting.values() for call in waiting]

    def chosen(self, party: Party) -> list[Call]:
        """Calls that wait for this producer since it was discovered."""
        return [
            call
            for call in self.waiting()
            if call.discovered and call.endpoint is not None and call.endpoint.party is party
        ]

    def opened(self, endpoint: Endpoint) -> None:
        """Somebody serves this from now on; who waits for it comes in the order of the calls."""
        for call in list(self._waiting.get(endpoint.key, ())):
            if not self._admits(call, endpoint):
                continue
            if call.target is None:
                self._ask(call, [endpoint])
                continue
            self.stop(call)
            self._deliver(call, endpoint)

    def _admits(self, call: Call, endpoint: Endpoint) -> bool:
        producer = endpoint.party.session
        if call.target not in (None, producer.instance_id):
            return False
        caller = call.caller.session
        return not caller.has_slots or self._slots.passes(
            caller.instance_id, call.link_id, producer.instance_id, producer.reference
        )

    # --- rounds --------------------------------------------------------------------------------------------------

    def _begin_round(self, call: Call) -> None:
        """Everyone who may serve the call is asked; answers of the round before come too late."""
        self._rounds.pop(call.number, None)
        call.number, call.began = next(self._numbers), monotonic()
        call.asked = {}
        self._rounds[call.number] = call
        candidates = [endpoint for endpoint in self._endpoints.of(call.key).values() if self._admits(call, endpoint)]
        if candidates:
            self._ask(call, candidates)

    def _ask(self, call: Call, candidates: list[Endpoint]) -> None:
        """Those of another format are left out; when there are no others, the call has failed."""
        for endpoint in candidates:
            if endpoint.hashes == call.hashes:
                call.asked[endpoint.party] = endpoint
                endpoint.party.session.send(frames.Discover(call.number, endpoint.endpoint_id))
        if not call.asked:
            self.stop(call)
            self._mismatched(call, candidates[0])

    def discovered(self, party: Party, received: Received) -> bool:
        """A producer says that it is there; False, for it brings no descriptors."""
        frame = received.frame
        assert isinstance(frame, frames.Discovered)
        call = self._rounds.get(frame.number)
        endpoint = call.asked.get(party) if call is not None else None
        if call is not None and endpoint is not None and endpoint.serving:  # else it comes late
            self.stop(call)
            call.target, call.discovered = endpoint.instance_id, True
            self._deliver(call, endpoint)
        return False

    def new_rounds(self) -> None:
        """Ask again where nobody has answered; meant to be called once a second."""
        latest = monotonic() - ROUND_SECS
        for call in [call for call in self._rounds.values() if call.began <= latest]:
            self._begin_round(call)
