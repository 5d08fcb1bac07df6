"""`peppy node init`: done here, without the daemon."""

import shutil
from pathlib import Path

import click

from peppy.cli.command import verb
from peppy.cli.commands.later import refuse
from peppy.cli.interrupts import interruptible
from peppy.cli.report import Report
from peppy.cli.usage import misuse
from peppy.cli.words import absolute
from peppy.errors import PeppyError
from peppy.model.names import NAME_RULE, is_init_name
from peppy.model.text import quoted

TOOLCHAINS = ("uv", "pip")
PLANNED_TOOLCHAIN = "cargo"


@verb("node init")
@click.argument("name", metavar="<node_name>")
@click.option("--toolchain", metavar="<uv|pip>", help="What builds the node; uv if it is on PATH, else pip.")
@click.option("--to-dir", metavar="<dir>", default=".", help="Create it in this directory; here unless given.")
@click.option("--container", is_flag=True, help="A node in a container (not supported yet).")
def command(report: Report, name: str, toolchain: str | None, to_dir: str, container: bool) -> object:
    """Create a node in a new directory <node_name>: it builds and runs as it is."""
    if toolchain not in (None, PLANNED_TOOLCHAIN, *TOOLCHAINS):
        raise misuse(f"{quoted(toolchain)} is no toolchain", "use `uv` or `pip`")
    if container:
        refuse("`--container`")
    if toolchain == PLANNED_TOOLCHAIN:
        refuse("`--toolchain cargo`", "use `uv` or `pip`")
    if not is_init_name(name):
        rule = f"start with a letter; use {NAME_RULE}"
        raise PeppyError(f"{quoted(name)} is no name for a node", kind="BadName", hint=rule)
    directory = absolute(to_dir) / name
    if directory.exists() or directory.is_symlink():
        raise PeppyError(f"`{directory}` exists", kind="Refused", hint="choose another name or `--to-dir`")
    _create(directory, name, toolchain or _found_toolchain(report))
    report.result(f"Created node {name} at {directory}")
    return {"name": name, "path": str(directory)}


def _found_toolchain(report: Report) -> str:
    found = "uv" if shutil.which("uv") else "pip"
    reason = "it is on PATH" if found == "uv" else "`uv` is not on PATH"
    report.info(f"toolchain {found}: {reason} (choose with --toolchain)")
    return found


def _create(directory: Path, name: str, toolchain: str) -> None:
    from peppy.gen.scaffold import write_scaffold

    with interruptible():
        write_scaffold(directory, name, toolchain)
