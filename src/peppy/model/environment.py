"""Environment variables that no build and no node gets (docs/reference/daemon.md, Environment)."""

from collections.abc import Mapping

FORBIDDEN_VARIABLES = frozenset(
    {
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "LD_AUDIT",
        "LD_DEBUG",
        "DYLD_INSERT_LIBRARIES",
        "DYLD_LIBRARY_PATH",
        "DYLD_FRAMEWORK_PATH",
        "BASH_ENV",
        "ENV",
        "CDPATH",
        "IFS",
        "SHELLOPTS",
        "BASHOPTS",
        "PS4",
        "PROMPT_COMMAND",
        "GLOBIGNORE",
    }
)


def is_forbidden(name: str, value: str) -> bool:
    """Whether a variable may reach no process: on the deny-list in any case, or not a variable at all."""
    return not name or "=" in name or "\0" in name or "\0" in value or name.upper() in FORBIDDEN_VARIABLES


def forbidden(variables: Mapping[str, str]) -> tuple[str, ...]:
    """The names in `variables` that are forbidden, sorted."""
    return tuple(sorted(name for name, value in variables.items() if is_forbidden(name, value)))


def allowed(variables: Mapping[str, str]) -> dict[str, str]:
    """`variables` without the forbidden ones."""
    return {name: value for name, value in variables.items() if not is_forbidden(name, value)}
