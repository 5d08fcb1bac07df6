"""`make demo`: a camera, an IMU, a host monitor and a viewer for ten seconds, then a brain that moves arms for a
controller, all built and run by peppy.

Everything happens in a temporary data root through the same commands that a person would type. The run counts as a
success only if every topic arrived, every checksum was right, received + lost equals published, at most 1 % was lost;
if one goal ran to its end with all its feedback, one was refused and one was cancelled; and if nothing is left behind:
no process, no shared-memory segment, no file.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PEPPY = Path(sys.executable).parent / "peppy"
SENSORS = {"camera": "frames", "imu": "samples", "host_monitor": "readings"}
SLOTS = {"camera": "camera", "imu": "imu", "host": "host_monitor"}
MOST_LOST = 0.01
GOALS_SECS = 60.0
GOALS = (
    r"accepted",
    r"rejected: arm 7 is already moving",
    r"result COMPLETED at \[100, 50, 0\] after 10 feedback messages",
    r"cancel: SIGNALLED",
    r"result CANCELLED at \[\d+, \d+, \d+\] after \d+ feedback messages",
    r"arm 7 of `brain` is at \[\d+, \d+, \d+\], moving: False",
)
"""What the controller tells, in this order."""


class DemoFailed(Exception):
    """The demo did not show what it must."""


class Shell:
    """Runs peppy in one data root and shows each command as it is run."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._environment = {**os.environ, "PEPPY_HOME": str(home)}
        self._environment.pop("VIRTUAL_ENV", None)

    def run(self, *words: str, show: bool = True) -> str:
        """The standard output of `peppy words...`; DemoFailed when it fails."""
        if show:
            print(f"\n$ peppy {' '.join(words)}", flush=True)
        done = subprocess.run(
            [PEPPY, *words], env=self._environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        if show:
            print(done.stdout, end="", flush=True)
        if done.returncode:
            raise DemoFailed(f"`peppy {' '.join(words)}` ended with status {done.returncode}")
        return done.stdout

    def data(self, *words: str) -> Any:
        """The `data` of the command's JSON output."""
        return json.loads(self.run(*words, "--json", show=False))["data"]


def main() -> None:
    arguments = argparse.ArgumentParser(description="Show peppy at work.")
    arguments.add_argument("--seconds", type=float, default=10.0, help="how long the nodes run (10)")
    arguments.add_argument("--video", default="", help="a .y4m file for the camera to play")
    options = arguments.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="peppy-demo-") as root:
            home = Path(root) / "home"
            with running_daemon(home) as shell:
                show_topics(shell, options.seconds, options.video)
                show_goals(shell)
            nothing_is_left(home)
    except DemoFailed as failure:
        sys.exit(f"\nThe demo failed: {failure}")
    print("\nThe demo succeeded: everything arrived, every checksum was right, nothing is left behind.")


@contextmanager
def running_daemon(home: Path) -> Iterator[Shell]:
    """A shell for a fresh data root; its daemon and all nodes end with the block."""
    shell = Shell(home)
    try:
        shell.run("service", "start")
        yield shell
    finally:
        shell.run("service", "stop")


def show_topics(shell: Shell, seconds: float, video: str) -> None:
    """Build the sensors and the viewer, let them run, stop them, and check what they counted."""
    for name in (*SENSORS, "viewer"):
        shell.run("node", "add", "-b", str(HERE / name))
    for name in SENSORS:
        played = [f"video={Path(video).resolve()}"] if name == "camera" and video else []
        shell.run("node", "run", "-i", name, f"{name}:v1", *played)
    picture = shell.home / "frame.png"
    bindings = [word for slot, name in SLOTS.items() for word in ("--bind", f"{slot}@{name}")]
    shell.run("node", "run", "-i", "viewer", *bindings, "viewer:v1", f"picture={picture}")

    viewer_log = Path(shell.data("node", "info", "viewer:v1")["logs"]["run"]["viewer"])
    follow(viewer_log, seconds)
    shell.run("topic", "list")
    shell.run("stack", "list")

    shell.run("node", "stop", *SENSORS)
    wait_until_read(shell)
    shell.run("node", "stop", "viewer")
    check(shell.home, viewer_log, picture)


def show_goals(shell: Shell) -> None:
    """Let the controller fire its goals at the brain, and check what became of them."""
    for name in ("brain", "controller"):
        shell.run("node", "add", "-b", str(HERE / name))
    shell.run("node", "run", "-i", "brain", "brain:v1")
    shell.run("node", "run", "-i", "controller", "--bind", "brain@brain", "controller:v1")
    log = shell.home / "logs" / "run" / "controller.log"
    follow(log, GOALS_SECS, until=GOALS[-1])
    shell.run("node", "stop", "controller", "brain")
    text, at = log.read_text(), 0
    for pattern in GOALS:
        found = re.compile(pattern).search(text, at)
        if found is None:
            raise DemoFailed(f"the controller's log has no line like `{pattern}` where it should be")
        at = found.end()


def follow(log: Path, seconds: float, until: str | None = None) -> None:
    """Print what an instance prints, for so long at most; `until` is a line to stop at."""
    limit = f"for {seconds:g} s" if until is None else "until it is done"
    print(f"\n$ peppy node logs -f {log.stem}    # {limit}", flush=True)
    end = time.monotonic() + seconds
    with log.open() as lines:
        while time.monotonic() < end:
            if not (line := lines.readline()):
                time.sleep(0.05)
                continue
            print(re.sub(r"^\[[^]]*\] (\[stdout\] )?", "", line), end="", flush=True)
            if until is not None and re.search(until, line):
                return


def wait_until_read(shell: Shell) -> None:
    """The producers have ended: the viewer takes what they left in shared memory."""
    end = time.monotonic() + 10
    while any(row["side"] == "in" and row["lag"] for row in shell.data("node", "info", "viewer:v1")["stats"]):
        if time.monotonic() > end:
            raise DemoFailed("the viewer did not read what the sensors left")
        time.sleep(0.1)


def check(home: Path, viewer_log: Path, picture: Path) -> None:
    """Compare what the sensors say they published with what the viewer says it got."""
    topics = json.loads(last(viewer_log, r"summary (\{.*\})"))
    print(f"\n{'topic':<10} {'published':>10} {'received':>10} {'lost':>6} {'wrong':>6}")
    for sensor, topic in SENSORS.items():
        published = int(last(home / "logs" / "run" / f"{sensor}.log", r"published (\d+)"))
        seen = topics[topic]
        before = seen["first_sequence"] - 1  # published before the viewer had attached
        print(f"{topic:<10} {published - before:>10} {seen['received']:>10} {seen['lost']:>6} {seen['wrong']:>6}")
        if not seen["received"]:
            raise DemoFailed(f"nothing arrived on topic `{topic}`")
        if seen["wrong"]:
            raise DemoFailed(f"{seen['wrong']} messages of topic `{topic}` had a wrong checksum")
        if seen["received"] + seen["lost"] != published - before:
            raise DemoFailed(f"received + lost is not published on topic `{topic}`")
        if seen["lost"] > MOST_LOST * (published - before):
            raise DemoFailed(f"more than {MOST_LOST:.0%} was lost on topic `{topic}`")
    if not picture.read_bytes().startswith(b"\x89PNG"):
        raise DemoFailed(f"`{picture}` is no PNG file")
    print(f"\nA received frame was written as a PNG of {picture.stat().st_size} bytes.")


def last(log: Path, pattern: str) -> str:
    """The first group of the last match in a log file."""
    found = re.findall(pattern, log.read_text())
    if not found:
        raise DemoFailed(f"`{log.name}` has no line like `{pattern}`")
    return found[-1]


def nothing_is_left(home: Path) -> None:
    """No process of this data root, and no status board, which is the one named segment that peppy makes."""
    mark = f"PEPPY_HOME={home}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                raise DemoFailed(f"process {entry.name} is still running")
        except OSError:
            continue  # it ended, or belongs to somebody else
    board = f"peppy-{os.getuid()}-{hashlib.sha256(os.fsencode(home.resolve())).hexdigest()[:12]}"
    if (Path("/dev/shm") / board).exists():
        raise DemoFailed(f"the shared-memory segment `{board}` is left behind")


if __name__ == "__main__":
    main()
