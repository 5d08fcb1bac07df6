"""The builder of this node."""

from typing import ClassVar

from peppy.runtime import NodeBuilder as _NodeBuilder
from peppy.runtime import Package

from . import _meta
from .parameters import Parameters

PACKAGE = Package(
    name=_meta.NAME,
    tag=_meta.TAG,
    fingerprint=_meta.FINGERPRINT,
    generator_version=_meta.GENERATOR_VERSION,
    conforms_to=_meta.CONFORMS_TO,
    slots=_meta.SLOTS,
    declared_parameters=_meta.DECLARED_PARAMETERS,
    schema_hashes=_meta.SCHEMA_HASHES,
    parameters=Parameters,
)


class NodeBuilder(_NodeBuilder[Parameters]):
    """Runs this node: `NodeBuilder().run(setup)`."""

    package: ClassVar[Package[Parameters]] = PACKAGE
