"""Names below the data root (docs/reference/daemon.md, Data root). Path arithmetic only: nothing is read or made."""

from collections.abc import Mapping
from pathlib import Path


def data_root(environment: Mapping[str, str]) -> Path:
    """The absolute data root that `PEPPY_HOME` names; `~/.peppy` when it is unset or empty."""
    text = environment.get("PEPPY_HOME")
    return Path(text).expanduser().absolute() if text else Path.home() / ".peppy"


def run_directory(home: Path) -> Path:
    """Files of the running daemon and of the shims, mode 0700."""
    return home / "run"


def daemon_socket(home: Path) -> Path:
    """Where the daemon listens, mode 0600."""
    return run_directory(home) / "daemon.sock"


def daemon_lock(home: Path) -> Path:
    """Locked by the daemon for life."""
    return run_directory(home) / "daemon.lock"


def daemon_record(home: Path) -> Path:
    """Pid, version and core node name; present only while the daemon is ready."""
    return run_directory(home) / "daemon.json"


def daemon_program(home: Path) -> Path:
    """The link to the program that the daemon runs."""
    return home / "bin" / "peppy"


def log_directory(home: Path) -> Path:
    """All logs."""
    return home / "logs"


def daemon_log(home: Path) -> Path:
    """The daemon's own log."""
    return log_directory(home) / "daemon.log"
