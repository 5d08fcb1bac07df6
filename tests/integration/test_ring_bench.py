"""The benchmark measures what it says and writes the file that its readers expect (bench/README.md)."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from bench import peers, results, targets

TAKEN = ("floors", "latency", "typed", "service", "goal", "fanout", "scaling")
ROOT = Path(__file__).parents[2]
COLUMNS = [
    "suite",
    "peer",
    "test",
    "size",
    "mode",
    "condition",
    "unit",
    "p50",
    "p99",
    "p999",
    "value",
    "n",
    "repeats",
    "lost",
    "note",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, str]:
    """A very short run: its result and what it printed."""
    path = tmp_path_factory.mktemp("bench") / "result.json"
    command = [sys.executable, "-m", "bench", "--quick", "--repeats", "1", "--seconds", "0.01", "--output", str(path)]
    suites = [word for name in TAKEN for word in ("--suite", name)]
    done = subprocess.run([*command, *suites], cwd=ROOT, check=True, timeout=100, stdout=subprocess.PIPE, text=True)
    return json.loads(path.read_text()), done.stdout


@pytest.fixture(scope="module")
def result(run: tuple[dict, str]) -> dict:
    return run[0]


def test_the_result_names_schema_machine_commit_and_start(result: dict) -> None:
    assert list(result) == ["schema", "machine", "commit", "started", "rows"]
    assert result["schema"] == 1
    assert result["machine"]["cpus"] >= 1
    assert 0 <= result["machine"]["others_percent"] <= 100


def test_every_row_has_the_columns_of_the_format(result: dict) -> None:
    for row in result["rows"]:
        assert sorted(row) == sorted(COLUMNS)
        assert row["n"] > 0


def test_latency_comes_with_its_floors(result: dict) -> None:
    peers = {row["peer"] for row in result["rows"]}
    assert {"peppy", "floor:eventfd", "floor:asyncio-eventfd", "floor:memcpy", "floor:cacheline"} <= peers


def test_quantiles_ascend(result: dict) -> None:
    for row in result["rows"]:
        if row["value"] is None:
            assert 0 < row["p50"] <= row["p99"] <= row["p999"]


def test_no_figure_is_below_its_floor(result: dict) -> None:
    def p50(peer: str, mode: str) -> float:
        rows = (row for row in result["rows"] if (row["peer"], row["mode"], row["condition"]) == (peer, mode, "awake"))
        return min(row["p50"] for row in rows if row["test"] == "latency")

    assert p50("peppy", "raw-poll") > p50("floor:cacheline", "raw-poll")


def test_typed_figures_come_from_two_nodes_in_every_mode(result: dict) -> None:
    rows = [row for row in result["rows"] if row["suite"] == "typed"]
    modes = {row["mode"] for row in rows if row["test"] == "latency"}
    assert modes == {"typed-asyncio", "typed-block", "typed-poll", "loan-asyncio"}
    assert all(row["lost"] == 0 for row in rows if "paced" in row["note"])


def test_calls_are_measured_beside_every_middleware_that_is_installed(run: tuple[dict, str]) -> None:
    result, printed = run
    measured = {row["peer"] for row in result["rows"] if row["test"] == "service"}
    assert measured == {"peppy", *peers.installed()}
    for peer in peers.missing():
        assert f"`{peer}` is not measured" in printed


def test_goals_and_feedback_are_measured_beside_a_topic(result: dict) -> None:
    rows = [row for row in result["rows"] if row["suite"] == "goal"]
    words = ("goal without feedback", "goal with feedback", "feedback, ", "topic, ")
    assert all(any(row["note"].startswith(word) for row in rows) for word in words)
    assert sum(row["lost"] for row in rows) == 0


def test_every_target_is_judged_and_misses_are_said(run: tuple[dict, str]) -> None:
    result, printed = run
    judged = list(targets.verdicts(result["rows"]))
    assert targets.table(judged) in printed
    words = targets.table(judged).splitlines()[1:]
    for verdict, line in zip(judged, words, strict=True):
        assert line.endswith({True: "met", False: "MISSED", None: "not measured"}[verdict.met])


def test_a_figure_beyond_its_limit_is_a_miss() -> None:
    case = results.Case("latency", "peppy", "latency", 64, "raw-poll", "awake", "us")
    for microseconds, met in ((1.4, True), (1.6, False)):
        judged = targets.verdicts([results.row(case, [results.Sample(n=1, times=[microseconds])])])
        assert next(judged).met is met
