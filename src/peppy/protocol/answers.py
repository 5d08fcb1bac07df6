"""Results of requests. Those of the command line are its JSON `data` as they are (docs/reference/cli.md)."""

import msgspec


class Answer(msgspec.Struct):
    """A result; a msgpack map on the wire, a JSON object on the command line."""


class Exit(Answer):
    """How an instance ended. `time` in RFC 3339 with offset; `killed`: SIGKILL was needed to stop it."""

    status: int | None
    signal: str | None
    time: str | None
    killed: bool = False


class SlotBinding(Answer, omit_defaults=True):
    """Where a slot reads from: `kind` is `pinned`, `from_any_bound` or `from_any_unbound`."""

    kind: str
    producer_instance_id: str | None = None
    producer_instance_ids: tuple[str, ...] = ()


class InstanceRow(Answer):
    instance_id: str
    state: str
    healthy: bool | None
    pid: int | None
    exit: Exit | None
    slot_bindings: dict[str, SlotBinding]


class NodeRow(Answer):
    name: str
    tag: str
    stage: str
    variant: str
    config_path: str | None
    artifact_path: str | None
    instances: tuple[InstanceRow, ...]


class StandaloneRow(Answer):
    instance_id: str
    node: str
    pid: int


class Edge(Answer):
    """`source` depends on `target`; in JSON the keys are `from` and `to`."""

    source: str = msgspec.field(name="from")
    target: str = msgspec.field(name="to")
    via_interface: str | None
    missing: bool


class Stack(Answer):
    """`peppy stack list`. The core node comes first; its `config_path` is the directory of the program it runs."""

    nodes: tuple[NodeRow, ...]
    standalone: tuple[StandaloneRow, ...]
    edges: tuple[Edge, ...]


class Information(Answer):
    version: str
    core_node_name: str
    core_node_instance_id: str
    host_name: str
    socket: str
    pid: int
    uptime_seconds: float
    node_count: int


class TopicRow(Answer):
    address: str
    instance_id: str
    name: str
    interface: str | None
    node: str
    qos: str
    subscribers: int
    published: int
    hz: float


class Topics(Answer):
    topics: tuple[TopicRow, ...]


class TopicReader(Answer):
    """One subscription of a topic; the counters are those of its row (docs/reference/qos.md, Drop accounting)."""

    instance_id: str
    received: int
    lost: int
    lag: int


class TopicDetails(Answer):
    """`peppy topic info`. `format` is the canonical text of the format (docs/reference/messages.md, Schema hash).

    `depth`, `capacity` (bytes of the largest message that fits) and `ring_bytes` are None until the first message is
    published; `largest` is the largest message so far.
    """

    address: str
    instance_id: str
    name: str
    interface: str | None
    node: str
    qos: str
    subscribers: int
    published: int
    hz: float
    bytes: int
    largest: int
    format: str | None
    schema_hash: str
    depth: int | None
    capacity: int | None
    ring_bytes: int | None
    readers: tuple[TopicReader, ...]


class RepositoryEntry(Answer):
    """A node or an interface of a repository. `duplicate`: another one is taken in its place; `broken`: its first
    error, None of a whole one. The `tag` of a broken one is None when it cannot be read."""

    name: str
    tag: str | None
    path: str
    duplicate: bool
    broken: str | None


class RepositoryLauncher(Answer):
    """A launcher of a repository, as `RepositoryEntry`."""

    name: str
    path: str
    duplicate: bool
    broken: str | None


class RepositoryRow(Answer):
    id: int
    type: str
    label: str
    nodes: tuple[RepositoryEntry, ...] = ()
    launchers: tuple[RepositoryLauncher, ...] = ()
    interfaces: tuple[RepositoryEntry, ...] = ()


class Repositories(Answer):
    repositories: tuple[RepositoryRow, ...]
    warnings: tuple[str, ...] = ()


class RepositoryAdded(Answer):
    id: int
    type: str
    label: str


class Synced(Answer):
    path: str
    config_sha256: str
    from_stack: tuple[str, ...]
    from_repositories: tuple[str, ...]
    modules: dict[str, int]
    warnings: tuple[str, ...] = ()


class Added(Answer):
    node: str
    variant: str
    log: str
    added: tuple[str, ...]
    warnings: tuple[str, ...] = ()


class Built(Answer):
    """`skipped`: the node was Ready already and the request said `if_needed`; then `log` is None."""

    node: str
    log: str | None
    artifact: str
    skipped: bool = False


class Started(Answer):
    node: str
    instance_id: str
    pid: int
    log: str
    bindings: dict[str, SlotBinding]
    warnings: tuple[str, ...] = ()


class StoppedInstance(Answer):
    """`already`: the state in which the instance had ended before, else None."""

    instance_id: str
    killed: bool
    already: str | None = None


class Stopped(Answer):
    stopped: tuple[StoppedInstance, ...]


class Removed(Answer):
    node: str
    stopped: tuple[str, ...]


class Pruned(Answer):
    pruned: tuple[str, ...]


class Reset(Answer):
    nodes: int
    instances: int


class ServiceStopped(Answer):
    instances: int


class LogPlace(Answer):
    """`live`: the log still grows; its last line is then written when the build or the instance ends."""

    log: str
    live: bool
    instance_id: str | None


class Logs(Answer):
    add: str | None
    build: str | None
    run: dict[str, str]


class Dependency(Answer):
    link_id: str
    provider: str
    kind: str
    from_any: bool


class Member(Answer, omit_defaults=True):
    """An exposed or consumed topic, service or action. `slot` of a consumed one, `qos` of a topic or of feedback."""

    name: str
    qos: str | None = None
    interface: str | None = None
    slot: str | None = None


class Members(Answer):
    topics: tuple[Member, ...]
    services: tuple[Member, ...]
    actions: tuple[Member, ...]


class ParameterLine(Answer):
    """One declared parameter: `indent` levels deep, `text` as `key: type = default` or `key:` for a group."""

    indent: int
    text: str


class TopicCounters(Answer):
    """One side of one stream; `side` is `out` or `in`, `peer` the other instance of an `in` row."""

    instance: str
    topic: str
    side: str
    peer: str | None
    messages: int
    lost: int
    lag: int
    waits: int


class NodeDetails(Answer):
    """`peppy node info`; `stats` only when asked for or in JSON."""

    name: str
    tag: str
    language: str
    labels: tuple[str, ...]
    build_cmd: tuple[str, ...] | None
    run_cmd: tuple[str, ...] | None
    container: str | None
    stage: str
    variant: str
    instances: tuple[InstanceRow, ...]
    logs: Logs
    dependencies: tuple[Dependency, ...]
    exposes: Members
    consumes: Members
    config_sha256: str
    parameters: tuple[ParameterLine, ...]
    stats: tuple[TopicCounters, ...] = ()


class Watched(Answer):
    """A topic is watched. `instance_id` is None when any producer will do: none of them lives yet.

    `live`: whether its instance lives, `open`: whether it has published already.
    """

    name: str
    instance_id: str | None
    live: bool
    open: bool


class MemberDetails(Answer):
    """A service or an action of a live instance, as a caller needs it.

    `formats` are canonical texts (docs/reference/messages.md, Schema hash), None without payload: request and response,
    or goal, feedback and result; `hashes` belong to them. `feedback_qos` is a `QoSProfile`, None without feedback.
    """

    address: str
    instance_id: str
    name: str
    interface: str | None
    node: str
    formats: tuple[str | None, ...]
    hashes: tuple[int, ...]
    feedback_qos: int | None = None


# --- answers between daemon and nodes ------------------------------------------------------------------------------


class ProbeAnswer(Answer):
    """Milliseconds since the node's event loop last ran."""

    loop_age_ms: int


class StreamOpened(Answer):
    """How many subscriptions were registered before this stream; they are being attached with all history."""

    waiting: int


class Subscribed(Answer):
    """How many producers match now."""

    producers: int


class Attached(Answer):
    """The reserved row as peppy.ring.Claim: epoch_hi, epoch_lo, generation, row, ticket, start_seq."""

    claim: tuple[int, int, int, int, int, int]


class EndpointOpened(Answer):
    """The endpoint is known: calls are delivered from now on."""


class GoalEndKept(Answer):
    """The goal's outcome is in the daemon's hands."""


class GoalCancelled(Answer):
    """`state` is a `CancelState`; the other two name the goal's producer, "" when nobody knows the goal."""

    state: int
    instance_id: str
    core_node: str
