import asyncio
from collections.abc import Iterator

import pytest

from peppy.loop import EventLoop

from .bells import Bell, NewBell


@pytest.fixture
def new_bell() -> Iterator[NewBell]:
    bells: list[Bell] = []

    def new(*, rung: bool = False) -> Bell:
        bells.append(Bell(rung=rung))
        return bells[-1]

    yield new
    for bell in bells:
        bell.close()


@pytest.fixture(params=[False, True], ids=["plain", "debug"])
def loop(request: pytest.FixtureRequest) -> Iterator[EventLoop]:
    """In both modes of asyncio. Where nobody looks at the errors, one in a callback fails the test."""
    loop = EventLoop()
    loop.set_debug(request.param)
    errors: list[dict[str, object]] = []
    loop.set_exception_handler(lambda _, context: errors.append(context))
    yield loop
    loop.close()
    assert not errors


@pytest.fixture
def errors(loop: EventLoop) -> list[BaseException]:
    """What the loop's exception handler is told."""
    told: list[BaseException] = []
    loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
    return told


@pytest.fixture(
    params=[(asyncio.SelectorEventLoop, False), (EventLoop, False), (EventLoop, True)],
    ids=["asyncio", "peppy", "peppy in debug mode"],
)
def any_loop(request: pytest.FixtureRequest) -> Iterator[asyncio.AbstractEventLoop]:
    """The loop whose behaviour is wanted, and ours."""
    factory, debug = request.param
    with asyncio.Runner(loop_factory=factory, debug=debug) as runner:
        yield runner.get_loop()
