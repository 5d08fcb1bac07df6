"""The control thread against a daemon made by the test (docs/design/protocol.md; docs/reference/daemon.md, 4.1)."""

import os
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

import msgspec
import pytest
from fake_daemon import LIMIT, WELCOME, FakeDaemon, heard, start
from runtime_topics import PRODUCER, Bench, on_loop, put

from peppy.errors import DaemonUnavailable, NodeStartupError, PeppyError
from peppy.protocol.answers import ProbeAnswer, Subscribed
from peppy.protocol.blocking import BlockingConnection
from peppy.protocol.frames import (
    Cancel,
    Done,
    Ending,
    Failed,
    Healthy,
    Info,
    NodeStop,
    Probe,
    Ready,
    Refuse,
    Shutdown,
)
from peppy.protocol.streams import (
    Attach,
    Attachment,
    AttachmentRefused,
    DoorbellGone,
    StreamGone,
    StreamOpen,
    Subscribe,
    Unsubscribe,
)
from peppy.runtime.control import ControlThread


def refusal(peer: BlockingConnection) -> str:
    """The kind of the next refusal."""
    failure = heard(peer, Failed).frame
    assert isinstance(failure, Failed)
    return failure.kind


# --- connecting --------------------------------------------------------------------------------------------------


def test_a_refusal_at_the_start_is_a_startup_error(control_of: Callable[..., ControlThread], fake: FakeDaemon):
    with pytest.raises(NodeStartupError, match="protocol 1 and 2") as caught:
        start(control_of(), fake, Refuse("VersionMismatch", "protocol 1 and 2", "run `peppy service stop`"))
    assert (caught.value.kind, caught.value.hint) == ("VersionMismatch", "run `peppy service stop`")


def test_nonsense_instead_of_a_welcome_is_no_daemon(control_of: Callable[..., ControlThread], fake: FakeDaemon):
    with pytest.raises(DaemonUnavailable, match="answered hello with `Shutdown`"):
        start(control_of(), fake, Shutdown("x", 1.0))


def test_a_node_reports_its_life(control: ControlThread, fake: FakeDaemon):
    peer = fake.peers[0]
    control.report_ready()
    control.report_healthy()
    control.report_ending("ValueError: no")
    assert [type(peer.receive(LIMIT).frame) for _ in range(2)] == [Ready, Healthy]
    assert peer.receive(LIMIT).frame == Ending("ValueError: no")


def test_a_report_that_got_lost_with_the_connection_is_made_again(control: ControlThread, fake: FakeDaemon):
    fake.peers[0].close()
    control.report_healthy()
    heard(fake.accept(), Healthy)


def test_refusals_are_told_once_and_end_the_node_after_the_grace(
    control_of: Callable[..., ControlThread], fake: FakeDaemon, capfd: pytest.CaptureFixture[str]
):
    ended = threading.Event()
    control = control_of(ended.set, grace=0.5)
    start(control, fake).close()
    refusing = threading.Thread(target=lambda: [fake.accept(Refuse("UnknownInstanceId", "who?")) for _ in range(3)])
    refusing.start()
    assert ended.wait(LIMIT)
    refusing.join()
    assert capfd.readouterr().err.count("the daemon refuses this node: who?") == 1


def test_the_end_waits_for_no_hello(control: ControlThread, fake: FakeDaemon):
    """A daemon that accepts and says nothing holds up no shutdown."""
    fake.peers[0].close()
    connected, _ = fake._listener.accept()
    began = monotonic()
    control.close()
    assert monotonic() - began < 5.0
    connected.close()


# --- serving -----------------------------------------------------------------------------------------------------


def test_a_probe_is_answered_with_the_age_of_the_loop(control: ControlThread, fake: FakeDaemon):
    control.loop_ran_at = monotonic() - 5
    fake.peers[0].send(Probe(), 9)
    answer = heard(fake.peers[0], Done)
    assert isinstance(answer.frame, Done)
    assert answer.request_id == 9
    assert msgspec.msgpack.decode(answer.frame.result, type=ProbeAnswer).loop_age_ms >= 5000


def test_a_request_that_nobody_knows_is_refused_and_a_notice_passed_over(control: ControlThread, fake: FakeDaemon):
    peer = fake.peers[0]
    peer.send(WELCOME)
    peer.send(Cancel(), 3)
    peer.send(NodeStop(("a",)), 4)
    assert [heard(peer, Failed).request_id for _ in range(2)] == [3, 4]
    peer.send(Info(), 5)
    assert heard(peer, Failed).request_id == 5
    assert control._thread.is_alive()


def test_whatever_one_frame_does_the_thread_serves_the_next(
    control: ControlThread, fake: FakeDaemon, capfd: pytest.CaptureFixture[str]
):
    class Broken:
        def refused(self, *_all: Any) -> None:
            raise ZeroDivisionError

        def stream_gone(self, _stream_id: int) -> None:
            raise ZeroDivisionError

    control.streams._subscriptions[1] = Broken()  # type: ignore[assignment]
    fake.peers[0].send(StreamGone(1, 2))
    fake.peers[0].send(AttachmentRefused(1, 2, "t1", "Refused", "no"))
    fake.peers[0].send(Probe(), 9)
    heard(fake.peers[0], Done)
    control.streams._subscriptions.clear()
    assert capfd.readouterr().err.count("of the daemon cannot be served") == 2


def test_a_shutdown_request_reaches_the_node(control_of: Callable[..., ControlThread], fake: FakeDaemon):
    ended = threading.Event()
    start(control_of(ended.set), fake).send(Shutdown("stop", 5.0))
    assert ended.wait(LIMIT)


# --- streams and subscriptions -----------------------------------------------------------------------------------


def doorbell() -> int:
    return os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)


def test_an_attach_for_a_closed_stream_is_not_found(control: ControlThread, fake: FakeDaemon):
    bell = doorbell()
    fake.peers[0].send(Attach(99, 1, 0), 4, (bell,))
    os.close(bell)
    assert refusal(fake.peers[0]) == "NotFound"
    assert list(control.streams._doorbells) == [1]
    fake.peers[0].send(DoorbellGone(1))
    fake.peers[0].send(Probe(), 9)
    heard(fake.peers[0], Done)
    assert control.streams._doorbells == {}


def test_an_attach_whose_doorbell_got_lost_asks_for_it_again(control: ControlThread, fake: FakeDaemon):
    async def claim(bench: Bench) -> None:
        writer, bell = bench.writer(), doorbell()
        put(writer, 1)
        fake.peers[0].send(Attach(writer.stream_id, 1, 0), 4)
        assert refusal(fake.peers[0]) == "NoDescriptors"
        fake.peers[0].send(Attach(writer.stream_id, 1, 7), 5, (bell,))
        assert refusal(fake.peers[0]) == "Refused"  # there is no history 7
        fake.peers[0].send(Attach(writer.stream_id, 1, 0), 6)
        assert heard(fake.peers[0], Done).request_id == 6
        os.close(bell)

    on_loop(claim, control=control.streams)


@pytest.mark.usefixtures("control")
def test_an_attachment_for_a_closed_subscription_ends_it_again(fake: FakeDaemon):
    pair = doorbell(), doorbell()
    fake.peers[0].send(Attachment(5, 6, PRODUCER, 1, (1, 2, 1, 0, 1, 1)), 0, pair)
    for fd in pair:
        os.close(fd)
    assert heard(fake.peers[0], Unsubscribe).frame == Unsubscribe(5)


def test_what_is_registered_is_registered_again_and_what_was_closed_is_not(control: ControlThread, fake: FakeDaemon):
    async def claim(bench: Bench) -> None:
        kept, closed = bench.writer(), bench.writer()
        for writer in (kept, closed):
            put(writer, 1)
        subscription, gone = bench.subscribe(), bench.subscribe()
        fake.peers[0].close()
        closed.close()
        gone.close()
        peer = fake.accept()
        streams, subscriptions = heard(peer, StreamOpen), heard(peer, Subscribe)
        assert isinstance(streams.frame, StreamOpen)
        assert isinstance(subscriptions.frame, Subscribe)
        assert streams.frame.stream_id == kept.stream_id
        assert subscriptions.frame.subscription_id == subscription.subscription_id
        peer.send(Done(msgspec.Raw(msgspec.msgpack.encode(Subscribed(0)))), subscriptions.request_id)
        assert await subscription is subscription
        peer.send(Probe(), 9)
        heard(peer, Done)
        with pytest.raises(TimeoutError):
            peer.receive(0)

    on_loop(claim, control=control.streams)


def test_a_row_whose_reader_never_heard_of_it_is_free_after_a_reconnect(control: ControlThread, fake: FakeDaemon):
    async def claim(bench: Bench) -> None:
        writer, bell = bench.writer(), doorbell()
        put(writer, 1)
        fake.peers[0].send(Attach(writer.stream_id, 1, 0), 4, (bell,))
        heard(fake.peers[0], Done)
        fake.peers[0].close()
        heard(fake.accept(), StreamOpen)
        rows = {writer.reserve_row(bell, 0).row for _ in range(64)}
        assert len(rows) == 64
        os.close(bell)

    on_loop(claim, control=control.streams)


def test_a_refused_registration_fails_the_reads(control: ControlThread, fake: FakeDaemon):
    async def claim(bench: Bench) -> None:
        subscription = bench.subscribe()
        request = heard(fake.peers[0], Subscribe)
        fake.peers[0].send(Failed("Refused", "no"), request.request_id)
        with pytest.raises(PeppyError, match="no"):
            await subscription.next()

    on_loop(claim, control=control.streams)


def test_a_closed_connection_is_not_the_end(control: ControlThread, fake: FakeDaemon):
    fake.peers[0].close()
    again = fake.accept()
    again.send(Probe(), 1)
    heard(again, Done)
    assert control._thread.is_alive()
