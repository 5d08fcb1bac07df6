"""`peppy node add`, alone or followed by build and run."""

from typing import NamedTuple

import click

from peppy.cli.command import verb
from peppy.cli.commands.later import refuse
from peppy.cli.options import instance_options, timeout_option
from peppy.cli.report import Report
from peppy.cli.session import daemon
from peppy.cli.usage import misuse
from peppy.cli.words import (
    Pairs,
    Source,
    absolute,
    bindings,
    directory_of,
    instance_name,
    is_pair_word,
    pairs,
    source_of,
)


class Wish(NamedTuple):
    """What the new instance of `--run` gets."""

    instance_id: str | None
    arguments: Pairs
    bindings: Pairs


@verb("node add")
@click.argument("words", metavar="[source] [key=value]...", nargs=-1)
@click.option("--ref", metavar="<git_ref>", help="Commit, branch or tag of a git source.")
@click.option("-s", "--sync", "with_sync", is_flag=True, help="Generate its library first (local directories).")
@click.option("-b", "--build", "with_build", is_flag=True, help="Build it afterwards.")
@click.option("-r", "--run", "with_run", is_flag=True, help="Build it and start an instance afterwards.")
@instance_options
@click.option("--variant", metavar="<name>", help="Take this variant of the node.")
@timeout_option(3600)
@click.option("-f", "--force", is_flag=True, help="Replace the node in the stack, stop its instances without asking.")
def command(
    report: Report,
    words: tuple[str, ...],
    ref: str | None,
    with_sync: bool,
    with_build: bool,
    with_run: bool,
    instance_id: str | None,
    bind: tuple[str, ...],
    variant: str | None,
    timeout: float,
    force: bool,
) -> object:
    """Add a snapshot of a node to the stack: of SOURCE, a local directory (default: here) or a `.tar.zst` archive.

    With --run, key=value words are its parameters.
    """
    source, given = _split(words)
    wish = Wish(instance_name(instance_id), pairs(given), bindings(bind))
    _check_flags(source, ref, with_sync, with_run, wish)
    if (kind := source_of(source)) not in (Source.DIRECTORY, Source.ARCHIVE) or "://" in source:
        refuse(f"adding `{source}` from {_ARTICLES[kind]}", "add a local directory or archive")
    path = absolute(source)

    from peppy.cli import steps

    with daemon(report) as client:
        if with_sync:
            steps.sync(report, client, directory_of(path), timeout)
        data = steps.add(report, client, path, variant=variant, force=force, timeout=timeout)
        if with_build or with_run:
            data["build"] = steps.build(report, client, data["node"], force=force, timeout=timeout)
        if with_run:
            data["run"] = steps.run(
                report,
                client,
                data["node"],
                instance_id=wish.instance_id,
                arguments=wish.arguments,
                bindings=wish.bindings,
                timeout=timeout,
            )
    return data


_ARTICLES = {Source.ARCHIVE: "an archive on the net", Source.GIT: "a git repository", Source.REPOSITORY: "a repository"}


def _split(words: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """The source and the parameters: the source may be left out."""
    if words and not is_pair_word(words[0]):
        return words[0], words[1:]
    return ".", words


def _check_flags(source: str, ref: str | None, with_sync: bool, with_run: bool, wish: Wish) -> None:
    kind = source_of(source)
    if ref is not None and kind is not Source.GIT:
        raise misuse("`--ref` needs a git source", "leave it out")
    if with_sync and kind is not Source.DIRECTORY:
        raise misuse("`--sync` needs a local directory", "leave it out")
    if with_run:
        return
    for flag, given in (("--instance-id", wish.instance_id), ("--bind", wish.bindings)):
        if given:
            raise misuse(f"`{flag}` needs `--run`", "add `-r`")
    if wish.arguments:
        raise misuse(f"the parameter `{wish.arguments[0][0]}` needs `--run`", "add `-r`")
