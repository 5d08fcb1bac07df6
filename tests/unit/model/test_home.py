"""The data root and the names below it (docs/reference/daemon.md, Data root)."""

from pathlib import Path

import pytest

from peppy.model import home


@pytest.mark.parametrize("environment", [{}, {"PEPPY_HOME": ""}])
def test_the_data_root_is_in_the_home_directory_unless_it_is_set(environment: dict[str, str]) -> None:
    assert home.data_root(environment) == Path.home() / ".peppy"


def test_a_set_data_root_is_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert home.data_root({"PEPPY_HOME": "robot"}) == tmp_path / "robot"
    assert home.data_root({"PEPPY_HOME": "~/robot"}) == Path.home() / "robot"


def test_files_of_the_daemon_lie_below_the_data_root() -> None:
    root = Path("/r")
    names = [home.daemon_socket, home.daemon_lock, home.daemon_record, home.daemon_program, home.daemon_log]
    assert [str(name(root)) for name in names] == [
        "/r/run/daemon.sock",
        "/r/run/daemon.lock",
        "/r/run/daemon.json",
        "/r/bin/peppy",
        "/r/logs/daemon.log",
    ]
