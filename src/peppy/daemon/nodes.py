"""Node processes at the socket: who belongs to which instance, and where their frames go."""

import logging

from peppy.daemon.health import Health
from peppy.daemon.registry import Registry
from peppy.daemon.session import CliSession, NodeSession, StandaloneSession
from peppy.daemon.standalone import free_id, opened_topic
from peppy.daemon.supervise import Supervisor
from peppy.daemon.topic_names import watched_topic
from peppy.daemon.topics import TopicBroker
from peppy.errors import PeppyError
from peppy.model.names import NAME_RULE, Reference, is_name
from peppy.model.text import quoted
from peppy.process.records import descends_from
from peppy.protocol.answers import Answer, Watched
from peppy.protocol.frame import ConnectionClosed, close_all
from peppy.protocol.frames import Frame, TopicWatch
from peppy.protocol.streams import StreamOpen

logger = logging.getLogger(__name__)


class NodeConnections:
    """Connects sessions of the roles `node` and `standalone` with supervision and topics."""

    def __init__(self, registry: Registry, supervisor: Supervisor, health: Health, broker: TopicBroker) -> None:
        self._registry = registry
        self._supervisor = supervisor
        self._health = health
        self._broker = broker
        self._programs: dict[str, StandaloneSession] = {}

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

    def standalone_id(self, wanted: str | None, pid: int, state: str | None) -> str:
        """The id of a standalone program: the one it wants, else one that is free. Raises PeppyError.

        Process `pid` may have an id that it has already when it comes back (`state`): the daemon has not noticed yet
        that its former connection has ended.
        """
        if wanted is None:
            return free_id(self._registry.taken_ids())
        if not is_name(wanted):
            raise PeppyError(f"{quoted(wanted)} is not an instance id: {NAME_RULE}", kind="BadName")
        program = self._registry.programs.get(wanted)
        if program is not None and program.pid == pid and state is not None:
            return wanted
        if (holder := self._registry.holder(wanted)) is not None:
            raise PeppyError(
                f"the id `{wanted}` is in use by {holder}",
                kind="DuplicateInstanceIdAcrossStack",
                hint="choose another id, or none, with `with_instance_id`",
            )
        return wanted

    def connected(self, session: NodeSession) -> None:
        """Raises ConnectionClosed when the process has ended meanwhile."""
        if session.state is None:
            self._broker.ended(session.instance_id)  # a former life of this process had the same id
        try:
            self._broker.connected(session)
        except ProcessLookupError:
            raise ConnectionClosed(f"process {session.pid} has ended") from None
        if isinstance(session, StandaloneSession):
            self._joined(session)
        else:
            self._health.connected(session)

    def _joined(self, session: StandaloneSession) -> None:
        instance_id = session.instance_id
        if (former := self._programs.get(instance_id)) is not None:
            former.close()
        self._programs[instance_id] = session
        self._registry.programs[instance_id] = session.program
        logger.info("the standalone program `%s` of `%s` is here (pid %d)", instance_id, session.reference, session.pid)

    def disconnected(self, session: NodeSession) -> None:
        """The connection has ended, not always the process: its streams stay while it lives."""
        if not isinstance(session, StandaloneSession):
            self._health.disconnected(session)
        elif self._programs.get(session.instance_id) is session:
            del self._programs[session.instance_id]
            del self._registry.programs[session.instance_id]
            logger.info("the standalone program `%s` has gone", session.instance_id)

    def heard(self, session: NodeSession, frame: Frame) -> None:
        """A node tells about its own life; that of a standalone program is nobody's business."""
        if not isinstance(session, StandaloneSession):
            self._health.heard(session, frame)

    def topic(self, session: NodeSession | CliSession, frame: Frame, fds: tuple[int, ...]) -> Answer | None:
        """A node tells about its streams and subscriptions, or a command line watches a topic."""
        if isinstance(frame, StreamOpen) and isinstance(session, StandaloneSession):
            return self._open(session, frame, fds)
        if not isinstance(frame, TopicWatch):
            return self._broker.handle(session, frame, fds)
        try:
            return self._watch(session, frame, fds)
        except BaseException:
            close_all(fds)
            raise

    def _open(self, session: StandaloneSession, frame: StreamOpen, fds: tuple[int, ...]) -> Answer | None:
        try:
            topic = opened_topic(frame)
        except PeppyError:
            close_all(fds)
            raise
        answer = self._broker.handle(session, frame, fds)
        session.program.topics[topic.name] = topic
        return answer

    def _watch(self, session: NodeSession | CliSession, frame: TopicWatch, fds: tuple[int, ...]) -> Watched:
        if session.instance_id in self._registry.taken_ids():
            raise PeppyError(
                f"an instance is called `{session.instance_id}`, as this command line is",
                kind="Refused",
                hint="try again",
            )
        topic = watched_topic(self._registry, frame.topic)
        try:
            is_open = self._broker.watch(session, frame.subscription_id, topic.instance_id, topic.key, fds)
        except ProcessLookupError:
            raise ConnectionClosed(f"process {session.pid} has ended") from None
        return Watched(topic.key, topic.instance_id, topic.live, is_open)
