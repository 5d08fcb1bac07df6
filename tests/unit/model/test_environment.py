"""Which variables a caller hands to builds and runs."""

import pytest

from peppy.model.environment import caller_environment, is_allowed


@pytest.mark.parametrize("name", ["LD_PRELOAD", "ld_preload", "Bash_Env", "IFS", "", "A=B", "A\0B"])
def test_a_forbidden_or_malformed_name_is_not_allowed(name: str) -> None:
    assert not is_allowed(name, "value")


def test_a_value_with_nul_is_not_allowed() -> None:
    assert not is_allowed("NAME", "a\0b")


def test_ordinary_variables_are_allowed() -> None:
    assert is_allowed("LD_SOMETHING_ELSE", "")


def test_the_callers_own_python_is_not_handed_over() -> None:
    given = {"PATH": "/bin", "PYTHONPATH": "/x", "VIRTUAL_ENV": "/v", "PWD": "/", "ENV": "/rc", "LANG": "C"}
    assert caller_environment(given) == {"PATH": "/bin", "LANG": "C"}


def test_bytes_that_are_no_text_stay_behind() -> None:
    assert caller_environment({"BAD": "\udcff", "GOOD": "ü"}) == {"GOOD": "ü"}
