"""Ctrl-C at any moment of a command (docs/reference/cli.md, Interrupt), at the import of every single module."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from peppy.protocol.answers import Stack
from peppy.protocol.frames import StackList

from .running import PROGRAM, WATCHDOG_SECS, environment_of
from .scripted import ScriptedDaemon

CONSOLE_SCRIPT = [sys.executable, "-c", "import sys; from peppy.cli.main import main; sys.exit(main())"]
"""What pip writes as `peppy`."""

WATCHED = {
    *("signal", "click", "click.core", "shutil", "json", "msgspec", "socket", "peppy.cli.interrupts"),
    *(
        "peppy.cli.program",
        "peppy.cli.report",
        "peppy.errors",
        "peppy.cli.commands.stack",
        "peppy.cli.commands.stack_list",
    ),
    *("peppy.client", "peppy.client.client", "peppy.protocol.frames", "peppy.cli.render.stack", "peppy.cli.table"),
}
"""One of each kind: of the interpreter, compiled, ours, before and after the daemon is asked."""

HOOK = """
import os, signal, sys

def hook(event, arguments):
    if event == "import" and told is not None:
        print(arguments[0], file=told, flush=True)
    places = {"import": "INTERRUPT_AT", "open": "INTERRUPT_AT_OPEN"}
    if event in places and str(arguments[0]) == os.environ.get(places[event]):
        os.kill(os.getpid(), signal.SIGINT)

told = open(os.environ["TELL_IMPORTS"], "w") if "TELL_IMPORTS" in os.environ else None
sys.addaudithook(hook)
"""
"""Read by the interpreter before it begins: the signal comes when a certain module or file is about to be opened."""


@pytest.fixture
def hooked(tmp_path: Path) -> dict[str, str]:
    """Variables for a program that interrupts itself where `INTERRUPT_AT` or `INTERRUPT_AT_OPEN` says."""
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook/sitecustomize.py").write_text(HOOK)
    return {"PYTHONPATH": str(tmp_path / "hook")}


def call(words: list[str], home: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        words,
        env=environment_of(home, variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WATCHDOG_SECS,
        check=False,
    )


def imports(words: list[str], home: Path, hooked: dict[str, str]) -> list[str]:
    """The modules that a command imports after `peppy.cli.main`, in their order."""
    told = home / "imports"
    call(words, home, TELL_IMPORTS=str(told), **hooked)
    names = list(dict.fromkeys(told.read_text().split()))
    return names[names.index("peppy.cli.interrupts") :]


@pytest.mark.parametrize("words", [["stack", "list"], ["--help"]], ids=" ".join)
def test_an_interrupt_at_the_import_of_any_module_shows_no_traceback(
    words: list[str], tmp_path: Path, hooked: dict[str, str]
) -> None:
    with ScriptedDaemon(tmp_path, {StackList: Stack((), (), ())}):
        names = [name for name in imports([*CONSOLE_SCRIPT, *words], tmp_path, hooked) if name in WATCHED]
        assert names
        for name in names:
            done = call([*CONSOLE_SCRIPT, *words], tmp_path, INTERRUPT_AT=name, **hooked)
            assert done.returncode in (-signal.SIGINT, 130), name
            assert (done.stdout, done.stderr) in (("", ""), ("", "[ERROR] Aborted: interrupted\n")), name


def test_an_interrupted_init_leaves_no_directory_behind(tmp_path: Path, hooked: dict[str, str]) -> None:
    words = [*PROGRAM, "node", "init", "wheels", "--toolchain", "pip", "--to-dir", str(tmp_path)]
    done = call(words, tmp_path, INTERRUPT_AT_OPEN=str(tmp_path / "wheels/pyproject.toml"), **hooked)
    assert (done.returncode, done.stderr) == (130, "[ERROR] Aborted: interrupted\n")
    assert not (tmp_path / "wheels").exists()
    assert call(words, tmp_path).returncode == 0


def test_an_ignored_interrupt_stays_ignored(tmp_path: Path, hooked: dict[str, str]) -> None:
    words = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *CONSOLE_SCRIPT, "--version"]
    done = call(words, tmp_path, INTERRUPT_AT="click", **hooked)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("peppy ")


@pytest.mark.parametrize("module", ["runpy", "peppy.daemon.main", "asyncio", "peppy.daemon.life"])
def test_an_interrupt_while_the_daemon_loads_ends_it_without_a_word(
    module: str, tmp_path: Path, hooked: dict[str, str]
) -> None:
    words = [*CONSOLE_SCRIPT, "service", "serve"]
    done = call(words, tmp_path, INTERRUPT_AT=module, **hooked)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")
