"""The status board as bytes: one page, little-endian, written by the daemon alone.

      0  magic          8 bytes, `PEPPYBRD`           |  these 16 bytes never change
      8  layout         u32, 1                        |
     12  size           u32, 4096                     |
     16  sequence       u64, odd while the daemon is writing
     24  checksum       u32, CRC-32 of bytes 32 to 2384
     28  -              4 zero bytes
     32  heartbeat      u64, monotonic ns
     40  started        u64, ns since the Unix epoch
     48  clock time     u64, ns since the Unix epoch; 0 in wall mode
     56  clock stamp    u64, monotonic ns of the clock time; 0 in wall mode
     64  daemon pid     u32
     68  clock mode     u32, 0 wall, 1 sim
     72  counts         8 x u32: nodes; instances starting, running, stopping, finished, failed; streams; calls
    104  -              8 zero bytes
    112  epoch          32 bytes   |
    144  version        64 bytes   |  UTF-8, filled up with zero bytes
    208  core node name 128 bytes  |
    336  data root      2048 bytes |
   2384  -              zero to the end

A snapshot is whole if and only if the sequence word is even, the same before and after reading, and the checksum is
right. The checksum covers machines that reorder reads, which Python has no fence against.
"""

import struct
import time
import zlib
from dataclasses import astuple, dataclass
from pathlib import Path

MAGIC = b"PEPPYBRD"
LAYOUT = 1
SIZE = 4096
IDENTITY = struct.Struct("<8sII")
SEQUENCE_WORD = 2  # the page as u64s
CHECKSUM = struct.Struct("<I4x")
BODY = struct.Struct("<4Q2I8I8x32s64s128s2048s")

CHECKSUM_AT = 24
BODY_AT = 32
BODY_END = 2384

CLOCK_MODES = {0: "wall", 1: "sim"}

assert IDENTITY.size == 8 * SEQUENCE_WORD
assert CHECKSUM_AT + CHECKSUM.size == BODY_AT
assert BODY_AT + BODY.size == BODY_END <= SIZE


@dataclass(frozen=True, slots=True)
class Counts:
    """How many there are of each; instances by state."""

    nodes: int = 0
    starting: int = 0
    running: int = 0
    stopping: int = 0
    finished: int = 0
    failed: int = 0
    streams: int = 0
    calls: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The board at one moment. Times in ns; `heartbeat_ns` and `clock_stamp_ns` are monotonic.

    `silent_seconds`: how long ago, when it was read, the daemon last wrote. `clock_mode`: `wall` or `sim`.
    """

    data_root: Path
    daemon_pid: int
    epoch: str
    version: str
    core_node_name: str
    started_ns: int
    heartbeat_ns: int
    silent_seconds: float
    clock_mode: str
    clock_ns: int
    clock_stamp_ns: int
    counts: Counts


@dataclass(frozen=True, slots=True)
class Identity:
    """What stays the same during one life of a daemon."""

    data_root: str
    daemon_pid: int
    epoch: str
    version: str
    core_node_name: str
    started_ns: int

    def packed(self, counts: Counts) -> bytes:
        """Checksum and body, stamped with the present moment. Raises ValueError when a text does not fit."""
        body = BODY.pack(
            time.monotonic_ns(),
            self.started_ns,
            0,
            0,
            self.daemon_pid,
            0,
            *astuple(counts),
            _filled("epoch", self.epoch, 32),
            _filled("version", self.version, 64),
            _filled("core node name", self.core_node_name, 128),
            _filled("data root", self.data_root, 2048),
        )
        return CHECKSUM.pack(zlib.crc32(body)) + body


def unpacked(data: bytes) -> Snapshot | None:
    """The snapshot in the bytes of checksum and body; None when they are not whole or make no sense."""
    body = data[CHECKSUM.size :]
    if CHECKSUM.unpack_from(data)[0] != zlib.crc32(body):
        return None
    heartbeat, started, clock, stamp, pid, mode, *rest = BODY.unpack(body)
    counts, texts = rest[:8], rest[8:]
    clock_mode = CLOCK_MODES.get(mode)
    if clock_mode is None:
        return None
    try:
        epoch, version, core_node_name, data_root = (text.rstrip(b"\0").decode() for text in texts)
    except UnicodeDecodeError:
        return None
    return Snapshot(
        data_root=Path(data_root),
        daemon_pid=pid,
        epoch=epoch,
        version=version,
        core_node_name=core_node_name,
        started_ns=started,
        heartbeat_ns=heartbeat,
        silent_seconds=(time.monotonic_ns() - heartbeat) / 1e9,
        clock_mode=clock_mode,
        clock_ns=clock,
        clock_stamp_ns=stamp,
        counts=Counts(*counts),
    )


def _filled(name: str, text: str, size: int) -> bytes:
    data = text.encode()
    if len(data) > size or b"\0" in data:
        raise ValueError(f"the {name} `{text[:80]}` does not fit into {size} bytes")
    return data
