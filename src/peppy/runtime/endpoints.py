"""Requests that others make of this process: queues that the control thread fills and the event loop empties.

The control thread acknowledges a request when it stands in its queue, also while the loop is busy; before that nobody's
code has seen it. Requests are decoded later, on the loop (docs/reference/services_actions.md, Services).
"""

import asyncio
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress

from peppy.errors import PeppyError
from peppy.loop import Turn, post
from peppy.protocol.answers import Answer
from peppy.protocol.calls import (
    Acknowledge,
    Decision,
    Deliver,
    Discover,
    Discovered,
    EndpointClose,
    EndpointOpen,
    Reply,
    Withdrawn,
)
from peppy.protocol.frame import Received, close_all
from peppy.protocol.frames import Frame
from peppy.protocol.payloads import NOTHING, Packed
from peppy.runtime.delivery import Delivery, Refuse, call_of
from peppy.runtime.link import Link

QUEUED = 256
"""Requests that may wait in one endpoint; the next one is refused."""

REMEMBERED = 4096
"""Calls that are remembered: one that comes again, its acknowledgement lost with a daemon, never runs twice."""

LONGEST_ERROR = 4096
"""Characters of an error text that travels."""

Key = tuple[str, str, str | None]


class Endpoint:
    """One service or action that this process serves. `next`, `reply`, `answer` and `close` belong to the loop."""

    def __init__(
        self,
        room: "Endpoints",
        endpoint_id: int,
        key: Key,
        hashes: tuple[int, ...],
        refuse: Refuse,
    ) -> None:
        self.kind, self.name, self.interface = key
        self.endpoint_id = endpoint_id
        self.hashes = hashes
        self.refuse = refuse
        self.generation = 0  # of the connection it was last registered on
        self.queue: deque[Delivery] = deque()
        self.waiting: deque[Turn[Delivery | None]] = deque()
        self.ended = False
        self._room = room

    async def next(self) -> Delivery | None:
        """The next request that somebody still waits for, in the order of arrival; calls at the same time are served
        in their order. None when the endpoint is closed or the node ends. Cancelling loses no request."""
        if self.queue:  # however many wait, others on the loop have their turn between two of them
            await asyncio.sleep(0)
        earlier = False
        while True:
            future = self._room.take_or_wait(self, first=earlier)
            if future is None:
                await asyncio.sleep(0)  # a loop that asks for ever hears that its task is cancelled
            if not isinstance(future, asyncio.Future):
                return future
            try:
                delivery = await future
            except asyncio.CancelledError:
                if future.done() and not future.cancelled() and (handed := future.result()) is not None:
                    self._room.put_back(handed)
                raise
            if delivery is None or not delivery.is_dead():
                return delivery
            self._room.drop(delivery)
            earlier = True

    def reply(self, delivery: Delivery, payload: Packed = NOTHING, error: str | None = None) -> None:
        """Send the response, or `error` as `Type: message`; closes `payload`. Without effect when it is too late."""
        try:
            if delivery.withdrawn:
                self._room.forget(delivery)
                return
            text = None if error is None else error[:LONGEST_ERROR].encode(errors="backslashreplace").decode()
            self.answer(delivery, Reply(0, text, payload.beside), payload.fds, payload.inside)
        finally:
            payload.close()

    def answer(
        self, delivery: Delivery, frame: Reply | Decision, fds: tuple[int, ...] = (), payload: bytes = b""
    ) -> int:
        """Send the one final answer, under the delivery's number; 0 when it reaches nobody: it has one already, or
        there is no daemon."""
        return self._room.answer(delivery, frame, fds, payload)

    def close(self) -> None:
        """Serve no more: waiting `next` return None, and the queued requests of an action are refused."""
        self._room.close(self)


class Endpoints:
    """All endpoints of this process."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.RLock()
        self._by_key: dict[Key, Endpoint] = {}
        self._by_id: dict[int, Endpoint] = {}
        self._deliveries: dict[int, Delivery] = {}
        self._calls: dict[tuple[str, int], Delivery | None] = {}  # the last ones; None for those that were answered
        self._last_endpoint = 0
        self._epoch: str | None = None
        self._ended = False

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Requests are handed out on this loop from now on."""
        self._loop = loop

    def find(self, kind: str, name: str, interface: str | None) -> Endpoint | None:
        """The endpoint of this service or action, None while nobody serves it here."""
        return self._by_key.get((kind, name, interface))

    def open(self, kind: str, name: str, interface: str | None, hashes: tuple[int, ...], refuse: Refuse) -> Endpoint:
        """Serve a service or an action from now on. RuntimeError when it is served already.

        `refuse` answers requests that find the queue full, and those in the queue of an action that closes.
        """
        with self._lock:
            key = (kind, name, interface)
            if key in self._by_key:
                raise RuntimeError(f"{kind} `{name}` is served already")
            self._last_endpoint += 1
            endpoint = Endpoint(self, self._last_endpoint, key, hashes, refuse)
            if self._ended:
                endpoint.ended = True
                return endpoint
            self._by_key[key] = self._by_id[endpoint.endpoint_id] = endpoint
            self._epoch = self._epoch or self._link.epoch
            self._register(endpoint)
        return endpoint

    def close(self, endpoint: Endpoint) -> None:
        """As `Endpoint.close`."""
        with self._lock:
            queued = self._end(endpoint)
            if self._by_id.pop(endpoint.endpoint_id, None) is not None:
                del self._by_key[endpoint.kind, endpoint.name, endpoint.interface]
                if endpoint.kind == "action":
                    self._refuse(queued, "action server closed")
                unserved = () if endpoint.kind == "action" else tuple(delivery.number for delivery in queued)
                self._link.send(EndpointClose(endpoint.endpoint_id, unserved))
        for delivery in queued:
            self.drop(delivery)

    def shut_down(self) -> None:
        """The node ends: what is queued is not served, but handlers that run may still reply. On the loop."""
        with self._lock:
            self._ended = True
            endpoints = list(self._by_id.values())
            for endpoint in endpoints:
                queued = self._end(endpoint)
                self._link.send(EndpointClose(endpoint.endpoint_id, tuple(delivery.number for delivery in queued)))
                for delivery in queued:
                    self._forget(delivery)
            self._by_id.clear()
            self._by_key.clear()

    # --- for endpoints, on the loop ----------------------------------------------------------------------------------

    def take_or_wait(self, endpoint: Endpoint, *, first: bool) -> Delivery | Turn[Delivery | None] | None:
        """A request, or a future for one; None at the end. `first`: this caller had its turn before those who wait."""
        with self._lock:
            if endpoint.ended or self._loop is None:
                return None
            if (first or not endpoint.waiting) and (delivery := self._take(endpoint)) is not None:
                return delivery
            future: Turn[Delivery | None] = Turn(loop=self._loop)
            if first:
                endpoint.waiting.appendleft(future)
            else:
                endpoint.waiting.append(future)
            return future

    def put_back(self, delivery: Delivery) -> None:
        """Whoever had it was cancelled before it began: it is the next one's."""
        endpoint = delivery.endpoint
        with self._lock:
            if not endpoint.ended:
                endpoint.queue.appendleft(delivery)
                self._hand_out(endpoint)
                return
        endpoint.refuse(delivery, "action server closed" if endpoint.kind == "action" else "the node is ending")
        close_all(delivery.received.fds)

    def answer(self, delivery: Delivery, frame: Reply | Decision, fds: tuple[int, ...], payload: bytes) -> int:
        """As `Endpoint.answer`."""
        if not self.forget(delivery):
            return 0
        frame.delivery = delivery.number  # from now on nobody gives it another one
        return self._link.send(frame, fds, payload)

    def drop(self, delivery: Delivery) -> None:
        """Forget a request that nobody has taken, with its descriptors; of a goal the daemon is told."""
        if delivery.goal_id is not None and self._deliveries.get(delivery.number) is delivery:
            delivery.endpoint.refuse(delivery, "withdrawn")
        self._forget(delivery)

    def _forget(self, delivery: Delivery) -> None:
        """It has not run and never will."""
        with self._lock:
            self.forget(delivery)
            if delivery.call is not None:
                self._calls.pop(delivery.call, None)
        close_all(delivery.received.fds)

    def forget(self, delivery: Delivery) -> bool:
        """Whether it still had no answer; it has none from now on."""
        with self._lock:
            if self._deliveries.get(delivery.number) is not delivery:
                return False
            del self._deliveries[delivery.number]
            if delivery.call in self._calls:
                self._calls[delivery.call] = None
            return True

    def _take(self, endpoint: Endpoint) -> Delivery | None:
        """The first request that somebody still waits for; none without a daemon, whose successor may bring those whose
        acknowledgement was lost once more. Under the lock."""
        while endpoint.queue and self._link.connected:
            delivery = endpoint.queue.popleft()
            if not delivery.is_dead():
                return delivery
            self.drop(delivery)
        return None

    def _hand_out(self, endpoint: Endpoint, at_once: bool = False) -> None:
        """Give requests to those who wait, both in their order; `at_once`: no task is running."""
        while True:
            with self._lock:
                pair = self._first_pair(endpoint)
            if pair is None:
                return
            future, delivery = pair
            if at_once:
                future.wake(delivery)
            else:
                future.set_result(delivery)

    def _first_pair(self, endpoint: Endpoint) -> tuple[Turn[Delivery | None], Delivery] | None:
        """Who waits longest, and the first request; None when one of them is missing. Under the lock."""
        while endpoint.waiting and endpoint.waiting[0].done():  # cancelled
            endpoint.waiting.popleft()
        if not endpoint.waiting or (delivery := self._take(endpoint)) is None:
            return None
        return endpoint.waiting.popleft(), delivery

    def _end(self, endpoint: Endpoint) -> list[Delivery]:
        """Nobody waits any more; what was queued. Under the lock, on the loop."""
        endpoint.ended = True
        for future in endpoint.waiting:
            if not future.done():
                future.set_result(None)
        endpoint.waiting.clear()
        queued = list(endpoint.queue)
        endpoint.queue.clear()
        return queued

    def _refuse(self, deliveries: list[Delivery], text: str) -> None:
        for delivery in deliveries:
            delivery.endpoint.refuse(delivery, text)

    # --- on the control thread ---------------------------------------------------------------------------------------

    def frames(self) -> Mapping[type[Frame], Callable[[Received], Frame | None]]:
        """What the daemon says to those who serve, and who hears it."""
        return {Discover: self._discover, Deliver: self._deliver, Withdrawn: self._withdrawn}

    def connection_lost(self) -> None:
        """What is queued waits: it depends on the next daemon."""

    def register_again(self) -> None:
        """Tell the daemon what is served here. Another daemon brings anew what somebody still waits for."""
        with self._lock:
            if self._link.epoch != self._epoch:
                self._epoch = self._link.epoch
                self._forget_queued()
            generation = self._link.generation
            for endpoint in self._by_id.values():
                if endpoint.generation != generation:
                    self._register(endpoint)
                self._wake(endpoint)

    def _forget_queued(self) -> None:
        for endpoint in self._by_id.values():
            for delivery in endpoint.queue:
                self._forget(delivery)
            endpoint.queue.clear()

    def _register(self, endpoint: Endpoint) -> None:
        """Under the lock: an endpoint and its end are told in their order, and once on each connection."""

        def opened(answer: Answer | PeppyError | None) -> None:
            if isinstance(answer, PeppyError):
                print(
                    f"[ERROR] {endpoint.kind} `{endpoint.name}` reaches nobody: {answer}", file=sys.stderr, flush=True
                )

        frame = EndpointOpen(endpoint.endpoint_id, endpoint.kind, endpoint.name, endpoint.interface, endpoint.hashes)
        if generation := self._link.request(frame, opened):
            endpoint.generation = generation

    def _discover(self, received: Received) -> None:
        frame = received.frame
        assert isinstance(frame, Discover)
        if frame.endpoint_id in self._by_id:
            self._link.send(Discovered(frame.number))

    def _deliver(self, received: Received) -> None:
        frame = received.frame
        assert isinstance(frame, Deliver)
        with self._lock:
            endpoint = self._by_id.get(frame.endpoint_id)
            if frame.delivery in self._deliveries:  # its acknowledgement was lost with the former connection
                self._link.send(Acknowledge(frame.delivery))
            elif (call := call_of(frame)) in self._calls:  # or with the former daemon
                self._came_again(frame, self._calls[call])
            elif endpoint is not None:
                self._queue(endpoint, frame, received)
                return
        close_all(received.fds)

    def _came_again(self, frame: Deliver, earlier: Delivery | None) -> None:
        """Never run it twice: what has no answer yet is answered under the number of this daemon. Under the lock."""
        if earlier is not None:
            del self._deliveries[earlier.number]
            earlier.frame = frame
            self._deliveries[earlier.number] = earlier
        self._link.send(Acknowledge(frame.delivery, answered=earlier is None))

    def _queue(self, endpoint: Endpoint, frame: Deliver, received: Received) -> None:
        """Acknowledge a request and put it in its queue, or refuse it. Under the lock."""
        delivery = Delivery(endpoint, frame, received)
        self._deliveries[frame.delivery] = delivery
        if delivery.call is not None:
            self._calls[delivery.call] = delivery
            if len(self._calls) > REMEMBERED:
                del self._calls[next(iter(self._calls))]
        if len(endpoint.queue) >= QUEUED:
            self._forget_dead(endpoint)
        if len(endpoint.queue) >= QUEUED:
            endpoint.refuse(delivery, f"{endpoint.kind} `{endpoint.name}` is overloaded: {QUEUED} requests wait")
            self.drop(delivery)
        else:
            endpoint.queue.append(delivery)
            self._wake(endpoint)  # the loop wakes meanwhile; it takes nothing before this lock is free
            if not self._link.send(Acknowledge(frame.delivery)):  # the connection has ended: nobody may run it
                endpoint.queue.pop()
                self._forget(delivery)

    def _wake(self, endpoint: Endpoint) -> None:
        """Let the loop hand out, if somebody waits there. Under the lock."""
        if endpoint.waiting and endpoint.queue and self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed
                post(self._loop, self._hand_out, endpoint, True)

    def _forget_dead(self, endpoint: Endpoint) -> None:
        """Make room in a full queue."""
        dead = [delivery for delivery in endpoint.queue if delivery.is_dead()]
        for delivery in dead:
            endpoint.queue.remove(delivery)
            self.drop(delivery)

    def _withdrawn(self, received: Received) -> None:
        frame = received.frame
        assert isinstance(frame, Withdrawn)
        with self._lock:
            delivery = self._deliveries.get(frame.delivery)
            if delivery is None:
                return
            delivery.withdrawn = True
            if delivery in delivery.endpoint.queue:
                delivery.endpoint.queue.remove(delivery)
                self.drop(delivery)
