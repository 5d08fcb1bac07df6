"""What the control plane knows: processes, their endpoints, calls, goals and questions about goals.

Calls are kept with those who asked them (`Party.questions`) and with those who were given them (`Party.deliveries`):
nobody can answer for another. Everything here lives as long as the process that it belongs to; losing a connection
takes nothing away (docs/reference/services_actions.md, Loss of the daemon).
"""

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Protocol

from peppy.daemon.end_watch import EndWatch
from peppy.model.goals import ResultStatus
from peppy.model.names import Reference
from peppy.model.text import quoted
from peppy.protocol import calls as frames
from peppy.protocol.answers import Answer
from peppy.protocol.frame import ProtocolViolation, Received, close_all
from peppy.protocol.frames import Frame
from peppy.ring import Observer

SERVICE = "service"
ACTION = "action"

OPEN_QUESTIONS = 4096
"""Calls, goals, polls and cancels that one process may have open; more end its connection."""

SERVED_GOALS = 16384
"""Live goals of one process; further ones are rejected."""

HELD_BYTES = 256 << 20
"""Bytes of payloads inside frames that the daemon keeps for one caller; more end its connection."""

Key = tuple[str, str, str | None]
"""What is served and called: `service` or `action`, name, and the interface of an inherited member."""


class PartySession(Protocol):
    """What the control plane needs of a connection. `has_slots` is False for a command line, which names producers."""

    instance_id: str
    reference: Reference
    pid: int
    has_slots: bool

    def send(self, frame: Frame, fds: tuple[int, ...] = (), *, request_id: int = 0) -> None: ...

    def carry(self, frame: frames.Carrier, payload: bytes, fds: tuple[int, ...] = ()) -> None: ...

    def answer(self, result: Answer, request_id: int) -> None: ...


@dataclass(eq=False, slots=True)
class Party:
    """One process: a node, a standalone program or a command line.

    `online`: it has a connection. `leaves`: it has said that it ends, so it does not come back without it. `ended`: the
    process has, and what it wrote before is still being read. `answered` are its last questions that were answered,
    `settled` the same as of its last reconnect: it may ask them again when their answers got lost. `routes` are the
    endpoints that its slots call directly, by `link_id` and member: slots and nodes do not change while processes live.
    `accepted` are its last goals by call id: it may give one up while it is being told.
    """

    session: PartySession
    watch: EndWatch
    online: bool = True
    leaves: bool = False
    ended: bool = False
    endpoints: "dict[int, Endpoint]" = field(default_factory=dict[int, "Endpoint"])
    questions: "dict[int, Call | Poll]" = field(default_factory=dict[int, "Call | Poll"])
    cancels: "set[Cancel]" = field(default_factory=set["Cancel"])
    held_bytes: int = 0
    answered: deque[int] = field(default_factory=lambda: deque[int](maxlen=OPEN_QUESTIONS))
    settled: Collection[int] = ()
    routes: "dict[tuple[str, Key], Endpoint]" = field(default_factory=dict[tuple[str, Key], "Endpoint"])
    accepted: "dict[int, Goal]" = field(default_factory=dict[int, "Goal"])
    deliveries: "dict[int, Call]" = field(default_factory=dict[int, "Call"])
    serves: "set[Goal]" = field(default_factory=set["Goal"])
    follows: "set[Goal]" = field(default_factory=set["Goal"])

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"`{self.session.instance_id}` of `{self.session.reference}`"

    def admit(self, size: int = 0) -> None:
        """Raises ProtocolViolation when it asks more at a time than anybody may; `size` is a payload's."""
        if len(self.questions) + len(self.cancels) >= OPEN_QUESTIONS:
            raise ProtocolViolation(f"more than {OPEN_QUESTIONS} calls and questions are open")
        if self.held_bytes + size > HELD_BYTES:
            raise ProtocolViolation(f"calls with more than {HELD_BYTES} bytes are open")

    def admit_follower(self) -> None:
        """Raises ProtocolViolation when it wants to hear of more goals at a time than anybody may."""
        if len(self.follows) >= OPEN_QUESTIONS:
            raise ProtocolViolation(f"more than {OPEN_QUESTIONS} goals are followed")


@dataclass(eq=False, slots=True)
class Endpoint:
    """A service or an action of one process. Not `serving` while the process has no connection, and once it is closed.

    `deciding` goals have been delivered and not been decided, `live` ones were accepted.
    """

    party: Party
    endpoint_id: int
    key: Key
    hashes: tuple[int, ...]
    serving: bool = True
    deciding: int = 0
    live: int = 0

    @property
    def instance_id(self) -> str:
        """The producer."""
        return self.party.session.instance_id


@dataclass(eq=False, slots=True)
class Call:
    """A call, or a goal (`goal_id`) until it is decided.

    `target` is the only instance that may get it, None while producers have to be discovered: then `number` is that of
    the round, which `began` then, and `asked` are those who have been asked. `delivery` is what the producer knows it
    by. `given_up`: the caller has, but a decider may still accept the goal. Descriptors and payload are kept until the
    producer has acknowledged them.
    """

    caller: Party
    call_id: int
    key: Key
    link_id: str
    hashes: tuple[int, ...]
    deadline_ns: int
    goal_id: str | None
    feedback_qos: int
    fds: tuple[int, ...]
    beside: int
    payload: bytes
    target: str | None
    discovered: bool = False
    number: int = 0
    began: float = 0.0
    asked: dict[Party, Endpoint] = field(default_factory=dict[Party, Endpoint])
    endpoint: Endpoint | None = None
    delivery: int = 0
    acknowledged: bool = False
    given_up: bool = False

    @property
    def what(self) -> str:
        """How messages call it."""
        return f"{self.key[0]} {quoted(self.key[1])}"

    def release(self) -> None:
        """Let go of descriptors and payload."""
        close_all(self.fds)
        self.caller.held_bytes -= len(self.payload)
        self.fds, self.payload = (), b""


@dataclass(eq=False, slots=True)
class Poll:
    """Somebody who waits for the outcome of a goal."""

    party: Party
    call_id: int
    goal: "Goal"
    deadline_ns: int


class Timer(Protocol):
    """Something that is to happen."""

    def cancel(self) -> None: ...


@dataclass(eq=False, slots=True)
class Cancel:
    """Somebody who waits to hear that a goal's cancel flag is set; `session` is the connection that asked."""

    party: Party
    session: PartySession
    request_id: int
    goal: "Goal"
    timer: Timer | None = None


@dataclass(eq=False, slots=True)
class Goal:
    """An accepted goal, or one that somebody asks about and whose server may come back.

    `status` is None while it is live. `came_back`: its server has told of it, an earlier daemon let it in. `client_id`
    is who fired it; the client has row `row` of the stream, with this ticket. `unwanted`: the client gave up before it
    knew of the goal, so it is to be cancelled; `row_left`: the row is to be given back. Both are said again to a server
    that had no connection. `followers` are told the end of the feedback. `memfd` holds a payload of `beside` bytes (-1:
    it is inside `payload`). `expires` is in seconds of the monotonic clock.
    """

    goal_id: str
    instance_id: str = ""
    server: Party | None = None
    came_back: bool = False
    endpoint: Endpoint | None = None
    client_id: str = ""
    client: Party | None = None
    stream_id: int = 0
    row: int = 0
    ticket: int = 0
    unwanted: bool = False
    row_left: bool = False
    observer: Observer | None = None
    status: ResultStatus | None = None
    payload: bytes = b""
    beside: int = frames.IN_FRAME
    memfd: int = -1
    last_position: int = 0
    expires: float = 0.0
    polls: list[Poll] = field(default_factory=list[Poll])
    followers: set[Party] = field(default_factory=set[Party])
    cancels: list[Cancel] = field(default_factory=list[Cancel])


Route = Callable[[Party, Received], bool]
"""Serves one frame; True when it keeps the descriptors. Raises PeppyError only as long as it has kept nothing."""
