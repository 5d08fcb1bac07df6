"""Completion of node names and instance ids from the state file: no daemon is asked or started."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from peppy.cli.session import home
from peppy.model.names import Reference, is_name


def nodes(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """The `name:tag` of nodes in the stack that begin with what has been typed."""
    found = [f"{row['name']}:{row['tag']}" for row in _rows("nodes") if {"name", "tag"} <= row.keys()]
    return [text for text in found if Reference.parse(text) and text.startswith(incomplete)]


def instances(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """The ids of tracked instances that begin with what has been typed."""
    found = [str(row.get("instance_id", "")) for row in _rows("instances")]
    return [text for text in found if is_name(text) and text.startswith(incomplete)]


def nodes_and_instances(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Both, for commands that take either."""
    return [*instances(context, parameter, incomplete), *nodes(context, parameter, incomplete)]


def _rows(key: str) -> Iterator[dict[str, Any]]:
    """The objects of one list of the state file; none when it is missing or damaged: completion never complains."""
    try:
        state = json.loads((home() / Path("state/stack.json")).read_bytes())
    except (OSError, ValueError):
        return
    rows = state.get(key) if isinstance(state, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    for row in rows if isinstance(rows, list) else []:  # pyright: ignore[reportUnknownVariableType]
        if isinstance(row, dict):
            yield row
