"""What a node does without a daemon: token, runtime config, builder, clock (docs/reference/node_api.md, 4 to 7)."""

import asyncio
import functools
import hashlib
import json
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import pytest

from peppy.errors import DaemonUnavailable, NodeStartupError, PeppyError
from peppy.model.parameters import Group, Leaf, Parameter
from peppy.model.types import Token
from peppy.runtime import NodeBuilder, Package, StandaloneConfig, guest
from peppy.runtime.clock import ProcessClock
from peppy.runtime.config import VARIABLE, read_config
from peppy.runtime.standalone import standalone_values
from peppy.runtime.token import CancellationToken

CONFIG: dict[str, Any] = {
    "version": 1,
    "socket": "/nowhere/daemon.sock",
    "node_name": "cam",
    "node_tag": "v1",
    "bound_core_node": "core",
    "node_instance": {"instance_id": "front", "slot_bindings": {"left": {"kind": "from_any_unbound"}}},
}

# --- token -------------------------------------------------------------------------------------------------------


def test_a_token_wakes_everybody_who_waits_on_any_loop():
    token, waiting = CancellationToken(), threading.Barrier(4)

    def wait_on_own_loop() -> None:
        async def wait() -> None:
            first = asyncio.create_task(token.cancelled())
            await asyncio.sleep(0)
            waiting.wait()
            await asyncio.wait_for(first, 60)

        asyncio.run(wait())

    threads = [threading.Thread(target=wait_on_own_loop) for _ in range(3)]
    for thread in threads:
        thread.start()
    waiting.wait()
    token.cancel()
    token.cancel()
    for thread in threads:
        thread.join(60)
    assert token.is_cancelled()
    assert not any(thread.is_alive() for thread in threads)


def test_a_cancelled_token_waits_for_nothing():
    token = CancellationToken()
    token.cancel()
    asyncio.run(asyncio.wait_for(token.cancelled(), 60))


def test_who_gives_up_waiting_is_forgotten():
    async def claim() -> None:
        token = CancellationToken()
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(token.cancelled(), 0.001)
        assert len(token._callbacks) == 0

    asyncio.run(claim())


def test_a_loop_that_has_ended_disturbs_no_cancel():
    token = CancellationToken()
    loop = asyncio.new_event_loop()
    task = loop.create_task(token.cancelled())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    token.cancel()
    assert token.is_cancelled()
    assert not task.done()
    task._log_destroy_pending = False


def test_a_signal_handler_may_cancel_at_any_moment():
    """With a lock this would hang as soon as the signal meets its own thread inside the token."""
    for _ in range(200):
        token = CancellationToken()

        def end(_number: int, _frame: FrameType | None, token: CancellationToken = token) -> None:
            token.cancel()

        async def wait(token: CancellationToken = token) -> None:
            signal.setitimer(signal.ITIMER_REAL, 0.0001)
            while not token.is_cancelled():
                waiting = asyncio.create_task(token.cancelled())
                await asyncio.sleep(0)
                waiting.cancel()
            await asyncio.wait_for(token.cancelled(), 60)

        before = signal.signal(signal.SIGALRM, end)
        try:
            asyncio.run(wait())
        finally:
            signal.signal(signal.SIGALRM, before)


# --- runtime config ----------------------------------------------------------------------------------------------


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    def put(content: bytes) -> None:
        (tmp_path / "config.json").write_bytes(content)
        monkeypatch.setenv(VARIABLE, str(tmp_path / "config.json"))

    return put


def test_a_config_is_read_with_its_defaults(write: Callable[[bytes], None]):
    write(json.dumps(CONFIG).encode())
    config = read_config()
    assert config is not None
    assert (config.node_instance.instance_id, config.topics.depth.standard) == ("front", 128)


def test_without_a_name_there_is_no_config(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert read_config() is None


def test_a_missing_file_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(VARIABLE, "/nowhere/config.json")
    with pytest.raises(NodeStartupError, match=r"`/nowhere/config\.json`: No such file"):
        read_config()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b'{"version": 1, "node_name": "\xff"}',
        b"[" * 100_000,
        b"null",
        b'{"version": 1}',
        json.dumps({**CONFIG, "surprise": 1}).encode(),
        json.dumps({**CONFIG, "version": "1"}).encode(),
        json.dumps({**CONFIG, "topics": {"depth": {"standard": 3}}}).encode(),
        json.dumps({**CONFIG, "topics": {"ring_bytes": -1}}).encode(),
        json.dumps({**CONFIG, "lifecycle": {"shutdown_grace_secs": -1}}).encode(),
        json.dumps({**CONFIG, "node_instance": {"instance_id": "a", "slot_bindings": {"x": {"kind": "?"}}}}).encode(),
    ],
)
def test_a_hostile_config_is_refused(write: Callable[[bytes], None], content: bytes):
    write(content)
    with pytest.raises(NodeStartupError, match="is not valid"):
        read_config()


def test_a_config_of_another_version_is_named_whatever_is_in_it(write: Callable[[bytes], None]):
    write(json.dumps({**CONFIG, "version": 2, "surprise": 1}).encode())
    with pytest.raises(NodeStartupError, match="has version `2`") as caught:
        read_config()
    assert caught.value.hint == "run `peppy node build --force cam:v1`"


# --- builder -----------------------------------------------------------------------------------------------------

MANIFEST = b"{}"


class Nothing:
    """Parameters of a node that has none."""

    @classmethod
    def from_dict(cls, _values: Any) -> "Nothing":
        return cls()

    def to_dict(self) -> dict[str, Any]:
        return {}


class Builder(NodeBuilder[Any]):
    package = Package(
        name="cam",
        tag="v1",
        fingerprint=hashlib.sha256(MANIFEST).hexdigest(),
        generator_version=1,
        conforms_to=(),
        slots=(),
        declared_parameters=Group(()),
        schema_hashes={},
        parameters=Nothing,
    )


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "peppy.json5").write_bytes(MANIFEST)
    return tmp_path / "peppy.json5"


def nothing(_params: Any, _runner: Any) -> None:
    """A setup."""


def test_a_standalone_program_that_may_start_no_daemon_names_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("PEPPY_HOME", str(tmp_path))
    monkeypatch.setenv("PEPPY_NO_AUTOSTART", "1")
    with pytest.raises(DaemonUnavailable) as caught:
        Builder().run(nothing)
    assert caught.value.hint == "run peppy service serve"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("config", [StandaloneConfig().with_instance_id("a/b"), StandaloneConfig().with_node_name("")])
def test_a_standalone_name_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, config: StandaloneConfig):
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(NodeStartupError, match="is no name"):
        Builder().standalone(config).run(nothing)


# --- parameters of a standalone program --------------------------------------------------------------------------

DECLARED = Group(
    (
        Parameter("rate", Leaf(Token.F64, 100.0)),
        Parameter("device", Leaf(Token.STRING)),
        Parameter("video", Group((Parameter("width", Leaf(Token.U16)), Parameter("height", Leaf(Token.U16, 480))))),
        Parameter("key", Leaf(Token.BYTES, "a")),
    )
)


def test_standalone_parameters_are_the_defaults_and_what_is_given():
    config = StandaloneConfig().with_parameters({"device": "/dev/video0", "video": {"width": 640}, "key": b"\0"})
    assert standalone_values(DECLARED, config) == {
        "rate": 100.0,
        "device": "/dev/video0",
        "video": {"width": 640, "height": 480},
        "key": b"\0",
    }


def test_missing_standalone_parameters_are_named_with_the_way_to_give_them():
    with pytest.raises(RuntimeError) as caught:
        standalone_values(DECLARED, StandaloneConfig())
    text = "missing required parameter(s) for standalone mode: device, video.width"
    assert str(caught.value) == f"{text}\nhint: give them with `StandaloneConfig().with_parameters()`"


def test_whatever_else_is_wrong_with_standalone_parameters_is_named_too():
    config = StandaloneConfig().with_parameters({"device": 3, "speed": 1})
    with pytest.raises(NodeStartupError) as caught:
        standalone_values(DECLARED, config)
    assert str(caught.value).startswith("missing required parameter(s) for standalone mode: video.width\n")
    wrong = ("speed: there is no such parameter", "device: `3` does not fit `string`")
    assert all(words in str(caught.value) for words in wrong)
    with pytest.raises(NodeStartupError, match="device: `3` does not fit"):
        standalone_values(DECLARED, config.with_parameters({"device": 3, "video": {"width": 1}}))


def joining(monkeypatch: pytest.MonkeyPatch, live: Callable[[Any], Any]) -> "asyncio.Task[Any]":
    """`join` of a node whose life is `live`."""
    life = SimpleNamespace(live_as_guest=live)
    monkeypatch.setattr(guest, "_life", lambda *_: (life, Path()))
    monkeypatch.setattr(guest, "_connect", lambda *_: None)
    return asyncio.ensure_future(guest.join(Path("cam"), StandaloneConfig()))


def test_a_guest_that_cannot_begin_to_live_says_why(monkeypatch: pytest.MonkeyPatch):
    async def claim() -> None:
        async def fail(_handed: Any) -> None:
            raise OSError("no room")

        async def end(_handed: Any) -> None:
            pass

        async with asyncio.timeout(10):
            with pytest.raises(OSError, match="no room"):
                await joining(monkeypatch, fail)
            with pytest.raises(NodeStartupError, match="`cam` has ended while it started"):
                await joining(monkeypatch, end)

    asyncio.run(claim())


def test_a_guest_that_nobody_waits_for_any_more_ends(monkeypatch: pytest.MonkeyPatch):
    async def claim() -> None:
        lives, ended = asyncio.Event(), asyncio.Event()

        async def live(handed: "asyncio.Future[Any]") -> None:
            lives.set()
            await asyncio.sleep(0)  # `join` waits for the runner by now
            handed.get_loop().call_soon(handed.set_result, None)
            handed.get_loop().call_soon(task.cancel)
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        async with asyncio.timeout(10):
            task = joining(monkeypatch, live)
            await lives.wait()
            await ended.wait()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(claim())


def test_run_needs_a_thread_without_a_running_loop():
    async def claim() -> None:
        Builder().run(nothing)

    with pytest.raises(RuntimeError, match="starts an event loop of its own"):
        asyncio.run(claim())


def test_a_changed_manifest_is_found(write: Callable[[bytes], None], manifest: Path):
    write(json.dumps(CONFIG).encode())
    manifest.write_bytes(b"{ }")
    with pytest.raises(NodeStartupError, match="fingerprint mismatch") as caught:
        Builder().run(nothing)
    assert caught.value.hint == "run `peppy node sync`"


def test_a_missing_manifest_is_named(write: Callable[[bytes], None], tmp_path: Path):
    write(json.dumps(CONFIG).encode())
    with pytest.raises(NodeStartupError, match="cannot read the manifest"):
        Builder().with_config_path(str(tmp_path / "other.json5")).run(nothing)


def test_undeclared_arguments_are_named(write: Callable[[bytes], None], manifest: Path):  # noqa: ARG001
    instance = {**CONFIG["node_instance"], "arguments": {"speed": 1}}
    write(json.dumps({**CONFIG, "node_instance": instance}).encode())
    with pytest.raises(NodeStartupError, match="speed"):
        Builder().run(nothing)


@pytest.mark.parametrize("setup", [None, lambda: None, lambda _one: None, lambda _one, _two, _three: None])
def test_a_setup_takes_two_arguments(write: Callable[[bytes], None], manifest: Path, setup: Any):  # noqa: ARG001
    write(json.dumps(CONFIG).encode())
    with pytest.raises(TypeError, match="takes two arguments"):
        Builder().run(setup)


@pytest.mark.parametrize("setup", [nothing, functools.partial(nothing), lambda *_all: None, lambda _p, _r, _x=1: None])
def test_without_a_daemon_a_node_does_not_start(
    write: Callable[[bytes], None],
    manifest: Path,  # noqa: ARG001
    setup: Any,
):
    write(json.dumps(CONFIG).encode())
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(DaemonUnavailable):
        Builder().run(setup)
    assert signal.getsignal(signal.SIGTERM) is before


def test_builders_and_configs_are_never_changed_in_place():
    builder, config = Builder(), StandaloneConfig()
    assert builder.with_config_path("x") is not builder.standalone(config) is not builder
    changed = config.with_instance_id("a").with_node_name("b").with_parameters({"c": 1})
    assert (changed.instance_id, changed.node_name, dict(changed.parameters)) == ("a", "b", {"c": 1})
    assert (config.instance_id, config.node_name, dict(config.parameters)) == (None, None, {})


# --- clock -------------------------------------------------------------------------------------------------------


class Simulated:
    """A runner of an instance with simulated time, or without."""

    def __init__(self, simulated: bool) -> None:
        self.simulated = simulated

    def uses_sim_time(self) -> bool:
        return self.simulated


def test_the_clock_is_ready_after_init():
    clock, runner = ProcessClock(), Simulated(False)
    with pytest.raises(RuntimeError, match="is not ready"):
        clock.now_ns()
    asyncio.run(clock.init(runner))  # type: ignore[arg-type]
    asyncio.run(clock.init(runner))  # type: ignore[arg-type]
    assert clock.now_ns() <= clock.now_ns()


def test_simulated_time_is_refused():
    with pytest.raises(PeppyError, match="not supported yet"):
        asyncio.run(ProcessClock().init(Simulated(True)))  # type: ignore[arg-type]
