"""A disk that is full (docs/reference/daemon.md, Data root)."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from living import LivingDaemon, make_node, processes_of

from peppy.client import Client
from peppy.protocol.frames import NodeAdd, NodeBuild

NODE = "echoer:0.1.0"
MIB = 1 << 20


class SmallDaemon(LivingDaemon):
    """A daemon whose data root is a small file system in a mount namespace of its own."""

    def __init__(self, home: Path, size: int) -> None:
        super().__init__(home)
        self.inside = home
        self.size = size

    def start(self, *arguments: str) -> "SmallDaemon":
        import subprocess

        mount = f'mount -t tmpfs -o size={self.size} tmpfs "{self.inside}"'
        script = f'{mount} && exec "{sys.executable}" -m peppy.daemon {" ".join(arguments)}'
        self.process = subprocess.Popen(
            ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"
        self.home = Path(f"/proc/{self.process.pid}/root{self.inside}")
        return self

    def client(self) -> Client:
        link = self.inside.with_name("way")  # a shorter path to the socket than the one through /proc
        if not link.is_symlink():
            link.symlink_to(self.home)
        return Client.connect(link, autostart=False, on_notice=print)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Callable[[int], SmallDaemon]]:
    made: list[SmallDaemon] = []

    def make(size: int) -> SmallDaemon:
        home = tmp_path / "home"
        home.mkdir()
        made.append(SmallDaemon(home, size).start())
        return made[-1]

    yield make
    for daemon in made:
        daemon.end()
        assert processes_of(daemon.inside) == []


def build(force: bool = False) -> NodeBuild:
    return NodeBuild(NODE, force, False, {"PATH": os.environ["PATH"]}, 60.0)


def test_a_build_that_fills_the_disk_keeps_the_old_artifact(small: Callable[[int], SmallDaemon], tmp_path: Path):
    daemon = small(24 * MIB)
    script = "[ -e once ] && head -c 9000000 /dev/urandom > big; touch once"
    daemon.add(make_node(tmp_path, build_cmd=["sh", "-c", f"{script}; true"]))
    daemon.build(NODE)
    error = daemon.refusal(build(force=True))
    assert "No space left on device" in error.message
    assert str(daemon.inside) in error.message
    row = daemon.node_row(NODE)
    assert row.stage == "Ready"
    assert daemon.run(NODE, "one").instance_id == "one"


def test_a_full_disk_adds_nothing(small: Callable[[int], SmallDaemon], tmp_path: Path):
    daemon = small(8 * MIB)
    source = make_node(tmp_path)
    (source / "big").write_bytes(bytes(4 * MIB))
    error = daemon.refusal(NodeAdd(str(source), None, False, False, 60.0))
    assert error.kind == "Refused"
    assert "bytes free" in error.message
    assert daemon.node_row(NODE) is None
    assert list((daemon.home / "staging").iterdir()) == []


def test_a_state_that_cannot_be_written_names_its_path(small: Callable[[int], SmallDaemon], tmp_path: Path):
    daemon = small(8 * MIB)
    with (daemon.home / "fill").open("wb") as file:
        while True:
            try:
                os.write(file.fileno(), bytes(4096))
            except OSError:
                break
    error = daemon.refusal(NodeAdd(str(make_node(tmp_path)), None, False, False, 60.0))
    assert str(daemon.inside) in error.message
    (daemon.home / "fill").unlink()
    assert daemon.add(make_node(tmp_path)).node == NODE
