"""Commands of the reference that do not exist yet: they say so instead of failing in a confusing way."""

import sys

import click

from peppy.cli.report import Report
from peppy.errors import PeppyError


def unsupported(name: str) -> click.Command:
    """A command that takes any arguments and answers `not supported yet`, exit code 1."""

    def run(words: tuple[str, ...]) -> None:
        report = Report(name, as_json="--json" in words)
        sys.exit(report.conclude(lambda: refuse(f"`peppy {name}`")))

    return click.Command(
        name.rpartition(" ")[2],
        callback=run,
        params=[click.Argument(["words"], nargs=-1, type=click.UNPROCESSED)],
        context_settings={"ignore_unknown_options": True, "help_option_names": []},
        hidden=True,
    )


def refuse(what: str, hint: str | None = None) -> None:
    """Raises the error for something that the reference has and this version has not."""
    raise PeppyError(f"{what} is not supported yet", kind="Refused", hint=hint)
