"""What the package knows about `parameters:v1`."""

from peppy.codec import require_generator
from peppy.model.names import Reference
from peppy.model.node import Slot
from peppy.model.parameters import ArrayOf, Group, Leaf, Parameter
from peppy.model.types import Token

GENERATOR_VERSION = 1
require_generator(GENERATOR_VERSION)

NAME = "parameters"
TAG = "v1"
FINGERPRINT = "233565f9ba2dc81437cde9b855a435c5e0fb9c334dddffd072dc4f030ebe0c8a"
CONFORMS_TO: tuple[Reference, ...] = ()
SLOTS: tuple[Slot, ...] = ()
DECLARED_PARAMETERS = Group(
    (
        Parameter("enabled", Leaf(Token.BOOL)),
        Parameter("level", Leaf(Token.U8, 3)),
        Parameter("offset", Leaf(Token.I64, -9223372036854775808)),
        Parameter("gain", Leaf(Token.F32, 0.5)),
        Parameter("scale", Leaf(Token.F64)),
        Parameter("title", Leaf(Token.STRING, 'it\'s "so" \\ {x} \n \xfc \U0001f600')),
        Parameter("key", Leaf(Token.BYTES)),
        Parameter("since", Leaf(Token.TIME)),
        Parameter("int", Leaf(Token.U16, 1)),
        Parameter("class", Leaf(Token.BOOL, True)),
        Parameter("from-dict", Leaf(Token.U8)),
        Parameter("weights", ArrayOf(Leaf(Token.F32))),
        Parameter("corner", ArrayOf(Leaf(Token.I32), 2)),
        Parameter(
            "video",
            Group(
                (
                    Parameter("device", Leaf(Token.STRING)),
                    Parameter(
                        "resolution",
                        Group((Parameter("width", Leaf(Token.U32)), Parameter("height", Leaf(Token.U32, 480)))),
                    ),
                    Parameter(
                        "mapping",
                        ArrayOf(
                            Group(
                                (
                                    Parameter("name", Leaf(Token.STRING)),
                                    Parameter("gain", Leaf(Token.F64, 1.0)),
                                    Parameter("at", Group((Parameter("x", Leaf(Token.F64)),))),
                                )
                            )
                        ),
                    ),
                )
            ),
        ),
        Parameter("2nd", Group((Parameter("any", Leaf(Token.STRING, "")),))),
    )
)
SCHEMA_HASHES: dict[str, int] = {}
