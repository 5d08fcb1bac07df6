"""The public door of the generator: the whole package of one node as `{path: text}`, and how it gets to the disk."""

import secrets
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from peppy.codec import GENERATOR_VERSION
from peppy.gen import meta
from peppy.gen.actions import consumed_action, exposed_action
from peppy.gen.members import ConsumedMember, Member, Members, OwnMember, members_of
from peppy.gen.parameters import parameters_module
from peppy.gen.services import consumed_service, exposed_service
from peppy.gen.topics import consumed_topic, emitted_topic
from peppy.model.interface import Interface
from peppy.model.names import Reference
from peppy.model.node import Action, NodeManifest, Service, Slot, Topic
from peppy.model.parameters import Group
from peppy.model.types import MessageFormat, schema_hash

STAMP = "generator.version"
"""Written last: a package without it is not complete."""

FINGERPRINT = "libs/peppygen/peppy.json5.sha256"
"""The digest of the manifest that the package was generated from, and a line end."""

_PROJECT = "libs/peppygen"

Tree = Mapping[str, str | bytes]


def generate(
    manifest: NodeManifest,
    providers: Mapping[Reference, NodeManifest],
    interfaces: Mapping[Reference, Interface] | None = None,
    *,
    sha256: str,
    peppy_wheel: Path,
) -> dict[str, str | bytes]:
    """The files of a node's `.peppy` by their path below it; the same text for the same input.

    `providers` are the manifests behind the node slots, `interfaces` what the node claims and reaches through interface
    slots, `sha256` the digest of the manifest's bytes, `peppy_wheel` the packed wheel that peppygen depends on.
    InvalidInput names everything that keeps the package from being generated.
    """
    members = members_of(manifest, providers, interfaces or {})
    package = _package(manifest, members, sha256)
    tree: dict[str, str | bytes] = {f"{_PROJECT}/peppygen/{path}": text for path, text in package.items()}
    tree[f"{_PROJECT}/pyproject.toml"] = meta.pyproject(peppy_wheel)
    tree[FINGERPRINT] = f"{sha256}\n"
    tree[STAMP] = f"{GENERATOR_VERSION}\n"
    return tree


def _package(manifest: NodeManifest, members: Members, sha256: str) -> dict[str, str]:
    node = str(manifest.reference)
    parameters = Group(()) if manifest.execution is None else manifest.execution.parameters
    files = {
        "py.typed": "",
        "__init__.py": meta.init_module(node),
        "_meta.py": meta.meta_module(manifest, sha256, _schema_hashes(members)),
        "_node.py": meta.NODE,
        "parameters.py": parameters_module(parameters, node),
        "clock.py": meta.CLOCK,
    }
    modules = _modules(members)
    for category in meta.CATEGORIES:
        texts = modules[category]
        files |= meta.package_modules(category, list(texts))
        files |= {f"{category}/{name}.py": text for name, text in texts.items()}
    return files


def _modules(members: Members) -> dict[str, dict[str, str]]:
    """The texts of every category by the name of their module."""
    return {
        "emitted_topics": _own_modules(members.emitted_topics, emitted_topic),
        "consumed_topics": _consumed_modules(members.consumed_topics, consumed_topic),
        "exposed_services": _own_modules(members.exposed_services, exposed_service),
        "consumed_services": _consumed_modules(members.consumed_services, consumed_service),
        "exposed_actions": _own_modules(members.exposed_actions, exposed_action),
        "consumed_actions": _consumed_modules(members.consumed_actions, consumed_action),
    }


def _own_modules(
    members: Iterable[OwnMember[Member]], text: Callable[[Member, Reference | None], str]
) -> dict[str, str]:
    return {own.module: text(own.member, own.interface) for own in members}


def _consumed_modules(
    members: Iterable[ConsumedMember[Member]], text: Callable[[Slot, str, Member], str]
) -> dict[str, str]:
    return {used.module: text(used.slot, used.module, used.member) for used in members}


def _schema_hashes(members: Members) -> dict[str, int]:
    """The hash of every payload; a service and an action have one for each of their payloads."""
    hashes: dict[str, int] = {}
    for category in meta.CATEGORIES:
        for entry in getattr(members, category):
            for payload, message_format in _payloads(entry.member):
                hashes[f"{category}/{entry.module}{payload}"] = schema_hash(message_format)
    return hashes


def _payloads(member: Topic | Service | Action) -> tuple[tuple[str, MessageFormat | None], ...]:
    if isinstance(member, Topic):
        return (("", member.message_format),)
    if isinstance(member, Service):
        return ("/request", member.request), ("/response", member.response)
    feedback = None if member.feedback is None else member.feedback.message_format
    return ("/goal", member.goal), ("/feedback", feedback), ("/result", member.result)


def module_counts(tree: Tree) -> dict[str, int]:
    """How many modules each category of a tree has, as `peppy node sync` tells."""
    paths = [path.removeprefix(f"{_PROJECT}/peppygen/").split("/") for path in tree]
    return {
        category: sum(parts[0] == category and parts[-1] != "__init__.py" for parts in paths)
        for category in meta.CATEGORIES
    }


def write(tree: Tree, directory: Path) -> None:
    """Replace `directory` (a node's `.peppy`) by the files of `tree`, as a whole; the stamp is written last.

    A failure leaves what was there before and raises the OSError.
    """
    fresh = directory.with_name(f"{directory.name}.new-{secrets.token_hex(4)}")
    try:
        for path in sorted(tree, key=lambda path: path == STAMP):
            _write_file(fresh / path, tree[path])
        _exchange(fresh, directory)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _write_file(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def _exchange(fresh: Path, directory: Path) -> None:
    """Put `fresh` in the place of `directory`; what was there is put back when that fails."""
    if not directory.exists() and not directory.is_symlink():
        fresh.rename(directory)
        return
    previous = directory.with_name(f"{directory.name}.old-{secrets.token_hex(4)}")
    directory.rename(previous)
    try:
        fresh.rename(directory)
    except OSError:
        previous.rename(directory)
        raise
    if previous.is_symlink() or not previous.is_dir():
        previous.unlink()
    else:
        shutil.rmtree(previous)
