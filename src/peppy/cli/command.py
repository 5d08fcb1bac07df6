"""How a command is declared: a function that reports and returns its data (docs/reference/cli.md, JSON)."""

import sys
from collections.abc import Callable
from typing import Any

import click

from peppy.cli.groups import CONTEXT_SETTINGS
from peppy.cli.report import Report
from peppy.cli.usage import misuse
from peppy.model.text import quoted

Body = Callable[..., object]


class Verb(click.Command):
    """A command whose usage errors all know which command they are about."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise
        if ctx.args and not ctx.resilient_parsing:
            raise misuse(f"unexpected argument {quoted(ctx.args[0])}", f"run `{ctx.command_path} --help`")
        return ctx.args


def verb(name: str, *, prints_result: bool = True, json_lines: bool = False) -> Callable[[Body], click.Command]:
    """Makes the click command `name` (`node add`) of a function `body(report, **parameters)`.

    The function's docstring is the help text; what it returns is `data` of the JSON envelope. Commands that print a
    result take `--json`; with `json_lines` it means one object a line instead of the envelope.
    """

    def declare(body: Body) -> click.Command:
        def run(as_json: bool = False, **parameters: Any) -> None:
            report = Report(name, as_json=as_json)
            sys.exit(report.conclude(lambda: body(report, **parameters)))

        parameters = list(reversed(getattr(body, "__click_params__", [])))
        if prints_result:
            text = "Print one JSON object a line." if json_lines else "Print the result as one JSON object."
            parameters.append(click.Option(["--json", "as_json"], is_flag=True, help=text))
        return Verb(
            name.rpartition(" ")[2],
            callback=run,
            params=parameters,
            help=body.__doc__,
            context_settings={**CONTEXT_SETTINGS, "allow_extra_args": True},
            options_metavar="[options]",
        )

    return declare
