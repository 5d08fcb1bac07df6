"""Options that several commands share."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from peppy.cli.usage import misuse
from peppy.errors import PeppyError
from peppy.model.names import NAME_RULE, is_name
from peppy.model.text import quoted

LONGEST_SECS = 1e9
"""Thirty years: as good as no limit, and the clocks of the protocol can hold it."""

Command = TypeVar("Command", bound=Callable[..., Any])


def timeout_option(default: int) -> Callable[[Command], Command]:
    """`--timeout`: the total limit of a long operation in seconds."""
    return seconds_option("--timeout", float(default), f"Total limit; {default} s unless given.")


def seconds_option(flag: str, default: float | None, text: str) -> Callable[[Command], Command]:
    """An option that takes a number of seconds above 0, at most 1e9; without `default` it may be left out."""
    return click.option(flag, metavar="<seconds>", type=float, default=default, callback=_positive, help=text)


def _positive(_context: click.Context, option: click.Parameter, seconds: float | None) -> float | None:
    if seconds is not None and not 0 < seconds <= LONGEST_SECS:
        raise misuse(
            f"`{option.opts[0]}` cannot be `{seconds:g}`",
            f"give a number of seconds above 0, at most {LONGEST_SECS:.0f}",
        )
    return seconds


def instance_options(body: Command) -> Command:
    """`--instance-id` and `--bind` of commands that start an instance."""
    identified = click.option(
        "-i", "--instance-id", metavar="<id>", help="Name of the new instance; made up unless given."
    )
    bound = click.option(
        "--bind",
        metavar="<KEY@VALUE>",
        multiple=True,
        help="Bind the slot KEY to the running instance VALUE; repeatable.",
    )
    return identified(bound(body))


def daemon_options(body: Command) -> Command:
    """The options of `service serve` and `service start`."""
    named = click.option(
        "--core-node-name", metavar="<name>", help="Name of the core node; derived from this machine unless given."
    )
    clocked = click.option(
        "--clock-source",
        metavar="<wall|sim>",
        default="wall",
        help="What sets the time of nodes: wall (sim is not supported yet).",
    )
    return named(clocked(body))


def daemon_words(core_node_name: str | None, clock_source: str) -> list[str]:
    """The daemon's own arguments for these options. Raises a usage error, or PeppyError for a clock we have not."""
    if clock_source not in ("wall", "sim"):
        raise misuse(f"{quoted(clock_source)} is no clock source", "use `wall`")
    if clock_source == "sim":
        raise PeppyError("`--clock-source sim` is not supported yet", kind="Refused", hint="use `wall`")
    if core_node_name is None:
        return []
    if not is_name(core_node_name):
        raise misuse(f"{quoted(core_node_name)} is no name for the core node", f"use {NAME_RULE}")
    return ["--core-node-name", core_node_name]
