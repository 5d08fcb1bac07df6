"""Random operations, many of them by callbacks in the middle of a batch, against a model of two dictionaries."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from peppy.loop import EventLoop

from .bells import Bell
from .test_loop import run_once

MOST_BELLS = 90
"""More than one batch."""


class Deliberate(Exception):
    pass


@dataclass
class World:
    """What is watched and rung, and everything that may happen to it. Each callback belongs to one watch: `number`."""

    loop: EventLoop
    random: random.Random
    bells: dict[int, Bell] = field(default_factory=dict)
    rung: set[int] = field(default_factory=set)
    served: dict[int, int] = field(default_factory=dict)
    readers: dict[int, int] = field(default_factory=dict)
    watches: int = 0
    calls: int = 0
    raised: int = 0
    wild: bool = True
    wrong: list[str] = field(default_factory=list)

    def operate(self) -> None:
        operations = [self.open, self.ring, self.ring, self.serve, self.stop, self.read, self.remove, self.close]
        self.random.choice(operations)()

    def any_bell(self) -> Bell:
        return self.random.choice(list(self.bells.values())) if self.bells else self.open()

    def open(self) -> Bell:
        if len(self.bells) >= MOST_BELLS:
            return self.any_bell()
        bell = Bell()
        self.expect(bell.fd not in self.bells, "the kernel gives no number twice")
        self.bells[bell.fd] = bell
        return bell

    def ring(self) -> None:
        bell = self.any_bell()
        bell.ring()
        self.rung.add(bell.fd)

    def serve(self) -> None:
        fd, number = self.any_bell().fd, self.next_watch()
        refused = self.is_refused(lambda: self.loop.serve(fd, lambda: self.called(self.served, fd, number)))
        self.expect(refused == (fd in self.served or fd in self.readers), f"serve {fd} refused: {refused}")
        if not refused:
            self.served[fd] = number

    def read(self) -> None:
        fd, number = self.any_bell().fd, self.next_watch()
        refused = self.is_refused(lambda: self.loop.add_reader(fd, self.called, self.readers, fd, number))
        self.expect(refused == (fd in self.served), f"reader of {fd} refused: {refused}")
        if not refused:
            self.readers[fd] = number

    def stop(self) -> None:
        fd = self.any_bell().fd
        self.loop.stop_serving(fd)
        self.served.pop(fd, None)

    def remove(self) -> None:
        fd = self.any_bell().fd
        removed = self.loop.remove_reader(fd)
        self.expect(removed == (fd in self.readers), f"reader of {fd} removed: {removed}")
        self.readers.pop(fd, None)

    def close(self) -> None:
        bell = self.bells.pop(self.any_bell().fd)
        closed_first = self.random.random() < 0.5
        if closed_first:
            bell.close()
        self.loop.stop_serving(bell.fd)
        self.loop.remove_reader(bell.fd)
        bell.close()
        self.served.pop(bell.fd, None)
        self.readers.pop(bell.fd, None)
        self.rung.discard(bell.fd)

    def called(self, watches: dict[int, int], fd: int, number: int) -> None:
        self.calls += 1
        self.expect(watches.get(fd) == number, f"{fd} is called for a watch that has ended")
        self.expect(fd in self.rung, f"{fd} is called, and silent")
        if not self.wild or self.random.random() < 0.9:
            self.rung.discard(fd)
            self.expect(fd in self.bells and self.bells[fd].quiet(), f"{fd} had nothing to read")
        while self.wild and self.random.random() < 0.6:
            self.operate()
        if self.wild and self.random.random() < 0.1:
            self.raised += 1
            raise Deliberate

    def next_watch(self) -> int:
        self.watches += 1
        return self.watches

    def is_refused(self, operation: Callable[[], object]) -> bool:
        try:
            operation()
        except KeyError:
            return True
        return False

    def expect(self, right: bool, what: str) -> None:
        if not right:
            self.wrong.append(what)


@pytest.mark.parametrize("seed", range(20))
def test_nobody_is_called_wrongly_and_nobody_is_forgotten(loop: EventLoop, errors: list[BaseException], seed: int):
    world = World(loop, random.Random(seed))
    for _ in range(MOST_BELLS):
        world.open()
    for _ in range(40):
        for _ in range(world.random.choice([1, 10, 200])):
            world.operate()
        run_once(loop)
    world.wild = False
    for _ in range(3):  # a batch each: what is rung and watched now is called without fail
        run_once(loop)
    forgotten = world.rung & (world.served.keys() | world.readers.keys())
    for bell in world.bells.values():
        loop.stop_serving(bell.fd)
        loop.remove_reader(bell.fd)
        bell.close()
    assert not world.wrong
    assert not forgotten
    assert world.calls > 100
    assert [type(error) for error in errors] == [Deliberate] * world.raised
