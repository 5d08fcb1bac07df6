"""Groups of commands that are imported when they are used, and usage errors that name the nearest known command."""

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import click

from peppy.cli.usage import MissingCommand, UnknownCommand

HELP_COLUMNS = 80
CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": HELP_COLUMNS}


class Verb(NamedTuple):
    """A command: its module below `peppy.cli.commands` and the line that help shows for it.

    One without summary is known but not listed: an alias, or a command of the reference that does not exist yet.
    """

    module: str
    summary: str = ""


LATER = Verb("later")
"""A command of the reference that does not exist yet."""


class LazyGroup(click.Group):
    """A group whose commands are modules: a listing costs no import, a call imports one."""

    def __init__(self, name: str, verbs: Mapping[str, Verb], **attributes: Any) -> None:
        super().__init__(name, context_settings=CONTEXT_SETTINGS, no_args_is_help=False, **attributes)
        self._verbs = dict(verbs)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return [name for name, verb in self._verbs.items() if verb.summary]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        verb = self._verbs.get(cmd_name)
        if verb is None:
            return None
        module = importlib.import_module(f"peppy.cli.commands.{verb.module}")
        if verb is LATER:
            return module.unsupported(cmd_name if self.name == "peppy" else f"{self.name} {cmd_name}")
        return module.command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._verbs[name].summary) for name in self.list_commands(ctx)])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:
            raise MissingCommand("no command given", ctx)
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name in self._verbs or name.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        raise UnknownCommand(name, self.list_commands(ctx), ctx)
