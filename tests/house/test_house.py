"""The rules of docs/design/architecture.md that no linter knows."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "peppy"
COMMANDS = PACKAGE / "cli" / "commands"
HANDLERS = PACKAGE / "daemon" / "handlers"

VAGUE = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
HEAVY = {"json5", "zstandard", "numpy", "asyncio", "posix_ipc", "cffi"}
"""Modules that the start of the command line must not pay for."""


MADE = {".venv", ".git", ".peppy", "build", "dist", "__pycache__", "results", "_bin"}
"""Directories that commands make: not sources."""


def sources(*patterns: str) -> list[Path]:
    """Files of the project that match one of the patterns, from its root."""
    found = [path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()]
    return sorted(path for path in found if not MADE & set(path.relative_to(ROOT).parts) and path.name != "_core.c")


def test_no_room_has_a_vague_name() -> None:
    assert not [path for path in PACKAGE.rglob("*.py") if path.stem in VAGUE or path.parent.name in VAGUE]


def test_only_the_ring_knows_cffi() -> None:
    users = [
        path for path in PACKAGE.rglob("*.py") if re.search(r"^\s*(import cffi|from cffi)", path.read_text(), re.M)
    ]
    core = [path for path in PACKAGE.rglob("*.py") if "peppy.ring._core" in path.read_text()]
    assert not users
    assert {path.parent.name for path in core} == {"ring"}


def test_only_order_h_names_atomics() -> None:
    forbidden = re.compile(r"memory_order_|atomic_(load|store|exchange|fetch)|stdatomic|__atomic_|__sync_")
    sources = [path for path in (ROOT / "csrc").glob("*.[ch]") if path.name != "order.h"]
    assert not [path.name for path in sources if forbidden.search(path.read_text())]


def test_every_verb_of_the_daemon_has_a_command_and_a_test() -> None:
    verbs = {"add", "build", "run", "stop", "remove", "sync", "prune", "logs"}
    commands = {path.stem for path in COMMANDS.glob("*.py")}
    handlers = {path.stem for path in HANDLERS.glob("*.py")}
    tests = {path.stem for path in (ROOT / "tests" / "integration").glob("test_*.py")}
    assert verbs <= {name.removeprefix("node_") for name in commands}
    assert verbs <= handlers
    assert {f"test_{verb}" for verb in verbs} <= tests


def test_nothing_is_left_unfinished() -> None:
    unfinished = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b")
    found = [
        path
        for path in sources("src/**/*.py", "csrc/**/*.[ch]", "examples/**/*.py", "bench/**/*.py")
        if unfinished.search(path.read_text())
    ]
    assert not found


def test_no_test_is_switched_off() -> None:
    switched_off = re.compile(r"mark\.(skip\b|xfail)|pytest\.skip\(|assert True\b")
    found = [
        path for path in sources("tests/**/*.py") if path != Path(__file__) and switched_off.search(path.read_text())
    ]
    assert not found


def test_no_path_of_one_machine_is_tracked() -> None:
    personal = re.compile(r"/(work|root)/[a-z]|/home/(?!ada\b|ubuntu\b)[a-z]")
    texts = sources(
        "src/**/*.py", "csrc/**/*.[ch]", "docs/**/*.md", "examples/**/*.*", "bench/**/*.*", "*.*", "Makefile", ".ci/*"
    )
    found = [path for path in texts if personal.search(path.read_text(errors="replace"))]
    assert not found


@pytest.mark.parametrize("words", [["--help"], ["node", "--help"], ["stack", "list", "--help"]])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    probe = (
        "import sys; from peppy.cli.main import main\n"
        f"try: main({words!r})\nexcept SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout
    assert not HEAVY & set(done.stderr.split())


def test_every_page_that_another_page_names_exists() -> None:
    link = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
    missing = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in sources("*.md", "docs/**/*.md", "bench/**/*.md", "examples/**/*.md")
        for target in link.findall(page.read_text())
        if not (page.parent / target).exists()
    ]
    assert not missing


def test_every_page_that_the_code_cites_exists() -> None:
    cited = re.compile(r"docs/[a-z_]+/[A-Za-z0-9_-]+\.md")
    readers = sources("src/**/*.py", "csrc/**/*.[ch]", "examples/**/*.py", "bench/**/*.py", "tests/**/*.py")
    pages = {page for path in readers for page in cited.findall(path.read_text())}
    assert pages
    assert not [page for page in sorted(pages) if not (ROOT / page).exists()]
