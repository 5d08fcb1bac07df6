"""How a command ends: exit codes, error text, and the JSON envelope."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from peppy.cli.report import Report
from peppy.errors import InvalidInput, PeppyError, Problem
from peppy.protocol.answers import Pruned
from peppy.protocol.frames import Output

from .running import peppy

PLACED = Problem("UnknownKey", "`nmae` is not known", "peppy.json5", 3, 5, "manifest.nmae", "did you mean `name`?")
OTHER = Problem("MissingKey", "`tag` is missing", "peppy.json5", 2, 3, "manifest")


def failing(error: BaseException) -> Callable[[], object]:
    def work() -> object:
        raise error

    return work


def errors_of(capsys: pytest.CaptureFixture[str], error: BaseException) -> tuple[int, list[str]]:
    code = Report("node build").conclude(failing(error))
    taken = capsys.readouterr()
    assert taken.out == ""
    return code, taken.err.splitlines()


def envelope_of(capsys: pytest.CaptureFixture[str], work: Callable[[], object]) -> dict[str, object]:
    Report("node prune", as_json=True).conclude(work)
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    return json.loads(out)


def test_a_failure_is_one_line_with_its_kind_and_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    error = PeppyError("`x:1` is not in the node stack", kind="NotFound", hint="run `peppy node add`")
    assert errors_of(capsys, error) == (
        1,
        ["[ERROR] NotFound: `x:1` is not in the node stack", "hint: run `peppy node add`"],
    )


def test_a_single_problem_of_a_document_is_the_error_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert errors_of(capsys, InvalidInput([PLACED])) == (
        1,
        [
            "[ERROR] UnknownKey: peppy.json5:3:5: manifest.nmae: `nmae` is not known",
            "hint: did you mean `name`?",
        ],
    )


def test_several_problems_are_listed_each_with_its_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert errors_of(capsys, InvalidInput([OTHER, PLACED])) == (
        1,
        [
            "[ERROR] Invalid: 2 problems in `peppy.json5`",
            "  - MissingKey: peppy.json5:2:3: manifest: `tag` is missing",
            "  - UnknownKey: peppy.json5:3:5: manifest.nmae: `nmae` is not known (did you mean `name`?)",
        ],
    )


def test_a_message_with_details_of_its_own_keeps_both(capsys: pytest.CaptureFixture[str]) -> None:
    error = PeppyError("`a:v1` cannot be removed", kind="Refused", details=[Problem("Dependent", "`b:v1` needs it")])
    assert errors_of(capsys, error)[1] == [
        "[ERROR] Refused: `a:v1` cannot be removed",
        "  - Dependent: `b:v1` needs it",
    ]


def test_foreign_text_in_an_error_cannot_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    _, lines = errors_of(capsys, PeppyError("failed\n\x1b[31mred", kind="CommandFailed"))
    assert lines == ["[ERROR] CommandFailed: failed", "\\x1b[31mred"]


def test_an_interrupt_that_is_the_end_of_a_command_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report("topic echo")
    report.ends_by_interrupt = True
    assert report.conclude(failing(KeyboardInterrupt())) == 130
    assert capsys.readouterr() == ("", "")


def test_an_interrupt_ends_with_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert errors_of(capsys, KeyboardInterrupt()) == (130, ["[ERROR] Aborted: interrupted"])


def test_an_error_of_the_system_names_file_and_reason(capsys: pytest.CaptureFixture[str]) -> None:
    code, lines = errors_of(capsys, OSError(28, "No space left on device", "/x"))
    assert (code, lines) == (1, ["[ERROR] CommandFailed: `/x`: No space left on device"])


def test_a_defect_is_an_internal_error_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    code, lines = errors_of(capsys, ZeroDivisionError("by zero"))
    assert code == 1
    assert lines[0].startswith("Traceback")
    assert lines[-1] == "[ERROR] Internal: ZeroDivisionError: by zero"


def test_the_last_lines_of_output_follow_the_error(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report("node build")

    def work() -> object:
        for number in range(25):
            report.output(Output("stdout", f"line {number}"))
        raise PeppyError("`uv sync` failed with exit status 1", kind="CommandFailed", hint="see the log")

    assert report.conclude(work) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[:25] == [f"line {number}" for number in range(25)]
    assert lines[25:27] == [
        "[ERROR] CommandFailed: `uv sync` failed with exit status 1",
        "--- output (last lines) ---",
    ]
    assert lines[27:] == [*(f"line {number}" for number in range(5, 25)), "hint: see the log"]


def test_last_lines_that_the_error_holds_already_are_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report("node build")

    def work() -> object:
        report.output(Output("stderr", "no such package"))
        raise PeppyError("failed\nno such package", kind="CommandFailed")

    report.conclude(work)
    assert capsys.readouterr().err.splitlines() == [
        "no such package",
        "[ERROR] CommandFailed: failed",
        "no such package",
    ]


def test_a_success_is_an_envelope_with_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert envelope_of(capsys, lambda: Pruned(("left",))) == {
        "schema": 1,
        "ok": True,
        "command": "node prune",
        "data": {"pruned": ["left"]},
        "warnings": [],
    }


def test_warnings_are_told_once_and_stand_in_the_envelope(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report("node run", as_json=True)

    def work() -> object:
        report.output(Output("warning", "slot `a` is left without a producer"))
        report.warning("slot `a` is left without a producer")
        return None

    report.conclude(work)
    taken = capsys.readouterr()
    assert json.loads(taken.out)["warnings"] == ["slot `a` is left without a producer"]
    assert taken.err == "[WARNING] slot `a` is left without a producer\n"


def test_result_lines_do_not_mix_with_json(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report("node prune", as_json=True)
    report.result("Pruned 0 instance record(s)")
    assert capsys.readouterr().out == ""


def test_a_single_error_stands_in_details_too(capsys: pytest.CaptureFixture[str]) -> None:
    answer = envelope_of(capsys, failing(PeppyError("no", kind="NotFound", hint="add it")))
    empty = {"file": None, "line": None, "column": None, "path": None}
    assert (answer["ok"], answer["data"]) == (False, None)
    assert answer["error"] == {
        "kind": "NotFound",
        "message": "no",
        "hint": "add it",
        "details": [{"kind": "NotFound", "message": "no", "hint": "add it", **empty}],
    }


def test_the_message_of_a_single_error_leaves_its_kind_to_the_kind(capsys: pytest.CaptureFixture[str]) -> None:
    error = envelope_of(capsys, failing(InvalidInput([PLACED])))["error"]
    assert isinstance(error, dict)
    assert (error["kind"], error["message"]) == ("UnknownKey", "peppy.json5:3:5: manifest.nmae: `nmae` is not known")


def test_several_errors_have_the_kind_invalid_and_their_places(capsys: pytest.CaptureFixture[str]) -> None:
    error = envelope_of(capsys, failing(InvalidInput([OTHER, PLACED])))["error"]
    assert isinstance(error, dict)
    assert error["kind"] == "Invalid"
    assert error["details"][1] == {
        "kind": "UnknownKey",
        "message": "`nmae` is not known",
        "hint": "did you mean `name`?",
        "file": "peppy.json5",
        "line": 3,
        "column": 5,
        "path": "manifest.nmae",
    }


def test_a_result_that_means_failure_is_shown_and_exits_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report("service status")

    def work() -> object:
        report.result("not running")
        report.unsuccessful(PeppyError("the peppy daemon is not running", kind="DaemonUnreachable"))
        return None

    assert report.conclude(work) == 1
    assert capsys.readouterr() == ("not running\n", "")


@pytest.mark.parametrize(
    "words",
    [
        ("stack", "list"),
        ("topic", "list"),
        ("topic", "info", "a"),
        ("topic", "hz", "a"),
        ("topic", "bw", "a"),
        ("topic", "echo", "a"),
        ("node", "info", "a:v1"),
        ("node", "sync"),
        ("node", "add"),
        ("node", "build", "a:v1"),
        ("node", "run", "a:v1"),
        ("node", "stop", "a"),
        ("node", "remove", "a:v1"),
        ("node", "prune"),
        ("node", "logs", "a"),
        ("service", "reset"),
        ("service", "status"),
        ("info",),
    ],
    ids=" ".join,
)
def test_every_command_without_a_daemon_answers_with_an_envelope(words: tuple[str, ...], tmp_path: Path) -> None:
    answer = peppy(*words, "--json", home=tmp_path / "home")
    envelope = json.loads(answer.stdout)
    assert answer.returncode == 1
    assert (envelope["schema"], envelope["ok"], envelope["command"], envelope["data"]) == (
        1,
        False,
        " ".join(words[:2]) if words[0] != "info" else "info",
        None,
    )
    assert envelope["error"]["kind"] == "DaemonUnreachable"
    assert not (tmp_path / "home").exists()


def test_without_a_daemon_the_hint_says_how_to_start_one(tmp_path: Path) -> None:
    answer = peppy("stack", "list", home=tmp_path)
    assert answer.stderr == (
        "[ERROR] DaemonUnreachable: the peppy daemon is not running\nhint: run peppy service serve\n"
    )


def test_a_file_in_place_of_the_data_root_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    answer = peppy("stack", "list", home=tmp_path / "home", PEPPY_NO_AUTOSTART="")
    assert answer.returncode == 1
    assert answer.stderr.splitlines() == [
        f"[ERROR] Refused: `{tmp_path}/home` cannot be the data root: `{tmp_path}/home` is not a directory",
        "hint: set PEPPY_HOME to a directory that you can write to",
    ]


def test_a_data_root_on_a_read_only_file_system_is_refused() -> None:
    answer = peppy("stack", "list", home=Path("/proc/sys"), PEPPY_NO_AUTOSTART="")
    assert answer.returncode == 1
    assert answer.stderr.splitlines()[0].startswith("[ERROR] Refused: `/proc/sys` cannot be the data root: ")
