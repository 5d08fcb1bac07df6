"""The program `peppy`: its commands, and how a call that cannot even be understood ends."""

import os
import sys

import click

from peppy import __version__
from peppy.cli.failure import error_lines
from peppy.cli.groups import LATER, LazyGroup, Verb
from peppy.cli.report import INTERRUPTED, USAGE
from peppy.cli.usage import MissingCommand, explained


def _print_version(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        print(f"peppy {__version__}")
        context.exit()


peppy = LazyGroup(
    "peppy",
    {
        "node": Verb("node", "One node: create, add, build, run, stop, look at."),
        "stack": Verb("stack", "The whole stack of nodes."),
        "service": Verb("service", "The daemon that runs the nodes."),
        "repo": Verb("repo", "Directories that nodes and interfaces come from."),
        "repositories": Verb("repo"),
        "topic": Verb("topic", "The topics of running nodes."),
        "call": Verb("call", "Call a service of a running node."),
        "goal": Verb("goal", "Give a goal to an action of a running node."),
        "info": Verb("info", "Tell about this installation and its daemon."),
        "completions": Verb("completions", "Print the completion script of a shell."),
        "doctor": LATER,
    },
    help="Build, run and watch robot nodes that exchange messages through shared memory.",
    subcommand_metavar="<command> ...",
    options_metavar="[options]",
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_print_version,
            help="Print the version and exit.",
        )
    ],
)


def run(arguments: list[str] | None = None) -> int:
    """Runs one command line and gives its exit code (docs/reference/cli.md, Exit codes)."""
    try:
        peppy.main(arguments, prog_name="peppy", standalone_mode=False)
    except MissingCommand as error:
        print(error.ctx.get_help() if error.ctx else error.message, file=sys.stderr)
        return USAGE
    except click.UsageError as error:
        for line in error_lines(explained(error), sys.stderr):
            print(line, file=sys.stderr)
        return USAGE
    except click.Abort:
        return INTERRUPTED
    except SystemExit as end:
        return _flushed(int(end.code or 0))
    except BrokenPipeError:
        return _reader_left()
    return _flushed(0)


def _flushed(code: int) -> int:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return _reader_left()
    return code


def _reader_left() -> int:
    """Whoever read stdout has seen enough; the interpreter's own flush must not complain about it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
