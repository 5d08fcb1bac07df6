"""Who may join a stack, and who depends on whom (docs/reference/manifest.md, Against the stack and caches)."""

from dataclasses import replace

import pytest

from peppy.errors import Problem
from peppy.graph.assemble import Edge, check_add, dependents, edges, interfaces_unchanged
from peppy.model.interface import CachedInterface, Interface
from peppy.model.names import Reference
from peppy.model.node import (
    Action,
    Conformance,
    Consumed,
    Execution,
    Language,
    NodeManifest,
    Service,
    Slot,
    SlotKind,
    Topic,
)
from peppy.model.qos import QoSProfile
from peppy.model.types import Field, MessageFormat, Scalar, Token

X, Y = Field("x", Scalar(Token.F64)), Field("y", Scalar(Token.F64))
POINT = MessageFormat((X, Y))
IMAGE = Reference("image_source", "v1")
SOURCE = Interface(IMAGE, topics=(Topic("image", QoSProfile.Standard, POINT),), services=(Service("s", None, None),))
DIGEST = "d" * 64
CACHE = {IMAGE: CachedInterface(SOURCE, DIGEST)}


def ref(text: str) -> Reference:
    found = Reference.parse(text)
    assert found is not None
    return found


def node(
    name: str,
    *,
    depends: dict[str, str] | None = None,
    via: dict[str, str] | None = None,
    claims: tuple[str, ...] = (),
    calls: tuple[str, ...] = (),
    goals: tuple[str, ...] = (),
    reads: tuple[tuple[str, str], ...] = (),
) -> NodeManifest:
    """A node with a topic `t`, a service `s` and an action `a`; `calls` and `goals` name slots."""
    nodes = [Slot(SlotKind.NODE, link_id, ref(text)) for link_id, text in (depends or {}).items()]
    interfaces = [Slot(SlotKind.INTERFACE, link_id, ref(text)) for link_id, text in (via or {}).items()]
    return NodeManifest(
        ref(name),
        Execution(Language.PYTHON, run_cmd=("run",)),
        slots=(*nodes, *interfaces),
        emitted_topics=(Topic("t", QoSProfile.Standard, POINT),),
        exposed_services=(Service("s", POINT, None),),
        exposed_actions=(Action("a", POINT, None, None),),
        consumed_topics=tuple(Consumed(*pair) for pair in reads),
        consumed_services=tuple(Consumed(link_id, "s") for link_id in calls),
        consumed_actions=tuple(Consumed(link_id, "a") for link_id in goals),
        conforms_to=tuple(Conformance(ref(text)) for text in claims),
    )


def stack(*nodes: NodeManifest) -> dict[Reference, NodeManifest]:
    return {each.reference: each for each in nodes}


def found(candidate: NodeManifest, *nodes: NodeManifest) -> list[Problem]:
    return check_add(candidate, stack(*nodes), CACHE)


# --- check_add ------------------------------------------------------------------------------------------------------


def test_a_node_whose_dependencies_and_members_are_there_may_join() -> None:
    view = node("view:v1", depends={"cam": "cam:v1"}, reads=(("cam", "t"),), calls=("cam",), goals=("cam",))
    assert found(view, node("cam:v1")) == []


def test_every_missing_dependency_is_reported_with_its_place() -> None:
    problems = found(node("view:v1", depends={"l": "cam:v1", "m": "mic:v1", "r": "cam:v2"}), node("mic:v1"))
    assert [(problem.kind, problem.path) for problem in problems] == [
        ("DependencyMissing", "manifest.depends_on.nodes[0]"),
        ("DependencyMissing", "manifest.depends_on.nodes[2]"),
    ]
    assert problems[0].message == "`view:v1` depends on `cam:v1`, which does not exist in the stack"
    assert problems[0].hint == "add `cam:v1` first: run peppy node add <its directory>"


@pytest.mark.parametrize("surface", ["topic", "service", "action"])
def test_a_member_that_the_provider_does_not_have_is_named(surface: str) -> None:
    view = node("view:v1", depends={"cam": "cam:v1"})
    view = replace(view, **{f"consumed_{surface}s": (Consumed("cam", "nothing"),)})
    (problem,) = found(view, node("cam:v1"))
    assert (problem.kind, problem.path) == ("DependencyNotExposed", f"interfaces.{surface}s.consumes[0]")
    assert problem.message == f"{surface} `nothing` of `cam:v1` is not exposed"
    assert problem.hint == f"{surface}s of `cam:v1`: `{surface[0]}`"


def test_a_provider_without_members_of_a_kind_is_told_to_have_none() -> None:
    view = replace(node("view:v1", depends={"cam": "cam:v1"}), consumed_actions=(Consumed("cam", "zoom"),))
    (problem,) = found(view, replace(node("cam:v1"), exposed_actions=()))
    assert problem.hint == "actions of `cam:v1`: none"


def test_an_inherited_member_is_not_reached_through_a_node_slot() -> None:
    view = node("view:v1", depends={"cam": "cam:v1"}, reads=(("cam", "image"),))
    (problem,) = found(view, node("cam:v1", claims=("image_source:v1",)))
    assert problem.kind == "DependencyNotExposed"
    assert "it comes from interface `image_source:v1`" in problem.message
    assert problem.hint == "depend on interface `image_source:v1` instead"


def test_an_inherited_service_is_not_reached_through_a_node_slot() -> None:
    bare = replace(node("cam:v1", claims=("image_source:v1",)), exposed_services=())
    (problem,) = found(node("view:v1", depends={"cam": "cam:v1"}, calls=("cam",)), bare)
    assert problem.message == (
        "service `s` of `cam:v1` is not exposed by the node itself; it comes from interface `image_source:v1`"
    )


def test_a_native_member_is_not_reached_through_an_interface_slot() -> None:
    view = node("view:v1", via={"source": "image_source:v1"}, reads=(("source", "image"), ("source", "t")))
    (problem,) = found(view, node("cam:v1", claims=("image_source:v1",)))
    assert problem.message == "topic `t` of interface `image_source:v1` is not exposed"
    assert problem.hint == "topics of interface `image_source:v1`: `image`"


def test_an_interface_that_is_not_cached_is_reported_wherever_it_is_named() -> None:
    problems = found(node("view:v1", via={"source": "sound:v1"}, claims=("hum:v1",), reads=(("source", "loudness"),)))
    assert [(problem.kind, problem.path) for problem in problems] == [
        ("InterfaceNotCached", "manifest.depends_on.interfaces[0]"),
        ("InterfaceNotCached", "interfaces.conforms_to[0]"),
    ]


def pinned(view: NodeManifest, slot: str | None, claim: str | None) -> NodeManifest:
    """The same node with digests for its interface slots and its claims."""
    return replace(
        view,
        slots=tuple(replace(each, sha256=slot) for each in view.slots),
        conforms_to=tuple(replace(each, sha256=claim) for each in view.conforms_to),
    )


def test_a_pin_must_be_the_digest_of_the_cached_document_in_slots_and_claims() -> None:
    view = node("view:v1", via={"source": "image_source:v1"}, claims=("image_source:v1",))
    assert found(pinned(view, DIGEST, DIGEST)) == []
    problems = found(pinned(view, "a" * 64, "b" * 64))
    assert [(problem.kind, problem.path) for problem in problems] == [
        ("InterfaceDigest", "manifest.depends_on.interfaces[0].sha256"),
        ("InterfaceDigest", "interfaces.conforms_to[0].sha256"),
    ]
    assert "a" * 64 in problems[0].message
    assert DIGEST in problems[0].message


def test_all_errors_of_a_broken_document_are_reported_once() -> None:
    errors = (Problem("MissingKey", "one", "x.json5", 1, 2), Problem("UnknownKey", "two", "x.json5", 3, 4))
    cache = {IMAGE: CachedInterface(None, DIGEST, errors)}
    view = node("view:v1", via={"source": "image_source:v1"}, claims=("image_source:v1",), reads=(("source", "x"),))
    assert check_add(pinned(view, "a" * 64, None), {}, cache) == list(errors)


def test_a_node_with_the_path_of_another_one_is_refused() -> None:
    (problem,) = found(node("a_b:c"), node("a:b_c"))
    assert problem.kind == "PathKeyCollision"
    assert problem.message == "`a_b:c` and `a:b_c` of the stack would both use the path `a_b_c`"


def test_a_node_may_take_the_place_of_its_older_self() -> None:
    assert found(node("cam:v1"), node("cam:v1")) == []


# --- circles --------------------------------------------------------------------------------------------------------


def test_a_circle_of_services_is_drawn_with_the_slot_that_closes_it() -> None:
    a = node("a:v1", depends={"to_b": "b:v1"}, calls=("to_b",))
    b = node("b:v1", depends={"to_c": "c:v1"}, goals=("to_c",))
    c = node("c:v1", depends={"to_a": "a:v1"}, calls=("to_a",))
    (problem,) = found(a, node("a:v1"), b, c)
    assert problem.kind == "ServiceActionInterfaceCycle"
    assert "`a:v1 -> b:v1 -> c:v1 -> a:v1`, closed by slot `to_a` of `c:v1`" in problem.message


def test_two_nodes_that_send_each_other_goals_are_a_circle() -> None:
    a = node("a:v1", depends={"to_b": "b:v1"}, goals=("to_b",))
    (problem,) = found(a, node("a:v1"), node("b:v1", depends={"to_a": "a:v1"}, goals=("to_a",)))
    assert "`a:v1 -> b:v1 -> a:v1`, closed by slot `to_a` of `b:v1`" in problem.message


def test_a_dependency_on_a_node_that_is_not_called_closes_no_circle() -> None:
    a = node("a:v1", depends={"to_b": "b:v1", "spare": "c:v1"}, calls=("to_b",))
    c = node("c:v1", depends={"to_a": "a:v1"}, calls=("to_a",))
    assert found(a, node("a:v1"), node("b:v1"), c) == []


def test_a_circle_of_topics_is_fine() -> None:
    a = node("a:v1", depends={"to_b": "b:v1"}, reads=(("to_b", "t"),))
    b = node("b:v1", depends={"to_a": "a:v1"}, calls=("to_a",))
    assert found(a, node("a:v1"), b) == []


def test_a_node_that_calls_the_interface_it_claims_calls_itself() -> None:
    (problem,) = found(node("a:v1", via={"any": "image_source:v1"}, claims=("image_source:v1",), calls=("any",)))
    assert "`a:v1 -> a:v1`, closed by slot `any` of `a:v1`" in problem.message


def test_any_conforming_provider_can_close_a_circle() -> None:
    a = node("a:v1", via={"any": "image_source:v1"}, calls=("any",))
    b = node("b:v1", claims=("image_source:v1",), depends={"to_a": "a:v1"}, calls=("to_a",))
    (problem,) = found(a, node("a:v1"), node("other:v1", claims=("image_source:v1",)), b)
    assert "`a:v1 -> b:v1 -> a:v1`" in problem.message


def test_a_circle_among_others_does_not_keep_a_node_out() -> None:
    b = node("b:v1", depends={"to_c": "c:v1"}, calls=("to_c",))
    c = node("c:v1", depends={"to_b": "b:v1"}, calls=("to_b",))
    assert found(node("a:v1", depends={"to_b": "b:v1"}, calls=("to_b",)), b, c) == []


# --- dependents, edges ----------------------------------------------------------------------------------------------


def test_dependents_are_the_nodes_that_list_it_and_not_those_that_reach_it_by_an_interface() -> None:
    nodes = stack(
        node("cam:v1", claims=("image_source:v1",)),
        node("z:v1", depends={"l": "cam:v1", "r": "cam:v1"}),
        node("b:v1", depends={"l": "cam:v1"}),
        node("eye:v1", via={"source": "image_source:v1"}),
    )
    assert dependents(ref("cam:v1"), nodes) == [ref("b:v1"), ref("z:v1")]


def test_edges_are_ordered_and_say_what_is_missing() -> None:
    nodes = stack(
        node("view:v1", depends={"l": "mic:v1", "r": "cam:v1", "again": "cam:v1"}),
        node("eye:v1", via={"source": "image_source:v1", "none": "sound:v1"}),
        node("cam:v1", claims=("image_source:v1",)),
    )
    assert edges(nodes) == [
        Edge(ref("eye:v1"), ref("cam:v1"), IMAGE),
        Edge(ref("view:v1"), ref("cam:v1")),
        Edge(ref("view:v1"), ref("mic:v1"), None, missing=True),
    ]


# --- interfaces_unchanged -------------------------------------------------------------------------------------------

CAM = node("cam:v1", claims=("image_source:v1", "sound:v1"))
TOPIC = CAM.emitted_topics[0]


def test_what_others_do_not_see_may_change() -> None:
    newer = replace(
        CAM,
        labels=("new",),
        execution=Execution(Language.PYTHON, run_cmd=("other",)),
        conforms_to=CAM.conforms_to[::-1],
        slots=(Slot(SlotKind.NODE, "mic", ref("mic:v1")),),
        consumed_topics=(Consumed("mic", "t"),),
    )
    assert interfaces_unchanged(CAM, newer)


CHANGES = {
    "a topic more": {"emitted_topics": (TOPIC, replace(TOPIC, name="more"))},
    "a topic less": {"emitted_topics": ()},
    "fields in another order": {"emitted_topics": (replace(TOPIC, message_format=MessageFormat((Y, X))),)},
    "another profile": {"emitted_topics": (replace(TOPIC, qos=QoSProfile.SensorData),)},
    "a service less": {"exposed_services": ()},
    "another request": {"exposed_services": (Service("s", None, None),)},
    "an action less": {"exposed_actions": ()},
    "another goal": {"exposed_actions": (Action("a", None, None, None),)},
    "a claim less": {"conforms_to": CAM.conforms_to[:1]},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_others_were_generated_from_is_a_change(change: dict[str, object]) -> None:
    assert not interfaces_unchanged(CAM, replace(CAM, **change))


INHERITED_CHANGES = {
    "another format": (Topic("image", QoSProfile.Standard, MessageFormat((Y, X))),),
    "another profile": (Topic("image", QoSProfile.Reliable, POINT),),
    "a topic less": (),
}


@pytest.mark.parametrize("topics", INHERITED_CHANGES.values(), ids=INHERITED_CHANGES)
def test_what_a_node_inherits_belongs_to_what_others_were_generated_from(topics: tuple[Topic, ...]) -> None:
    before = {IMAGE: SOURCE}
    assert interfaces_unchanged(CAM, CAM, before, {IMAGE: replace(SOURCE, labels=("new",))})
    assert not interfaces_unchanged(CAM, CAM, before, {IMAGE: replace(SOURCE, topics=topics)})
    unclaimed = replace(CAM, conforms_to=())
    assert interfaces_unchanged(unclaimed, unclaimed, before, {IMAGE: replace(SOURCE, topics=topics)})
