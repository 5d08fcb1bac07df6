"""What a call is about, in words: all its errors say the same (docs/reference/services_actions.md, Outcomes)."""

from dataclasses import dataclass

from peppy import errors
from peppy.errors import PeppyError, ServiceError, ServiceTimeout, ServiceUnreachable
from peppy.protocol.calls import CallFailed

_KINDS: dict[str, type[PeppyError]] = {
    kind.__name__: kind for kind in (ServiceError, ServiceTimeout, ServiceUnreachable, errors.SchemaMismatch)
}


@dataclass(frozen=True, slots=True)
class Subject:
    """`kind` is `service` or `action`; `whom` the producer's instance id, or `name:tag` while none is chosen; `budget`
    the caller's timeout in seconds."""

    kind: str
    name: str
    whom: str
    budget: float

    def of(self, whom: str | None = None) -> str:
        """The service or action with its producer."""
        return f"{self.kind} `{self.name}` of `{whom or self.whom}`"

    def not_acknowledged(self, *, had_daemon: bool) -> ServiceUnreachable:
        """The budget has ended, and no producer had taken the request."""
        why = "nobody took the request" if had_daemon else "there was no connection to the daemon"
        return ServiceUnreachable(f"{self.of()} was not reached within {self.budget:g} s: {why}")

    def not_sent(self, in_flight: int) -> ServiceUnreachable:
        """The budget has ended while too many other calls were in flight."""
        return ServiceUnreachable(
            f"{self.of()} was not called within {self.budget:g} s: {in_flight} other calls are in flight"
        )

    def not_answered(self, producer: str | None = None) -> ServiceTimeout:
        """The budget has ended after the producer had taken the request."""
        return ServiceTimeout(f"{self.of(producer)} took the request, but did not answer within {self.budget:g} s")

    def not_confirmed(self) -> ServiceTimeout:
        """The budget has ended before the goal's server confirmed."""
        return ServiceTimeout(f"{self.of()} did not confirm within {self.budget:g} s")

    def no_result(self) -> ServiceTimeout:
        """The budget has ended before the goal did."""
        return ServiceTimeout(f"{self.of()} had no result within {self.budget:g} s")

    def lost(self, producer: str) -> ServiceTimeout:
        """The daemon has gone after the producer had taken the request: its answer reaches nobody."""
        return ServiceTimeout(f"{self.of(producer)} took the request, then the connection to the daemon was lost")

    def returned(self, producer: str, error: str) -> ServiceError:
        """The producer answered with an error, as `Type: message`."""
        return ServiceError(f"{self.of(producer)} returned error: {error}")

    def failed(self, frame: CallFailed) -> PeppyError:
        """The daemon has ended the call."""
        kind = _KINDS.get(frame.kind)
        return PeppyError(frame.message, kind=frame.kind) if kind is None else kind(frame.message)
