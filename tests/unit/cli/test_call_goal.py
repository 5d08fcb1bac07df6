"""`peppy call` and `peppy goal` against a scripted daemon: what is sent, what is printed, how it ends (cli.md, 8)."""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from peppy.cli import program
from peppy.codec import plan_of
from peppy.errors import PeppyError
from peppy.model.goals import CancelState, ResultStatus
from peppy.model.qos import QoSProfile
from peppy.protocol import calls, frames
from peppy.protocol.answers import Answer, GoalCancelled, MemberDetails
from peppy.protocol.frames import Frame
from peppy.ring import History, Writer, plan

from .running import PROGRAM, WATCHDOG_SECS, environment_of
from .scripted import Notice, Say, ScriptedDaemon

CORE = "core-node-test"
REQUEST, RESPONSE = '[["samples","u16",0]]', '[["bias","f32",0],["raw","bytes",0]]'
GOAL, FEEDBACK, RESULT = '[["bay","u8",0]]', '[["distance","f32",0]]', '[["position","f32",0]]'


def details(*formats: str | None, feedback_qos: int | None = None) -> MemberDetails:
    hashes = tuple(plan_of("", text, {}).schema_hash for text in formats)
    name = "set_zero" if len(formats) == 2 else "dock"
    return MemberDetails(f"imu/{name}", "imu", name, None, "imu:v1", formats, hashes, feedback_qos)


def encoded(format_text: str | None, *values: Any) -> bytes:
    payload = plan_of("", format_text, {}).encode(*values)
    return (
        payload
        if isinstance(payload, bytes)
        else payload.head
        + bytes(payload.length - len(payload.head) - sum(len(part) for part, _ in payload.parts))
        + b"".join(bytes(part) for part, _ in payload.parts)
    )


SERVICE = details(REQUEST, RESPONSE)
ACTION = details(GOAL, FEEDBACK, RESULT, feedback_qos=int(QoSProfile.Reliable))


def answering(payload: bytes = b"", error: str | None = None) -> Callable[[Frame, Say], list[Notice]]:
    """A producer that acknowledges and answers every call."""

    def reply(frame: Frame, _say: Say) -> list[Notice]:
        assert isinstance(frame, calls.Call)
        answered = calls.Answered(frame.call_id, "imu", CORE, error)
        return [Notice(calls.Acknowledged(frame.call_id, "imu")), Notice(answered, payload=payload)]

    return reply


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """One call of the program in this process, which saves half a second for each."""
    monkeypatch.setenv("PEPPY_HOME", str(tmp_path))
    monkeypatch.setenv("PEPPY_NO_AUTOSTART", "1")

    def call(*words: str) -> "subprocess.CompletedProcess[str]":
        code = program.run(list(words))
        printed = capsys.readouterr()
        return subprocess.CompletedProcess(words, code, printed.out, printed.err)

    return call


def replies(service: MemberDetails = SERVICE, **more: Any) -> dict[type[Frame], Any]:
    return {frames.MemberInfo: service, calls.Withdraw: None, **{getattr(calls, name): at for name, at in more.items()}}


# --- call ------------------------------------------------------------------------------------------------------------


def test_a_call_carries_the_request_and_prints_the_response(run: Run, tmp_path: Path) -> None:
    with ScriptedDaemon(tmp_path, replies(Call=answering(encoded(RESPONSE, 0.1, b"\1\2")))) as daemon:
        answer = run("call", "set_zero", "{ samples: 50 }")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout == "bias: 0.1\nraw: <2 bytes>\n"
    (asked, called) = daemon.received[-2:]
    assert asked.frame == frames.MemberInfo("service", "set_zero")
    frame = called.frame
    assert isinstance(frame, calls.Call)
    assert (frame.instance_id, frame.name, frame.hashes) == ("imu", "set_zero", SERVICE.hashes)
    assert plan_of("", REQUEST, {}).decode(called.payload).samples == 50


def test_the_response_as_json_names_who_answered(run: Run, tmp_path: Path) -> None:
    with ScriptedDaemon(tmp_path, replies(Call=answering(encoded(RESPONSE, 0.1, b"\1\2")))):
        answer = run("call", "imu/set_zero", "{ samples: 50 }", "--json", "--full")
    envelope = json.loads(answer.stdout)
    assert (envelope["ok"], envelope["command"]) == (True, "call")
    assert envelope["data"] == {"instance_id": "imu", "response": {"bias": 0.1, "raw": "AQI="}}


def test_no_response_format_prints_empty_and_no_request_format_takes_no_argument(run: Run, tmp_path: Path) -> None:
    with ScriptedDaemon(tmp_path, replies(details(None, None), Call=answering())) as daemon:
        assert run("call", "set_zero").stdout == "(empty)\n"
        refused = run("call", "set_zero", "{ samples: 5 }")
    assert refused.returncode == 1
    assert len(daemon.requests(calls.Call)) == 1


def test_a_wrong_argument_is_refused_before_anything_is_sent(run: Run, tmp_path: Path) -> None:
    with ScriptedDaemon(tmp_path, replies()) as daemon:
        answer = run("call", "set_zero", "{ samples: 70000, sample: 1 }")
    assert answer.returncode == 1
    assert answer.stdout == ""
    assert answer.stderr.splitlines() == [
        "[ERROR] Invalid: 2 problems",
        "  - UnknownField: sample: there is no such field, given as `1`, nearest is `samples`",
        "  - FieldType: samples: `70000` is no `u16`: expected an integer from 0 to 65535",
        "hint: `imu/set_zero` takes `{ samples: u16 }`",
    ]
    assert not daemon.requests(calls.Call)


def test_a_text_that_is_no_object_asks_nobody(run: Run) -> None:
    answer = run("call", "set_zero", "samples=5")
    assert answer.returncode == 2
    assert answer.stderr.startswith("[ERROR] Usage: `samples=5` is no JSON5 object: ")


def test_an_argument_may_come_from_stdin_and_travel_beside_its_frame(tmp_path: Path) -> None:
    large = details('[["data",["u8",0],0]]', None)
    text = json.dumps({"data": {"hex": "ab" * 400_000}})
    with ScriptedDaemon(tmp_path, replies(large, Call=answering())) as daemon:
        answer = subprocess.run(
            [*PROGRAM, "call", "set_zero", "-"],
            env=environment_of(tmp_path, {}),
            input=text,
            capture_output=True,
            text=True,
            timeout=WATCHDOG_SECS,
            check=False,
        )
        assert (answer.stdout, answer.stderr) == ("(empty)\n", "")
        called = daemon.received[-1]
        assert isinstance(called.frame, calls.Call)
        payload = os.pread(called.fds[-1], called.frame.beside, 0)
    assert plan_of("", '[["data",["u8",0],0]]', {}).decode(payload).data == b"\xab" * 400_000


def test_an_error_of_the_handler_is_the_callers_error(run: Run, tmp_path: Path) -> None:
    with ScriptedDaemon(tmp_path, replies(Call=answering(error="ValueError: samples must be positive"))):
        answer = run("call", "set_zero", "{ samples: 0 }")
    assert answer.returncode == 1
    assert answer.stderr.splitlines() == [
        "[ERROR] ServiceError: service `imu/set_zero` returned error: ValueError: samples must be positive",
        "hint: see `peppy node logs imu`",
    ]


def failing(kind: str) -> Callable[[Frame, Say], list[Notice]]:
    def reply(frame: Frame, _say: Say) -> list[Notice]:
        return [Notice(calls.CallFailed(frame.call_id, kind, "service `imu`: it is so"))]  # type: ignore[attr-defined]

    return reply


@pytest.mark.parametrize("kind", ["ServiceUnreachable", "ServiceTimeout", "SchemaMismatch"])
def test_a_call_that_the_daemon_ends_is_an_error_of_that_kind_with_a_hint(run: Run, kind: str, tmp_path: Path) -> None:
    with ScriptedDaemon(tmp_path, replies(Call=failing(kind))):
        answer = run("call", "set_zero", "{ samples: 0 }")
    assert answer.returncode == 1
    error, hint = answer.stderr.splitlines()
    assert error == f"[ERROR] {kind}: service `imu`: it is so"
    assert hint.startswith("hint: ")


def taken(frame: Frame, _say: Say) -> list[Notice]:
    assert isinstance(frame, calls.Call)
    return [Notice(calls.Acknowledged(frame.call_id, "imu"))]


@pytest.mark.parametrize(("reply", "kind"), [(None, "ServiceUnreachable"), (taken, "ServiceTimeout")])
def test_a_call_without_answer_ends_in_time_and_is_withdrawn(run: Run, reply: Any, kind: str, tmp_path: Path) -> None:
    with ScriptedDaemon(tmp_path, replies(Call=reply)) as daemon:
        answer = run("call", "set_zero", "{ samples: 0 }", "--timeout", "0.2", "--json")
    assert answer.returncode == 1
    assert json.loads(answer.stdout)["error"]["kind"] == kind
    assert daemon.requests(calls.Withdraw)


# --- goal ------------------------------------------------------------------------------------------------------------


def deciding(accepted: bool = True, reason: str | None = None) -> Callable[[Frame, Say], list[Notice]]:
    def reply(frame: Frame, _say: Say) -> list[Notice]:
        assert isinstance(frame, calls.Goal)
        decided = calls.Decided(frame.call_id, "imu", CORE, accepted, reason)
        return [Notice(calls.Acknowledged(frame.call_id, "imu")), Notice(decided)]

    return reply


def ending(status: ResultStatus, payload: bytes = b"") -> Callable[[Frame, Say], list[Notice]]:
    def reply(frame: Frame, _say: Say) -> list[Notice]:
        assert isinstance(frame, calls.GetResult)
        return [Notice(calls.GoalResult(frame.call_id, "imu", CORE, int(status)), payload=payload)]

    return reply


def test_a_goal_prints_that_it_was_accepted_and_its_result(run: Run, tmp_path: Path) -> None:
    ended = ending(ResultStatus.COMPLETED, encoded(RESULT, 0.5))
    with ScriptedDaemon(tmp_path, replies(ACTION, Goal=deciding(), GetResult=ended)) as daemon:
        answer = run("goal", "dock", "{ bay: 7 }")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout == "accepted\nCOMPLETED\nposition: 0.5\n"
    fired = next(received for received in daemon.received if isinstance(received.frame, calls.Goal))
    assert (fired.fds, fired.frame.hashes) == ((), ACTION.hashes)
    assert plan_of("", GOAL, {}).decode(fired.payload).bay == 7


def test_a_rejected_goal_says_why_and_fails(run: Run, tmp_path: Path) -> None:
    with ScriptedDaemon(tmp_path, replies(ACTION, Goal=deciding(False, "bay 7 is occupied"))):
        answer = run("goal", "dock", "{ bay: 7 }")
    assert (answer.returncode, answer.stdout, answer.stderr) == (1, "rejected: bay 7 is occupied\n", "")


@pytest.mark.parametrize("status", [ResultStatus.CANCELLED, ResultStatus.ABANDONED, ResultStatus.EXPIRED])
def test_only_a_completed_goal_is_a_success(run: Run, status: ResultStatus, tmp_path: Path) -> None:
    ended = ending(status, encoded(RESULT, 0.5) if status is ResultStatus.CANCELLED else b"")
    with ScriptedDaemon(tmp_path, replies(ACTION, Goal=deciding(), GetResult=ended)):
        answer = run("goal", "dock", "{ bay: 7 }")
    assert answer.returncode == 1
    assert answer.stdout.splitlines()[:2] == ["accepted", status.name]
    assert ("see `peppy node logs" in answer.stderr) is (status is ResultStatus.ABANDONED)


def test_a_goal_in_json_is_one_event_a_line(run: Run, tmp_path: Path) -> None:
    ended = ending(ResultStatus.COMPLETED, encoded(RESULT, 0.5))
    with ScriptedDaemon(tmp_path, replies(ACTION, Goal=deciding(), GetResult=ended)):
        answer = run("goal", "dock", "{ bay: 7 }", "--json")
    accepted, result = map(json.loads, answer.stdout.splitlines())
    assert (accepted["event"], accepted["instance_id"]) == ("accepted", "imu")
    assert (result["event"], result["status"], result["result"]) == ("result", "COMPLETED", {"position": 0.5})


def test_a_goal_without_result_in_time_goes_on(run: Run, tmp_path: Path) -> None:
    with ScriptedDaemon(tmp_path, replies(ACTION, Goal=deciding(), GetResult=None)):
        answer = run("goal", "dock", "{ bay: 7 }", "--result-timeout", "0.2")
    assert (answer.returncode, answer.stdout) == (1, "accepted\n")
    assert "ServiceTimeout: action `imu/dock`: no result within 0.2 s; goal `" in answer.stderr


def test_feedback_of_an_action_without_any_is_refused(run: Run, tmp_path: Path) -> None:
    with ScriptedDaemon(tmp_path, replies(details(GOAL, None, None))) as daemon:
        answer = run("goal", "dock", "{ bay: 7 }", "--feedback")
    assert answer.returncode == 1
    assert "`imu/dock` has no feedback" in answer.stderr
    assert not daemon.requests(calls.Goal)


# --- feedback --------------------------------------------------------------------------------------------------------


class Feedback:
    """A server's end of a feedback stream."""

    def __init__(self) -> None:
        self.writer = Writer.create(plan(8, 1 << 16, 64), topic_hash=0, schema_hash=0, mode=1)
        self.daemon: ScriptedDaemon | None = None
        self.asked_for: int | None = None

    def decide(self, frame: Frame, _say: Say) -> list[Notice]:
        """Accept, and publish three messages before the client hears of it."""
        assert isinstance(frame, calls.Goal)
        assert self.daemon is not None
        self.asked_for = frame.feedback_qos
        (doorbell,) = self.daemon.received[-1].fds
        claim = self.writer.reserve_row(doorbell, History.ALL)
        for distance in (3.0, 2.0, 1.0):
            self.publish(distance)
        accepted = calls.Decided(frame.call_id, "imu", CORE, True, None, 77, int(QoSProfile.SensorData), claim)
        return [Notice(accepted, (self.writer.data_fd, self.writer.ctrl_fd))]

    def publish(self, distance: float) -> None:
        self.writer.publish_bytes(encoded(FEEDBACK, distance))

    def end(self, frame: Frame, _say: Say) -> list[Notice]:
        """The end, told beside the stream."""
        assert isinstance(frame, calls.GetResult)
        assert self.daemon is not None
        (fired,) = self.daemon.requests(calls.Goal)
        assert isinstance(fired, calls.Goal)
        result = calls.GoalResult(frame.call_id, "imu", CORE, int(ResultStatus.COMPLETED))
        return [Notice(result, payload=encoded(RESULT, 0.0)), Notice(calls.FeedbackEnd(fired.goal_id, 3))]


@pytest.fixture
def feedback(tmp_path: Path) -> Iterator[Feedback]:
    server = Feedback()
    with ScriptedDaemon(tmp_path, replies(ACTION, Goal=server.decide, GetResult=server.end)) as server.daemon:
        yield server
    server.writer.close()


def test_feedback_is_printed_to_its_end_and_never_holds_the_server_up(run: Run, feedback: Feedback) -> None:
    answer = run("goal", "dock", "{ bay: 7 }", "--feedback")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.split("\n---\n") == [
        "accepted\ndistance: 3.0",
        "distance: 2.0",
        "distance: 1.0",
        "COMPLETED\nposition: 0.0\n",
    ]
    assert feedback.asked_for == QoSProfile.SensorData


@pytest.mark.usefixtures("feedback")
def test_feedback_in_json_is_an_event_each(run: Run) -> None:
    answer = run("goal", "dock", "{ bay: 7 }", "--feedback", "--json")
    events = [json.loads(line) for line in answer.stdout.splitlines()]
    assert [event["event"] for event in events] == ["accepted", *["feedback"] * 3, "result"]
    assert [event["message"]["distance"] for event in events[1:4]] == [3.0, 2.0, 1.0]


# --- Ctrl-C ----------------------------------------------------------------------------------------------------------


def started(home: Path, *words: str) -> "subprocess.Popen[str]":
    """A goal that has been accepted."""
    process = subprocess.Popen(
        [*PROGRAM, *words],
        env=environment_of(home, {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "accepted\n"
    return process


def interrupted(home: Path, *words: str) -> tuple[int, str, str]:
    """Run until the goal is accepted, then press Ctrl-C; the exit code and what was printed from then on."""
    with started(home, *words) as process:
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=WATCHDOG_SECS)
    return process.returncode, stdout, stderr


def test_the_first_ctrl_c_cancels_the_goal_and_waits_for_its_end(tmp_path: Path) -> None:
    asked: list[calls.GetResult] = []

    def park(frame: Frame, _say: Say) -> None:
        assert isinstance(frame, calls.GetResult)
        asked.append(frame)

    def cancel(_frame: Frame, say: Say) -> list[Answer | Notice]:
        signalled = GoalCancelled(int(CancelState.SIGNALLED), "imu", CORE)
        return [signalled, *ending(ResultStatus.CANCELLED, encoded(RESULT, 2.0))(asked[0], say)]

    parking = replies(ACTION, Goal=deciding(), GetResult=park, CancelGoal=cancel)
    with ScriptedDaemon(tmp_path, parking) as daemon:
        code, stdout, stderr = interrupted(tmp_path, "goal", "dock", "{ bay: 7 }")
    assert code == 130
    assert stdout == "CANCELLED\nposition: 2.0\n"
    assert stderr.splitlines()[0] == "[INFO] cancelling the goal; Ctrl-C again leaves without its result"
    (cancelled,) = daemon.requests(calls.CancelGoal)
    (fired,) = daemon.requests(calls.Goal)
    assert isinstance(cancelled, calls.CancelGoal)
    assert isinstance(fired, calls.Goal)
    assert cancelled.goal_id == fired.goal_id


def test_a_cancel_that_nobody_confirms_is_an_error(tmp_path: Path) -> None:
    unconfirmed = PeppyError("the server does not answer", kind="ServiceTimeout")
    with ScriptedDaemon(tmp_path, replies(ACTION, Goal=deciding(), GetResult=None, CancelGoal=unconfirmed)):
        code, _, stderr = interrupted(tmp_path, "goal", "dock", "{ bay: 7 }")
    assert code == 1
    assert "ServiceTimeout: the server does not answer" in stderr


def test_the_second_ctrl_c_leaves_at_once(tmp_path: Path) -> None:
    silent = replies(ACTION, Goal=deciding(), GetResult=None, CancelGoal=None)
    with ScriptedDaemon(tmp_path, silent), started(tmp_path, "goal", "dock", "{ bay: 7 }") as process:
        assert process.stderr is not None
        process.send_signal(signal.SIGINT)
        assert process.stderr.readline().startswith("[INFO] cancelling the goal")
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=WATCHDOG_SECS)
    assert (process.returncode, stdout, stderr) == (130, "", "[ERROR] Aborted: interrupted\n")


def test_ctrl_c_withdraws_a_call(tmp_path: Path) -> None:
    held = threading.Event()

    def hold(_frame: Frame, _say: Say) -> None:
        held.set()

    with ScriptedDaemon(tmp_path, replies(Call=hold)) as daemon:
        words = [*PROGRAM, "call", "set_zero", "{ samples: 5 }", "--timeout", "60"]
        with subprocess.Popen(words, env=environment_of(tmp_path, {}), stderr=subprocess.PIPE, text=True) as process:
            assert held.wait(WATCHDOG_SECS)
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate(timeout=WATCHDOG_SECS)
    assert (process.returncode, stderr) == (130, "[ERROR] Aborted: interrupted\n")
    assert daemon.requests(calls.Withdraw)
