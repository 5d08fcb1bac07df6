"""A control thread and its daemon, made by the test."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import loops
import pytest
from fake_daemon import FakeDaemon, start
from runtime_topics import PRODUCER

from peppy.loop import EventLoop
from peppy.runtime.config import Lifecycle, NodeInstance, RuntimeConfig
from peppy.runtime.control import ControlThread


@pytest.fixture(params=[EventLoop, asyncio.SelectorEventLoop], ids=["peppy", "asyncio"])
def kind_of_loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """A node's event loop, and one that a standalone program may have: both keep all promises."""
    monkeypatch.setattr(loops, "LOOP", request.param)
    return request.param


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeDaemon]:
    daemon = FakeDaemon(tmp_path)
    yield daemon
    daemon.close()


@pytest.fixture
def control_of(fake: FakeDaemon) -> Iterator[Callable[..., ControlThread]]:
    """Makes control threads that are connected to the fake daemon."""
    made: list[ControlThread] = []

    def make(shutdown: Callable[[], None] = lambda: None, grace: float = 180.0) -> ControlThread:
        instance = NodeInstance(PRODUCER)
        lifecycle = Lifecycle(daemon_grace_secs=grace)
        config = RuntimeConfig(1, str(fake.path), "cam", "v1", "core", instance, lifecycle=lifecycle)
        control = ControlThread(config, "0.1.0", shutdown)
        made.append(control)
        return control

    yield make
    for control in made:
        control.close()


@pytest.fixture
def control(control_of: Callable[..., ControlThread], fake: FakeDaemon) -> ControlThread:
    control = control_of()
    start(control, fake)
    return control
