"""How a failure is shown: as lines for people and as an object for programs (docs/reference/cli.md, Errors, JSON)."""

from typing import TextIO

from peppy.cli.terminal import CYAN, RED, coloured, harmless
from peppy.errors import PeppyError, Problem


def error_lines(error: PeppyError, stream: TextIO) -> list[str]:
    """`[ERROR] …`, detail lines and the hint, coloured for `stream`."""
    head, *rest = _text(error).splitlines() or [""]
    lines = [f"{coloured('[ERROR]', RED, stream)} {harmless(head)}"]
    lines += [harmless(line) for line in rest]
    listed = _listed(error)
    apart = len({problem.hint for problem in listed}) > 1 and error.hint in {problem.hint for problem in listed}
    lines += [f"  - {harmless(_with_hint(problem) if apart else str(problem))}" for problem in listed]
    if error.hint and not apart:
        lines.append(f"{coloured('hint:', CYAN, stream)} {harmless(error.hint)}")
    return lines


def _with_hint(problem: Problem) -> str:
    """A problem with the hint that is its own: one line below all of them would not tell which it is about."""
    return f"{problem} ({problem.hint})" if problem.hint else str(problem)


def _text(error: PeppyError) -> str:
    if _repeats_details(error):
        return str(error.details[0]) if len(error.details) == 1 else f"{error.kind}: {_count(error.details)}"
    return f"{error.kind}: {error.message}"


def _listed(error: PeppyError) -> tuple[Problem, ...]:
    """The details that stand on lines of their own: a single one is the error itself."""
    return () if len(error.details) == 1 and _repeats_details(error) else error.details


def _repeats_details(error: PeppyError) -> bool:
    return bool(error.details) and error.message == "\n".join(str(problem) for problem in error.details)


def _count(problems: tuple[Problem, ...]) -> str:
    files = {problem.file for problem in problems}
    place = f" in `{file}`" if len(files) == 1 and (file := files.pop()) else ""
    return f"{len(problems)} problems{place}"


def error_object(error: PeppyError) -> dict[str, object]:
    """`error` of the JSON envelope: `details` holds every problem, a single one too."""
    details = error.details or (Problem(error.kind, error.message, hint=error.hint),)
    alone = len(details) == 1 and _repeats_details(error)
    return {
        "kind": error.kind,
        "message": details[0].located() if alone else error.message,
        "hint": error.hint,
        "details": [_detail(problem) for problem in details],
    }


def _detail(problem: Problem) -> dict[str, object]:
    return {
        "kind": problem.kind,
        "message": problem.message,
        "hint": problem.hint,
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "path": problem.path,
    }
