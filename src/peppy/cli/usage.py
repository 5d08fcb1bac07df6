"""Usage errors: what click refuses and what commands refuse, in the words of docs/reference/cli.md, Conventions."""

import click

from peppy.errors import PeppyError
from peppy.model.text import nearest, quoted

KIND = "Usage"

_NUMBERS = {"is not a valid float": "is no number", "is not a valid integer": "is no whole number"}
"""What click calls by the name of a type."""


class Misuse(click.UsageError):
    """A call that a command refuses before anything is sent; `error` is what is shown."""

    def __init__(self, error: PeppyError) -> None:
        super().__init__(error.message)
        self.error = error


def misuse(message: str, hint: str | None = None) -> Misuse:
    """A usage error of our own."""
    return Misuse(PeppyError(message, kind=KIND, hint=hint))


class MissingCommand(click.UsageError):
    """A group was called without saying what to do; its help is the answer."""


class UnknownCommand(click.UsageError):
    """A word that is no command of its group."""

    def __init__(self, name: str, known: list[str], context: click.Context) -> None:
        super().__init__(f"no such command {quoted(name)}", context)
        self.name = name
        self.known = known


def explained(error: click.UsageError) -> PeppyError:
    """A usage error as message and hint: the nearest known command or option, else where help is."""
    if isinstance(error, Misuse):
        return error.error
    if isinstance(error, UnknownCommand):
        found = nearest(error.name, error.known)
        hint = f"did you mean `{found}`?" if found else _help_of(error)
        return PeppyError(error.message, kind=KIND, hint=hint)
    if isinstance(error, click.NoSuchOption):
        found = nearest(error.option_name, _options(error))
        hint = f"did you mean `{found}`?" if found else _help_of(error)
        return PeppyError(f"no such option {quoted(error.option_name)}", kind=KIND, hint=hint)
    return PeppyError(_without_full_stop(error.format_message()), kind=KIND, hint=_help_of(error))


def _options(error: click.UsageError) -> list[str]:
    if error.ctx is None:
        return []
    return [name for parameter in error.ctx.command.get_params(error.ctx) for name in parameter.opts]


def _help_of(error: click.UsageError) -> str:
    return f"run `{error.ctx.command_path if error.ctx else 'peppy'} --help`"


def _without_full_stop(message: str) -> str:
    """click's own sentence in our form: `Missing argument 'NODE'.` becomes ``missing argument `NODE` ``."""
    text = message.removesuffix(".").replace("'", "`")
    for theirs, ours in _NUMBERS.items():
        text = text.replace(theirs, ours)
    return text[:1].lower() + text[1:]
