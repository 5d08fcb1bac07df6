"""Reading in place: a message whose arrays point into the ring (docs/reference/node_api.md, 6)."""

from collections.abc import Awaitable, Callable, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from peppy.errors import LoanReleased, SubscriptionClosed

if TYPE_CHECKING:
    from peppy.ring import View
    from peppy.runtime.source import MessageInfo

M = TypeVar("M")


class ReadLoan(Generic[M]):
    """One message held in the ring. Leaving the block, or `release`, ends access through the loan.

    An array that the program saved stays valid and unchanged: it keeps the message pinned until its last slice dies,
    and counts against the subscription's quota (docs/reference/qos.md, Loans).
    """

    def __init__(self, view: "View", instance_id: str, message: M, info: "MessageInfo") -> None:
        self.instance_id = instance_id
        self.info = info
        self._view: View | None = view
        self._message: list[M] = [message]

    @property
    def message(self) -> M:
        """The message. Raises LoanReleased after the release."""
        if not self._message:
            raise LoanReleased("the message of this loan was released already")
        return self._message[0]

    def release(self) -> None:
        """End access through the loan. Calling it again does nothing."""
        self._message.clear()
        self._view = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.release()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.release()


class PendingLoan(Generic[M]):
    """What `next_loan()` returns: `await` it, or use it with `async with`. SubscriptionClosed at the end."""

    def __init__(self, wait: Callable[[], Awaitable[ReadLoan[M] | None]]) -> None:
        self._wait = wait
        self._loan: ReadLoan[M] | None = None

    def __await__(self) -> Generator[Any, None, ReadLoan[M]]:
        return self._get().__await__()

    async def _get(self) -> ReadLoan[M]:
        loan = await self._wait()
        if loan is None:
            raise SubscriptionClosed("the subscription was closed while a read was waiting")
        return loan

    async def __aenter__(self) -> ReadLoan[M]:
        self._loan = await self._get()
        return self._loan

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        if self._loan is not None:
            self._loan.release()
