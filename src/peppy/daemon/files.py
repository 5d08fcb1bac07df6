"""What nodes and instances have on the disk, and how it goes."""

import contextlib
import os
from pathlib import Path

from peppy.faults import fault
from peppy.model.names import Reference
from peppy.store.atomic import storage_errors
from peppy.store.copying import remove_tree
from peppy.store.root import DataRoot


def remove_instance(root: DataRoot, instance_id: str) -> None:
    """Deletes both directories of an instance; its log stays. Raises PeppyError."""
    for path in (root.run_instance(instance_id), root.instance(instance_id)):
        with storage_errors("delete", path):
            remove_tree(path)


def remove_node(root: DataRoot, node: Reference) -> None:
    """Deletes snapshot, link and artifact of a node; its logs stay. Raises PeppyError."""
    remove_artifact(root, node)
    fault("remove.artifact_deleted")
    for path in (root.built_link(node), root.snapshot(node)):
        with storage_errors("delete", path):
            remove_tree(path)


def remove_artifact(root: DataRoot, node: Reference) -> None:
    """Deletes the archive that a build has made. Raises PeppyError."""
    path = root.artifact(node)
    with storage_errors("delete", path):
        path.unlink(missing_ok=True)


def link_snapshot(root: DataRoot, node: Reference) -> None:
    """`built_nodes/<n>_<t>` is a relative link to the snapshot. Raises PeppyError."""
    link = root.built_link(node)
    target = Path(os.path.relpath(root.snapshot(node), link.parent))
    with storage_errors("write", link):
        if link.is_symlink() and link.readlink() == target:
            return
        with contextlib.suppress(FileNotFoundError):
            link.unlink()
        link.symlink_to(target)
