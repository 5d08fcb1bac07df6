"""Modules for topics, and what generated code stands on.

An emitted topic becomes a module with `WriteLoan`, `Publisher`, `emit` and `declare_publisher`; a consumed one a module
with `Message`, `on_next_message_received` and `subscribe` (docs/reference/node_api.md, Topics). They hold types and
signatures; behaviour is in the library:

    peppy.codec            plan_of(member, canonical text, classes) -> Plan; Payload, ArrayPayload and the annotations
    peppy.runtime.topics   EmittedTopic(name, qos, plan)      .emit(node_runner, payload), .publisher(node_runner, kind)
                           Publisher                          ._put(payload), ._loan(kind, shapes, body_reserve)
                           WriteLoan                          subclasses only add annotations of the fields
                           ConsumedTopic(link_id, name, plan) .on_next_message_received(node_runner, from_core_node),
                                                              .subscribe(node_runner, spin_us)
                           Subscription[Message], ReadLoan[Message]

`publish` is `self._put(_PLAN.encode(...))`: one call into the compiled encoder, one into the stream. What comes from an
interface names it (`name:tag`) in one more argument, the last of `EmittedTopic` and `ConsumedTopic`. Names that a body
uses start with a capital letter or an underscore, arguments never do, so no field can shadow one.
"""

from peppy.codec.classes import ROOT
from peppy.codec.loan import loan_attribute
from peppy.gen.payloads import Payloads, fields_of, optional
from peppy.gen.plans import plan
from peppy.gen.text import Call, imports, inherited_from, literal, module, owned_by, provider_of, reached_through
from peppy.model.names import Reference
from peppy.model.node import Slot, Topic
from peppy.model.types import Field


def emitted_topic(topic: Topic, interface: Reference | None) -> str:
    """The module of a topic that the node emits; `interface` is where it is inherited from."""
    fields = fields_of(topic.message_format)
    payloads = Payloads("Message")
    payloads.add_nested(fields)
    arguments = payloads.arguments(fields)
    encode = Call("_PLAN.encode(", [field.identifier for field in fields])
    names = payloads.names | {"NO_SHAPES", "Shape", "plan_of"}
    loan = _write_loan(fields, payloads)
    profile = f"QoSProfile.{topic.qos.name}"
    emitted = Call("_topics.EmittedTopic(", [literal(topic.name), profile, "_PLAN", *inherited_from(interface)])
    abstract = {"Mapping", "Sequence"} if payloads.sequences else {"Mapping"}
    return module(
        f"Topic `{topic.name}`{owned_by(interface)}, emitted with the profile `{topic.qos.word}`.",
        imports({"collections.abc": abstract}),
        imports({"peppy.codec": names | payloads.names, "peppy.runtime": ["NodeRunner", "QoSProfile"]})
        + "from peppy.runtime import topics as _topics\n",
        *payloads.texts,
        plan("_PLAN", topic.name, topic.message_format, payloads) + f"{emitted.text(before='_TOPIC = ')}\n",
        loan,
        _publisher(topic.name, arguments, encode),
        _emit(arguments, encode),
        _DECLARE_PUBLISHER,
    )


def consumed_topic(slot: Slot, module_name: str, topic: Topic) -> str:
    """The module of a topic that the node reads through `slot`."""
    fields = fields_of(topic.message_format)
    payloads = Payloads("Message")
    payloads.add_nested(fields)
    message = "None"
    if fields:
        message = "Message"
        payloads.add_class(message, f"One message of `{topic.name}`.", fields, ROOT)
    types = {"peppy.codec": payloads.names | {"Plan", "plan_of"}, "peppy.runtime": ["NodeRunner"]}
    read = Call("_topics.ConsumedTopic(", [*map(literal, (slot.link_id, topic.name)), "_PLAN", *reached_through(slot)])
    receive = Call("async def on_next_message_received(", _RECEIVE_ARGUMENTS, f") -> tuple[str, {message}]:")
    return module(
        f"Topic `{topic.name}` of {provider_of(slot)}, read through the slot `{slot.link_id}`.",
        imports({"typing": ["TypeAlias"]}),
        imports(types) + "from peppy.runtime import topics as _topics\n",
        *payloads.texts,
        plan("_PLAN", module_name, topic.message_format, payloads, message) + f"{read.text(before='_TOPIC = ')}\n",
        f"Subscription: TypeAlias = _topics.Subscription[{message}]\n"
        f"ReadLoan: TypeAlias = _topics.ReadLoan[{message}]\n",
        f"{receive.text()}\n{_RECEIVE_BODY}",
        _SUBSCRIBE,
    )


_RECEIVE_ARGUMENTS = ["node_runner: NodeRunner", "from_core_node: str | None = None"]
_RECEIVE_BODY = '''\
    """Wait for the next message: the producer's instance id and the message."""
    return await _TOPIC.on_next_message_received(node_runner, from_core_node)
'''
_SUBSCRIBE = '''\
def subscribe(node_runner: NodeRunner, spin_us: int = 0) -> Subscription:
    """Open a subscription with a cursor of its own; a waiting read spins for `spin_us` before it sleeps."""
    return _TOPIC.subscribe(node_runner, spin_us)
'''
_DECLARE_PUBLISHER = '''\
def declare_publisher(node_runner: NodeRunner) -> Publisher:
    """Make a publisher; awaiting it gives the same object once the daemon has registered it."""
    return _TOPIC.publisher(node_runner, Publisher)
'''


def _write_loan(fields: tuple[Field, ...], payloads: Payloads) -> str:
    lines = ["class WriteLoan(_topics.WriteLoan):"]
    lines.append('    """Room in the ring for one message: fill it, then publish it or leave the `with` block."""')
    if fields:
        lines.append("")
    for field in fields:
        annotation = optional(payloads.filled(field.type, field.name), field)
        lines.append(f"    {loan_attribute(field.identifier)}: {annotation}")
    return "\n".join(lines) + "\n"


def _publisher(name: str, arguments: list[str], encode: Call) -> str:
    publish = Call("def publish(", ["self", *arguments], ") -> None:").text("    ")
    put = Call("self._put(", [encode]).text("        ")
    return f'''\
class Publisher(_topics.Publisher):
    """Writes messages of `{name}`; every method may be called from any thread."""

{publish}
        """Write one message."""
{put}

    def loan(self, shapes: Mapping[str, Shape] = NO_SHAPES, body_reserve: int = 4096) -> WriteLoan:
        """Take room in the ring for one message. `shapes` gives element counts or shapes of bulk fields by name."""
        return self._loan(WriteLoan, shapes, body_reserve)
'''


def _emit(arguments: list[str], encode: Call) -> str:
    emit = Call("async def emit(", ["node_runner: NodeRunner", *arguments], ") -> None:").text()
    call = Call("await _TOPIC.emit(", ["node_runner", encode]).text("    ")
    return f'{emit}\n    """Write one message."""\n{call}\n'
