"""The daemon's configuration: `conf/peppy_config.json5` (docs/reference/daemon.md, Configuration)."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from peppy.manifest.cursor import Cursor
from peppy.manifest.document import Document
from peppy.manifest.files import read_bytes
from peppy.model.text import quoted

MIB = 1 << 20

TEMPLATE = """\
// Configuration of the peppy daemon. It is read when the daemon starts; what is left out has the value shown here.
{
  lifecycle: {
    daemon_grace_secs: 180,    // how long a node goes on without a daemon; at least 30
    shutdown_grace_secs: 5,    // how long a node has to end by itself; at least 1
    ready_timeout_secs: 120,   // from the start of a node to its connection; at least 1
    health_timeout_secs: 15,   // from its connection to the end of its setup; at least 1
  },
  operations: {
    idle_timeout_secs: 600,    // a build that prints nothing for so long is cancelled; at least 1
  },
  actions: {
    result_retention_secs: 30,     // how long an outcome is kept for its client; at least 1
    feedback_ring_bytes: 8388608,  // at least 65536
  },
  reliable: {
    publish_timeout_secs: 5,   // how long a publisher waits for a slow reader; above 0
  },
  build: {
    parallel: 2,               // builds at a time during a launch; 1 to 16
  },
  logs: {
    max_bytes: 10485760,       // of one run or daemon log before it is rotated; at least 65536
    keep: 4,                   // rotated files kept; 0 to 99
  },
  topics: {
    // Messages that a stream holds; 4 to 16384, rounded up to a power of two.
    depth: { sensor_data: 32, standard: 128, reliable: 128, critical: 128 },
    ring_bytes: 67108864,          // memory of one stream; at least 1048576
    max_message_bytes: 268435456,  // at least 1048576
  },
}
"""


@dataclass(frozen=True, slots=True)
class Number:
    """One setting: its default and the range of its values (`most` None: no limit), inclusive unless `above`."""

    default: int | float
    least: float
    most: float | None = None
    whole: bool = False
    above: bool = False

    @property
    def rule(self) -> str:
        """The allowed values in words."""
        noun = "an integer" if self.whole else "a number"
        if self.most is not None:
            return f"{noun} from {self.least:g} to {self.most:g}"
        return f"{noun} above {self.least:g}" if self.above else f"{noun} of at least {self.least:g}"

    def allows(self, value: object) -> bool:
        """Whether `value` is in range and of the right kind."""
        if isinstance(value, bool) or not isinstance(value, int if self.whole else int | float):
            return False
        if not math.isfinite(value) or (self.most is not None and value > self.most):
            return False
        return value > self.least if self.above else value >= self.least


SETTINGS: dict[str, Number] = {
    "lifecycle.daemon_grace_secs": Number(180, 30),
    "lifecycle.shutdown_grace_secs": Number(5, 1),
    "lifecycle.ready_timeout_secs": Number(120, 1),
    "lifecycle.health_timeout_secs": Number(15, 1),
    "operations.idle_timeout_secs": Number(600, 1),
    "actions.result_retention_secs": Number(30, 1),
    "actions.feedback_ring_bytes": Number(8 * MIB, 64 << 10, whole=True),
    "reliable.publish_timeout_secs": Number(5, 0, above=True),
    "build.parallel": Number(2, 1, 16, whole=True),
    "logs.max_bytes": Number(10 * MIB, 64 << 10, whole=True),
    "logs.keep": Number(4, 0, 99, whole=True),
    "topics.depth.sensor_data": Number(32, 4, 16384, whole=True),
    "topics.depth.standard": Number(128, 4, 16384, whole=True),
    "topics.depth.reliable": Number(128, 4, 16384, whole=True),
    "topics.depth.critical": Number(128, 4, 16384, whole=True),
    "topics.ring_bytes": Number(64 * MIB, MIB, whole=True),
    "topics.max_message_bytes": Number(256 * MIB, MIB, whole=True),
}


@dataclass(frozen=True, slots=True)
class Configuration:
    """All settings by dotted name."""

    values: dict[str, int | float]

    def seconds(self, name: str) -> float:
        """A setting that is a duration in seconds."""
        return float(self.values[name])

    def whole(self, name: str) -> int:
        """A setting that is a count or a size in bytes."""
        return int(self.values[name])

    def depths(self) -> dict[str, int]:
        """`topics.depth` by profile, rounded up to powers of two."""
        start = "topics.depth."
        return {
            name.removeprefix(start): 1 << (int(value) - 1).bit_length()
            for name, value in self.values.items()
            if name.startswith(start)
        }


def load(path: Path, write: Callable[[Path, bytes], object]) -> Configuration:
    """The configuration in `path`, which is created with comments when missing, through `write`.

    Raises InvalidInput with the place of everything that is wrong; the file is never changed.
    """
    if not path.exists():
        write(path, TEMPLATE.encode())
    raw, name = read_bytes(path)
    return parse(raw, name)


def parse(raw: bytes, name: str) -> Configuration:
    """The configuration in a document called `name`; InvalidInput with the place of everything that is wrong."""
    document = Document.parse(raw, name)
    values: dict[str, int | float] = {key: setting.default for key, setting in SETTINGS.items()}
    _read_group(Cursor.of(document), "", values)
    document.finish()
    return Configuration(values)


def _read_group(cursor: Cursor, prefix: str, values: dict[str, int | float]) -> None:
    known = {name.removeprefix(prefix).split(".")[0]: False for name in SETTINGS if name.startswith(prefix)}
    for key, member in (cursor.members(known) or {}).items():
        setting = SETTINGS.get(prefix + key)
        if setting is None:
            _read_group(member, f"{prefix}{key}.", values)
        elif setting.allows(member.value):
            values[prefix + key] = member.value  # pyright: ignore[reportArgumentType]
        else:
            member.report("OutOfRange", f"{quoted(member.value)} is not {setting.rule}", f"write {setting.rule}")


def runtime_groups(configuration: Configuration) -> dict[str, dict[str, int | float | dict[str, int]]]:
    """The settings that a node gets in its runtime config (docs/reference/daemon.md, Runtime config)."""
    seconds, whole = configuration.seconds, configuration.whole
    return {
        "lifecycle": {
            "daemon_grace_secs": seconds("lifecycle.daemon_grace_secs"),
            "shutdown_grace_secs": seconds("lifecycle.shutdown_grace_secs"),
        },
        "reliable": {"publish_timeout_secs": seconds("reliable.publish_timeout_secs")},
        "topics": {
            "depth": configuration.depths(),
            "ring_bytes": whole("topics.ring_bytes"),
            "max_message_bytes": whole("topics.max_message_bytes"),
        },
        "actions": {
            "feedback_ring_bytes": whole("actions.feedback_ring_bytes"),
            "result_retention_secs": seconds("actions.result_retention_secs"),
        },
    }
