"""One request that somebody made of this process, from its arrival to its answer."""

from collections.abc import Callable
from time import monotonic_ns
from typing import TYPE_CHECKING

from peppy.protocol.calls import Deliver
from peppy.protocol.frame import Received

if TYPE_CHECKING:
    from peppy.runtime.endpoints import Endpoint


class Delivery:
    """One request, a call or a goal. `received` holds payload and descriptors: they are its taker's.

    `withdrawn` is set by the control thread when the caller has given up or is gone.
    """

    __slots__ = ("call", "endpoint", "frame", "received", "withdrawn")

    def __init__(self, endpoint: "Endpoint", frame: Deliver, received: Received) -> None:
        self.call = call_of(frame)
        self.endpoint = endpoint
        self.frame = frame
        self.received = received
        self.withdrawn = False

    @property
    def number(self) -> int:
        """What the daemon calls it."""
        return self.frame.delivery

    @property
    def caller_instance_id(self) -> str:
        """Who asks."""
        return self.frame.caller_instance_id

    @property
    def caller_core_node(self) -> str:
        """The core node that the caller belongs to."""
        return self.frame.caller_core_node

    @property
    def goal_id(self) -> str | None:
        """The goal's id; None for a call."""
        return self.frame.goal_id

    @property
    def feedback_qos(self) -> int:
        """The profile that the client asks for; -1 where the declaration decides."""
        return self.frame.feedback_qos

    def is_dead(self) -> bool:
        """Whether nobody waits for its answer any more."""
        return self.withdrawn or monotonic_ns() >= self.frame.deadline_ns


def call_of(frame: Deliver) -> tuple[str, int] | None:
    """The call as its caller names it, whichever daemon brings it; None for a goal and for one that comes only once."""
    return (frame.caller_instance_id, frame.call_id) if frame.call_id and frame.goal_id is None else None


Refuse = Callable[[Delivery, str], None]
"""Answers a request that is not taken, with a text; called on the control thread or the loop."""
