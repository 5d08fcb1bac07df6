"""The wheel of peppy that nodes install (docs/reference/node_api.md, Dependency on peppy).

It is packed from the installed files, so neither a compiler nor an index is needed, and its name carries their digest:
a changed source has another name, and no cache of a tool is ever stale.
"""

import base64
import hashlib
import importlib.metadata
import sys
import sysconfig
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from peppy.store.atomic import replacing, storage_errors
from peppy.store.root import DataRoot

DISTRIBUTION = "peppy-stack"
PACKAGE = Path(__file__).parents[1]

_LEFT_OUT_DIRECTORIES = frozenset({"__pycache__"})
_LEFT_OUT_SUFFIXES = frozenset({".c", ".o", ".pyc"})  # what a build leaves beside an editable install
_METADATA_KEYS = ("Name", "Summary", "Requires-Python", "Requires-Dist", "Provides-Extra")
_DATE = (1980, 1, 1, 0, 0, 0)  # the first that a zip file can have


@dataclass(frozen=True, slots=True)
class Runtime:
    """The peppy that runs here: its version and the first 12 hex digits of the SHA-256 of its files."""

    version: str
    digest: str


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    content: bytes
    executable: bool = False


def installed_runtime() -> Runtime:
    """Version and digest of the installed peppy, from its files as they are now. Raises PeppyError."""
    return _runtime(_package_entries())


def packed_wheel(root: DataRoot) -> Path:
    """The wheel of the installed peppy in `root`'s cache, made when it is missing. Raises PeppyError.

    Same files, same bytes, same name; an existing one is found in the time it takes to read the package.
    """
    entries = _package_entries()
    runtime = _runtime(entries)
    wheel = root.wheels / f"{_stem(runtime)}-{_tag()}.whl"
    if not wheel.exists():
        with storage_errors("create", root.wheels):
            root.wheels.mkdir(parents=True, exist_ok=True)
        _write(wheel, [*entries, *_information(runtime)], runtime)
    return wheel


def remove_wheels(root: DataRoot, *, keep: Iterable[str]) -> None:
    """Deletes the wheels whose digest is neither in `keep` nor that of the installed peppy. Raises PeppyError."""
    kept = {*keep, installed_runtime().digest}
    with storage_errors("clean", root.wheels):
        for wheel in root.wheels.glob("peppy_stack-*.whl"):
            digest = wheel.name.split("-")[1].partition("+")[2]
            if digest not in kept:
                wheel.unlink(missing_ok=True)


def _package_entries() -> list[_Entry]:
    with storage_errors("read", PACKAGE):
        paths = sorted(path for path in PACKAGE.rglob("*") if _is_part(path))
        return [
            _Entry(str(path.relative_to(PACKAGE.parent)), path.read_bytes(), bool(path.stat().st_mode & 0o100))
            for path in paths
        ]


def _is_part(path: Path) -> bool:
    return path.suffix not in _LEFT_OUT_SUFFIXES and not _LEFT_OUT_DIRECTORIES & set(path.parts) and path.is_file()


def _runtime(entries: Iterable[_Entry]) -> Runtime:
    digest = hashlib.sha256()
    for entry in entries:
        digest.update(f"{entry.name}\0{int(entry.executable)}\0{len(entry.content)}\0".encode())
        digest.update(entry.content)
    return Runtime(importlib.metadata.version(DISTRIBUTION), digest.hexdigest()[:12])


def _stem(runtime: Runtime) -> str:
    return f"{DISTRIBUTION.replace('-', '_')}-{runtime.version}+{runtime.digest}"


def _tag() -> str:
    """`<python tag>-<abi>-<platform>`: the stream core is built for the stable ABI of Python 3.11."""
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    if any((PACKAGE / "ring").glob("_core.abi3.*")):
        return f"cp311-abi3-{platform}"
    interpreter = f"cp{sys.version_info.major}{sys.version_info.minor}"
    return f"{interpreter}-{interpreter}-{platform}"


def _information(runtime: Runtime) -> list[_Entry]:
    directory = f"{_stem(runtime)}.dist-info"
    distribution = importlib.metadata.distribution(DISTRIBUTION)
    lines = ["Metadata-Version: 2.1", f"Version: {runtime.version}+{runtime.digest}"]
    for key in _METADATA_KEYS:
        lines += [f"{key}: {value}" for value in distribution.metadata.get_all(key) or ()]
    scripts = sorted((point.name, point.value) for point in distribution.entry_points.select(group="console_scripts"))
    programs = "".join(f"{name} = {target}\n" for name, target in scripts)
    wheel = f"Wheel-Version: 1.0\nGenerator: peppy {runtime.version}\nRoot-Is-Purelib: false\nTag: {_tag()}\n"
    return [
        _Entry(f"{directory}/METADATA", ("\n".join(lines) + "\n").encode()),
        _Entry(f"{directory}/WHEEL", wheel.encode()),
        _Entry(f"{directory}/entry_points.txt", f"[console_scripts]\n{programs}".encode()),
    ]


def _write(wheel: Path, entries: list[_Entry], runtime: Runtime) -> None:
    record = f"{_stem(runtime)}.dist-info/RECORD"
    rows = [f"{entry.name},sha256={_record_digest(entry.content)},{len(entry.content)}\n" for entry in entries]
    rows.append(f"{record},,\n")
    with replacing(wheel, mode=0o644) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for entry in [*entries, _Entry(record, "".join(rows).encode())]:
            member = zipfile.ZipInfo(entry.name, _DATE)
            member.create_system = 3  # Unix, so that the mode counts
            member.external_attr = (0o100755 if entry.executable else 0o100644) << 16
            archive.writestr(member, entry.content)


def _record_digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
