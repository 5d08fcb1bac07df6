"""`peppy node run`."""

from typing import TYPE_CHECKING

import click

from peppy.cli import completing
from peppy.cli.command import verb
from peppy.cli.options import instance_options, timeout_option
from peppy.cli.report import Report
from peppy.cli.session import daemon
from peppy.cli.usage import misuse
from peppy.cli.words import absolute, bindings, instance_name, is_directory_word, pairs, reference
from peppy.model.names import Reference

if TYPE_CHECKING:
    from peppy.client import Client
    from peppy.manifest.node import NodeDocument


@verb("node run")
@click.argument("words", metavar="<name:tag | dir> [key=value]...", nargs=-1, shell_complete=completing.nodes)
@click.option("--node-name", metavar="<name>", help="Name of the node, instead of the first word.")
@click.option("--tag", metavar="<tag>", help="Tag of the node, with --node-name.")
@instance_options
@click.option("-b", "--build", "with_build", is_flag=True, help="Build it first when that is needed.")
@click.option("-f", "--follow", is_flag=True, help="Show its log until it ends or Ctrl-C; it keeps running then.")
@timeout_option(3600)
def command(
    report: Report,
    words: tuple[str, ...],
    node_name: str | None,
    tag: str | None,
    instance_id: str | None,
    bind: tuple[str, ...],
    with_build: bool,
    follow: bool,
    timeout: float,
) -> object:
    """Start an instance of a node of the stack, named by name:tag or by its directory.

    key=value words are its parameters. The command returns when the instance is running.
    """
    target, given = _split(words, node_name, tag)
    arguments, bound, chosen = pairs(given), bindings(bind), instance_name(instance_id)
    if follow and report.as_json:
        raise misuse("`--follow` and `--json` do not go together here", "use `peppy node logs -f --json`")

    from peppy.cli import steps

    document = None if isinstance(target, Reference) else _document(target)
    node = document.manifest.reference if document else target
    with daemon(report) as client:
        if document:
            _warn_if_changed(report, client, document, str(target))
        if with_build:
            steps.build_if_needed(report, client, str(node), timeout)
        data = steps.run(
            report,
            client,
            str(node),
            instance_id=chosen,
            arguments=arguments,
            bindings=bound,
            timeout=timeout,
        )
        if follow:
            from peppy.cli.following import follow_instance

            follow_instance(report, client, data["instance_id"], data["log"])
    return data


def _split(words: tuple[str, ...], node_name: str | None, tag: str | None) -> tuple[Reference | str, tuple[str, ...]]:
    """The node, as reference or as directory, and the parameters."""
    if (node_name is None) != (tag is None):
        raise misuse("`--node-name` and `--tag` go together", "give both, or `name:tag` as the first word")
    if node_name is not None:
        return reference(f"{node_name}:{tag}"), words
    if not words:
        raise misuse("no node given", "name it by `name:tag` or by its directory")
    if is_directory_word(words[0]):
        return words[0], words[1:]
    return reference(words[0]), words[1:]


def _document(directory: str) -> "NodeDocument":
    from peppy.manifest.node import read_node

    return read_node(absolute(directory))


def _warn_if_changed(report: Report, client: "Client", document: "NodeDocument", directory: str) -> None:
    """Says so when the manifest in the directory is not the one that was added; a variant has its own digest."""
    from peppy.cli.session import INFO_SECS
    from peppy.protocol.frames import NodeInfo

    node = document.manifest.reference
    details = client.call(NodeInfo(str(node)), timeout=INFO_SECS)
    if details.variant == "default" and details.config_sha256 != document.sha256:
        report.warning(f"`{directory}` differs from `{node}` in the stack: `peppy node add` takes it over")
