"""Real daemons in temporary data roots; whatever a test leaves behind fails it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from living import LivingDaemon, assert_nothing_is_left


@pytest.fixture(scope="session", autouse=True)
def _bytecode(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Daemons find the modules compiled from their second start on, also where the environment forbids caches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        patch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.mktemp("bytecode")))
        yield


@pytest.fixture
def new_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., LivingDaemon]]:
    """Makes daemons that have not started, each with a data root of its own unless `home` names one."""
    made: list[LivingDaemon] = []

    def make(home: Path | None = None, **variables: str) -> LivingDaemon:
        daemon = LivingDaemon(home or tmp_path_factory.mktemp("h"), **variables)
        made.append(daemon)
        return daemon

    yield make
    for daemon in made:
        daemon.end()
    for home in {daemon.home for daemon in made}:
        assert_nothing_is_left(home)


@pytest.fixture
def daemon(new_daemon: Callable[..., LivingDaemon]) -> LivingDaemon:
    """A daemon that serves an empty data root."""
    return new_daemon().start()


@pytest.fixture(scope="session")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LivingDaemon]:
    daemon = LivingDaemon(tmp_path_factory.mktemp("s")).start()
    yield daemon
    daemon.end()
    assert_nothing_is_left(daemon.home)


@pytest.fixture
def shared(_shared: LivingDaemon) -> Iterator[LivingDaemon]:
    """One daemon for many tests; its stack is emptied after each."""
    yield _shared
    _shared.reset()
