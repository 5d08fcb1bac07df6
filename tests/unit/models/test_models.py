"""The stream protocols hold under every interleaving and store buffer, and each mutant of them is caught."""

from types import ModuleType

import attaching
import backpressure
import claims
import closing
import doorbell
import pins
import pytest
from explorer import Case

MODELS: tuple[ModuleType, ...] = (pins, claims, doorbell, closing, backpressure, attaching)
CASES = [(module.__name__, case) for module in MODELS for case in module.cases()]


def identity(value: object) -> str:
    return f"{value.name}, {value.model}" if isinstance(value, Case) else str(value)


@pytest.mark.parametrize(("protocol", "case"), [pair for pair in CASES if not pair[1].mutant], ids=identity)
def test_the_protocol_holds(protocol: str, case: Case) -> None:
    assert case.search().complaint is None, protocol


@pytest.mark.parametrize(("protocol", "case"), [pair for pair in CASES if pair[1].mutant], ids=identity)
def test_the_mutant_is_caught(protocol: str, case: Case) -> None:
    assert case.search().complaint is not None, protocol


@pytest.mark.parametrize("module", MODELS, ids=lambda module: module.__name__)
def test_every_mutant_of_a_model_is_searched(module: ModuleType) -> None:
    assert [case.name for case in module.cases() if case.mutant] == list(module.MUTANTS)
