"""Any valid manifest gives a package that compiles, imports and round-trips: names and strings are inert."""

import importlib
import keyword
import random
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from peppy.codec import Gathered, Plan
from peppy.codec.parameters import parameter_attribute
from peppy.gen.package import generate, write
from peppy.model.names import Reference, identifier
from peppy.model.node import (
    Action,
    Consumed,
    Execution,
    Feedback,
    Language,
    NodeManifest,
    Service,
    Slot,
    SlotKind,
    Surface,
    Topic,
)
from peppy.model.parameters import ArrayOf, Group, Leaf, Parameter, ParameterType
from peppy.model.qos import QoSProfile
from peppy.model.types import (
    FIXED_SIZE,
    FLOATS,
    INTEGERS,
    RESERVED_FIELDS,
    Array,
    Field,
    FieldType,
    MessageFormat,
    Object,
    Scalar,
    Token,
)

WORDS = [
    *keyword.kwlist,
    *("int", "str", "list", "dict", "bool", "float", "bytes", "type", "object", "property", "classmethod", "print"),
    *("self-", "cls", "payload", "plan_of", "publish", "discard", "loan", "emit", "message", "Message", "codec"),
    *("mapping", "sequence", "array", "u8", "U8", "string", "time", "from_dict", "to_dict", "declared", "groups"),
    *("request", "response", "data", "timeout", "feedback_qos", "handler", "decider", "status", "complete", "goal"),
    *("2d", "3-D", "__init__", "_meta", "-x-", "A.B".replace(".", "-"), "import-os", "format", "field", "dataclass"),
]
TEXTS = ["", '"', "'", '"""', "\\", "\n", "{x}", "%s", "\u202e", "😀", "\x00", "'); import os  #", "${a}"]
DEFAULTABLE = (Token.BOOL, Token.STRING, *INTEGERS, *FLOATS)


class Draw:
    """Random parts of manifests that are valid."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def names(self, count: int, taken: frozenset[str] = RESERVED_FIELDS) -> list[str]:
        """Names whose identifiers differ."""
        found: dict[str, str] = {}
        while len(found) < count:
            word = self.chance.choice(WORDS) + self.chance.choice(("", "", "_a", "-9"))
            if identifier(word) not in taken:
                found.setdefault(identifier(word), word)
        return list(found.values())

    def fields(self, depth: int) -> tuple[Field, ...]:
        names = self.names(self.chance.randint(1, 5))
        return tuple(Field(name, self.type(depth), depth == 2 and self.chance.random() < 0.3) for name in names)

    def type(self, depth: int) -> FieldType:
        roll = self.chance.random()
        items = Object(self.fields(depth - 1)) if depth and roll < 0.4 else None
        if items is not None:
            return items if roll < 0.25 else Array(items)
        token = self.chance.choice(list(Token))
        if roll < 0.7:
            fixed = token in FIXED_SIZE and token is not Token.BYTES
            return Array(Scalar(token), self.chance.choice((None, 1, 3, 17)) if fixed else None)
        return Scalar(token)

    def topics(self) -> tuple[Topic, ...]:
        words = self.chance.sample(WORDS, self.chance.randint(1, 4))
        return tuple(Topic(word, self.chance.choice(list(QoSProfile)[:2]), self.format()) for word in words)

    def services(self) -> tuple[Service, ...]:
        words = self.chance.sample(WORDS, self.chance.randint(0, 2))
        return tuple(Service(word, self.format(), self.format()) for word in words)

    def actions(self) -> tuple[Action, ...]:
        words = self.chance.sample(WORDS, self.chance.randint(0, 2))
        return tuple(Action(word, self.format(), self.feedback(), self.format()) for word in words)

    def feedback(self) -> Feedback | None:
        if self.chance.random() < 0.3:
            return None
        return Feedback(self.chance.choice(list(QoSProfile)), MessageFormat(self.fields(2)))

    def format(self) -> MessageFormat | None:
        return None if self.chance.random() < 0.15 else MessageFormat(self.fields(2))

    def parameters(self, depth: int) -> Group:
        names = self.names(self.chance.randint(0, 4), frozenset())
        return Group(tuple(Parameter(name, self.parameter(depth)) for name in names))

    def parameter(self, depth: int) -> ParameterType:
        roll = self.chance.random()
        if roll < 0.3 and depth:
            group = self.parameters(depth - 1)
            return group if roll < 0.2 else ArrayOf(group)
        if roll < 0.5:
            return ArrayOf(Leaf(self.chance.choice(list(Token))), self.chance.choice((None, 2)))
        token = self.chance.choice(DEFAULTABLE)
        return Leaf(token, self.default(token) if self.chance.random() < 0.7 else None)

    def default(self, token: Token) -> Any:
        if token is Token.STRING:
            return self.chance.choice(TEXTS)
        if token is Token.BOOL:
            return self.chance.random() < 0.5
        return self.chance.choice(INTEGERS[token]) if token in INTEGERS else self.chance.choice((0.5, -0.0, 1e-30))

    def values(self, plan: Plan[Any]) -> list[Any]:
        """A value for every field of the plan's payload."""
        fields = () if plan.message_format is None else plan.message_format.fields
        return [self.value(field.type, dict(plan.classes), field.name) for field in fields]

    def value(self, kind: FieldType, classes: dict[str, type], path: str) -> Any:
        if isinstance(kind, Object):
            inner = [self.value(field.type, classes, f"{path}.{field.name}") for field in kind.fields]
            return classes[path](*inner)
        if isinstance(kind, Array):
            count = self.chance.randint(0, 3) if kind.length is None else kind.length
            return [self.value(kind.items, classes, path) for _ in range(count)]
        special = {Token.BOOL: True, Token.STRING: self.chance.choice(TEXTS), Token.BYTES: b"\0octets"}
        return special.get(kind.token, 1)


def manifests(seed: int) -> tuple[NodeManifest, NodeManifest]:
    """A producer, and a consumer of everything that it offers."""
    draw = Draw(seed)
    execution = Execution(Language.PYTHON, draw.parameters(2), run_cmd=("x",))
    producer = NodeManifest(
        Reference("producer", "v1"),
        execution,
        emitted_topics=draw.topics(),
        exposed_services=draw.services(),
        exposed_actions=draw.actions(),
    )
    slot = Slot(SlotKind.NODE, draw.chance.choice(WORDS), producer.reference)
    topics, services, actions = (
        tuple(Consumed(slot.link_id, member.name) for member in producer.offered(surface)) for surface in Surface
    )
    consumer = NodeManifest(
        Reference("consumer", "v1"),
        execution,
        slots=(slot,),
        consumed_topics=topics,
        consumed_services=services,
        consumed_actions=actions,
    )
    return producer, consumer


def imported(manifest: NodeManifest, producer: NodeManifest, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    tree = generate(manifest, {producer.reference: producer}, sha256="0" * 64, peppy_wheel=Path("/p.whl"))
    write(tree, directory)
    for name in [name for name in sys.modules if name.partition(".")[0] == "peppygen"]:
        del sys.modules[name]
    monkeypatch.syspath_prepend(str(directory / "libs" / "peppygen"))
    importlib.invalidate_caches()
    return importlib.import_module("peppygen")


def modules_of(package: Any) -> list[Any]:
    """The modules of a category."""
    return [getattr(package, name) for name in getattr(package, "__all__", ())]


def joined(encoded: bytes | Gathered) -> bytes:
    if isinstance(encoded, bytes):
        return encoded
    payload = bytearray(encoded.length)
    for part, offset in [(encoded.head, 0), *encoded.parts]:
        octets = memoryview(part).cast("B")
        payload[offset : offset + len(octets)] = octets
    return bytes(payload)


@pytest.mark.parametrize("block", range(10))
def test_packages_of_random_manifests_import_and_round_trip(
    block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for seed in range(20 * block, 20 * block + 20):
        producer, consumer = manifests(seed)
        with monkeypatch.context() as patched:
            offering = imported(producer, producer, tmp_path / ".peppy", patched)
        with monkeypatch.context() as patched:
            using = imported(consumer, producer, tmp_path / ".peppy", patched)
        _check_parameters(offering, producer)
        draw = Draw(seed)
        _check_topics(offering.emitted_topics, using.consumed_topics, draw)
        _check_services(offering.exposed_services, using.consumed_services, draw)
        _check_actions(offering.exposed_actions, using.consumed_actions, draw)
        shutil.rmtree(tmp_path / ".peppy")
    for name in [name for name in sys.modules if name.partition(".")[0] == "peppygen"]:
        del sys.modules[name]


def _check_topics(emitted: Any, consumed: Any, draw: Draw) -> None:
    emitting = {module._TOPIC.name: module for module in modules_of(emitted)}
    receiving = {module._TOPIC.name: module for module in modules_of(consumed)}
    assert set(emitting) == set(receiving)
    for name, module in receiving.items():
        plan = emitting[name]._PLAN
        _check_received(module, "Message", module._PLAN, joined(plan.encode(*draw.values(plan))))


def _check_services(exposed: Any, consumed: Any, draw: Draw) -> None:
    serving = {module.SERVICE_NAME: module for module in modules_of(exposed)}
    calling = {module.SERVICE_NAME: module for module in modules_of(consumed)}
    assert set(serving) == set(calling)
    for name, server in serving.items():
        caller = calling[name]
        _check_received(server, "RequestData", server._REQUEST, message_of(caller._REQUEST, caller, "Request", draw))
        _check_received(
            caller, "ResponseData", caller._RESPONSE, message_of(server._RESPONSE, server, "Response", draw)
        )


def _check_actions(exposed: Any, consumed: Any, draw: Draw) -> None:
    serving = {module.ACTION_NAME: module for module in modules_of(exposed)}
    calling = {module.TARGET_ACTION_NAME: module for module in modules_of(consumed)}
    assert set(serving) == set(calling)
    for name, server in serving.items():
        client = calling[name]
        _check_received(server, "GoalRequestData", server._GOAL, message_of(client._GOAL, client, "GoalRequest", draw))
        for method in ("complete", "complete_cancelled"):
            payload = sent_by(server.GoalContext, method, draw.values(server._RESULT))
            _check_received(client, "ResultResponseData", client._RESULT, payload)
        assert hasattr(server.GoalContext, "publish_feedback") == hasattr(server, "_FEEDBACK")
        assert hasattr(client.ActionHandle, "on_next_feedback_message") == hasattr(client, "_FEEDBACK")
        if hasattr(server, "_FEEDBACK"):
            payload = sent_by(server.GoalContext, "publish_feedback", draw.values(server._FEEDBACK))
            _check_received(client, "FeedbackMessage", client._FEEDBACK, payload)


def message_of(plan: Plan[Any], module: Any, kind: str, draw: Draw) -> bytes:
    """The payload of a message of the module's class `kind`, which a module without that payload has not."""
    if plan.message_format is None:
        return joined(plan.encode_message(None))
    return joined(plan.encode_message(getattr(module, kind)(*draw.values(plan))))


def sent_by(kind: Any, method: str, values: list[Any]) -> bytes:
    """The payload that a method of a generated class hands to the library."""
    payloads: list[bytes | Gathered] = []

    async def take(payload: bytes | Gathered) -> None:
        payloads.append(payload)

    with pytest.raises(StopIteration):
        getattr(kind, method)(SimpleNamespace(**{f"_{method}": take}), *values).send(None)
    (payload,) = payloads
    return joined(payload)


def _check_received(module: Any, kind: str, plan: Plan[Any], payload: bytes) -> None:
    """The payload decodes into the module's class `kind`, whose fields give the same payload again."""
    message = plan.decode(payload)
    if plan.message_format is None:
        assert (message, payload) == (None, b"")
        assert not hasattr(module, kind)
        return
    assert type(message) is getattr(module, kind)
    assert joined(plan.encode_message(message)) == payload


def _check_parameters(package: Any, manifest: NodeManifest) -> None:
    assert manifest.execution is not None
    values = {member.name: _supplied(member.type) for member in manifest.execution.parameters.members}
    supplied = {name: value for name, value in values.items() if value is not None}
    parameters = package.parameters.Parameters.from_dict(supplied)
    assert package.parameters.Parameters.from_dict(parameters.to_dict()) == parameters
    for member in manifest.execution.parameters.members:
        if isinstance(member.type, Leaf) and member.type.default is not None:
            assert getattr(parameters, parameter_attribute(member)) == member.type.default


def _supplied(kind: ParameterType) -> Any:
    """A value for everything that has no default."""
    if isinstance(kind, Group):
        values = {member.name: _supplied(member.type) for member in kind.members}
        return {name: value for name, value in values.items() if value is not None}
    if isinstance(kind, ArrayOf):
        return [_supplied(kind.items)] * (1 if kind.length is None else kind.length)
    if kind.default is not None:
        return None
    return {Token.BOOL: True, Token.STRING: "text", Token.BYTES: b"octets"}.get(kind.token, 1)
