"""The data root: where everything of one installation lies (docs/reference/daemon.md, Data root)."""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from peppy.errors import PeppyError
from peppy.model import home
from peppy.model.names import Reference
from peppy.store.atomic import storage_errors

SOCKET_PATH_LIMIT = 107  # bytes that fit into a sockaddr_un, without the closing zero


@dataclass(frozen=True, slots=True)
class DataRoot:
    """Paths below one absolute directory; nothing here touches the disk but `create`."""

    path: Path

    @property
    def program(self) -> Path:
        """Link to the program that the daemon runs."""
        return home.daemon_program(self.path)

    @property
    def config(self) -> Path:
        return self.path / "conf/peppy_config.json5"

    @property
    def repositories(self) -> Path:
        return self.path / "conf/repositories.json5"

    @property
    def state(self) -> Path:
        return self.path / "state/stack.json"

    @property
    def state_backup(self) -> Path:
        return self.path / "state/stack.json.bak"

    @property
    def run(self) -> Path:
        return home.run_directory(self.path)

    @property
    def socket(self) -> Path:
        return home.daemon_socket(self.path)

    @property
    def daemon_lock(self) -> Path:
        return home.daemon_lock(self.path)

    @property
    def daemon_record(self) -> Path:
        """`daemon.json`: pid, version and core node name of a daemon that is ready."""
        return home.daemon_record(self.path)

    @property
    def run_instances(self) -> Path:
        return self.path / "run/instances"

    def run_instance(self, instance_id: str) -> Path:
        """Files of the shim of one instance."""
        return self.run_instances / instance_id

    def runtime_config(self, instance_id: str) -> Path:
        return self.run_instance(instance_id) / "config.json"

    @property
    def run_builds(self) -> Path:
        return self.path / "run/builds"

    def run_build(self, node: Reference) -> Path:
        """Files of the shim of one build."""
        return self.run_builds / node.path_key

    @property
    def snapshots(self) -> Path:
        return self.path / "staging"

    def snapshot(self, node: Reference) -> Path:
        """What add took of the source; working directory of `build_cmd`."""
        return self.snapshots / node.path_key

    @property
    def built_nodes(self) -> Path:
        return self.path / "built_nodes"

    def built_link(self, node: Reference) -> Path:
        """Relative link to the snapshot."""
        return self.built_nodes / node.path_key

    def artifact(self, node: Reference) -> Path:
        return self.built_nodes / f"{node.path_key}.tar.zst"

    def unfinished_artifact(self, node: Reference) -> Path:
        """The artifact of a build until the state names it."""
        return self.built_nodes / f".{node.path_key}.tar.zst.new"

    @property
    def instances(self) -> Path:
        return self.path / "instances"

    def instance(self, instance_id: str) -> Path:
        """Working directory of `run_cmd`."""
        return self.instances / instance_id

    @property
    def node_index(self) -> Path:
        return self.path / "cache/nodes.json5"

    @property
    def launcher_index(self) -> Path:
        return self.path / "cache/launchers.json5"

    @property
    def interface_index(self) -> Path:
        return self.path / "cache/interfaces.json5"

    @property
    def git_checkouts(self) -> Path:
        return self.path / "cache/git_checkouts"

    @property
    def http_bundles(self) -> Path:
        return self.path / "cache/http_bundles"

    @property
    def extracted_artifacts(self) -> Path:
        return self.path / "cache/artifacts"

    def extracted_artifact(self, digest: str) -> Path:
        return self.extracted_artifacts / digest

    @property
    def wheels(self) -> Path:
        return self.path / "cache/wheels"

    @property
    def benchmark(self) -> Path:
        return self.path / "cache/benchmark"

    @property
    def temporary(self) -> Path:
        """Emptied at daemon start."""
        return self.path / "tmp"

    @property
    def add_logs(self) -> Path:
        return self.path / "logs/add"

    @property
    def build_logs(self) -> Path:
        return self.path / "logs/build"

    @property
    def launch_logs(self) -> Path:
        return self.path / "logs/launch"

    @property
    def run_logs(self) -> Path:
        return self.path / "logs/run"

    def run_log(self, instance_id: str) -> Path:
        return self.run_logs / f"{instance_id}.log"

    @property
    def daemon_log(self) -> Path:
        return home.daemon_log(self.path)

    @property
    def stack_log(self) -> Path:
        return self.path / "logs/stack.log"

    def create(self) -> None:
        """Makes the directories that are missing and checks that only this user can reach the socket.

        Raises PeppyError: not writable, a socket path over 107 bytes, or `run` of another user, open to others or a
        symbolic link.
        """
        length = len(os.fsencode(self.socket))
        if length > SOCKET_PATH_LIMIT:
            raise PeppyError(
                f"the socket path `{self.socket}` has {length} bytes, more than {SOCKET_PATH_LIMIT}",
                kind="Refused",
                hint="set PEPPY_HOME to a shorter path",
            )
        for directory in self._directories():
            with storage_errors("create", directory):
                directory.mkdir(parents=True, exist_ok=True)
        with storage_errors("create", self.run):
            self.run.mkdir(mode=0o700, exist_ok=True)
        self._check_run()
        for directory in (self.run_instances, self.run_builds):
            with storage_errors("create", directory):
                directory.mkdir(mode=0o700, exist_ok=True)
        with storage_errors("write below", self.path):
            probe = self.run / ".probe"
            probe.touch()
            probe.unlink()

    def _directories(self) -> tuple[Path, ...]:
        return (
            self.path,
            self.program.parent,
            self.config.parent,
            self.state.parent,
            self.snapshots,
            self.built_nodes,
            self.instances,
            self.git_checkouts,
            self.http_bundles,
            self.extracted_artifacts,
            self.wheels,
            self.benchmark,
            self.temporary,
            self.add_logs,
            self.build_logs,
            self.launch_logs,
            self.run_logs,
        )

    def _check_run(self) -> None:
        status = self.run.lstat()
        if not stat.S_ISDIR(status.st_mode):
            problem = "is not a directory"
        elif status.st_uid != os.geteuid():
            problem = f"belongs to user {status.st_uid}"
        elif status.st_mode & 0o077:
            problem = f"is open to other users (mode {stat.S_IMODE(status.st_mode):04o})"
        else:
            return
        raise PeppyError(f"`{self.run}` {problem}", kind="Refused", hint=f"remove `{self.run}` or make it your own")


def data_root(environment: Mapping[str, str]) -> DataRoot:
    """The data root that `PEPPY_HOME` names, `~/.peppy` when it is unset or empty; always absolute."""
    return DataRoot(home.data_root(environment))
