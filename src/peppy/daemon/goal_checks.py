"""What servers say about goals is looked at before it is believed."""

import fcntl
import os

from peppy.model.goals import ResultStatus
from peppy.protocol import calls as frames
from peppy.protocol.frame import ProtocolViolation
from peppy.protocol.payloads import SEALS
from peppy.ring import Observer


def is_goal_id(text: str) -> bool:
    """Whether this is 16 hexadecimal digits."""
    return len(text) == 16 and all(character in "0123456789abcdef" for character in text)


def observed(fds: tuple[int, ...]) -> Observer | None:
    """A look at the stream whose DATA and CTRL came first; ProtocolViolation when they are none."""
    if not fds:
        return None
    try:
        return Observer.open(fds[0], fds[1])
    except OSError as error:
        raise ProtocolViolation(f"the feedback of a goal is no stream: {error}") from error


def outcome_of(frame: frames.GoalEnded, fds: tuple[int, ...]) -> ResultStatus:
    """How the goal ended. Raises ProtocolViolation for an outcome that is none; the daemon pays for what it keeps."""
    if not is_goal_id(frame.goal_id) or frame.outcome not in (0, 1, 2) or len(fds) != (frame.beside >= 0):
        raise ProtocolViolation("a goal ended in no way that there is")
    if fds:
        try:
            sealed = fcntl.fcntl(fds[0], fcntl.F_GET_SEALS) & SEALS == SEALS
        except OSError:
            sealed = False
        if not sealed or os.fstat(fds[0]).st_size != frame.beside:
            raise ProtocolViolation("a result is not in a sealed memfd of the length that its frame says")
    return ResultStatus(frame.outcome)
