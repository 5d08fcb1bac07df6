"""One conversation with a daemon on a real socket (docs/reference/cli.md, Conventions)."""

import os
import select
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue

import msgspec
import pytest

from peppy.client import Client, client
from peppy.errors import DaemonUnavailable, PeppyError
from peppy.model.home import daemon_socket
from peppy.protocol import PROTOCOL_VERSION, blocking
from peppy.protocol.answers import Answer, Pruned, Reset, Stopped
from peppy.protocol.blocking import BlockingConnection
from peppy.protocol.frame import ConnectionClosed
from peppy.protocol.frames import (
    Cancel,
    Done,
    Failed,
    Hello,
    NodePrune,
    NodeStop,
    Output,
    Problem,
    Refuse,
    StackReset,
    Welcome,
)
from peppy.protocol.streams import Attachment, StreamGone

WELCOME = Welcome(PROTOCOL_VERSION, "0.1.0", 4120, "core-node-calm-hopper-1234", "epoch")
STOP = NodeStop(("cam",))
Script = Callable[[BlockingConnection], None]
Serve = Callable[[Script], Path]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Serve one connection by a script, in a thread; gives the data root."""
    threads: list[threading.Thread] = []
    listeners: list[socket.socket] = []

    def start(script: Script) -> Path:
        path = daemon_socket(tmp_path)
        path.parent.mkdir()
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()

        def main() -> None:
            connection = BlockingConnection(listener.accept()[0])
            try:
                script(connection)
                while True:
                    connection.receive(30)
            except ConnectionClosed:
                pass
            finally:
                connection.close()

        threads.append(threading.Thread(target=main))
        listeners.append(listener)
        threads[-1].start()
        return tmp_path

    yield start
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    for listener in listeners:
        listener.close()


def welcome(connection: BlockingConnection) -> Hello:
    hello = connection.receive(10).frame
    assert isinstance(hello, Hello)
    connection.send(WELCOME)
    return hello


def say_nothing(_: BlockingConnection) -> None:
    """Leave the hello unanswered."""


def done(answer: Answer) -> Done:
    return Done(msgspec.Raw(msgspec.msgpack.encode(answer)))


def open_client(home: Path) -> Client:
    return Client.connect(home, autostart=False, on_notice=print)


def test_a_client_says_hello_in_the_role_of_the_command_line(serve: Serve) -> None:
    hellos = SimpleQueue[Hello]()
    with open_client(serve(lambda connection: hellos.put(welcome(connection)))) as opened:
        assert opened.welcome == WELCOME
    hello = hellos.get(timeout=10)
    assert (hello.role, hello.pid, hello.protocol_version) == ("cli", os.getpid(), PROTOCOL_VERSION)


def test_a_call_gives_the_answer_of_its_request(serve: Serve) -> None:
    def script(connection: BlockingConnection) -> None:
        welcome(connection)
        connection.send(done(Stopped(())), connection.receive(10).request_id)
        connection.send(done(Reset(2, 3)), connection.receive(10).request_id)

    with open_client(serve(script)) as opened:
        assert opened.call(STOP, timeout=10) == Stopped(())
        assert opened.call(StackReset(), timeout=10) == Reset(2, 3)


def test_output_is_passed_on_in_order_before_the_answer(serve: Serve) -> None:
    def script(connection: BlockingConnection) -> None:
        welcome(connection)
        request_id = connection.receive(10).request_id
        for number in range(3):
            connection.send(Output("stdout", f"line {number}"), request_id)
        connection.send(done(Stopped(())), request_id)

    lines: list[str] = []
    with open_client(serve(script)) as opened:
        opened.call(STOP, timeout=10, on_output=lambda output: lines.append(output.text))
    assert lines == ["line 0", "line 1", "line 2"]


def test_a_failed_request_raises_the_daemons_error(serve: Serve) -> None:
    def script(connection: BlockingConnection) -> None:
        welcome(connection)
        problem = Problem("BadName", "`*` is no name", "peppy.json5", 3, 9, "manifest.name", "rename it")
        connection.send(Failed("BadName", "`*`", "rename it", (problem,)), connection.receive(10).request_id)

    with open_client(serve(script)) as opened, pytest.raises(PeppyError) as raised:
        opened.call(STOP, timeout=10)
    error = raised.value
    assert (error.kind, error.message, error.hint) == ("BadName", "`*`", "rename it")
    assert error.details[0].located() == "peppy.json5:3:9: manifest.name: `*` is no name"


def test_a_refused_hello_raises_its_kind_and_hint(serve: Serve) -> None:
    def script(connection: BlockingConnection) -> None:
        connection.receive(10)
        connection.send(Refuse("VersionMismatch", "0.1.0 and 0.2.0", "run peppy service stop"))

    with pytest.raises(PeppyError) as raised:
        open_client(serve(script))
    assert (raised.value.kind, raised.value.hint) == ("VersionMismatch", "run peppy service stop")


def test_a_daemon_of_another_protocol_is_refused(serve: Serve) -> None:
    def script(connection: BlockingConnection) -> None:
        connection.receive(10)
        connection.send(Welcome(PROTOCOL_VERSION + 1, "9.9.9", 1, "core", "epoch"))

    with pytest.raises(PeppyError, match=r"daemon 9\.9\.9 speaks protocol") as raised:
        open_client(serve(script))
    assert (raised.value.kind, raised.value.hint) == ("VersionMismatch", "run peppy service stop")


def test_a_request_that_is_not_answered_in_time_is_cancelled(serve: Serve) -> None:
    heard = SimpleQueue[object]()

    def script(connection: BlockingConnection) -> None:
        welcome(connection)
        request, cancel = connection.receive(10), connection.receive(10)
        heard.put((cancel.frame, cancel.request_id == request.request_id))

    with open_client(serve(script)) as opened:
        with pytest.raises(PeppyError, match=r"`NodeStop` within 0\.05 s") as raised:
            opened.call(STOP, timeout=0.05)
        assert raised.value.kind == "Timeout"
    assert heard.get(timeout=10) == (Cancel(), True)


def test_an_answer_that_comes_too_late_is_not_taken_for_the_next_one(serve: Serve) -> None:
    def script(connection: BlockingConnection) -> None:
        welcome(connection)
        first = connection.receive(10).request_id
        connection.receive(10)
        second = connection.receive(10).request_id
        connection.send(done(Stopped(())), first)
        connection.send(done(Reset(1, 1)), second)

    with open_client(serve(script)) as opened:
        with pytest.raises(PeppyError, match="NodeStop"):
            opened.call(STOP, timeout=0.05)
        assert opened.call(StackReset(), timeout=10) == Reset(1, 1)


def test_a_daemon_that_ends_during_a_call_is_unavailable(serve: Serve) -> None:
    def script(connection: BlockingConnection) -> None:
        welcome(connection)
        connection.receive(10)
        connection.close()

    with open_client(serve(script)) as opened, pytest.raises(DaemonUnavailable, match="`NodeStop`") as raised:
        opened.call(STOP, timeout=10)
    assert raised.value.kind == "DaemonUnreachable"


def test_an_answer_of_another_shape_is_a_version_mismatch(serve: Serve) -> None:
    def script(connection: BlockingConnection) -> None:
        welcome(connection)
        connection.send(done(Reset(1, 1)), connection.receive(10).request_id)

    with open_client(serve(script)) as opened, pytest.raises(PeppyError) as raised:
        opened.call(STOP, timeout=10)
    assert raised.value.kind == "VersionMismatch"


def test_without_a_daemon_the_error_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(DaemonUnavailable) as raised:
        open_client(tmp_path)
    assert (raised.value.message, raised.value.hint) == ("the peppy daemon is not running", "run peppy service serve")


def test_a_path_too_long_for_a_socket_is_named(tmp_path: Path) -> None:
    with pytest.raises(DaemonUnavailable, match="longer than 107 bytes"):
        open_client(tmp_path / ("x" * 120))


def test_a_daemon_that_does_not_answer_the_hello_is_unavailable(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "HELLO_SECS", 0.05)
    with pytest.raises(DaemonUnavailable, match=r"no answer within 0\.05 s"):
        open_client(serve(say_nothing))


def test_a_socket_of_another_user_is_not_spoken_to(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    home = serve(say_nothing)
    owner = os.geteuid()
    monkeypatch.setattr(blocking.os, "geteuid", lambda: owner + 1)
    with pytest.raises(DaemonUnavailable, match=f"belongs to the user with uid {owner}"):
        open_client(home)


def test_a_daemon_that_accepts_nobody_is_unavailable_and_not_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocking, "CONNECT_SECS", 0.05)
    path = daemon_socket(tmp_path)
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(str(path))
        listener.listen(0)
        first.connect(str(path))
        with pytest.raises(DaemonUnavailable, match="does not answer"):
            Client.connect(tmp_path, autostart=True, on_notice=print)


def test_a_stale_socket_is_no_daemon(tmp_path: Path) -> None:
    path = daemon_socket(tmp_path)
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    with pytest.raises(DaemonUnavailable, match="is not running"):
        open_client(tmp_path)


# --- Ctrl-C ---------------------------------------------------------------------------------------------------------


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_the_first_interrupt_cancels_and_waits_for_the_clean_up(serve: Serve) -> None:
    heard = SimpleQueue[object]()

    def script(connection: BlockingConnection) -> None:
        welcome(connection)
        request_id = connection.receive(10).request_id
        interrupt()
        cancel = connection.receive(10)
        heard.put((cancel.frame, cancel.request_id == request_id))
        connection.send(Output("stderr", "cleaning up"), request_id)
        connection.send(Failed("Aborted", "aborted by user"), request_id)

    lines: list[str] = []
    with open_client(serve(script)) as opened, pytest.raises(KeyboardInterrupt):
        opened.call(STOP, timeout=None, on_output=lambda output: lines.append(output.text))
    assert heard.get(timeout=10) == (Cancel(), True)
    assert lines == ["cleaning up"]
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


def test_the_second_interrupt_leaves_at_once(serve: Serve) -> None:
    def script(connection: BlockingConnection) -> None:
        welcome(connection)
        connection.receive(10)
        interrupt()
        connection.receive(10)
        interrupt()

    with open_client(serve(script)) as opened, pytest.raises(KeyboardInterrupt):
        opened.call(STOP, timeout=None)


def test_a_clean_up_that_does_not_end_is_left(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "CANCEL_SECS", 0.05)

    def script(connection: BlockingConnection) -> None:
        welcome(connection)
        connection.receive(10)
        interrupt()
        connection.receive(10)

    with open_client(serve(script)) as opened, pytest.raises(KeyboardInterrupt):
        opened.call(STOP, timeout=None)


def test_a_call_outside_the_main_thread_leaves_signals_alone(serve: Serve) -> None:
    def script(connection: BlockingConnection) -> None:
        welcome(connection)
        connection.send(done(Stopped(())), connection.receive(10).request_id)

    answers = SimpleQueue[object]()
    with open_client(serve(script)) as opened:
        thread = threading.Thread(target=lambda: answers.put(opened.call(STOP, timeout=10)))
        thread.start()
        thread.join(30)
    assert answers.get(timeout=10) == Stopped(())


# --- notices about watched topics ----------------------------------------------------------------------------------


def test_notices_are_kept_while_a_call_waits_and_come_in_order(serve: Serve) -> None:
    def daemon(connection: BlockingConnection) -> None:
        welcome(connection)
        received = connection.receive(10)
        connection.send(StreamGone(1, 5))
        connection.send(done(Pruned(())), received.request_id)
        connection.send(StreamGone(2, 6))
        connection.receive(10)

    with open_client(serve(daemon)) as opened:
        assert opened.call(NodePrune(None), timeout=10) == Pruned(())
        found: list[object] = []
        while len(found) < 2:
            if (received := opened.notice()) is not None:
                found.append(received.frame)
            else:
                select.select([opened], [], [], 10)
        assert found == [StreamGone(1, 5), StreamGone(2, 6)]


def test_descriptors_of_notices_that_nobody_took_are_closed(serve: Serve) -> None:
    attachment = Attachment(1, 5, "front", 1, (0, 0, 0, 0, 0, 0))
    ends = os.pipe()

    def daemon(connection: BlockingConnection) -> None:
        welcome(connection)
        received = connection.receive(10)
        connection.send(attachment, 0, (ends[1], ends[1]))
        os.close(ends[1])
        connection.send(done(Pruned(())), received.request_id)

    with open_client(serve(daemon)) as opened:
        opened.call(NodePrune(None), timeout=10)
    assert os.read(ends[0], 1) == b""
    os.close(ends[0])


def test_a_daemon_that_is_gone_is_an_error_of_who_waits_for_notices(serve: Serve) -> None:
    def daemon(connection: BlockingConnection) -> None:
        welcome(connection)
        connection.close()

    with open_client(serve(daemon)) as opened:
        select.select([opened], [], [], 10)
        with pytest.raises(DaemonUnavailable) as raised:
            opened.notice()
    assert raised.value.kind == "DaemonUnreachable"
