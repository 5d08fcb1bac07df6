"""How goals end and how a cancel is answered (docs/reference/services_actions.md, Goals)."""

from enum import IntEnum


class ResultStatus(IntEnum):
    """How a goal ended, or that its outcome is no longer kept."""

    COMPLETED = 0
    CANCELLED = 1
    ABANDONED = 2
    EXPIRED = 3


class CancelState(IntEnum):
    """What became of a wish to cancel: delivered to the server's runtime, too late, or of a goal that nobody knows."""

    SIGNALLED = 0
    ALREADY_TERMINAL = 1
    UNKNOWN = 2
