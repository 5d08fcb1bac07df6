"""`peppy node init`: made by the program itself, without a daemon."""

import json
import os
from pathlib import Path

import pytest

from .running import peppy


def test_a_node_is_created_where_it_was_asked_for(tmp_path: Path) -> None:
    answer = peppy("node", "init", "arm", "--toolchain", "pip", "--to-dir", str(tmp_path / "new"), home=tmp_path / "h")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout == f"Created node arm at {tmp_path}/new/arm\n"
    assert (tmp_path / "new" / "arm" / "peppy.json5").is_file()
    assert not (tmp_path / "h").exists()


@pytest.mark.parametrize("found", ["uv", "pip"])
def test_without_a_toolchain_the_program_says_which_it_took(found: str, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    if found == "uv":
        (programs / "uv").write_text("#!/bin/sh\n")
        (programs / "uv").chmod(0o755)
    answer = peppy("node", "create", "arm", "--to-dir", str(tmp_path), home=tmp_path, PATH=os.fspath(programs))
    assert answer.returncode == 0
    assert answer.stderr.startswith(f"[INFO] toolchain {found}: ")
    assert (f'["{found}"' in (tmp_path / "arm" / "peppy.json5").read_text()) == (found == "uv")


def test_an_existing_directory_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "arm").mkdir()
    answer = peppy("node", "init", "arm", "--toolchain", "pip", "--to-dir", str(tmp_path), home=tmp_path)
    assert answer.returncode == 1
    assert answer.stderr.startswith(f"[ERROR] Refused: `{tmp_path}/arm` exists")
    assert list((tmp_path / "arm").iterdir()) == []


@pytest.mark.parametrize("name", ["1arm", "-arm", "_arm", "ar m", "a/b", "é", "a" * 101])
def test_a_name_that_does_not_start_with_a_letter_or_breaks_the_grammar_is_refused(name: str, tmp_path: Path) -> None:
    answer = peppy("node", "init", "--to-dir", str(tmp_path), "--", name, home=tmp_path)
    assert answer.returncode == 1
    assert answer.stderr.startswith("[ERROR] BadName: ")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_made_is_an_error_with_its_path(tmp_path: Path) -> None:
    answer = peppy("node", "init", "arm", "--toolchain", "pip", "--to-dir", "/proc/nowhere", home=tmp_path)
    assert answer.returncode == 1
    assert "`/proc/nowhere" in answer.stderr.splitlines()[0]


def test_the_result_in_json_is_name_and_path(tmp_path: Path) -> None:
    answer = peppy("node", "init", "arm", "--toolchain", "pip", "--to-dir", str(tmp_path), "--json", home=tmp_path)
    assert json.loads(answer.stdout)["data"] == {"name": "arm", "path": f"{tmp_path}/arm"}
