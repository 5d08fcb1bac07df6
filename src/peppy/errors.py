"""Every error that a user of peppy can meet.

    PeppyError                      has a kind, a message, a hint and details (docs/reference/cli.md, Errors)
    ├── InvalidInput                one or more problems of a document, an argument or a request
    ├── ServiceUnreachable          ConnectionError   no producer acknowledged the call
    ├── DaemonUnavailable           ConnectionError   no daemon at the socket
    ├── ServiceTimeout              TimeoutError      acknowledged, no reply
    ├── PublishTimeout              TimeoutError      a slow reader held the writer too long
    ├── ServiceError                RuntimeError      the remote side answered with an error
    ├── ActionFeedbackClosed        RuntimeError      the goal's feedback stream has ended
    ├── GoalRejected                RuntimeError      get_result on a rejected goal
    ├── SchemaMismatch              RuntimeError      both sides were generated from different formats
    ├── SubscriptionClosed          RuntimeError      the subscription ended under a waiting read
    ├── TooManyReaders              RuntimeError      the stream has its 64 readers already
    ├── LoanReleased                RuntimeError      a loan was used after its end
    ├── NodeStartupError            RuntimeError      the process cannot start as configured
    └── DecodeError                 ValueError        bytes that are no valid payload

The second column is the builtin that each of them also is (docs/reference/node_api.md, Exceptions). Everything else is
raised as `PeppyError` with one of the kinds of the reference, such as `NotFound`, `Busy` or `Refused`.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, with the place where a person finds it.

    `kind` is an error name of the reference; `file`, `line`, `column` (both from 1) and `path` (dotted, such as
    `interfaces.topics.emits[0].name`) are None where there is no document.
    """

    kind: str
    message: str
    file: str | None = None
    line: int | None = None
    column: int | None = None
    path: str | None = None
    hint: str | None = None

    def located(self) -> str:
        """The message behind its place: `<file>:<line>:<column>: <dotted path>: <text>`."""
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        return ": ".join(part for part in (place, self.path, self.message) if part)

    def __str__(self) -> str:
        return f"{self.kind}: {self.located()}"


class PeppyError(Exception):
    """Something failed: `kind` for programs, `message` for people, `hint` names one action, `details` every problem."""

    def __init__(
        self, message: str, *, kind: str | None = None, hint: str | None = None, details: Iterable[Problem] = ()
    ) -> None:
        super().__init__(message)
        self.kind = kind or type(self).__name__
        self.message = message
        self.hint = hint
        self.details = tuple(details)

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message


class InvalidInput(PeppyError):
    """A document or a request has problems; all of them are reported together (docs/reference/manifest.md, Rules)."""

    def __init__(self, details: Iterable[Problem], *, hint: str | None = None) -> None:
        problems = tuple(details)
        kind = problems[0].kind if len(problems) == 1 else "Invalid"
        hints = [problem.hint for problem in problems if problem.hint]
        super().__init__(
            "\n".join(str(problem) for problem in problems),
            kind=kind,
            hint=hint or (hints[0] if hints else None),
            details=problems,
        )


class ServiceUnreachable(PeppyError, ConnectionError):
    """No producer acknowledged the call: no user code has run, so it is safe to retry."""


class DaemonUnavailable(PeppyError, ConnectionError):
    """No daemon answers at the socket."""


class ServiceTimeout(PeppyError, TimeoutError):
    """The call was acknowledged but not answered in time: user code may have run."""


class PublishTimeout(PeppyError, TimeoutError):
    """A slow reader held the writer of a waiting profile longer than `reliable.publish_timeout_secs`."""


class ServiceError(PeppyError, RuntimeError):
    """The remote side answered with an error."""


class ActionFeedbackClosed(PeppyError, RuntimeError):
    """The goal is terminal and all its feedback has been delivered."""


class GoalRejected(PeppyError, RuntimeError):
    """The goal was rejected, so it has no result."""


class SchemaMismatch(PeppyError, RuntimeError):
    """The two sides were generated from different message formats."""


class SubscriptionClosed(PeppyError, RuntimeError):
    """The subscription ended while a read was waiting."""


class TooManyReaders(PeppyError, RuntimeError):
    """The stream has its 64 readers already."""


class LoanReleased(PeppyError, RuntimeError):
    """A loan was used after it had been published, discarded or released."""


class NodeStartupError(PeppyError, RuntimeError):
    """The node process cannot start as configured."""


class DecodeError(PeppyError, ValueError):
    """Bytes that are no valid payload; the text names the rule of docs/reference/messages.md that fails."""
