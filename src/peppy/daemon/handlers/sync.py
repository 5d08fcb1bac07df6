"""`peppy node sync` (docs/reference/daemon.md, Sync)."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from peppy.daemon import library
from peppy.daemon.core import Core
from peppy.daemon.operation import Operation, in_thread
from peppy.errors import InvalidInput, PeppyError
from peppy.gen.package import Tree, module_counts
from peppy.graph.assemble import check_add
from peppy.manifest.interface import InterfaceDocument
from peppy.manifest.node import DEFAULT_VARIANT, NodeDocument, read_node
from peppy.manifest.unused import unused_formats
from peppy.manifest.variants import EffectiveManifest, select_variant
from peppy.model.interface import CachedInterface
from peppy.model.names import Reference
from peppy.model.node import NodeManifest, SlotKind
from peppy.protocol.answers import Synced
from peppy.protocol.frames import NodeSync
from peppy.store.repository_index import ResolvedInterfaces, resolve_interfaces
from peppy.store.wheel import packed_wheel

ELSEWHERE = frozenset({"PathKeyCollision", "ServiceActionInterfaceCycle"})
"""What matters once the node is added: its library can be generated all the same."""

Stack = Mapping[Reference, NodeManifest]


async def handle(core: Core, request: NodeSync, operation: Operation) -> Synced:
    """Adds nothing to the stack; a failed sync leaves every library as it was."""
    directory = Path(request.directory)
    if not directory.is_absolute():
        raise PeppyError(f"`{request.directory}` is no absolute path", kind="NotFound", hint="name a node's directory")
    async with operation.limits("sync", request.timeout_secs, core.idle_secs):
        return await in_thread(_sync, core, directory, core.registry.manifests(), core.registry.interfaces())


def _sync(core: Core, directory: Path, stack: Stack, claimed: Mapping[Reference, InterfaceDocument]) -> Synced:
    document = read_node(directory)
    trees = [select_variant(document, directory, name) for name in _variants(document)]
    interfaces = resolve_interfaces(core.root, document.manifest)
    _check(document.manifest, stack, interfaces.checked_with(claimed))
    libraries = _libraries(core, trees, stack, interfaces)
    for tree, files in libraries:
        library.write(files, tree.directory)
    own = {slot.provider for slot in document.manifest.slots if slot.kind is SlotKind.NODE}
    return Synced(
        path=str(directory),
        config_sha256=trees[0].sha256,
        from_stack=tuple(sorted(str(provider) for provider in own)),
        from_repositories=(),
        modules=module_counts(libraries[0][1] if libraries else {}),
        warnings=(*unused_formats(document.manifest), *_warnings(trees)),
    )


def _variants(document: NodeDocument) -> list[str]:
    """The default first: it is the root, or the variant of that name."""
    declared = [variant.name for variant in document.manifest.variants]
    return [DEFAULT_VARIANT, *(name for name in declared if name != DEFAULT_VARIANT)]


def _check(manifest: NodeManifest, stack: Stack, interfaces: Mapping[Reference, CachedInterface]) -> None:
    found = check_add(manifest, stack, interfaces)
    if problems := [problem for problem in found if problem.kind not in ELSEWHERE]:
        raise InvalidInput(problems)


def _libraries(
    core: Core, trees: list[EffectiveManifest], stack: Stack, interfaces: ResolvedInterfaces
) -> list[tuple[EffectiveManifest, Tree]]:
    """Everything is generated before anything is written."""
    wanted = [tree for tree in trees if library.has_library(tree.manifest)]
    wheel = packed_wheel(core.root) if wanted else Path()
    documents = interfaces.documents
    return [
        (tree, library.generated(tree.manifest, stack, documents, sha256=tree.sha256, wheel=wheel)) for tree in wanted
    ]


def _warnings(trees: list[EffectiveManifest]) -> Iterator[str]:
    for tree in trees:
        execution = tree.manifest.execution
        if execution is not None and not library.has_library(tree.manifest):
            yield f"no library is generated for language `{execution.language}` (variant `{tree.variant}`)"
