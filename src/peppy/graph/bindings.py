"""How a consumer instance finds its producers (docs/reference/bindings.md).

`bind` checks what was asked for before anything starts; `passes` is the filter that holds while it runs.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from peppy.errors import InvalidInput, Problem
from peppy.model.bindings import parse_bindings
from peppy.model.lifecycle import State
from peppy.model.names import Reference
from peppy.model.node import Slot, SlotKind

PINNED = "pinned"
BOUND = "from_any_bound"
UNBOUND = "from_any_unbound"


@dataclass(frozen=True, slots=True)
class Producer:
    """An instance as the slots of others see it; `conforms_to` are the interfaces that its node claims."""

    instance_id: str
    reference: Reference
    conforms_to: Collection[Reference] = ()


@dataclass(frozen=True, slots=True)
class Candidate(Producer):
    """An instance that a binding may name; `state` None is a connected standalone program."""

    state: State | None = None

    @property
    def bindable(self) -> bool:
        """Whether a new instance may be bound to it now."""
        return self.state in (None, State.RUNNING)


@dataclass(frozen=True, slots=True)
class SlotBinding:
    """Where a slot reads from: `kind` is `pinned`, `from_any_bound` or `from_any_unbound`."""

    kind: str
    producer_instance_id: str | None = None
    producer_instance_ids: tuple[str, ...] = ()


class BindingLike(Protocol):
    """A `SlotBinding`, or the same on the wire."""

    @property
    def kind(self) -> str: ...
    @property
    def producer_instance_id(self) -> str | None: ...
    @property
    def producer_instance_ids(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class Bound:
    """Every slot of a new instance, by `link_id`."""

    slot_bindings: Mapping[str, SlotBinding]
    warnings: tuple[str, ...] = ()


def accepts(slot: Slot, producer: Producer) -> bool:
    """Whether the producer's node is of the slot's kind."""
    if slot.kind is SlotKind.NODE:
        return producer.reference == slot.provider
    return slot.provider in producer.conforms_to


def bind(
    consumer_id: str,
    slots: Sequence[Slot],
    bindings: Iterable[tuple[str, str]],
    candidates: Mapping[str, Candidate],
) -> Bound:
    """What each slot of the new instance `consumer_id` reads from.

    `candidates` by instance id; those that are not bindable are there to be named in errors. Raises InvalidInput with
    every violation of rules 1 to 8 (docs/reference/bindings.md, Validator).
    """
    pairs = parse_bindings(f"{key}@{value}" for key, value in bindings)
    plan = _Plan(consumer_id, slots, candidates)
    for key, value in pairs:
        plan.attach(key, value)
    plan.check_pinned({key for key, _ in pairs})
    if plan.problems:
        raise InvalidInput(plan.problems)
    bound = {slot.link_id: plan.binding(slot) for slot in slots}
    warnings = (
        f"slot `{slot.link_id}` is left without a producer"
        for slot in slots
        if bound[slot.link_id].kind == BOUND
        and claimed(slot, slots, bound).issuperset(bound[slot.link_id].producer_instance_ids)
    )
    return Bound(bound, tuple(warnings))


def passes(
    link_id: str,
    consumer_id: str,
    slots: Sequence[Slot],
    slot_bindings: Mapping[str, BindingLike],
    producer: Producer,
) -> bool:
    """Whether slot `link_id` of the consumer reads from this producer (docs/reference/bindings.md, Run-time filter).

    A slot that is missing from `slot_bindings` belongs to a standalone program: everyone accepted but itself passes.
    False for a slot that is not declared.
    """
    slot = next((slot for slot in slots if slot.link_id == link_id), None)
    if slot is None or not accepts(slot, producer):
        return False
    binding = slot_bindings.get(link_id)
    if binding is None:
        return producer.instance_id != consumer_id
    if binding.kind == PINNED:
        return producer.instance_id == binding.producer_instance_id
    if producer.instance_id in claimed(slot, slots, slot_bindings):
        return False
    if binding.kind == BOUND:
        return producer.instance_id in binding.producer_instance_ids
    return producer.instance_id != consumer_id


def direct(link_id: str, slots: Sequence[Slot], slot_bindings: Mapping[str, BindingLike]) -> str | None:
    """The only instance that slot `link_id` can reach, whether it runs or not; None when it has a choice, or nobody.

    A call to it needs no discovery (docs/reference/bindings.md, Run-time filter).
    """
    binding = slot_bindings.get(link_id)
    slot = next((slot for slot in slots if slot.link_id == link_id), None)
    if slot is None or binding is None or binding.kind == UNBOUND:
        return None
    if binding.kind == PINNED:
        return binding.producer_instance_id
    left = set(binding.producer_instance_ids) - claimed(slot, slots, slot_bindings)
    return left.pop() if len(left) == 1 else None


def claimed(slot: Slot, slots: Iterable[Slot], slot_bindings: Mapping[str, BindingLike]) -> frozenset[str]:
    """Instance ids that pinned siblings of the slot are bound to, running or not."""
    siblings = (other for other in slots if (other.kind, other.provider) == (slot.kind, slot.provider))
    pinned = (slot_bindings.get(other.link_id) for other in siblings if not other.from_any)
    return frozenset(
        binding.producer_instance_id for binding in pinned if binding and binding.producer_instance_id is not None
    )


@dataclass(slots=True)
class _Plan:
    """What has been attached so far, and what is wrong with it."""

    consumer_id: str
    slots: Sequence[Slot]
    candidates: Mapping[str, Candidate]
    attached: dict[str, dict[str, None]] = field(default_factory=dict[str, dict[str, None]])  # ids by link_id, ordered
    problems: list[Problem] = field(default_factory=list[Problem])

    def attach(self, key: str, value: str) -> None:
        slot = next((slot for slot in self.slots if slot.link_id == key and not slot.from_any), None)
        candidate = self._candidate(key, value)
        if candidate is None:
            return
        if slot is None:
            slot = self._accepting(key, candidate)
        elif not accepts(slot, candidate):
            self.problems.append(_mismatch(slot, candidate))
            return
        if slot is None:
            self.problems.append(self._dead_key(key, candidate))
            return
        self.attached.setdefault(slot.link_id, {})[value] = None

    def check_pinned(self, keys: Collection[str]) -> None:
        for slot in self.slots:
            if not slot.from_any and slot.link_id not in keys:
                self.problems.append(self._missing(slot))

    def binding(self, slot: Slot) -> SlotBinding:
        ids = tuple(self.attached.get(slot.link_id, ()))
        if not slot.from_any:
            return SlotBinding(PINNED, ids[0])
        return SlotBinding(BOUND, None, ids) if ids else SlotBinding(UNBOUND)

    def _candidate(self, key: str, value: str) -> Candidate | None:
        if value == self.consumer_id:
            self.problems.append(
                Problem("BindingTargetMismatch", f"`{key}@{value}`: instance `{value}` cannot bind to itself")
            )
            return None
        candidate = self.candidates.get(value)
        if candidate is None or not candidate.bindable:
            self.problems.append(self._unknown(key, value, candidate))
            return None
        return candidate

    def _accepting(self, key: str, candidate: Candidate) -> Slot | None:
        """The from_any slot that a free key attaches to: the one it names, else the first by link_id."""
        found = [slot for slot in self.slots if slot.from_any and accepts(slot, candidate)]
        return min(found, key=lambda slot: (slot.link_id != key, slot.link_id.encode()), default=None)

    def _unknown(self, key: str, value: str, candidate: Candidate | None) -> Problem:
        running = sorted(other.instance_id for other in self.candidates.values() if other.bindable)
        listed = ", ".join(f"`{instance_id}`" for instance_id in running) or "none"
        what = "is not known" if candidate is None or candidate.state is None else f"is `{candidate.state}`"
        return Problem("UnknownInstanceId", f"`{key}@{value}`: instance `{value}` {what}; running instances: {listed}")

    def _missing(self, slot: Slot) -> Problem:
        return Problem(
            "BindingMissingForPinnedDep",
            f"instance `{self.consumer_id}` has no binding for slot `{slot.link_id}` ({_kind(slot)})",
            hint=f"add `--bind {slot.link_id}@{self._suggested(slot)}`",
        )

    def _suggested(self, slot: Slot) -> str:
        """The instance that fits, when there is just one; else where an instance id belongs."""
        fitting = [other.instance_id for other in self.candidates.values() if other.bindable and accepts(slot, other)]
        return fitting[0] if len(fitting) == 1 else "<instance_id>"

    def _dead_key(self, key: str, candidate: Candidate) -> Problem:
        declared = ", ".join(f"`{link_id}`" for link_id in sorted(slot.link_id for slot in self.slots)) or "none"
        return Problem(
            "BindingDeadKey",
            f"`{key}@{candidate.instance_id}`: `{key}` is no pinned slot, and no from_any slot accepts "
            f"`{candidate.instance_id}` of `{candidate.reference}`; declared slots: {declared}",
        )


def _mismatch(slot: Slot, candidate: Candidate) -> Problem:
    if slot.kind is SlotKind.NODE:
        return Problem(
            "BindingTargetMismatch",
            f"slot `{slot.link_id}` expects `{slot.provider}`, "
            f"but `{candidate.instance_id}` is an instance of `{candidate.reference}`",
        )
    claims = ", ".join(f"`{interface}`" for interface in sorted(candidate.conforms_to)) or "no interface"
    return Problem(
        "BindingInterfaceNotConformed",
        f"slot `{slot.link_id}` expects interface `{slot.provider}`, "
        f"but `{candidate.instance_id}` is an instance of `{candidate.reference}`, which claims {claims}",
    )


def _kind(slot: Slot) -> str:
    return f"interface `{slot.provider}`" if slot.kind is SlotKind.INTERFACE else f"node `{slot.provider}`"
