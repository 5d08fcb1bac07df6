"""A first node from `node init` to `node remove`, line by line as a person sees it, with both toolchains."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

STAMP = r"\d{8}_\d{6}_\d{3}"
TIME = r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\]"
INSTANCE = r"[a-z]+-[a-z]+-\d{4}"
RULE = "─"

MAIN = """
import asyncio

from peppygen import NodeBuilder, NodeRunner
from peppygen.emitted_topics import message_stream
from peppygen.parameters import Parameters


async def count(runner: NodeRunner) -> None:
    number = 0
    while True:
        number += 1
        print(f"hello world count {number}")
        await message_stream.emit(runner, f"hello {number}")
        await asyncio.sleep(0.05)


async def setup(_params: Parameters, runner: NodeRunner) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(count(runner))]


def main() -> None:
    NodeBuilder().run(setup)


if __name__ == "__main__":
    main()
"""


class Person:
    """Types commands in a home directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.home = directory / "home"
        self.work = directory / "work"
        self.home.mkdir()
        self.work.mkdir()
        cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
        self._environment = {
            **{name: value for name, value in os.environ.items() if name not in ("PEPPY_HOME", "VIRTUAL_ENV")},
            "HOME": str(self.home),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "UV_CACHE_DIR": str(cache / "uv"),
            "PIP_CACHE_DIR": str(cache / "pip"),
        }

    def types(self, command: str) -> str:
        """The command's standard output; it must succeed."""
        done = subprocess.run(
            ["sh", "-c", command], cwd=self.work, env=self._environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    person = Person(tmp_path)
    yield person
    person.types("peppy service stop")


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("toolchain", "build", "run"),
    [
        ("uv", "uv sync", "uv run hello_world"),
        (
            "pip",
            "sh -c 'python3 -m venv .venv && ./.venv/bin/python -m pip install ./.peppy/libs/peppygen .'",
            "./.venv/bin/python -m hello_world",
        ),
    ],
)
def test_a_first_node_reads_as_the_guide_shows_it(person: Person, toolchain: str, build: str, run: str) -> None:
    types = person.types
    assert types(f"peppy node init hello_world --toolchain {toolchain}").startswith("Created node hello_world at ")
    manifest = person.work / "hello_world" / "peppy.json5"
    text = manifest.read_text()
    assert '"v1"' in text
    manifest.write_text(
        re.sub(
            r"interfaces: \{[^}]*\}",
            'interfaces: { topics: { emits: [{ name: "message_stream", qos_profile: "sensor_data", '
            'message_format: { message: "string" } }] } }',
            text.replace('"v1"', '"0.1.0"', 1),
            count=1,
        )
    )
    (person.work / "hello_world" / "src" / "hello_world" / "__main__.py").write_text(MAIN)

    matches(
        types("cd hello_world && peppy node add ."),
        r"Adding node from .*/hello_world\.\.\.",
        rf"Log file: ~/\.peppy/logs/add/hello_world_0\.1\.0_{STAMP}\.log",
        r"Added node hello_world:0\.1\.0 to the node stack",
    )
    matches(
        types("peppy node build hello_world:0.1.0"),
        r"Building node hello_world:0\.1\.0\.\.\.",
        rf"Log file: ~/\.peppy/logs/build/hello_world_0\.1\.0_{STAMP}\.log",
        r"Built node hello_world:0\.1\.0\. Artifact: ~/\.peppy/built_nodes/hello_world_0\.1\.0\.tar\.zst",
    )
    started = [
        matches(
            types("peppy node run hello_world:0.1.0"),
            r"Running node hello_world:0\.1\.0\.\.\.",
            rf"Log file: ~/\.peppy/logs/run/{INSTANCE}\.log",
            rf"Started instance ({INSTANCE}) of hello_world:0\.1\.0 \(pid: \d+\)",
        )
        for _ in range(2)
    ]
    first, second = started

    log = person.home / ".peppy" / "logs" / "run" / f"{first}.log"
    lines = wait_for_lines(log, 3)
    instances = person.home / ".peppy" / "instances"
    assert re.fullmatch(
        rf"{TIME} Executing run_cmd: {re.escape(run)} \(working_dir: {re.escape(str(instances / first))}\)", lines[0]
    )
    assert [re.sub(TIME, "", line) for line in lines[1:3]] == [
        " [stdout] hello world count 1",
        " [stdout] hello world count 2",
    ]

    home = re.escape(str(person.home))
    built = rf"{home}/\.peppy/built_nodes/hello_world_0\.1\.0\.tar\.zst"
    core = rf"core-node-{INSTANCE}:v\d+\.\d+\.\d+"
    matches(
        types("peppy stack list"),
        "Node stack",
        rf"┌{RULE}+┬{RULE}+┬{RULE}+┬{RULE}+┬{RULE}+┐",
        r"│ NODE +│ STAGE +│ VARIANT +│ INSTANCES +│ PATH +│",
        rf"├{RULE}+┼{RULE}+┼{RULE}+┼{RULE}+┼{RULE}+┤",
        rf"│ {core} │ Root  │ default │ 1 running │ {home}/\.peppy/bin +│",
        rf"│ hello_world:0\.1\.0 +│ Ready │ default │ 2 running │ {built} +│",
        rf"└{RULE}+┴{RULE}+┴{RULE}+┴{RULE}+┴{RULE}+┘",
        "",
        "Dependencies",
        r"  \(none\)",
    )
    ordered = sorted(started)
    matches(
        types("peppy node info hello_world:0.1.0"),
        "Node Information",
        "=" * 50,
        r"Name:       hello_world",
        r"Tag:        0\.1\.0",
        r"Language:   Python",
        rf"Build cmd:  {re.escape(build)}",
        rf"Run cmd:    {re.escape(run)}",
        "",
        "Node Stack Status",
        "-" * 50,
        "Stage:      Ready",
        "Variant:    default",
        "Instances:  2 tracked",
        rf"            - ({first}|{second}) \[running\]",
        rf"            - ({first}|{second}) \[running\]",
        "",
        "Logs",
        "-" * 50,
        r"hello_world:0\.1\.0",
        rf"  Add log: {home}/\.peppy/logs/add/hello_world_0\.1\.0_{STAMP}\.log",
        "  Run logs:",
        rf"    - ({ordered[0]}|{ordered[1]}): {home}/\.peppy/logs/run/{INSTANCE}\.log",
        rf"    - ({ordered[0]}|{ordered[1]}): {home}/\.peppy/logs/run/{INSTANCE}\.log",
        "",
        "Exposed Interfaces",
        "-" * 50,
        "Emitted Topics:",
        r"  - message_stream \(qos: SensorData\)",
        "",
        "Integrity",
        "-" * 50,
        r"Config SHA256: [0-9a-f]{64}",
    )
    matches(types(f"peppy node stop {first}"), rf"Stopped instance {first}")
    matches(types(f"peppy node stop {second}"), rf"Stopped instance {second}")
    matches(types("peppy node remove hello_world:0.1.0"), r"Removed node hello_world:0\.1\.0 from the node stack")
    assert "hello_world" not in types("peppy stack list")
    assert wait_for_lines(log, 4)[-1].endswith("] Exited with status 0")


def matches(output: str, *patterns: str) -> str:
    """Each line matches its pattern; the first group found in the last line, if any."""
    lines = output.splitlines()
    for line, pattern in zip(lines, patterns, strict=False):
        assert re.fullmatch(pattern, line), f"{line!r} is not like {pattern!r}"
    assert len(lines) == len(patterns), output
    found = re.fullmatch(patterns[-1], lines[-1])
    return found[1] if found and found.re.groups else ""


def wait_for_lines(log: Path, count: int) -> list[str]:
    """The log once it has so many lines; a watchdog of a minute."""
    end = time.monotonic() + 60
    while len(lines := log.read_text().splitlines()) < count:
        assert time.monotonic() < end, lines
        time.sleep(0.02)
    return lines
