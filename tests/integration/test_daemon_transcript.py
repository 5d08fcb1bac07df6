"""The way of one node through the stack, line by line, with both toolchains (docs/reference/cli.md)."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from living import LivingDaemon, eventually

TIME = r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\]"
STAMP = r"\d{8}_\d{6}_\d{3}"
NODE = "hello_world:0.1.0"
RUN_CMD = {"uv": "uv run hello_world", "pip": "./.venv/bin/python -m hello_world"}


def shape(*lines: str) -> str:
    return "\n".join(lines) + "\n"


class Terminal:
    """Runs peppy as a person does; gives what it prints on stdout."""

    def __init__(self, daemon: LivingDaemon, directory: Path) -> None:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**daemon.environment, "PATH": path}
        self.directory = directory

    def __call__(self, *words: str) -> str:
        done = subprocess.run(
            ["peppy", *words],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.mark.timeout(400)
@pytest.mark.parametrize("toolchain", ["uv", "pip"])
def test_a_node_from_init_to_remove(new_daemon: Callable[..., LivingDaemon], tmp_path: Path, toolchain: str):
    daemon = new_daemon().start()
    home = re.escape(str(daemon.home))
    peppy = Terminal(daemon, tmp_path)
    source = tmp_path / "hello_world"

    assert peppy("node", "init", "hello_world", "--toolchain", toolchain) == f"Created node hello_world at {source}\n"
    manifest = source / "peppy.json5"
    manifest.write_text(manifest.read_text().replace('tag: "v1"', 'tag: "0.1.0"'))
    peppy("node", "sync", "hello_world")

    added = shape(
        f"Adding node from {re.escape(str(source))}...",
        f"Log file: {home}/logs/add/hello_world_0\\.1\\.0_{STAMP}\\.log",
        f"Added node {NODE} to the node stack",
    )
    assert re.fullmatch(added, peppy("node", "add", "hello_world"))

    built = shape(
        f"Building node {NODE}\\.\\.\\.",
        f"Log file: {home}/logs/build/hello_world_0\\.1\\.0_{STAMP}\\.log",
        f"Built node {NODE}\\. Artifact: {home}/built_nodes/hello_world_0\\.1\\.0\\.tar\\.zst",
    )
    assert re.fullmatch(built, peppy("node", "build", NODE))

    started = shape(
        f"Running node {NODE}\\.\\.\\.",
        f"Log file: {home}/logs/run/(?P<id>[a-z]+-[a-z]+-\\d{{4}})\\.log",
        f"Started instance (?P=id) of {NODE} \\(pid: \\d+\\)",
    )
    match = re.fullmatch(started, peppy("node", "run", NODE))
    assert match is not None
    instance_id = match["id"]

    log = daemon.home / f"logs/run/{instance_id}.log"
    lines = eventually(lambda: (found := log.read_text().splitlines())[1:] and found, "the node's first line")
    directory = f"{home}/instances/{instance_id}"
    assert re.fullmatch(
        f"{TIME} Executing run_cmd: {re.escape(RUN_CMD[toolchain])} \\(working_dir: {directory}\\)", lines[0]
    )
    assert re.fullmatch(f"{TIME} \\[stdout\\] .+", lines[1])

    listed = peppy("stack", "list")
    assert listed.startswith("Node stack\n")
    core = daemon.ask_core_name()
    assert re.search(f"│ {core}:v[\\d.]+ +│ Root +│ default +│ 1 running +│ {home}/bin +│", listed)
    artifact = f"{home}/built_nodes/hello_world_0\\.1\\.0\\.tar\\.zst"
    assert re.search(f"│ {NODE} +│ Ready +│ default +│ 1 running +│ {artifact} +│", listed)
    assert listed.endswith("\nDependencies\n  (none)\n")

    details = peppy("node", "info", NODE)
    for line in (
        "Name:       hello_world",
        "Tag:        0.1.0",
        "Language:   Python",
        "Stage:      Ready",
        "Variant:    default",
        "Instances:  1 tracked",
        f"            - {instance_id} [running]",
        f"    - {instance_id}: {log}",
    ):
        assert f"{line}\n" in details
    assert re.search(r"Config SHA256: [0-9a-f]{64}\n", details)

    assert peppy("node", "stop", instance_id) == f"Stopped instance {instance_id}\n"
    assert re.fullmatch(f"{TIME} Exited with status 0", log.read_text().splitlines()[-1])
    assert peppy("node", "remove", NODE) == f"Removed node {NODE} from the node stack\n"
    assert NODE not in peppy("stack", "list")
