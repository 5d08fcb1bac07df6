"""Writing in place: a message that is filled in where its readers will find it (docs/reference/node_api.md, 6)."""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from peppy.codec import Draft
from peppy.errors import LoanReleased
from peppy.ring import Loan


class Turn(Protocol):
    """Publishes loans when there is room; what it is given publishes one, at once."""

    def publish(self, publish: Callable[[], None]) -> None:
        """Blocks the calling thread."""

    async def publish_async(self, publish: Callable[[], None]) -> None:
        """Lets the event loop run on."""


class WriteLoan:
    """Base of the generated write loans: assign the fields, fill the arrays, then publish or leave the `with` block."""

    def __init__(self, loan: Loan, draft: Draft, turn: "Turn | None" = None) -> None:
        mine = self.__dict__
        mine["_loan_of_ring"] = loan
        mine["_draft"] = draft
        mine["_turn"] = turn
        mine.update(draft.fields)

    def publish(self) -> None:
        """Publish the message. TypeError or ValueError when a field is missing or wrong; the loan stays usable then.

        On `reliable` and `critical` it waits for room as `Publisher.publish` does, and stays usable when there is none.
        """
        turn = self._turn_of_publishing()
        if turn is None:
            self._publish()
        else:
            turn.publish(self._publish)

    def _turn_of_publishing(self) -> "Turn | None":
        self._open()
        return self.__dict__["_turn"]

    def _publish(self) -> None:
        loan, draft = self._open()
        fields = {name: self.__dict__[name] for name in draft.attributes if name in self.__dict__}
        length = draft.finish(fields)
        fields.clear()
        self._end()
        del draft
        loan.publish(length)

    def discard(self) -> None:
        """Give the room back unpublished."""
        loan, _ = self._open()
        self._end()
        loan.discard()

    def _open(self) -> tuple[Loan, Draft]:
        draft = self.__dict__.get("_draft")
        if draft is None:
            raise LoanReleased("the loan was published or discarded already")
        return self.__dict__["_loan_of_ring"], draft

    def _end(self) -> None:
        self.__dict__.clear()

    def __getattr__(self, name: str) -> Any:
        draft = self.__dict__.get("_draft")
        if draft is None:
            raise LoanReleased(f"`{name}` cannot be used: the loan was published or discarded already")
        raise AttributeError(f"`{name}` has not been assigned" if name in draft.attributes else f"no field `{name}`")

    def __setattr__(self, name: str, value: Any) -> None:
        _, draft = self._open()
        if name in draft.bulk:
            raise AttributeError(f"`{name}` is an array in the ring: write into it, as in `loan.{name}[...] = ...`")
        if name not in draft.attributes:
            raise AttributeError(f"no field `{name}`")
        self.__dict__[name] = value

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        if "_draft" not in self.__dict__:
            return
        if kind is None:
            self.publish()
        else:
            self.discard()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        turn = self.__dict__.get("_turn")
        if turn is None or kind is not None:
            self.__exit__(kind, error, traceback)
        else:
            await turn.publish_async(self._publish)


L = TypeVar("L", bound=WriteLoan)
