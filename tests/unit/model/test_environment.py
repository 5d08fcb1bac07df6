"""Which variables may reach builds and nodes."""

import pytest

from peppy.model.environment import allowed, forbidden, is_forbidden


@pytest.mark.parametrize("name", ["LD_PRELOAD", "ld_preload", "Bash_Env", "IFS", "", "A=B", "A\0B"])
def test_a_name_on_the_deny_list_or_malformed_is_forbidden(name: str) -> None:
    assert is_forbidden(name, "value")


def test_a_value_with_nul_is_forbidden() -> None:
    assert is_forbidden("NAME", "a\0b")


def test_an_ordinary_variable_is_allowed() -> None:
    assert not is_forbidden("LD_SOMETHING_ELSE", "")


def test_only_the_forbidden_ones_are_left_out() -> None:
    given = {"PATH": "/bin", "ENV": "/rc", "LANG": "C", "LD_AUDIT": "x"}
    assert allowed(given) == {"PATH": "/bin", "LANG": "C"}
    assert forbidden(given) == ("ENV", "LD_AUDIT")
