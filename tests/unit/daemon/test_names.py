"""docs/reference/daemon.md, Names."""

import re
from pathlib import Path

from peppy.daemon import names
from peppy.model.names import is_name

SHAPE = re.compile(r"[a-z]+-[a-z]+-\d{4}")


def test_a_generated_name_is_adjective_surname_and_four_digits():
    assert SHAPE.fullmatch(names.generated_name(()))


def test_a_generated_name_is_not_taken():
    class AllButOne:
        def __init__(self) -> None:
            self.asked: list[str] = []

        def __contains__(self, name: object) -> bool:
            self.asked.append(str(name))
            return len(self.asked) < 3

    taken = AllButOne()
    assert names.generated_name(taken) == taken.asked[-1]
    assert len(taken.asked) == 3


def test_the_core_node_keeps_its_name_over_restarts():
    first = names.core_node_name(Path("/home/ada/.peppy"))
    assert first == names.core_node_name(Path("/home/ada/.peppy"))
    assert SHAPE.fullmatch(first.removeprefix("core-node-"))


def test_two_data_roots_have_two_core_nodes():
    assert names.core_node_name(Path("/a")) != names.core_node_name(Path("/b"))


def test_every_word_makes_a_name():
    assert all(is_name(word) for word in names.ADJECTIVES + names.SURNAMES)
    assert len(set(names.ADJECTIVES)) == len(names.ADJECTIVES)
    assert len(set(names.SURNAMES)) == len(names.SURNAMES)
