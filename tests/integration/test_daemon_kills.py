"""A daemon that is killed again and again (docs/reference/daemon.md, State and recovery)."""

import os
import random
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from living import LivingDaemon, eventually, is_alive, make_node, make_python_node, processes_of

from peppy.errors import PeppyError
from peppy.protocol.frames import NodeRemove, NodeStop, TopicList

NODE = "echoer:0.1.0"
KILLS = 200 if os.environ.get("PEPPY_TORTURE") == "full" else 3
TOPIC = {"topics": {"emits": [{"name": "beat"}]}}
PUBLISHER = """
import asyncio
import pathlib
from peppygen.emitted_topics import beat

async def pump(runner):
    publisher = beat.declare_publisher(runner)
    runner.on_shutdown(lambda: print("published", publisher.stats().published, flush=True))
    while not pathlib.Path("GO").exists():
        await asyncio.sleep(0.01)
    while True:
        publisher.publish()
        await asyncio.sleep(0.002)

async def setup(params, runner):
    return [asyncio.create_task(pump(runner))]
"""
SUBSCRIBER = """
import asyncio
from peppygen.consumed_topics import source_beat

async def pump(runner):
    subscription = source_beat.subscribe(runner)
    runner.on_shutdown(lambda: print("received", subscription.stats().received, flush=True))
    async for _ in subscription:
        pass

async def setup(params, runner):
    return [asyncio.create_task(pump(runner))]
"""


def number(daemon: LivingDaemon, instance_id: str, word: str) -> int:
    """The number that a node printed behind a word."""
    log = (daemon.home / f"logs/run/{instance_id}.log").read_text()
    found = re.search(rf"\[stdout\] {word} (\d+)", log)
    assert found is not None, log
    return int(found[1])


@pytest.mark.torture
def test_topics_flow_on_while_the_daemon_is_killed_and_comes_back(daemon: LivingDaemon, tmp_path: Path):
    depends = {"nodes": [{"name": "source", "tag": "0.1.0", "link_id": "source"}]}
    consumes = {"topics": {"consumes": [{"link_id": "source", "name": "beat"}]}}
    body = PUBLISHER.replace("GO", str(tmp_path / "go"))
    source = daemon.ready(make_python_node(tmp_path, "source", body=body, interfaces=TOPIC))
    sink = daemon.ready(make_python_node(tmp_path, "sink", body=SUBSCRIBER, depends_on=depends, interfaces=consumes))
    daemon.run(source, "source")
    pid = daemon.run(sink, "sink", bindings=[("source", "source")]).pid
    (tmp_path / "go").touch()
    eventually(lambda: daemon.ask(TopicList()).topics[0].subscribers == 1, "the attachment")
    for _ in range(KILLS):
        daemon.kill()
        daemon.start()
        eventually(lambda: daemon.instance_row("source").healthy and daemon.instance_row("sink").healthy, "the return")
    assert daemon.instance_row("sink").pid == pid
    daemon.ask(NodeStop(("source",)))
    daemon.ask(NodeStop(("sink",)))
    published, received = number(daemon, "source", "published"), number(daemon, "sink", "received")
    assert published == received


@pytest.mark.torture
@pytest.mark.parametrize("verb", ["add", "build", "run", "stop", "remove"])
def test_a_verb_can_be_repeated_after_a_kill(daemon: LivingDaemon, tmp_path: Path, verb: str):
    source = make_node(tmp_path, build_cmd=["sh", "-c", "date +%N > stamp"])
    verbs: dict[str, Callable[[], object]] = {
        "add": lambda: daemon.add(source, force=True),
        "build": lambda: daemon.build(NODE, force=True),
        "run": lambda: daemon.run(NODE, "one"),
        "stop": lambda: daemon.ask(NodeStop(("one",))),
        "remove": lambda: daemon.ask(NodeRemove(NODE, True, True)),
    }
    moments = random.Random(verb)
    for _ in range(KILLS):
        prepare(daemon, source, verb)
        thread = threading.Thread(target=lambda: with_errors_ignored(verbs[verb]))
        thread.start()
        time.sleep(moments.random() * 0.3)
        daemon.kill()
        thread.join()
        daemon.start()
        settle(daemon)
        prepare(daemon, source, verb)
        verbs[verb]()
    assert "Traceback" not in daemon.log()


def with_errors_ignored(ask: Callable[[], object]) -> None:
    with suppress(PeppyError):
        ask()


def prepare(daemon: LivingDaemon, source: Path, verb: str) -> None:
    """Brings the stack to where the verb makes sense."""
    if verb == "add":
        return
    if daemon.node_row(NODE) is None:
        daemon.add(source)
    if verb != "build" and daemon.node_row(NODE).stage != "Ready":
        daemon.build(NODE)
    row = daemon.instance_row("one")
    runs = row is not None and row.state == "running"
    if verb == "stop" and not runs:
        daemon.run(NODE, "one")
    if verb == "run" and runs:
        daemon.ask(NodeStop(("one",)))


def settle(daemon: LivingDaemon) -> None:
    """Waits until what was begun has ended; what is said to live lives, and nothing else does."""
    assert daemon.process is not None
    pid = daemon.process.pid
    node = eventually(lambda: settled(daemon), "the end of what was begun")
    live = [row for row in node.instances if row.state == "running"] if node != "gone" else []
    assert all(is_alive(row.pid) for row in live)
    own = {pid, *(row.pid for row in live)}
    eventually(lambda: len(set(processes_of(daemon.home)) - own) == len(live), "one shim for each instance")
    if node != "gone" and node.stage == "Ready":
        assert Path(node.artifact_path).is_file()


def settled(daemon: LivingDaemon) -> object:
    row = daemon.node_row(NODE)
    if row is None:
        return "gone"
    return row if all(found.state in ("running", "finished", "failed") for found in row.instances) else None
