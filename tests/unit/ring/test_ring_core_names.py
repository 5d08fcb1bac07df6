"""The stub `_core.pyi` and the Python enumerations say what the compiled module says."""

import ast
from pathlib import Path

import pytest

import peppy.ring
from peppy.ring import History, Outcome, RowStats, StreamConfig, StreamStats
from peppy.ring._core import ffi, lib

STUB = ast.parse((Path(peppy.ring.__file__).parent / "_core.pyi").read_text())
CLASSES = {node.name: node for node in STUB.body if isinstance(node, ast.ClassDef)}


def names_of(class_name: str) -> set[str]:
    """What a class of the stub declares: fields and functions, special methods left out."""
    body = CLASSES[class_name].body
    fields = {node.target.id for node in body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)}
    functions = {node.name for node in body if isinstance(node, ast.FunctionDef)}
    return {name for name in fields | functions if not name.startswith("__")}


def fields_of(struct: str) -> list[str]:
    return [name for name, _ in ffi.typeof(f"struct {struct}").fields]


def test_the_stub_names_every_function_and_constant_of_the_core() -> None:
    assert names_of("Library") == set(dir(lib))


@pytest.mark.parametrize(
    ("stub", "struct"),
    [
        ("ConfigStruct", "peppy_config"),
        ("PartStruct", "peppy_part"),
        ("MessageStruct", "peppy_message"),
        ("LoanStruct", "peppy_loan"),
        ("ClaimStruct", "peppy_claim"),
    ],
)
def test_a_stub_struct_has_the_fields_of_its_c_struct(stub: str, struct: str) -> None:
    assert names_of(stub) == set(fields_of(struct))


@pytest.mark.parametrize(
    ("record", "struct"),
    [(StreamStats, "peppy_stream_stats"), (RowStats, "peppy_row_stats"), (StreamConfig, "peppy_config")],
)
def test_a_record_has_every_field_of_its_c_struct(record: type, struct: str) -> None:
    assert set(record._fields) == set(fields_of(struct))


def test_outcomes_are_those_of_the_core() -> None:
    core = {name.removeprefix("PEPPY_"): getattr(lib, name) for name in dir(lib) if name.startswith("PEPPY_")}
    assert {outcome.name: outcome.value for outcome in Outcome}.items() <= core.items()
    assert {f"HISTORY_{history.name}": history.value for history in History}.items() <= core.items()


def test_outcome_has_every_result_of_the_core() -> None:
    assert set(ffi.typeof("enum peppy_result").elements) == {outcome.value for outcome in Outcome}
