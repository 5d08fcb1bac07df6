"""Errors on the wire and back: `Failed` and `Refuse` frames say what a `PeppyError` says."""

from peppy import errors
from peppy.errors import PeppyError
from peppy.protocol.frames import Failed, Problem, Refuse


def failed(error: PeppyError) -> Failed:
    """The frame that tells an asker about `error`."""
    details = tuple(
        Problem(found.kind, found.message, found.file, found.line, found.column, found.path, found.hint)
        for found in error.details
    )
    return Failed(error.kind, error.message, error.hint, details)


def error_of(frame: Failed | Refuse) -> PeppyError:
    """The error that the other side told about."""
    problems = frame.details if isinstance(frame, Failed) else ()
    details = [
        errors.Problem(found.kind, found.message, found.file, found.line, found.column, found.path, found.hint)
        for found in problems
    ]
    return PeppyError(frame.message, kind=frame.kind, hint=frame.hint, details=details)
