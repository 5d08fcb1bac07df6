"""The persisted stack, `state/stack.json` (docs/reference/daemon.md, State and recovery).

The file carries a version and loads for ever; one of a newer peppy is refused and stays as it is.
"""

import contextlib
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec

from peppy.errors import PeppyError
from peppy.faults import fault
from peppy.model.lifecycle import Stage, State
from peppy.store.atomic import replacing, storage_errors, write_file
from peppy.store.root import DataRoot

VERSION = 1

Natural = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(gt=0)]
HiddenName = Annotated[str, msgspec.Meta(pattern=r"^\.[^./\x00][^/\x00]*\Z")]


class ArtifactRecord(msgspec.Struct, frozen=True):
    """What a build has made: SHA-256 of the archive, version and digest of the peppy it was built with."""

    digest: str
    runtime_version: str
    runtime_hash: str


class NodeRecord(msgspec.Struct, frozen=True):
    """One node but the core. `artifact` is there when the stage is Ready, or Building over an older artifact.

    `interfaces` are the texts of the interface documents that it was added with. `staged` is the name of its snapshot
    below `staging/` as long as that has not taken its place there.
    """

    name: str
    tag: str
    variant: str
    stage: Stage
    source: str
    config_sha256: str
    generation: Natural
    artifact: ArtifactRecord | None = None
    add_log: str | None = None
    build_log: str | None = None
    interfaces: tuple[str, ...] = ()
    staged: HiddenName | None = None


class ProcessRecord(msgspec.Struct, frozen=True):
    """A process: pid and start time in clock ticks since boot."""

    pid: Positive
    start: Positive


class BindingRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a slot reads from: `pinned`, `from_any_bound` or `from_any_unbound`, as in the runtime config."""

    kind: str
    producer_instance_id: str | None = None
    producer_instance_ids: tuple[str, ...] = ()


class ExitRecord(msgspec.Struct, frozen=True):
    """How an instance ended; both None: unknown. `time` in RFC 3339; `killed`: SIGKILL was needed."""

    status: int | None
    signal: str | None
    time: str | None
    killed: bool = False


class InstanceRecord(msgspec.Struct, frozen=True):
    """One instance. `order` counts starts, `started_at` is in seconds since the epoch.

    `variables` are the names of its environment variables; their values are never stored.
    """

    instance_id: str
    node: str
    state: State
    order: Natural
    started_at: float
    log: str
    arguments: dict[str, object] = {}
    slot_bindings: dict[str, BindingRecord] = {}
    variables: tuple[str, ...] = ()
    shim: ProcessRecord | None = None
    child: ProcessRecord | None = None
    exit: ExitRecord | None = None


class StackFile(msgspec.Struct, frozen=True):
    """The whole stack; `boot_id` is that of the machine's boot in which it was written."""

    version: int
    boot_id: str
    core_node_name: str
    nodes: tuple[NodeRecord, ...] = ()
    instances: tuple[InstanceRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was found: `stack` is None when there is none to go on with; warnings are for the daemon log."""

    stack: StackFile | None
    warnings: tuple[str, ...] = ()


class _Version(msgspec.Struct):
    version: int


def save_stack(root: DataRoot, stack: StackFile) -> None:
    """Writes the stack and keeps the version before it as `.bak`; at every moment one whole file is there.

    Raises PeppyError with path and reason; then the old file stays.
    """
    content = msgspec.json.format(msgspec.json.encode(stack), indent=2) + b"\n"
    with storage_errors("write", root.state_backup):
        _keep_previous(root)
    fault("state.backed_up")
    with replacing(root.state) as file:
        file.write(content)
        fault("state.written")
    fault("state.replaced")


def _keep_previous(root: DataRoot) -> None:
    """By a link, so that `stack.json` never goes away."""
    link = root.state_backup.with_name(f".{root.state_backup.name}.new")
    link.unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        os.link(root.state, link)
        link.rename(root.state_backup)
        link.unlink(missing_ok=True)  # a rename leaves both names when they are of one file already


def load_stack(root: DataRoot, now: datetime | None = None) -> Loaded:
    """Reads the stack; a damaged file is kept as `.corrupt-<ts>` and `.bak` takes its place.

    Raises PeppyError when the file is of a newer peppy, or cannot be read or renamed; it is untouched then.
    """
    if not root.state.exists():
        return Loaded(None)
    stack = _read(root.state)
    if stack is not None:
        return Loaded(stack)
    backup = _read(root.state_backup) if root.state_backup.exists() else None
    damaged = _set_aside(root.state, now or datetime.now())
    if backup is not None:
        write_file(root.state, root.state_backup.read_bytes())
        return Loaded(backup, (f"`{root.state}` was damaged (kept as `{damaged}`); the version before it is used",))
    return Loaded(None, (f"`{root.state}` was damaged (kept as `{damaged}`) and so is its backup: the stack is empty",))


def _read(path: Path) -> StackFile | None:
    with storage_errors("read", path):
        content = path.read_bytes()
    try:
        version = msgspec.json.decode(content, type=_Version).version
        if version <= VERSION:
            return msgspec.json.decode(content, type=StackFile)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    raise PeppyError(
        f"`{path}` has version `{version}`, this peppy reads versions up to `{VERSION}`",
        kind="Refused",
        hint="start the newer peppy that wrote it",
    )


def _set_aside(path: Path, now: datetime) -> Path:
    target = path.with_name(f"{path.name}.corrupt-{now:%Y%m%d_%H%M%S}_{now.microsecond // 1000:03d}")
    with storage_errors("rename", path):
        path.rename(target)
    return target
