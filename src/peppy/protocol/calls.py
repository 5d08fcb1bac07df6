"""Frames of services and actions (docs/design/protocol.md, Calls and goals, draws the sequences).

Times are `CLOCK_MONOTONIC` nanoseconds: every process of a stack runs on one host. A frame that `carries` a payload has
it behind its header, or beside it: then `beside` is the payload's length in bytes and the frame's last descriptor a
sealed memfd that holds it. Nobody between the two ends looks into either.

A caller numbers its calls (`call_id`), the daemon what it delivers (`delivery`), a producer its endpoints. A goal's id
is text, 16 hexadecimal digits, made by the client.
"""

from typing import ClassVar

from peppy.protocol.answers import EndpointOpened, GoalCancelled, GoalEndKept
from peppy.protocol.base import Frame

INSIDE = 256 << 10
"""Bytes of the largest payload that travels inside its frame."""

LARGEST_PAYLOAD = 256 << 20
"""Bytes of the largest payload of a call, a goal or a result."""

IN_FRAME = -1
"""What `beside` says of a payload that stands behind the header."""

NO_CLAIM = (0, 0, 0, 0, 0, 0)


class Carrier(Frame):
    """A frame with a payload; every one ends with the field `beside`."""

    carries: ClassVar[bool] = True


# --- producers -----------------------------------------------------------------------------------------------------


class EndpointOpen(Frame):
    """Producer to daemon: I serve this. `kind` is `service` or `action`, `interface` (`name:tag`) that of an inherited
    member, `hashes` those of request and response, or of goal, feedback and result. Sent again after a reconnect."""

    Answer = EndpointOpened
    endpoint_id: int
    kind: str
    name: str
    interface: str | None
    hashes: tuple[int, ...]


class EndpointClose(Frame):
    """Producer to daemon: I no longer serve this. `unserved` are acknowledged deliveries that nobody will handle: their
    callers are told that the producer stopped. A handler or decider that runs still answers its own."""

    endpoint_id: int
    unserved: tuple[int, ...] = ()


class Discover(Frame):
    """Daemon to producer: would you take a call? Answered by the control thread, `Discovered` with the same number."""

    number: int
    endpoint_id: int


class Discovered(Frame):
    """Producer to daemon: I am here."""

    number: int


class Deliver(Carrier):
    """Daemon to producer: a call, or a goal when `goal_id` is set.

    Descriptors: the client's doorbell (eventfd), for a goal whose client reads feedback; the payload's memfd.
    `feedback_qos` is -1 where the producer's declaration decides. Comes again with the same number, after a reconnect,
    when its acknowledgement got lost: a delivery that is known is acknowledged again and not queued twice. From the
    next daemon a call comes with another number: `call_id` is the caller's own, 0 where nothing is ever sent again.
    """

    descriptors = range(3)
    delivery: int
    endpoint_id: int
    caller_instance_id: str
    caller_core_node: str
    deadline_ns: int
    goal_id: str | None = None
    feedback_qos: int = -1
    call_id: int = 0
    beside: int = IN_FRAME


class Withdrawn(Frame):
    """Daemon to producer: the caller has given up or is gone; a handler that has not started never runs. A goal whose
    decider has not started is answered with a rejection, so that the daemon forgets it."""

    delivery: int


class Acknowledge(Frame):
    """Producer to daemon: the request stands in the endpoint's queue. `answered`: it came before, and was answered to a
    daemon that has gone; nothing follows."""

    delivery: int
    answered: bool = False


class Reply(Carrier):
    """Producer to daemon: the response, or `error` as `Type: message` without payload."""

    descriptors = range(2)
    delivery: int
    error: str | None = None
    beside: int = IN_FRAME


class Decision(Frame):
    """Producer to daemon: the goal is accepted, or not and why.

    An accepted goal whose client reads feedback brings its stream. Descriptors: DATA, CTRL, and of a lossless stream
    the eventfd that its writer waits on for space.
    """

    descriptors = range(4)
    delivery: int
    accepted: bool
    error_message: str | None = None
    stream_id: int = 0
    qos: int = -1
    claim: tuple[int, int, int, int, int, int] = NO_CLAIM


class SignalGoal(Frame):
    """Daemon to producer: a client asks to cancel this goal; answered by `GoalSignalled` from the control thread."""

    goal_id: str


class GoalSignalled(Frame):
    """Producer to daemon: the goal's cancel flag is set."""

    goal_id: str


class GoalEnded(Carrier):
    """Producer to daemon: a live goal has become terminal. `outcome` is a `ResultStatus`; `last_position` the sequence
    number of the last feedback message, 0 when there was none. Sent again after a reconnect until it is answered."""

    Answer = GoalEndKept
    descriptors = range(2)
    goal_id: str
    outcome: int
    last_position: int = 0
    beside: int = IN_FRAME


class GoalKept(Frame):
    """Producer to daemon, after a reconnect: this goal is live. Descriptors: DATA and CTRL of its feedback stream."""

    descriptors = range(3)
    goal_id: str
    endpoint_id: int
    client_instance_id: str
    stream_id: int = 0
    row: int = 0
    ticket: int = 0


# --- callers -------------------------------------------------------------------------------------------------------


class Call(Carrier):
    """Caller to daemon: call service `name` through slot `link_id`. `instance_id` is set by the command line, which has
    no slots and calls one instance. Sent again after a reconnect when it was not acknowledged."""

    descriptors = range(2)
    call_id: int
    link_id: str
    name: str
    hashes: tuple[int, ...]
    deadline_ns: int
    instance_id: str | None = None
    interface: str | None = None
    beside: int = IN_FRAME


class Goal(Carrier):
    """Caller to daemon: fire a goal. Descriptors: the eventfd of the feedback's reader, if it reads any; the memfd."""

    descriptors = range(3)
    call_id: int
    goal_id: str
    link_id: str
    name: str
    hashes: tuple[int, ...]
    deadline_ns: int
    feedback_qos: int = -1
    instance_id: str | None = None
    interface: str | None = None
    beside: int = IN_FRAME


class Withdraw(Frame):
    """Caller to daemon: I have given up this call, goal or question for a result."""

    call_id: int


class Acknowledged(Frame):
    """Daemon to caller: this producer has taken the request; from now on its user code may run."""

    call_id: int
    instance_id: str


class Answered(Carrier):
    """Daemon to caller: the response, or the `error` that the handler raised."""

    descriptors = range(2)
    call_id: int
    instance_id: str
    core_node: str
    error: str | None = None
    beside: int = IN_FRAME


class CallFailed(Frame):
    """Daemon to caller: the call ends before its deadline without an answer. `kind` is an exception's name of
    docs/reference/node_api.md, Exceptions."""

    call_id: int
    kind: str
    message: str


class Decided(Frame):
    """Daemon to caller: `Decision` of this producer, whose goal is in the goal table by now if it is accepted."""

    descriptors = range(4)
    call_id: int
    instance_id: str
    core_node: str
    accepted: bool
    error_message: str | None = None
    stream_id: int = 0
    qos: int = -1
    claim: tuple[int, int, int, int, int, int] = NO_CLAIM


class CancelGoal(Frame):
    """Caller to daemon: set the goal's cancel flag."""

    Answer = GoalCancelled
    goal_id: str
    deadline_ns: int


class GetResult(Frame):
    """Caller to daemon: the outcome of this goal, as soon as it has one. Answered by `GoalResult` or `CallFailed`."""

    call_id: int
    goal_id: str
    deadline_ns: int


class GoalResult(Carrier):
    """Daemon to caller: the outcome. `status` is a `ResultStatus`; `instance_id` that of the goal's producer."""

    descriptors = range(2)
    call_id: int
    instance_id: str
    core_node: str
    status: int
    beside: int = IN_FRAME


class FollowGoal(Frame):
    """Caller to daemon, after a reconnect: I still read this goal's feedback; tell me its end (`FeedbackEnd`)."""

    goal_id: str


class FeedbackEnd(Frame):
    """Daemon to caller: the goal is terminal; `last_position` is the sequence number of its last feedback message, -1
    when the daemon does not know it: then the feedback ends with what the reader holds."""

    goal_id: str
    last_position: int


CALL_FRAMES: dict[int, type[Frame]] = {
    96: EndpointOpen,
    97: EndpointClose,
    98: Discover,
    99: Discovered,
    100: Deliver,
    101: Withdrawn,
    102: Acknowledge,
    103: Reply,
    104: Decision,
    105: SignalGoal,
    106: GoalSignalled,
    107: GoalEnded,
    108: GoalKept,
    112: Call,
    113: Goal,
    114: Withdraw,
    115: Acknowledged,
    116: Answered,
    117: CallFailed,
    118: Decided,
    119: CancelGoal,
    120: GetResult,
    121: GoalResult,
    122: FollowGoal,
    123: FeedbackEnd,
}

OF_CALLERS = frozenset({Call, Goal, Withdraw, CancelGoal, GetResult, FollowGoal})
OF_PRODUCERS = frozenset(
    {
        EndpointOpen,
        EndpointClose,
        Discovered,
        Acknowledge,
        Reply,
        Decision,
        GoalSignalled,
        GoalEnded,
        GoalKept,
    }
)
"""What a caller and a producer may send to the daemon."""
