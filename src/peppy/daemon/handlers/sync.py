"""`peppy node sync` (docs/reference/daemon.md, Sync)."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from peppy.daemon import library
from peppy.daemon.core import Core
from peppy.daemon.operation import Operation, in_thread
from peppy.errors import InvalidInput, PeppyError
from peppy.gen.package import Tree, module_counts
from peppy.graph.assemble import check_add
from peppy.manifest.node import DEFAULT_VARIANT, NodeDocument, read_node
from peppy.manifest.unused import unused_formats
from peppy.manifest.variants import EffectiveManifest, select_variant
from peppy.model.names import Reference
from peppy.model.node import NodeManifest, SlotKind
from peppy.protocol.answers import Synced
from peppy.protocol.frames import NodeSync
from peppy.store.wheel import packed_wheel

UNRESOLVED = frozenset({"DependencyMissing", "DependencyNotExposed", "InterfaceNotCached"})

Stack = Mapping[Reference, NodeManifest]


async def handle(core: Core, request: NodeSync, operation: Operation) -> Synced:
    """Adds nothing to the stack; a failed sync leaves every library as it was."""
    directory = Path(request.directory)
    if not directory.is_absolute():
        raise PeppyError(f"`{request.directory}` is no absolute path", kind="NotFound", hint="name a node's directory")
    async with operation.limits("sync", request.timeout_secs, core.idle_secs):
        return await in_thread(_sync, core, directory, core.registry.manifests())


def _sync(core: Core, directory: Path, stack: Stack) -> Synced:
    document = read_node(directory)
    trees = [select_variant(document, directory, name) for name in _variants(document)]
    _check(document.manifest, stack)
    libraries = _libraries(core, trees, stack)
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


def _check(manifest: NodeManifest, stack: Stack) -> None:
    problems = [problem for problem in check_add(manifest, stack) if problem.kind in UNRESOLVED]
    if problems:
        raise InvalidInput(problems)


def _libraries(core: Core, trees: list[EffectiveManifest], stack: Stack) -> list[tuple[EffectiveManifest, Tree]]:
    """Everything is generated before anything is written."""
    wanted = [tree for tree in trees if library.has_library(tree.manifest)]
    wheel = packed_wheel(core.root) if wanted else Path()
    return [(tree, library.generated(tree.manifest, stack, sha256=tree.sha256, wheel=wheel)) for tree in wanted]


def _warnings(trees: list[EffectiveManifest]) -> Iterator[str]:
    for tree in trees:
        execution = tree.manifest.execution
        if execution is not None and not library.has_library(tree.manifest):
            yield f"no library is generated for language `{execution.language}` (variant `{tree.variant}`)"
