"""Who may speak to the daemon, and as whom (docs/design/protocol.md, Roles)."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from living import LivingDaemon, eventually, make_node, make_python_node

from peppy.model.home import daemon_socket
from peppy.protocol import PROTOCOL_VERSION
from peppy.protocol.blocking import BlockingConnection, connect
from peppy.protocol.frame import ConnectionClosed
from peppy.protocol.frames import (
    Failed,
    Hello,
    Info,
    NodeStop,
    Ready,
    Refuse,
    Welcome,
)
from peppy.protocol.streams import StreamOpen
from peppy.ring import layout_hash

NODE = ("echoer", "0.1.0")


@contextmanager
def connection(daemon: LivingDaemon) -> Iterator[BlockingConnection]:
    made = BlockingConnection(connect(daemon_socket(daemon.home)))
    try:
        yield made
    finally:
        made.close()


def hello(role: str = "node", instance_id: str | None = "one", **changed: object) -> Hello:
    fields: dict[str, object] = {
        "protocol_version": PROTOCOL_VERSION,
        "library_version": "0.1.0",
        "layout_hash": layout_hash(),
        "role": role,
        "pid": os.getpid(),
        "name": NODE[0],
        "tag": NODE[1],
        "instance_id": instance_id,
    }
    return Hello(**{**fields, **changed})  # pyright: ignore[reportArgumentType]


def refusal(daemon: LivingDaemon, said: Hello) -> Refuse:
    with connection(daemon) as peer:
        peer.send(said)
        answer = peer.receive(60).frame
        assert isinstance(answer, Refuse)
        with pytest.raises(ConnectionClosed):
            peer.receive(60)
        return answer


def everything_from(peer: BlockingConnection) -> None:
    """Receives until the connection ends."""
    while True:
        peer.receive(60)


def test_another_protocol_version_is_refused(shared: LivingDaemon):
    answer = refusal(shared, hello("cli", protocol_version=PROTOCOL_VERSION + 1, library_version="9.9"))
    assert answer.kind == "VersionMismatch"
    assert f"`{PROTOCOL_VERSION + 1}`" in answer.message
    assert f"`{PROTOCOL_VERSION}`" in answer.message
    assert "peppy service stop" in (answer.hint or "")


def test_another_stream_layout_is_refused(shared: LivingDaemon):
    answer = refusal(shared, hello(layout_hash=1))
    assert answer.kind == "RuntimeIncompatible"
    assert "peppy node build --force echoer:0.1.0" in (answer.hint or "")


def test_there_are_three_roles(shared: LivingDaemon):
    assert refusal(shared, hello("robot")).kind == "ProtocolViolation"


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({"instance_id": "a/b"}, "BadName"),
        ({"instance_id": ""}, "BadName"),
        ({"name": "no name"}, "ProtocolViolation"),
        ({"conforms_to": ("image_source",)}, "ProtocolViolation"),
        ({"slots": (("left", "topic", "cam", "v1", False),)}, "ProtocolViolation"),
        ({"slots": (("", "node", "cam", "v1", False),)}, "ProtocolViolation"),
        ({"slots": (("left", "node", "cam", "", False),)}, "ProtocolViolation"),
        ({"slots": (("left", "node", "cam", "v1", False), ("left", "node", "mic", "v1", True))}, "ProtocolViolation"),
    ],
)
def test_a_standalone_program_that_makes_no_sense_is_refused(shared: LivingDaemon, said: dict[str, object], kind: str):
    assert refusal(shared, hello("standalone", **said)).kind == kind


@pytest.mark.parametrize("stream", [{"schema_hash": 9}, {"format": "[]"}, {"qos": 9}, {"topic": "a/b"}])
def test_a_stream_of_a_standalone_program_that_makes_no_sense_is_refused(
    shared: LivingDaemon, stream: dict[str, object]
):
    fields: dict[str, object] = {"stream_id": 7, "topic": "frames", "qos": 1, "schema_hash": 0, "generation": 1}
    with connection(shared) as peer, open(os.devnull, "rb") as null:
        peer.send(hello("standalone"))
        assert isinstance(peer.receive(60).frame, Welcome)
        peer.send(StreamOpen(**{**fields, **stream}), 1, (null.fileno(), null.fileno()))  # type: ignore[arg-type]
        answer = peer.receive(60).frame
        assert isinstance(answer, Failed)
        assert answer.kind == "ProtocolViolation"


def test_a_standalone_program_is_told_its_id_and_the_settings_of_nodes(shared: LivingDaemon):
    with connection(shared) as first, connection(shared) as second:
        for peer, instance_id in ((first, "standalone"), (second, "standalone-2")):
            peer.send(hello("standalone", instance_id=None))
            welcome = peer.receive(60).frame
            assert isinstance(welcome, Welcome)
            assert welcome.instance_id == instance_id
            assert welcome.settings is not None
            assert welcome.settings["topics"]["depth"] == {
                "sensor_data": 32,
                "standard": 128,
                "reliable": 128,
                "critical": 128,
            }


def test_a_standalone_program_that_comes_back_takes_its_id_over_and_nobody_else_does(shared: LivingDaemon):
    with connection(shared) as first, connection(shared) as second:
        first.send(hello("standalone", instance_id="s1"))
        assert isinstance(first.receive(60).frame, Welcome)
        assert "is in use by a standalone program" in refusal(shared, hello("standalone", instance_id="s1")).message
        second.send(hello("standalone", instance_id="s1", state="running"))
        assert isinstance(second.receive(60).frame, Welcome)
        with pytest.raises(ConnectionClosed):
            first.receive(60)


def test_an_instance_that_nobody_started_is_refused(shared: LivingDaemon):
    assert refusal(shared, hello()).kind == "UnknownInstanceId"
    assert "`one` is no live instance" in shared.log()


def test_a_process_that_does_not_descend_from_the_shim_is_refused(shared: LivingDaemon, tmp_path: Path):
    shared.run(shared.ready(make_node(tmp_path)), "one")
    answer = refusal(shared, hello())
    assert "does not belong to instance `one`" in answer.message


def test_an_instance_of_another_node_is_refused(shared: LivingDaemon, tmp_path: Path):
    shared.run(shared.ready(make_node(tmp_path)), "one")
    assert "is an instance of `echoer:0.1.0`" in refusal(shared, hello(name="other")).message


def test_a_node_without_name_is_refused(shared: LivingDaemon):
    assert refusal(shared, hello(name=None)).kind == "ProtocolViolation"


def test_the_command_line_may_not_speak_as_a_node(shared: LivingDaemon):
    with connection(shared) as peer:
        peer.send(hello("cli"))
        assert isinstance(peer.receive(60).frame, Welcome)
        peer.send(Ready())
        with pytest.raises(ConnectionClosed):
            peer.receive(60)


def test_a_request_before_hello_ends_the_connection(shared: LivingDaemon):
    with connection(shared) as peer:
        peer.send(Info(), 1)
        with pytest.raises(ConnectionClosed):
            peer.receive(60)


def test_a_second_hello_ends_the_connection(shared: LivingDaemon):
    with connection(shared) as peer:
        peer.send(hello("cli"))
        peer.receive(60)
        peer.send(hello("cli"))
        with pytest.raises(ConnectionClosed):
            peer.receive(60)


def test_a_request_id_in_use_ends_the_connection(shared: LivingDaemon, tmp_path: Path):
    shared.run(shared.ready(make_python_node(tmp_path)), "one")
    with connection(shared) as peer:
        peer.send(hello("cli"))
        peer.receive(60)
        peer.send(NodeStop(("one",)), 1)
        peer.send(NodeStop(("one",)), 1)
        with pytest.raises(ConnectionClosed):
            everything_from(peer)
    eventually(lambda: shared.instance_row("one").state == "finished", "the stop that went on")
