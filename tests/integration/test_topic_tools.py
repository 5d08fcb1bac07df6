"""`peppy topic info|hz|bw|echo` on a running robot (docs/reference/cli.md, Topics of a running stack)."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from living import LivingDaemon, assert_nothing_is_left, eventually
from telling import Told, write_listener, write_talker

from peppy.protocol.frames import NodeStop

WATCHDOG_SECS = 60


class Robot:
    """A daemon with talkers and listeners, and the program `peppy` that looks at them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.daemon = LivingDaemon(directory / "home").start()
        self.told: list[Told] = []
        for source in (write_talker(directory), write_listener(directory)):
            self.daemon.ready(source)

    def run(self, node: str, instance_id: str, **bindings: str) -> Told:
        told = Told(self.directory, instance_id)
        self.told.append(told)
        arguments = [(key, value) for key, _, value in (word.partition("=") for word in told.arguments)]
        told.pid = self.daemon.run(f"{node}:v1", instance_id, arguments, list(bindings.items())).pid
        return told.connected()

    def stop(self, told: Told) -> None:
        self.daemon.ask(NodeStop((told.instance_id,)))
        told.close()
        self.told.remove(told)

    def begin(self, *words: str) -> "subprocess.Popen[str]":
        """Starts the program."""
        return subprocess.Popen(
            [sys.executable, "-m", "peppy.cli", "topic", *words],
            env={**self.daemon.environment, "PEPPY_NO_AUTOSTART": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def peppy(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """The whole run of a program that ends by itself."""
        return finished(self.begin(*words))

    def close(self) -> None:
        self.daemon.end()
        for told in list(self.told):
            told.close()
            self.told.remove(told)


def finished(process: "subprocess.Popen[str]") -> "subprocess.CompletedProcess[str]":
    """What a program has printed, at its end."""
    stdout, stderr = process.communicate(timeout=WATCHDOG_SECS)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


@pytest.fixture(scope="module")
def robot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Robot]:
    robot = Robot(tmp_path_factory.mktemp("s"))
    try:
        yield robot
    finally:
        robot.close()
    assert_nothing_is_left(robot.daemon.home)


@pytest.fixture
def run(robot: Robot) -> Iterator[Callable[..., Told]]:
    """Start instances that are stopped after the test."""
    yield robot.run
    for told in list(robot.told):
        robot.stop(told)


@pytest.fixture
def started(robot: Robot) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Start programs that have ended after the test."""
    made: list[subprocess.Popen[str]] = []

    def begin(*words: str) -> "subprocess.Popen[str]":
        made.append(robot.begin(*words))
        return made[-1]

    yield begin
    for process in made:
        process.kill()
        process.communicate()


def line_of(stream: Any) -> str:
    """The next line of a program."""
    return stream.readline().rstrip("\n")


def readers(talker: Told, topic: str) -> int:
    return talker.call("stats", topic=topic)["readers"]


def echoing(started: Callable[..., "subprocess.Popen[str]"], talker: Told, *words: str) -> "subprocess.Popen[str]":
    """`topic echo` of a stream that exists, once it has its row."""
    before = readers(talker, "plain")
    process = started("echo", *words)
    eventually(lambda: readers(talker, "plain") == before + 1 or process.poll() is not None)
    return process


# --- info ------------------------------------------------------------------------------------------------------------


def test_info_tells_format_ring_counters_and_subscribers(robot: Robot, run: Callable[..., Told]) -> None:
    talker, listener = run("talker", "t1"), run("listener", "l1", main="t1")
    listener.call("subscribe", topic="main_plain")
    talker.call("publish", topic="plain", count=3, size=100)
    for _ in range(2):
        listener.call("next")
    data = json.loads(robot.peppy("info", "t1/plain", "--json").stdout)["data"]
    assert (data["address"], data["node"], data["qos"], data["published"]) == ("t1/plain", "talker:v1", "Standard", 3)
    assert data["readers"] == [{"instance_id": "l1", "received": 2, "lost": 0, "lag": 1}]
    assert json.loads(data["format"]) == [["number", "u64", 0], ["data", ["u8", 0], 0]]
    assert data["depth"] >= 4
    assert data["ring_bytes"] >= data["depth"] * data["capacity"]
    assert data["bytes"] >= 300
    assert 100 <= data["largest"] <= data["bytes"]
    lines = robot.peppy("info", "plain").stdout.splitlines()
    assert lines[0] == "Topic:       t1/plain"
    assert "  data: array[u8]" in lines


def test_info_of_a_topic_that_has_published_nothing_has_no_ring(robot: Robot, run: Callable[..., Told]) -> None:
    run("talker", "t1")
    data = json.loads(robot.peppy("info", "t1/fast", "--json").stdout)["data"]
    assert (data["depth"], data["ring_bytes"], data["published"], data["readers"]) == (None, None, 0, [])
    assert "Ring:        none before the first message" in robot.peppy("info", "t1/fast").stdout


def test_a_name_of_several_topics_lists_their_addresses(robot: Robot, run: Callable[..., Told]) -> None:
    run("talker", "t1")
    run("talker", "t2")
    for verb in ("info", "hz", "bw", "echo"):
        answer = robot.peppy(verb, "plain")
        assert answer.returncode == 1
        assert answer.stderr.startswith(
            "[ERROR] Refused: `plain` is a topic of 2 live instances: `t1/plain`, `t2/plain`"
        )


@pytest.mark.parametrize("verb", ["info", "hz", "bw", "echo"])
def test_a_topic_that_nobody_declares_names_the_nearest(robot: Robot, run: Callable[..., Told], verb: str) -> None:
    run("talker", "t1")
    answer = robot.peppy(verb, "t1/plane", "--json")
    assert answer.returncode == 1
    error = json.loads(answer.stdout)["error"]
    assert error["kind"] == "NotFound"
    assert error["message"] == "no live instance emits `t1/plane`, nearest is `t1/plain`"


def test_info_of_a_topic_whose_node_does_not_run_says_how_to_run_it(robot: Robot) -> None:
    answer = robot.peppy("info", "plain")
    assert answer.stderr.splitlines() == [
        "[ERROR] NotFound: no live instance emits `plain`",
        "hint: run `peppy node run talker:v1`",
    ]


# --- hz and bw -------------------------------------------------------------------------------------------------------


def test_hz_is_the_publishers_rate(robot: Robot, run: Callable[..., Told]) -> None:
    talker = run("talker", "t1")
    going = talker.ask("publish", topic="plain", count=150, pause=0.01)
    answer = robot.peppy("hz", "t1/plain", "--window", "0.3", "-n", "2", "--json")
    talker.answer(going)
    assert answer.returncode == 0
    lines = [json.loads(line) for line in answer.stdout.splitlines()]
    assert [line["topic"] for line in lines] == ["t1/plain"] * 2
    for line in lines:
        assert set(line) == {"time", "topic", "rate_hz", "min_ms", "max_ms", "lost"}
        assert 1000 / line["max_ms"] <= line["rate_hz"] <= 1000 / line["min_ms"]
        assert 10 <= line["rate_hz"] <= 100
        assert line["lost"] == 0


def test_hz_prints_a_line_a_window_and_names_the_topic_of_several(robot: Robot, run: Callable[..., Told]) -> None:
    talker = run("talker", "t1")
    talker.call("publish", topic="plain")
    talker.call("publish", topic="fast")
    one = robot.peppy("hz", "t1/plain", "--window", "0.1", "-n", "1")
    assert (one.returncode, one.stdout) == (0, "rate 0.00 Hz  min -  max -  lost 0\n")
    several = robot.peppy("hz", "t1/plain", "t1/fast", "--window", "0.1", "-n", "1")
    assert sorted(line.split(": ")[0] for line in several.stdout.splitlines()) == ["t1/fast", "t1/plain"]


def test_hz_counts_what_subscribers_lose(
    run: Callable[..., Told], started: Callable[..., "subprocess.Popen[str]"]
) -> None:
    talker, listener = run("talker", "t1"), run("listener", "l1", main="t1")
    listener.call("subscribe", topic="main_plain")
    talker.call("publish", topic="plain")
    listener.call("next")
    process = started("hz", "t1/plain", "--window", "0.2", "--json")
    json.loads(line_of(process.stdout))
    talker.call("publish", topic="plain", count=1000)
    listener.call("take_all")
    lost = listener.call("stats")["lost"]
    told = 0
    while told < lost:
        told += json.loads(line_of(process.stdout))["lost"]
    assert told == lost > 0


def test_bw_is_rate_times_size(robot: Robot, run: Callable[..., Told]) -> None:
    talker = run("talker", "t1")
    going = talker.ask("publish", topic="plain", count=150, size=1000, pause=0.01)
    answer = robot.peppy("bw", "t1/plain", "--window", "0.3", "-n", "1", "--json")
    talker.answer(going)
    (line,) = [json.loads(line) for line in answer.stdout.splitlines()]
    assert line["min_bytes"] <= line["mean_bytes"] <= line["max_bytes"] < 1200
    assert line["min_bytes"] > 1000
    assert 10 * line["mean_bytes"] <= line["bytes_per_s"] <= 100 * line["mean_bytes"]


def test_looking_at_a_topic_leaves_no_trace_at_the_publisher(
    robot: Robot, run: Callable[..., Told], started: Callable[..., "subprocess.Popen[str]"]
) -> None:
    talker = run("talker", "t1")
    talker.call("publish", topic="plain")
    process = started("bw", "t1/plain", "--window", "0.1")
    assert line_of(process.stdout).startswith("0 B/s  mean -")
    assert readers(talker, "plain") == 0
    assert json.loads(robot.peppy("info", "t1/plain", "--json").stdout)["data"]["readers"] == []


def test_hz_waits_for_a_producer_that_is_declared_but_not_up(
    run: Callable[..., Told], started: Callable[..., "subprocess.Popen[str]"]
) -> None:
    process = started("hz", "late/plain", "--window", "0.1", "-n", "1")
    assert line_of(process.stderr) == "[INFO] waiting for `late/plain`: no live instance emits it yet"
    run("talker", "late").call("publish", topic="plain")
    answer = finished(process)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.startswith("rate ")


def test_hz_ends_with_a_warning_when_the_producer_is_gone(
    robot: Robot, run: Callable[..., Told], started: Callable[..., "subprocess.Popen[str]"]
) -> None:
    talker = run("talker", "t1")
    talker.call("publish", topic="plain")
    process = started("hz", "t1/plain", "--window", "0.1")
    line_of(process.stdout)
    robot.stop(talker)
    answer = finished(process)
    assert answer.returncode == 0
    assert answer.stderr == "[WARNING] the producer of `t1/plain` is gone\n"


@pytest.mark.parametrize("verb", ["hz", "bw", "echo"])
def test_ctrl_c_ends_with_130(
    run: Callable[..., Told], started: Callable[..., "subprocess.Popen[str]"], verb: str
) -> None:
    run("talker", "t1")
    process = started(verb, "t1/plain")
    assert line_of(process.stderr) == "[INFO] waiting for `t1/plain`: it has published nothing yet"
    process.send_signal(signal.SIGINT)
    assert finished(process).returncode == 130


# --- echo ------------------------------------------------------------------------------------------------------------


def test_echo_prints_messages_with_long_arrays_cut(
    run: Callable[..., Told], started: Callable[..., "subprocess.Popen[str]"]
) -> None:
    talker = run("talker", "t1")
    talker.call("publish", topic="plain")
    process = echoing(started, talker, "t1/plain", "-n", "2")
    talker.call("publish", topic="plain", size=3)
    talker.call("publish", topic="plain", size=1000)
    answer = finished(process)
    assert answer.stdout == "number: 2\ndata: [2, 2, 2]\n---\nnumber: 3\ndata: [3, 3, … 1000 elements]\n"
    assert (answer.returncode, answer.stderr) == (0, "")


def test_echo_in_full_prints_everything(
    run: Callable[..., Told], started: Callable[..., "subprocess.Popen[str]"]
) -> None:
    talker = run("talker", "t1")
    talker.call("publish", topic="plain")
    process = echoing(started, talker, "t1/plain", "-n", "1", "--full")
    talker.call("publish", topic="plain", size=20)
    assert finished(process).stdout == f"number: 2\ndata: [{', '.join(['2'] * 20)}]\n"


def test_echo_of_a_field_prints_its_value(
    run: Callable[..., Told], started: Callable[..., "subprocess.Popen[str]"]
) -> None:
    talker = run("talker", "t1")
    talker.call("publish", topic="plain")
    process = echoing(started, talker, "t1/plain", "-n", "2", "--field", "number")
    talker.call("publish", topic="plain", count=2)
    assert finished(process).stdout == "2\n---\n3\n"


def test_echo_in_raw_form_prints_the_payload(
    run: Callable[..., Told], started: Callable[..., "subprocess.Popen[str]"]
) -> None:
    talker = run("talker", "t1")
    talker.call("publish", topic="plain")
    process = echoing(started, talker, "t1/plain", "-n", "1", "--raw")
    talker.call("publish", topic="plain", size=4)
    assert bytes.fromhex(finished(process).stdout).endswith(b"\x02\x02\x02\x02")


def test_echo_as_json_is_an_object_a_line(
    run: Callable[..., Told], started: Callable[..., "subprocess.Popen[str]"]
) -> None:
    talker = run("talker", "t1")
    talker.call("publish", topic="plain")
    process = echoing(started, talker, "plain", "-n", "2", "--json")
    talker.call("publish", topic="plain", count=2, size=2)
    lines = [json.loads(line) for line in finished(process).stdout.splitlines()]
    assert [(line["instance_id"], line["message"]) for line in lines] == [
        ("t1", {"number": 2, "data": [2, 2]}),
        ("t1", {"number": 3, "data": [3, 3]}),
    ]
    assert lines[0]["time"] <= lines[1]["time"]


def test_echo_appears_as_a_subscriber_until_its_end(
    robot: Robot, run: Callable[..., Told], started: Callable[..., "subprocess.Popen[str]"]
) -> None:
    talker = run("talker", "t1")
    talker.call("publish", topic="plain")
    process = echoing(started, talker, "t1/plain")

    def named() -> list[str]:
        data = json.loads(robot.peppy("info", "t1/plain", "--json").stdout)["data"]
        return [reader["instance_id"] for reader in data["readers"]]

    assert named() == [f"peppy-cli-{process.pid}"]
    process.send_signal(signal.SIGINT)
    assert finished(process).returncode == 130
    eventually(lambda: readers(talker, "plain") == 0)
    assert named() == []


def test_the_row_of_a_killed_echo_comes_back(
    run: Callable[..., Told], started: Callable[..., "subprocess.Popen[str]"]
) -> None:
    talker = run("talker", "t1")
    talker.call("publish", topic="plain")
    echoing(started, talker, "t1/plain").kill()
    eventually(lambda: readers(talker, "plain") == 0)


def test_a_stopped_echo_does_not_hold_the_publisher_up(
    run: Callable[..., Told], started: Callable[..., "subprocess.Popen[str]"]
) -> None:
    talker = run("talker", "t1")
    talker.call("publish", topic="plain")
    process = echoing(started, talker, "t1/plain", "-n", "1")
    os.kill(process.pid, signal.SIGSTOP)
    assert talker.call("publish", topic="plain", count=1000) == 1001
    os.kill(process.pid, signal.SIGCONT)
    number = int(finished(process).stdout.splitlines()[0].removeprefix("number: "))
    assert 2 <= number <= 1001


def test_echo_waits_for_a_producer_and_shows_its_first_message(
    run: Callable[..., Told], started: Callable[..., "subprocess.Popen[str]"]
) -> None:
    process = started("echo", "plain", "-n", "1", "--field", "number")
    assert line_of(process.stderr) == "[INFO] waiting for `plain`: no live instance emits it yet"
    run("talker", "late").call("publish", topic="plain")
    answer = finished(process)
    assert (answer.returncode, answer.stdout) == (0, "1\n")


def test_echo_takes_what_is_left_when_the_producer_is_gone(
    robot: Robot, run: Callable[..., Told], started: Callable[..., "subprocess.Popen[str]"]
) -> None:
    talker = run("talker", "t1")
    talker.call("publish", topic="plain")
    process = echoing(started, talker, "t1/plain", "--field", "number")
    os.kill(process.pid, signal.SIGSTOP)
    talker.call("publish", topic="plain", count=3)
    robot.stop(talker)
    os.kill(process.pid, signal.SIGCONT)
    answer = finished(process)
    assert answer.stdout == "2\n---\n3\n---\n4\n"
    assert (answer.returncode, answer.stderr) == (0, "[WARNING] the producer of `t1/plain` is gone\n")


def test_echo_of_a_field_that_does_not_exist_names_it(robot: Robot, run: Callable[..., Told]) -> None:
    run("talker", "t1")
    answer = robot.peppy("echo", "t1/plain", "--field", "numbr")
    assert answer.returncode == 1
    assert answer.stderr.splitlines() == [
        "[ERROR] NotFound: `t1/plain` has no field `numbr`",
        "hint: did you mean `number`?",
    ]


def test_echo_of_a_stream_with_64_readers_says_so(robot: Robot, run: Callable[..., Told]) -> None:
    talker, listener = run("talker", "t1"), run("listener", "l1", main="t1")
    for _ in range(64):
        listener.call("subscribe", topic="main_plain")
    talker.call("publish", topic="plain")
    eventually(lambda: readers(talker, "plain") == 64)
    answer = robot.peppy("echo", "t1/plain")
    assert answer.returncode == 1
    assert answer.stderr.startswith("[ERROR] TooManyReaders: `t1`: ")


def test_a_daemon_that_ends_is_an_error_of_who_watches(tmp_path: Path, new_daemon: Callable[..., LivingDaemon]) -> None:
    daemon = new_daemon().start()
    daemon.ready(write_talker(tmp_path))
    process = subprocess.Popen(
        [sys.executable, "-m", "peppy.cli", "topic", "hz", "plain"],
        env={**daemon.environment, "PEPPY_NO_AUTOSTART": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    line_of(process.stderr)
    daemon.stop()
    answer = finished(process)
    assert answer.returncode == 1
    assert answer.stderr.startswith("[ERROR] DaemonUnreachable: the peppy daemon has gone")
