"""All frames, one class each: the whole protocol in one place (docs/design/protocol.md draws the sequences).

A frame's header is a msgpack array of its fields in the order below; later versions may only append fields with
defaults. `FRAMES` at the end gives the numbers; the frames of streams are in `streams.py`, those of services and
actions in `calls.py`. A class with an `Answer` is a request: it carries a request id, and the answer is `Done` with
that id, whose result is an `Answer`, or `Failed`. Everything else is a notice (id 0).
"""

import msgspec

from peppy.protocol.answers import (
    Added,
    Built,
    Information,
    LogPlace,
    MemberDetails,
    NodeDetails,
    ProbeAnswer,
    Pruned,
    Removed,
    Repositories,
    RepositoryAdded,
    Reset,
    ServiceStopped,
    Stack,
    Started,
    Stopped,
    Synced,
    TopicDetails,
    Topics,
    Watched,
)
from peppy.protocol.base import Frame, Problem
from peppy.protocol.calls import CALL_FRAMES, OF_CALLERS, OF_PRODUCERS
from peppy.protocol.streams import OF_STREAMS, STREAM_FRAMES, AttachmentStale, Unsubscribe

# --- session -------------------------------------------------------------------------------------------------------


class Hello(Frame):
    """First frame of every connection. `role` is `cli`, `node` or `standalone`; the last three are None for `cli`.

    `state` is None on the first connection of a process; after a reconnect it is the state the instance had. What a
    node gets from its manifest in the stack a `standalone` program says itself: `conforms_to` as `name:tag`, `slots` as
    (link_id, `node` or `interface`, name, tag, from_any). Its `instance_id` is None when the daemon is to choose one.
    """

    protocol_version: int
    library_version: str
    layout_hash: int
    role: str
    pid: int
    name: str | None = None
    tag: str | None = None
    instance_id: str | None = None
    state: str | None = None
    conforms_to: tuple[str, ...] = ()
    slots: tuple[tuple[str, str, str, str, bool], ...] = ()


class Welcome(Frame):
    """The hello was accepted. `epoch` is random, one per life of a daemon.

    For a `standalone` program: its instance id, and the groups of settings that a node finds in its runtime config.
    """

    protocol_version: int
    daemon_version: str
    daemon_pid: int
    core_node_name: str
    epoch: str
    instance_id: str | None = None
    settings: dict[str, dict[str, int | float | dict[str, int]]] | None = None


class Refuse(Frame):
    """The hello was not accepted; the daemon closes the connection after it."""

    kind: str
    message: str
    hint: str | None = None


class Done(Frame):
    """A request succeeded; `result` decodes as the request's `Answer`."""

    result: msgspec.Raw


class Failed(Frame):
    """A request failed: a `PeppyError` on the wire."""

    kind: str
    message: str
    hint: str | None = None
    details: tuple[Problem, ...] = ()


class Output(Frame):
    """Something to show while a request runs (its id). `stream`: `stdout`, `stderr`, `info` or `warning`."""

    stream: str
    text: str


class Cancel(Frame):
    """Cancel the request with this frame's id; that request is answered by its own `Done` or `Failed` (`Aborted`)."""


# --- requests of the command line ----------------------------------------------------------------------------------


class Info(Frame):
    """Tell about the daemon itself."""

    Answer = Information


class StackList(Frame):
    """List nodes, instances, standalone programs and edges."""

    Answer = Stack


class StackReset(Frame):
    """Stop all instances and drop every node but the core node."""

    Answer = Reset
    force: bool = False


class TopicList(Frame):
    """List the topics of live instances with their counters."""

    Answer = Topics


class NodeSync(Frame):
    """Generate the library of the node in `directory` (absolute)."""

    Answer = Synced
    directory: str
    timeout_secs: float


class NodeAdd(Frame):
    """Stage a snapshot of the node at `source` (absolute path of a directory, a manifest or an archive)."""

    Answer = Added
    source: str
    variant: str | None
    force: bool
    stop_instances: bool
    timeout_secs: float


class NodeBuild(Frame):
    """Build a node. `if_needed`: answer at once when it is Ready, wait when somebody else builds it."""

    Answer = Built
    node: str
    force: bool
    if_needed: bool
    environment: dict[str, str]
    timeout_secs: float


class NodeRun(Frame):
    """Start an instance. `arguments` are `key=value` pairs as typed, `bindings` `KEY@VALUE` pairs as typed."""

    Answer = Started
    node: str
    instance_id: str | None
    arguments: tuple[tuple[str, str], ...]
    bindings: tuple[tuple[str, str], ...]
    environment: dict[str, str]
    timeout_secs: float


class NodeStop(Frame):
    """Stop instances together, with one grace."""

    Answer = Stopped
    instance_ids: tuple[str, ...]


class NodeRemove(Frame):
    """Drop a node from the stack."""

    Answer = Removed
    node: str
    force: bool
    stop_instances: bool


class NodeInfo(Frame):
    """Tell everything about one node."""

    Answer = NodeDetails
    node: str
    statistics: bool = False


class NodePrune(Frame):
    """Drop records of finished and failed instances, of one node or of all."""

    Answer = Pruned
    node: str | None


class NodeLogs(Frame):
    """Where is the log of an instance id, or the newest `run`, `add` or `build` log of a name:tag?"""

    Answer = LogPlace
    target: str
    which: str


class ServiceStop(Frame):
    """End the daemon, after all instances unless `keep_instances`."""

    Answer = ServiceStopped
    keep_instances: bool


class TopicInfo(Frame):
    """Tell everything about one topic of a live instance; `topic` as typed: an address or a name."""

    Answer = TopicDetails
    topic: str


class TopicWatch(Frame):
    """Look at a topic from now on, whether its stream is there yet or not; `topic` as typed: an address or a name.

    An `Attachment` follows as soon as there is a stream. Without a descriptor the stream is only looked at: the claim
    is all 0. With the eventfd of a reader (doorbell) there is a row, or an `AttachmentRefused` follows, as for any
    subscription.
    """

    Answer = Watched
    descriptors = range(2)
    subscription_id: int
    topic: str


class MemberInfo(Frame):
    """Which service or action is this, and how is it called? `kind` is `service` or `action`, `address` as typed."""

    Answer = MemberDetails
    kind: str
    address: str


class RepoList(Frame):
    """List the repositories and what the last refresh has found in them."""

    Answer = Repositories


class RepoRefresh(Frame):
    """Read all repositories again."""

    Answer = Repositories
    timeout_secs: float


class RepoAdd(Frame):
    """Register the directory `source` (absolute path) as a repository, `top`: before all others."""

    Answer = RepositoryAdded
    source: str
    top: bool


class RepoRemove(Frame):
    """Forget a repository, then read the others again."""

    Answer = Repositories
    id: int
    timeout_secs: float


# --- life of a node process ----------------------------------------------------------------------------------------


class Ready(Frame):
    """Node to daemon: connected and configured; setup runs now."""


class Healthy(Frame):
    """Node to daemon: setup has returned."""


class Ending(Frame):
    """Node to daemon: the process is about to end by itself; `error` is the last line of its traceback, if any."""

    error: str | None = None


class Probe(Frame):
    """Daemon to node: are you well?"""

    Answer = ProbeAnswer


class Shutdown(Frame):
    """Daemon to node: end within `grace_secs`."""

    reason: str
    grace_secs: float


FRAMES: dict[int, type[Frame]] = {
    1: Hello,
    2: Welcome,
    3: Refuse,
    4: Done,
    5: Failed,
    6: Output,
    7: Cancel,
    16: Info,
    17: StackList,
    18: StackReset,
    19: TopicList,
    20: NodeSync,
    21: NodeAdd,
    22: NodeBuild,
    23: NodeRun,
    24: NodeStop,
    25: NodeRemove,
    26: NodeInfo,
    27: NodePrune,
    28: NodeLogs,
    29: ServiceStop,
    32: TopicInfo,
    33: TopicWatch,
    34: MemberInfo,
    35: RepoList,
    36: RepoRefresh,
    37: RepoAdd,
    38: RepoRemove,
    48: Ready,
    49: Healthy,
    50: Ending,
    51: Probe,
    52: Shutdown,
    **STREAM_FRAMES,
    **CALL_FRAMES,
}
NUMBERS: dict[type[Frame], int] = {kind: number for number, kind in FRAMES.items()}

_REQUESTS_OF_CLI = {Info, StackList, StackReset, TopicList, NodeSync, NodeAdd, NodeBuild, NodeRun, NodeStop, NodeRemove}
_WATCHING_OF_CLI = {TopicWatch, Unsubscribe, AttachmentStale}

FROM_CLI = frozenset(
    {Hello, Cancel, NodeInfo, NodePrune, NodeLogs, ServiceStop, TopicInfo, MemberInfo}
    | _REQUESTS_OF_CLI
    | {RepoList, RepoRefresh, RepoAdd, RepoRemove}
    | _WATCHING_OF_CLI
    | OF_CALLERS
)
FROM_NODE = frozenset({Hello, Done, Failed, Ready, Healthy, Ending} | OF_STREAMS | OF_CALLERS | OF_PRODUCERS)
"""What each role may send; anything else is a protocol error that closes the connection."""
