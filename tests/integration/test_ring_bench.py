"""The benchmark measures what it says and writes the file that its readers expect (bench/README.md)."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

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
def result(tmp_path_factory: pytest.TempPathFactory) -> dict:
    path = tmp_path_factory.mktemp("bench") / "result.json"
    command = [sys.executable, "-m", "bench", "--quick", "--repeats", "1", "--seconds", "0.01", "--output", str(path)]
    suites = ["--suite", "floors", "--suite", "latency", "--suite", "scaling"]
    subprocess.run([*command, *suites], cwd=ROOT, check=True, timeout=100, stdout=subprocess.DEVNULL)
    return json.loads(path.read_text())


def test_the_result_names_schema_machine_commit_and_start(result: dict) -> None:
    assert list(result) == ["schema", "machine", "commit", "started", "rows"]
    assert result["schema"] == 1
    assert result["machine"]["cpus"] >= 1


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
