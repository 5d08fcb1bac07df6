"""Who can still finish a goal: its tasks, and whoever else holds its context (docs/reference/services_actions.md,
Abandonment).

A goal's tasks are those that were created with its context among the coroutine's arguments, and those that awaited one
of its methods. When all of them have ended without finishing the goal, it lives on only if somebody else may finish it:
then the context has references that no accept loop accounts for, which waits in `handle_goal_next_request` and whose
variable still names the last context.

References are counted, not searched: the running frames of other threads cannot be searched. What suspended
coroutines hold is read with `gc.get_referents`, which leaves nothing behind; `cr_frame.f_locals` would make a copy of
the variables that keeps the context alive.
"""

import asyncio
import gc
import sys
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from types import AsyncGeneratorType, CellType, CodeType, CoroutineType
from typing import Any, cast


class Workers:
    """The tasks of one goal. All of it belongs to the event loop."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()
        self._have_ended = False
        self._raised = False
        self._returned = False

    def add(self, task: "asyncio.Task[Any]", ended: Callable[[], None]) -> None:
        """`task` works on the goal from now on; `ended` is called when the last one has ended."""
        if task in self._running or task.done():
            return
        self._running.add(task)
        task.add_done_callback(lambda done: self._end(done, ended))

    def leave(self, task: "asyncio.Task[Any]") -> bool:
        """`task` waits for the next goal, though it may come back to this one. Whether all others, who were there, have
        ended: it is not asked what a lone task means to do."""
        if task not in self._running:
            return False
        self._running.remove(task)
        return self._have_ended and not self._running

    def _end(self, task: "asyncio.Task[Any]", ended: Callable[[], None]) -> None:
        if task not in self._running:
            return
        self._running.remove(task)
        self._have_ended = True
        if task.cancelled():
            pass
        elif getattr(task, "_exception", None) is None:  # to ask with `exception()` would silence its traceback
            self._returned = True
        else:
            self._raised = True
        if not self._running:
            ended()

    @property
    def are_done(self) -> bool:
        """Whether none of them works any more."""
        return not self._running

    @property
    def have_failed(self) -> bool:
        """Whether one of them has raised, or all were cancelled: nobody finishes the goal then, whoever holds it."""
        return self._raised or not self._returned


def contexts_among_arguments(work: object, kinds: tuple[type, ...]) -> list[Any]:
    """The objects of these classes that a coroutine which has not started was called with, also through `*args`."""
    if not isinstance(work, CoroutineType):
        return []
    found: list[Any] = []
    for held in gc.get_referents(cast(object, work)):
        if isinstance(held, kinds):
            found.append(held)
        elif type(held) is tuple or type(held) is dict:
            found += [argument for argument in gc.get_referents(held) if isinstance(argument, kinds)]
    return found


def only_wraps_method(work: object, context: object) -> bool:
    """Whether a coroutine is a call of one of the context's own methods, as in `ensure_future(ctx.cancel_signal())`."""
    code = getattr(work, "cr_code", None)
    if code is None:
        return False
    method = getattr(type(context), code.co_name, None)
    return getattr(method, "__code__", None) is code


def holders(context: "weakref.ref[Any]", held: Mapping[int, int]) -> int:
    """How many references there are to a live context, apart from those that accept loops hold (`held_by`)."""
    return _references(context) - _REFERENCES_OF_THE_COUNT - held.get(id(context()), 0)


def held_by(accept_loops: "Mapping[asyncio.Task[Any], CodeType]") -> Counter[int]:
    """What the variables of accept loops refer to, and how often, by id: tasks, each suspended in a coroutine function
    of that code. For a callback of the event loop: no task is running."""
    held: Counter[int] = Counter()
    for task, code in accept_loops.items():
        for owner in _suspended_chain(task.get_coro(), code):
            _count_variables(owner, held)
    return held


def _count_variables(owner: object, held: Counter[int]) -> None:
    """Of one suspended coroutine. A cell counts as its variable unless a function shares it."""
    referents = gc.get_referents(owner)
    while referents:
        one = referents.pop()
        if isinstance(one, CellType) and sys.getrefcount(one) == _REFERENCES_OF_A_PRIVATE_CELL:
            held.update(map(id, gc.get_referents(one)))
        held[id(one)] += 1


def _references(context: "weakref.ref[Any]") -> int:
    referent = context()
    return 0 if referent is None else sys.getrefcount(referent)


def _suspended_chain(awaited: object, waiting_in: CodeType) -> Iterator[object]:
    """A coroutine, what it awaits, what that awaits, down to the code that is waited in: whoever has variables."""
    while awaited is not None:
        if isinstance(awaited, CoroutineType):
            if awaited.cr_code is waiting_in:
                return
            yield cast(object, awaited)
            awaited = awaited.cr_await
        elif isinstance(awaited, AsyncGeneratorType):
            yield cast(object, awaited)
            awaited = awaited.ag_await
        else:  # what `async for` awaits stands before its generator
            held = gc.get_referents(awaited)
            awaited = next((cast(object, one) for one in held if isinstance(one, AsyncGeneratorType)), None)


class _Probe:
    """Something to count the references of."""


def _references_of_the_count() -> int:
    """What counting adds by itself; it differs between versions of the interpreter."""
    probe = _Probe()
    return _references(weakref.ref(probe)) - 1


def _references_of_a_private_cell() -> int:
    """As `_count_variables` sees them, with a list in the place of the frame."""
    frame = [CellType(None)]
    held: list[object] = list(frame)
    one = held.pop()
    return sys.getrefcount(one)


_REFERENCES_OF_THE_COUNT = _references_of_the_count()
_REFERENCES_OF_A_PRIVATE_CELL = _references_of_a_private_cell()
