"""Places where a daemon under test kills itself (docs/design/reliability.md, Fault points).

A point stands before and after every durable step of an operation. Without `PEPPY_FAULT` one costs a comparison.
"""

import os
import signal
from collections.abc import Mapping
from typing import Literal, get_args

from peppy.errors import PeppyError

VARIABLE = "PEPPY_FAULT"

Point = Literal[
    # add: everything but `add.copied` and `add.stopped` lies behind the moment that decides, the saved state
    "add.copied",
    "add.stopped",
    "add.recorded",
    "add.moved_away",
    "add.moved_in",
    "add.installed",
    "add.cleaned",
    # build
    "build.begun",
    "build.command_ended",
    "build.packed",
    "build.unpacking",
    "build.unpacked",
    "build.recorded",
    "build.installed",
    "build.cleaned",
    # run
    "run.accepted",
    "run.recorded",
    "run.copied",
    "run.files_made",
    "run.executed",
    "run.pids_recorded",
    "run.up",
    "run.ended",
    # stop
    "stop.asked",
    "stop.recorded",
    "stop.ended",
    "stop.end_recorded",
    "stop.deleted",
    # remove
    "remove.begun",
    "remove.records_dropped",
    "remove.recorded",
    "remove.artifact_deleted",
    "remove.deleted",
    "remove.cleaned",
    # steps that several operations share
    "shim.spawned",
    "state.backed_up",
    "state.written",
    "state.replaced",
]
POINTS: tuple[Point, ...] = get_args(Point)

_armed: str | None = None


def arm(environment: Mapping[str, str]) -> None:
    """From now on the process dies at the point that `PEPPY_FAULT` names, if it does.

    Raises PeppyError (`NotFound`) for a name that is no point.
    """
    global _armed
    name = environment.get(VARIABLE) or None
    if name is not None and name not in POINTS:
        raise PeppyError(f"{VARIABLE} names no fault point: `{name}`", kind="NotFound", hint=f"unset {VARIABLE}")
    _armed = name


def fault(point: Point) -> None:
    """Dies here, as by `kill -9`, when this is the point that was armed."""
    if point == _armed:
        os.kill(os.getpid(), signal.SIGKILL)
