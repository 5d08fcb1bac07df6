"""Nodes as requests name them: `name:tag`."""

from peppy.daemon.registry import Node, Registry
from peppy.errors import PeppyError
from peppy.model.names import NAME_RULE, TAG_RULE, Reference
from peppy.model.text import quoted


def reference_of(text: str) -> Reference:
    """The reference that a request names; PeppyError when it is none."""
    if (reference := Reference.parse(text)) is not None:
        return reference
    raise PeppyError(
        f"{quoted(text)} is not `name:tag`", kind="BadName", hint=f"a name has {NAME_RULE}; a tag has {TAG_RULE}"
    )


def known_node(registry: Registry, text: str) -> Node:
    """The node that a request names. Raises PeppyError: no reference, the core node, or `NotFound`."""
    reference = reference_of(text)
    if registry.is_core(reference):
        raise PeppyError(f"`{reference}` is the core node", kind="Refused", hint="see `peppy info`")
    return registry.node(reference)
