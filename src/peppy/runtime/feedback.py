"""The server's end of feedback: one stream per goal, on rings that later goals use again (docs/reference/qos.md,
Feedback; docs/design/ring.md, Life cycle).

A ring serves one goal at a time and has one row, for the goal's client. Its end is told beside it, so it stays open
and is used again once the client has come and given its row back. A row that nobody has come for yet may be somebody's
soon: such a ring is not used again. Rings that are closed stay readable for who has them.
"""

import os
import secrets
import sys
from collections import deque
from functools import partial
from typing import Any

from peppy.codec import EncodedPayload, Gathered, Plan
from peppy.model.names import stable_hash
from peppy.model.qos import QoSProfile
from peppy.ring import Claim, Geometry, History, MessageTooLong, Observer, Writer
from peppy.ring import plan as plan_geometry
from peppy.runtime.config import TopicSettings
from peppy.runtime.space import SpaceQueue

RINGS_KEPT = 16
"""Rings without a goal that a process keeps for later goals; the oldest go first."""

PAGE = 4096

BULK_CAPACITY = 256 << 10
"""Bytes of room at least for a message with arrays of any length; 8 MiB hold 31 such messages."""

ROW_FREE = 0
"""The state of a row whose reader has not come yet."""


class FeedbackRing:
    """One ring with room for one reader."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.queue = SpaceQueue(writer)
        self._claim: Claim | None = None
        self._observer: Observer | None = None  # opened once: to map a ring costs as much as to send a goal

    def reserve(self, doorbell: int) -> Claim:
        """The row of the next goal's client, which gets everything from now on."""
        self._claim = self.writer.reserve_row(doorbell, History.NONE)
        return self._claim

    def release(self, row: int, ticket: int) -> bool:
        """This reader is gone, or will never come; False when it lives and has not given its row back."""
        if not self.writer.release_row(row, ticket):
            return False
        self._claim = None
        return True

    def is_free(self) -> bool:
        """Whether the client of the last goal has come and gone."""
        if self._claim is None:
            return True
        if self._observer is None:
            self._observer = Observer.open(self.writer.data_fd, self.writer.ctrl_fd)
        has_come = self._observer.row(self._claim.row).state != ROW_FREE
        return has_come and self.release(self._claim.row, self._claim.ticket)

    def fits(self, wanted: Geometry) -> bool:
        """Whether a stream of this size may run here."""
        geometry = self.writer.geometry
        return geometry.depth == wanted.depth and geometry.capacity >= wanted.capacity

    def close(self) -> None:
        """What was written stays readable for who has the segments."""
        self._observer = None
        self.writer.close()
        self.queue.close()


class FeedbackRings:
    """The rings of a process that serve no goal now, and what is known about sizes."""

    def __init__(self, settings: TopicSettings, ring_bytes: int) -> None:
        self._settings = settings
        self._ring_bytes = ring_bytes
        self._resting: deque[FeedbackRing] = deque()  # the oldest first
        self._capacities: dict[Plan[Any], int] = {}

    def open(self, plan: Plan[Any], qos: QoSProfile, doorbell: int, bound: float, reader: str) -> "FeedbackStream":
        """The stream of the next goal; arguments as those of FeedbackStream.

        OSError when the system has no room for one, or for a doorbell that is no eventfd.
        """
        ring = self._take(plan, qos)
        try:
            return FeedbackStream(ring, self, plan, qos, doorbell, bound, reader)
        except BaseException:
            self.give_back(ring)
            raise

    def _take(self, plan: Plan[Any], qos: QoSProfile) -> FeedbackRing:
        capacity = min(self._capacity(plan, qos), self._settings.max_message_bytes)
        geometry = plan_geometry(self._settings.depth_of(qos), self._ring_bytes, capacity, rows=1, loans=0)
        for ring in self._resting:
            if ring.fits(geometry) and ring.is_free():
                self._resting.remove(ring)
                return ring
        writer = Writer.create(
            geometry,
            topic_hash=stable_hash(plan.member),
            schema_hash=plan.schema_hash,
            mode=int(qos),
            reliable=True,  # each goal says whether its client is waited for
        )
        return FeedbackRing(writer)

    def give_back(self, ring: FeedbackRing) -> None:
        """The goal of this ring is over: what it has written stays readable."""
        self._resting.append(ring)
        if len(self._resting) > RINGS_KEPT:
            self._resting.popleft().close()

    def close(self) -> None:
        """Close them all: their readers take what is left."""
        while self._resting:
            self._resting.pop().close()

    def check_length(self, plan: Plan[Any], length: int) -> None:
        """ValueError when no feedback stream may carry a message of so many bytes."""
        limit = self._settings.max_message_bytes
        if length > limit:
            raise ValueError(f"`{plan.member}`: a message of `{length}` bytes is over the limit of `{limit}`")

    def refuse(self, plan: Plan[Any], error: MessageTooLong) -> ValueError:
        """What a message gets that is larger than its ring; the streams of later goals have room for it."""
        self._capacities[plan] = max(self._capacities.get(plan, 0), 2 * error.length)
        return ValueError(
            f"`{plan.member}`: a message of `{error.length}` bytes does not fit this goal's stream, which has room for "
            f"`{error.capacity}`\nhint: send it in smaller messages, or set `actions.feedback_ring_bytes` higher"
        )

    def _capacity(self, plan: Plan[Any], qos: QoSProfile) -> int:
        """Bytes of the largest message: as many as the budget gives each message of the profile's depth, more for
        arrays of any length, and room for the largest that was ever tried. Only what is written takes memory."""
        if plan.fixed_size is not None:
            return plan.fixed_size
        pages = self._ring_bytes // (self._settings.depth_of(qos) + 1) // PAGE - 1  # one is for the chunk's header
        least = BULK_CAPACITY if plan.bulk_count else PAGE
        return max(least, pages * PAGE, self._capacities.get(plan, 0))


class FeedbackStream:
    """What one goal sends. Belongs to the event loop, but for `release_row`, `claim` and `descriptors`."""

    def __init__(
        self,
        ring: FeedbackRing,
        rings: FeedbackRings,
        plan: Plan[Any],
        qos: QoSProfile,
        doorbell: int,
        bound: float,
        reader: str,
    ) -> None:
        """`doorbell` is the client's eventfd, the stream's own from now on unless this raises; `bound` how many seconds
        one message waits for the client; `reader` names goal and client in the warning."""
        self.stream_id = secrets.randbits(63) or 1
        self.claim = ring.reserve(doorbell)
        self._ring = ring
        self._rings = rings
        self._plan = plan
        self._doorbell = doorbell
        self._bound = bound
        self._reader = reader
        self._ended = False
        self._last = 0
        if qos is QoSProfile.SensorData:
            ring.writer.overwrite_row(self.claim.row, self.claim.ticket)

    @property
    def descriptors(self) -> tuple[int, ...]:
        """DATA, CTRL, and the eventfd that the writer waits on for room."""
        writer = self._ring.writer
        return writer.data_fd, writer.ctrl_fd, writer.space_fd

    def release_row(self, row: int, ticket: int) -> None:
        """The daemon says that the client is gone: from now on nobody is waited for."""
        self._ring.release(row, ticket)

    async def publish(self, payload: EncodedPayload) -> None:
        """Write one message, when there is room if nothing may be lost; does nothing after the end.

        Messages are written in the order of the calls. Raises ValueError for one that is too long, and OSError when the
        system has no memory for it; nothing is written then.
        """
        length = payload.length if isinstance(payload, Gathered) else len(payload)
        self._rings.check_length(self._plan, length)
        put = partial(self._put, payload, length)
        try:
            while not await self._ring.queue.put(put, self._bound):
                self._stop_waiting()
        except MessageTooLong as error:
            raise self._rings.refuse(self._plan, error) from None

    def end(self) -> int:
        """Nothing is written from now on; the sequence number of the last message, 0 when there was none."""
        if not self._ended:
            self._ended = True
            head = self._ring.writer.stats().head
            self._last = head if head >= self.claim.start_seq else 0
            self._ring.queue.wake()
            self._ring.writer.forget_doorbell(self._doorbell)
            os.close(self._doorbell)
        return self._last

    def give_back(self) -> None:
        """After the end: let another goal use the ring."""
        self._rings.give_back(self._ring)

    def _put(self, payload: EncodedPayload, length: int) -> None:
        if self._ended:
            return
        if isinstance(payload, Gathered):
            self._ring.writer.publish_parts([(payload.head, 0), *payload.parts], length)
        else:
            self._ring.writer.publish_bytes(payload)

    def _stop_waiting(self) -> None:
        if self._ended or not self._ring.writer.overwrite_row(self.claim.row, self.claim.ticket):
            return
        print(
            f"[WARNING] {self._reader} has not read its feedback for {self._bound:g} s: "
            "from now on the oldest messages are overwritten",
            file=sys.stderr,
            flush=True,
        )
