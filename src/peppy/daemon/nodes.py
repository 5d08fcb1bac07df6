"""Node processes at the socket: who belongs to which instance, and where their frames go."""

from peppy.daemon.health import Health
from peppy.daemon.registry import Registry
from peppy.daemon.session import CliSession, NodeSession
from peppy.daemon.supervise import Supervisor
from peppy.daemon.topic_names import watched_topic
from peppy.daemon.topics import TopicBroker
from peppy.errors import PeppyError
from peppy.model.names import Reference
from peppy.process.records import descends_from
from peppy.protocol.answers import Answer, Watched
from peppy.protocol.frame import ConnectionClosed, close_all
from peppy.protocol.frames import Frame, TopicWatch


class NodeConnections:
    """Connects sessions of role `node` with supervision and topics."""

    def __init__(self, registry: Registry, supervisor: Supervisor, health: Health, broker: TopicBroker) -> None:
        self._registry = registry
        self._supervisor = supervisor
        self._health = health
        self._broker = broker

    def welcomes(self, instance_id: str, reference: Reference, pid: int) -> None:
        """Raises PeppyError unless process `pid` descends from the shim of this live instance."""
        instance = self._registry.instances.get(instance_id)
        if instance is None or not instance.live:
            raise PeppyError(f"`{instance_id}` is no live instance of this daemon", kind="UnknownInstanceId")
        if instance.reference != reference:
            raise PeppyError(
                f"`{instance_id}` is an instance of `{instance.reference}`, not of `{reference}`", kind="Refused"
            )
        shim_pid = self._supervisor.shim_pid(instance_id)
        if shim_pid is None or not descends_from(pid, shim_pid):
            raise PeppyError(f"process {pid} does not belong to instance `{instance_id}`", kind="Refused")

    def connected(self, session: NodeSession) -> None:
        """Raises ConnectionClosed when the process has ended meanwhile."""
        try:
            self._broker.connected(session)
        except ProcessLookupError:
            raise ConnectionClosed(f"process {session.pid} has ended") from None
        self._health.connected(session)

    def disconnected(self, session: NodeSession) -> None:
        """The connection has ended, not always the process: its streams stay while it lives."""
        self._health.disconnected(session)

    def heard(self, session: NodeSession, frame: Frame) -> None:
        """A node tells about its own life."""
        self._health.heard(session, frame)

    def topic(self, session: NodeSession | CliSession, frame: Frame, fds: tuple[int, ...]) -> Answer | None:
        """A node tells about its streams and subscriptions, or a command line watches a topic."""
        if not isinstance(frame, TopicWatch):
            return self._broker.handle(session, frame, fds)
        try:
            return self._watch(session, frame, fds)
        except BaseException:
            close_all(fds)
            raise

    def _watch(self, session: NodeSession | CliSession, frame: TopicWatch, fds: tuple[int, ...]) -> Watched:
        if (instance := self._registry.instances.get(session.instance_id)) is not None and instance.live:
            raise PeppyError(
                f"an instance is called `{session.instance_id}`, as this command line is",
                kind="Refused",
                hint="try again",
            )
        topic = watched_topic(self._registry, frame.topic)
        try:
            is_open = self._broker.watch(session, frame.subscription_id, topic.instance_id, topic.name, fds)
        except ProcessLookupError:
            raise ConnectionClosed(f"process {session.pid} has ended") from None
        return Watched(topic.name, topic.instance_id, topic.live, is_open)
