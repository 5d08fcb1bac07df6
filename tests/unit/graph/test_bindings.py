"""The cases of docs/reference/bindings.md, Cases, that need no call: what is accepted, and who reads from whom."""

from collections.abc import Iterable
from dataclasses import dataclass

import pytest

from peppy.errors import InvalidInput, Problem
from peppy.graph.bindings import Bound, Candidate, Producer, SlotBinding, bind, direct, passes
from peppy.model.bindings import parse_bindings
from peppy.model.lifecycle import State
from peppy.model.names import Reference
from peppy.model.node import Slot, SlotKind

CAM, MIC, IMAGE = Reference("cam", "v1"), Reference("mic", "v1"), Reference("image_source", "v1")


def camera(instance_id: str, state: State = State.RUNNING) -> Candidate:
    return Candidate(instance_id, CAM, (IMAGE,), state)


def microphone(instance_id: str) -> Candidate:
    return Candidate(instance_id, MIC, (), State.RUNNING)


def candidates(*more: Candidate) -> dict[str, Candidate]:
    known = [camera("c1"), camera("c2"), camera("c3"), microphone("m1"), *more]
    return {candidate.instance_id: candidate for candidate in known}


def node_slot(link_id: str, provider: Reference = CAM, *, from_any: bool = False) -> Slot:
    return Slot(SlotKind.NODE, link_id, provider, from_any)


def interface_slot(link_id: str, *, from_any: bool = False) -> Slot:
    return Slot(SlotKind.INTERFACE, link_id, IMAGE, from_any)


VIEW = (node_slot("left"), node_slot("right"), node_slot("rest", from_any=True))
EYE = (interface_slot("main"), interface_slot("other", from_any=True))
LEFT_AND_RIGHT = ("left@c1", "right@c2")


def bound(slots: tuple[Slot, ...], *texts: str, more: Iterable[Candidate] = (), consumer: str = "v") -> Bound:
    return bind(consumer, slots, parse_bindings(texts), candidates(*more))


def problems(slots: tuple[Slot, ...], *texts: str, more: Iterable[Candidate] = ()) -> list[Problem]:
    with pytest.raises(InvalidInput) as raised:
        bound(slots, *texts, more=more)
    return list(raised.value.details)


@dataclass(frozen=True)
class Consumer:
    """A running consumer: who gets through to which of its slots?"""

    slots: tuple[Slot, ...]
    bound: Bound
    instance_id: str = "v"

    def slots_of(self, producer: Producer) -> set[str]:
        return {
            slot.link_id
            for slot in self.slots
            if passes(slot.link_id, self.instance_id, self.slots, self.bound.slot_bindings, producer)
        }

    def reads(self) -> dict[str, set[str]]:
        """The producers that each slot reads, of c1 to c4, m1 and another instance of the consumer's node."""
        everyone = [camera(f"c{number}") for number in range(1, 5)] + [microphone("m1")]
        found: dict[str, set[str]] = {slot.link_id: set() for slot in self.slots}
        for producer in everyone:
            for link_id in self.slots_of(producer):
                found[link_id].add(producer.instance_id)
        return found


def view(*texts: str, more: Iterable[Candidate] = ()) -> Consumer:
    return Consumer(VIEW, bound(VIEW, *texts, more=more))


# --- accepted: who reads from whom ----------------------------------------------------------------------------------

READS = {
    "1 unbound from_any gets who is not claimed": (LEFT_AND_RIGHT, {"c3", "c4"}),
    "7 a from_any slot bound by its own key": ((*LEFT_AND_RIGHT, "rest@c3"), {"c3"}),
    "8 a free key": ((*LEFT_AND_RIGHT, "foo@c3"), {"c3"}),
    "9 two free keys add up": ((*LEFT_AND_RIGHT, "foo@c3", "bar@c4"), {"c3", "c4"}),
    "10 bound to a claimed one only": ((*LEFT_AND_RIGHT, "foo@c1"), set[str]()),
    "11 a claimed one falls away": ((*LEFT_AND_RIGHT, "foo@c1", "bar@c3"), {"c3"}),
    "two free keys with one value": ((*LEFT_AND_RIGHT, "foo@c3", "bar@c3"), {"c3"}),
}


@pytest.mark.parametrize(("texts", "rest"), READS.values(), ids=READS)
def test_the_from_any_slot_reads(texts: tuple[str, ...], rest: set[str]) -> None:
    assert view(*texts, more=[camera("c4")]).reads() == {"left": {"c1"}, "right": {"c2"}, "rest": rest}


def test_case_2_an_unclaimed_producer_reaches_only_the_from_any_slot() -> None:
    assert view(*LEFT_AND_RIGHT).slots_of(camera("c3")) == {"rest"}


def test_case_3_a_claimed_producer_reaches_only_its_pinned_slot() -> None:
    assert view(*LEFT_AND_RIGHT).slots_of(camera("c1")) == {"left"}


def test_case_6_one_producer_on_two_pinned_slots_reaches_both() -> None:
    reads = view("left@c1", "right@c1").reads()
    assert reads == {"left": {"c1"}, "right": {"c1"}, "rest": {"c2", "c3", "c4"}}


def test_case_10_a_from_any_slot_bound_to_claimed_producers_only_is_a_warning() -> None:
    found = bound(VIEW, *LEFT_AND_RIGHT, "foo@c1")
    assert found.warnings == ("slot `rest` is left without a producer",)
    assert bound(VIEW, *LEFT_AND_RIGHT, "foo@c1", "bar@c3").warnings == ()
    assert bound(VIEW, *LEFT_AND_RIGHT).warnings == ()


def test_case_24_interface_slots_read_every_node_that_claims_the_interface() -> None:
    eye = Consumer(EYE, bound(EYE, "main@c1"))
    assert eye.reads() == {"main": {"c1"}, "other": {"c2", "c3", "c4"}}


def test_case_26_slots_of_different_lists_are_no_siblings() -> None:
    slots = (node_slot("n"), interface_slot("i", from_any=True))
    assert Consumer(slots, bound(slots, "n@c1")).slots_of(camera("c1")) == {"n", "i"}


def test_case_35_a_claimed_producer_that_returns_reaches_its_slot_and_no_other() -> None:
    consumer = view(*LEFT_AND_RIGHT)
    assert consumer.slots_of(Producer("c1", CAM, (IMAGE,))) == {"left"}


def test_case_36_a_successor_under_another_id_reaches_the_wildcard_only() -> None:
    assert view(*LEFT_AND_RIGHT).slots_of(camera("c9")) == {"rest"}


def test_case_37_an_id_that_returns_as_another_node_reaches_nobody() -> None:
    assert view(*LEFT_AND_RIGHT).slots_of(microphone("c1")) == set()


def test_case_39_a_wildcard_reads_other_instances_of_its_own_node_but_not_itself() -> None:
    slots = (interface_slot("peers", from_any=True),)
    a = Consumer(slots, bound(slots, consumer="a"), "a")
    assert a.slots_of(camera("b")) == {"peers"}
    assert a.slots_of(camera("a")) == set()


def test_case_42_slots_that_the_runtime_config_does_not_name_are_wildcards() -> None:
    consumer = Consumer(VIEW, Bound({}))
    assert consumer.slots_of(camera("c1")) == {"left", "right", "rest"}
    assert consumer.slots_of(camera("v")) == set()


def test_a_slot_that_is_not_declared_reads_nothing() -> None:
    assert not passes("middle", "v", VIEW, {}, camera("c1"))


@pytest.mark.parametrize(
    ("texts", "left", "rest"),
    [
        (LEFT_AND_RIGHT, "c1", None),
        ((*LEFT_AND_RIGHT, "rest@c3"), "c1", "c3"),
        ((*LEFT_AND_RIGHT, "foo@c3", "bar@c4"), "c1", None),
        ((*LEFT_AND_RIGHT, "foo@c1", "bar@c3"), "c1", "c3"),
        ((*LEFT_AND_RIGHT, "foo@c1"), "c1", None),
        ((*LEFT_AND_RIGHT, "foo@c3", "bar@c3"), "c1", "c3"),
    ],
)
def test_a_slot_that_reaches_one_producer_only_calls_it_directly(
    texts: tuple[str, ...], left: str, rest: str | None
) -> None:
    slot_bindings = bound(VIEW, *texts, more=[camera("c4")]).slot_bindings
    assert [direct(link_id, VIEW, slot_bindings) for link_id in ("left", "rest", "middle")] == [left, rest, None]


def test_slots_of_a_standalone_program_discover_their_producers() -> None:
    assert direct("left", VIEW, {}) is None


def test_two_slots_for_two_tags_of_one_name_do_not_touch_each_other() -> None:
    newer = Reference("cam", "v2")
    slots = (node_slot("old", from_any=True), node_slot("new", newer, from_any=True))
    consumer = Consumer(slots, bound(slots))
    assert consumer.slots_of(Producer("c1", CAM)) == {"old"}
    assert consumer.slots_of(Producer("c2", newer)) == {"new"}


# --- what the slots are bound to ------------------------------------------------------------------------------------


def test_every_slot_says_what_it_is_bound_to_in_binding_order() -> None:
    found = bound(VIEW, "x@c3", "left@c1", "right@c2", "a@c2").slot_bindings
    assert found == {
        "left": SlotBinding("pinned", "c1"),
        "right": SlotBinding("pinned", "c2"),
        "rest": SlotBinding("from_any_bound", None, ("c3", "c2")),
    }
    assert bound(VIEW, *LEFT_AND_RIGHT).slot_bindings["rest"] == SlotBinding("from_any_unbound")


def test_case_44_a_connected_standalone_program_may_be_bound() -> None:
    standalone = Candidate("s1", CAM)
    assert bound(VIEW, "left@s1", "right@c2", more=[standalone]).slot_bindings["left"] == SlotBinding("pinned", "s1")


def test_a_free_key_prefers_the_slot_that_it_names_then_the_first_by_link_id() -> None:
    slots = (interface_slot("z", from_any=True), node_slot("B", from_any=True), node_slot("a", MIC, from_any=True))
    assert bound(slots, "z@c1").slot_bindings["z"].producer_instance_ids == ("c1",)
    assert bound(slots, "other@c1").slot_bindings["B"].producer_instance_ids == ("c1",)
    assert bound(slots, "z@m1").slot_bindings["a"].producer_instance_ids == ("m1",)


def test_an_instance_without_slots_needs_no_bindings() -> None:
    assert bound(()).slot_bindings == {}


# --- refused --------------------------------------------------------------------------------------------------------

PINNED_ONLY = (node_slot("left"),)
REFUSED = {
    "4 a pinned slot without binding": (VIEW, ("left@c1",), [("BindingMissingForPinnedDep", "`v`|`right`|node")]),
    "5 two of them are reported together": (
        VIEW,
        (),
        [("BindingMissingForPinnedDep", "`left`"), ("BindingMissingForPinnedDep", "`right`")],
    ),
    "12 a free key that no slot accepts": (
        VIEW,
        (*LEFT_AND_RIGHT, "foo@m1"),
        [("BindingDeadKey", "`foo`|`m1`|`mic:v1`|`left`, `rest`, `right`")],
    ),
    "13 a free key without any from_any slot": (PINNED_ONLY, ("left@c1", "foo@c2"), [("BindingDeadKey", "`foo`")]),
    "14 an instance of another node, without a missing line for its slot": (
        VIEW,
        ("left@m1", "right@c2"),
        [("BindingTargetMismatch", "`left`|expects `cam:v1`|`mic:v1`")],
    ),
    "18 an unknown instance": (VIEW, ("left@ghost", "right@c2"), [("UnknownInstanceId", "`ghost`|`c1`, `c2`, `c3`")]),
    "25 a node that does not claim the interface": (
        EYE,
        ("main@m1",),
        [("BindingInterfaceNotConformed", "`main`|`image_source:v1`|`mic:v1`|claims no interface")],
    ),
    "40 the consumer itself": (
        VIEW,
        ("left@v", "right@c2"),
        [("BindingTargetMismatch", "`left|cannot bind to itself")],
    ),
    "the consumer itself under a free key": (
        VIEW,
        (*LEFT_AND_RIGHT, "foo@v"),
        [("BindingTargetMismatch", "cannot bind to itself")],
    ),
    "everything at once": (
        VIEW,
        ("left@m1", "foo@m1", "bar@ghost"),
        [
            ("BindingTargetMismatch", "`left`"),
            ("BindingDeadKey", "`foo`"),
            ("UnknownInstanceId", "`ghost`"),
            ("BindingMissingForPinnedDep", "`right`"),
        ],
    ),
}


@pytest.mark.parametrize(("slots", "texts", "expected"), REFUSED.values(), ids=REFUSED)
def test_a_violation_is_named_with_what_it_is_about(
    slots: tuple[Slot, ...], texts: tuple[str, ...], expected: list[tuple[str, str]]
) -> None:
    found = problems(slots, *texts)
    assert [problem.kind for problem in found] == [kind for kind, _ in expected]
    for problem, (_, parts) in zip(found, expected, strict=True):
        assert all(part in problem.message for part in parts.split("|"))


@pytest.mark.parametrize("state", [State.STARTING, State.STOPPING, State.FINISHED, State.FAILED])
def test_case_19_an_instance_that_is_not_running_is_refused_with_its_state(state: State) -> None:
    found = problems(VIEW, "left@c0", "right@c2", more=[camera("c0", state)])
    assert [problem.kind for problem in found] == ["UnknownInstanceId"]
    assert f"`c0` is `{state}`" in found[0].message
    assert "running instances: `c1`, `c2`, `c3`, `m1`" in found[0].message


def test_case_20_an_instance_that_is_no_candidate_is_unknown_whatever_runs_besides() -> None:
    declared = {candidate.instance_id: candidate for candidate in (camera("c2"), microphone("m1"))}
    with pytest.raises(InvalidInput) as raised:
        bind("v", VIEW, parse_bindings(LEFT_AND_RIGHT), declared)
    (found,) = raised.value.details
    assert found.kind == "UnknownInstanceId"
    assert "`c1`" in found.message
    assert "`c2`, `m1`" in found.message


def test_case_41_consumers_of_one_stack_are_each_refused_for_their_own_errors() -> None:
    consumers = {"v4": ("left@c1",), "v12": (*LEFT_AND_RIGHT, "foo@m1"), "v14": ("left@m1", "right@c2")}
    found: list[Problem] = []
    for consumer, texts in consumers.items():
        with pytest.raises(InvalidInput) as raised:
            bound(VIEW, *texts, consumer=consumer)
        found += raised.value.details
    together = InvalidInput(found)
    assert [problem.kind for problem in together.details] == [
        "BindingMissingForPinnedDep",
        "BindingDeadKey",
        "BindingTargetMismatch",
    ]
    assert all(problem.message in together.message for problem in found)


def test_claims_are_listed_when_none_is_the_one_that_is_needed() -> None:
    other = Candidate("s1", MIC, (Reference("sound", "v2"), Reference("hum", "v1")), State.RUNNING)
    found = problems(EYE, "main@s1", more=[other])
    assert "claims `hum:v1`, `sound:v2`" in found[0].message


def test_the_hint_for_a_missing_binding_names_the_only_instance_that_fits() -> None:
    slots = (node_slot("eye"), node_slot("ear", MIC))
    assert [problem.hint for problem in problems(slots)] == ["add `--bind eye@<instance_id>`", "add `--bind ear@m1`"]


# --- the daemon trusts no client ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pairs", "kind"),
    [
        ((("left", "c1"), ("left", "c2"), ("right", "c2")), "BindingDuplicateKey"),
        ((("_", "c1"),), "BindingSentinelKey"),
        ((("", "c1"),), "BindingKeySyntax"),
        ((("left", ""),), "BindingKeySyntax"),
        ((("a/b", "c1"),), "BindingKeySyntax"),
        ((("left", "c1,c2"),), "BindingKeySyntax"),
        ((("left", "c1@c2"),), "BindingKeySyntax"),
    ],
)
def test_pairs_that_no_command_line_would_send_are_refused(pairs: tuple[tuple[str, str], ...], kind: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        bind("v", VIEW, pairs, candidates())
    assert kind in [problem.kind for problem in raised.value.details]


CASES_15_TO_17 = {
    "left@c1,left@c2": "BindingDuplicateKey",
    "_@c1": "BindingSentinelKey",
    "left": "BindingKeySyntax",
    "@c1": "BindingKeySyntax",
    "left@": "BindingKeySyntax",
    "a/b@c1": "BindingKeySyntax",
}


@pytest.mark.parametrize(("text", "kind"), CASES_15_TO_17.items())
def test_a_text_that_is_no_binding_is_refused_before_anything_is_sent(text: str, kind: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        parse_bindings([text])
    assert [problem.kind for problem in raised.value.details] == [kind]
