"""The cases of docs/reference/bindings.md for topics, between real processes. `left`, `right`, `rest`, `c1` to `c4` and
`m1` are those of that page; topic `plain` is its `frames`."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from living import assert_nothing_is_left, eventually, make_python_node
from programs import Robot
from telling import Told, write_talker, write_view

from peppy.errors import PeppyError
from peppy.protocol.frames import NodeRun, NodeStop

LEFT_AND_RIGHT = ("left@c1", "right@c2")
CAMERAS = ("c1", "c2", "c3")
SLOTS = ("left", "right", "rest")


class Stage(Robot):
    """The producers of the page and whoever reads them."""

    def __init__(self, directory: Path) -> None:
        cam, mic = (write_talker(directory, name=name) for name in ("cam", "mic"))
        super().__init__(directory, cam, mic, write_view(directory))
        for instance_id in CAMERAS:
            self.instance("cam", instance_id)
        self.instance("mic", "m1")

    @property
    def producers(self) -> list[Told]:
        return [told for told in self.instances.values() if told.instance_id != "v"]

    def view(self, *bindings: str) -> Told:
        """A consumer that reads `plain` on its three slots (subscriptions 0, 1 and 2)."""
        view = self.instance("view", "v", *bindings)
        for slot in SLOTS:
            view.call("subscribe", topic=f"{slot}_plain")
        return view

    def refusal(self, *bindings: str) -> PeppyError:
        """Why a consumer with these bindings does not start; nothing of it is there."""
        pairs = tuple((key, value) for key, _, value in (word.partition("@") for word in bindings))
        arguments = (("control", "x"), ("harness", "x"))
        error = self.daemon.refusal(NodeRun("view:v1", "refused", arguments, pairs, {}, 60.0))
        assert self.daemon.instance_row("refused") is None
        return error

    def rows(self) -> Counter[str]:
        """How many readers each producer has."""
        return Counter({told.instance_id: told.call("stats", topic="plain")["readers"] for told in self.producers})

    def deliveries(self, view: Told, expected: dict[str, set[str]]) -> dict[str, list[str]]:
        """Which producers' messages arrive on which slot, when each of them publishes one.

        `expected` says for whom to wait; whoever gets through besides shows in the result.
        """
        readers = Counter(producer for producers in expected.values() for producer in producers)
        for told in self.producers:
            told.call("publish", topic="plain")  # so that there is a stream
        eventually(lambda: self.rows() == readers, f"{readers} readers")
        last = {told.instance_id: told.call("publish", topic="plain") for told in self.producers}
        found: dict[str, list[str]] = {slot: [] for slot in SLOTS}
        for number, slot in enumerate(SLOTS):
            while len(found[slot]) < len(expected[slot]):
                producer, message, _ = view.call("next", number=number)
                found[slot] += [producer] * (message == last[producer])
        for slot, more in messages(view).items():
            found[slot] += [producer for producer, message in more if message == last[producer]]
        return {slot: sorted(producers) for slot, producers in found.items()}


def messages(view: Told) -> dict[str, list[Any]]:
    """All messages that are there, by slot: producer and number."""
    return {
        slot: [[producer, message] for producer, message, _ in view.call("take_all", number=number)]
        for number, slot in enumerate(SLOTS)
    }


@pytest.fixture(scope="module")
def _stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    stage = Stage(tmp_path_factory.mktemp("b"))
    yield stage
    stage.close()
    assert_nothing_is_left(stage.daemon.home)


@pytest.fixture
def stage(_stage: Stage) -> Iterator[Stage]:
    """The same producers are there for every test."""
    yield _stage
    _stage.tidy(*CAMERAS, "m1")
    for instance_id in set(CAMERAS) - _stage.instances.keys():
        _stage.instance("cam", instance_id)


def only(**slots: str) -> dict[str, set[str]]:
    """Who is read on which slot; `rest="c3 c4"`."""
    return {slot: set(slots.get(slot, "").split()) for slot in SLOTS}


def listed(expected: dict[str, set[str]]) -> dict[str, list[str]]:
    return {slot: sorted(producers) for slot, producers in expected.items()}


# --- accepted --------------------------------------------------------------------------------------------------------

READS = {
    "cases 1 to 3: claimed producers reach their slots only": (LEFT_AND_RIGHT, only(left="c1", right="c2", rest="c3")),
    "case 6: one producer on two slots": (("left@c1", "right@c1"), only(left="c1", right="c1", rest="c2 c3")),
    "case 10: bound to a claimed one": ((*LEFT_AND_RIGHT, "foo@c1"), only(left="c1", right="c2")),
    "case 11: a claimed one falls away": (
        (*LEFT_AND_RIGHT, "foo@c1", "bar@c3"),
        only(left="c1", right="c2", rest="c3"),
    ),
}


@pytest.mark.parametrize(("bindings", "expected"), READS.values(), ids=READS)
def test_a_consumer_reads(stage: Stage, bindings: tuple[str, ...], expected: dict[str, set[str]]):
    view = stage.view(*bindings)
    assert stage.deliveries(view, expected) == listed(expected)
    assert list(view.warnings) == (["slot `rest` is left without a producer"] if not expected["rest"] else [])


@pytest.mark.parametrize("key", ["rest", "foo"])
def test_cases_7_and_8_a_bound_from_any_slot_reads_no_later_producer(stage: Stage, key: str):
    view = stage.view(*LEFT_AND_RIGHT, f"{key}@c3")
    stage.instance("cam", "c4")
    expected = only(left="c1", right="c2", rest="c3")
    assert stage.deliveries(view, expected) == listed(expected)


def test_case_9_free_keys_add_up(stage: Stage):
    stage.instance("cam", "c4")
    view = stage.view(*LEFT_AND_RIGHT, "foo@c3", "bar@c4")
    stage.instance("cam", "c5")
    expected = only(left="c1", right="c2", rest="c3 c4")
    assert stage.deliveries(view, expected) == listed(expected)


# --- refused ---------------------------------------------------------------------------------------------------------


def kinds(error: PeppyError) -> list[str]:
    return [problem.kind for problem in error.details]


def test_case_4_a_pinned_slot_without_binding(stage: Stage):
    error = stage.refusal("left@c1")
    assert kinds(error) == ["BindingMissingForPinnedDep"]
    assert all(word in error.message for word in ("`refused`", "`right`", "node `cam:v1`"))


def test_case_5_all_slots_without_binding_are_named_together(stage: Stage):
    error = stage.refusal()
    assert kinds(error) == ["BindingMissingForPinnedDep"] * 2
    assert "`left`" in error.message
    assert "`right`" in error.message


def test_case_12_a_free_key_that_no_slot_accepts(stage: Stage):
    error = stage.refusal(*LEFT_AND_RIGHT, "foo@m1")
    assert kinds(error) == ["BindingDeadKey"]
    assert all(word in error.message for word in ("`foo`", "`m1`", "`mic:v1`", "`left`, `rest`, `right`"))


def test_case_13_a_free_key_without_any_from_any_slot(stage: Stage, tmp_path: Path):
    slots = {"nodes": [{"name": "cam", "tag": "v1", "link_id": "left"}]}
    node = stage.daemon.ready(make_python_node(tmp_path, "pinned_only", depends_on=slots))
    error = stage.daemon.refusal(NodeRun(node, None, (), (("left", "c1"), ("foo", "c2")), {}, 60.0))
    assert kinds(error) == ["BindingDeadKey"]
    assert "`foo`" in error.message


def test_case_14_an_instance_of_another_node(stage: Stage):
    error = stage.refusal("left@m1", "right@c2")
    assert kinds(error) == ["BindingTargetMismatch"]
    assert all(word in error.message for word in ("`left`", "`cam:v1`", "`mic:v1`"))


def test_case_18_an_unknown_instance(stage: Stage):
    error = stage.refusal("left@ghost", "right@c2")
    assert kinds(error) == ["UnknownInstanceId"]
    assert all(word in error.message for word in ("`ghost`", "`c1`", "`c2`", "`c3`"))


def test_an_instance_that_has_ended_is_named_with_its_state(stage: Stage):
    stage.instance("cam", "gone")
    stage.daemon.ask(NodeStop(("gone",)))
    error = stage.refusal("left@gone", "right@c2")
    assert kinds(error) == ["UnknownInstanceId"]
    assert "instance `gone` is `finished`; running instances: `c1`" in error.message


def test_case_19_an_instance_that_is_starting(stage: Stage, tmp_path: Path):
    body = "import asyncio\nasync def setup(params, runner): await asyncio.Event().wait()"
    node = stage.daemon.ready(make_python_node(tmp_path, "slow", body=body))
    starting = Thread(target=stage.daemon.refusal, args=(NodeRun(node, "late", (), (), {}, 60.0),))
    starting.start()
    try:
        eventually(lambda: (row := stage.daemon.instance_row("late")) and row.state == "starting")
        error = stage.refusal("left@late", "right@c2")
    finally:
        stage.daemon.ask(NodeStop(("late",)))
        starting.join()
    assert kinds(error) == ["UnknownInstanceId"]
    assert "`late` is `starting`" in error.message


WRONG_WORDS = {
    "case 15": (("--bind", "left@c1", "--bind", "left@c2"), "BindingDuplicateKey"),
    "case 16": (("--bind", "_@c1"), "BindingSentinelKey"),
    **{f"case 17: {word}": (("--bind", word), "BindingKeySyntax") for word in ("left", "@c1", "left@", "a/b@c1")},
}


@pytest.mark.parametrize(("words", "kind"), WRONG_WORDS.values(), ids=WRONG_WORDS)
def test_words_that_are_no_bindings_are_usage_errors_and_nothing_is_sent(
    stage: Stage, words: tuple[str, ...], kind: str
):
    done = stage.peppy("node", "run", "view:v1", "-i", "refused", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert kind in done.stderr
    assert stage.daemon.instance_row("refused") is None


def test_case_21_an_id_in_use_is_refused_and_its_owner_goes_on(stage: Stage):
    pid = stage.instances["c1"].pid
    error = stage.daemon.refusal(NodeRun("cam:v1", "c1", (("control", "x"), ("harness", "x")), (), {}, 60.0))
    assert error.kind == "DuplicateInstanceIdAcrossStack"
    assert "`c1`" in error.message
    row = stage.daemon.instance_row("c1")
    assert (row.pid, row.state) == (pid, "running")
    assert stage.instances["c1"].call("publish", topic="plain") > 0


def test_case_22_the_id_of_a_failed_instance_is_free(stage: Stage):
    stage.kill("c3")
    stage.instance("cam", "c3")
    rows = [row for row in stage.daemon.node_row("cam:v1").instances if row.instance_id == "c3"]
    assert [row.state for row in rows] == ["running"]


# --- while it runs ---------------------------------------------------------------------------------------------------


def test_case_35_a_producer_that_returns_is_read_again_by_its_slot_only(stage: Stage):
    view = stage.view(*LEFT_AND_RIGHT)
    stage.stop("c1")
    stage.instance("cam", "c1")
    expected = only(left="c1", right="c2", rest="c3")
    assert stage.deliveries(view, expected) == listed(expected)


def test_case_36_a_successor_under_another_id_is_read_by_the_wildcard(stage: Stage):
    view = stage.view(*LEFT_AND_RIGHT)
    stage.stop("c1")
    stage.instance("cam", "c9")
    expected = only(right="c2", rest="c3 c9")
    assert stage.deliveries(view, expected) == listed(expected)


def test_case_37_an_id_that_returns_as_another_node_is_not_read(stage: Stage):
    view = stage.view(*LEFT_AND_RIGHT)
    stage.stop("c1")
    stage.instance("mic", "c1")
    expected = only(right="c2", rest="c3")
    assert stage.deliveries(view, expected) == listed(expected)
    stage.stop("c1")


def test_case_38_two_topics_are_read_at_the_same_time_through_one_slot(stage: Stage):
    view = stage.view(*LEFT_AND_RIGHT)
    view.call("subscribe", topic="rest_fast")
    camera = stage.instances["c3"]
    waiting = [view.ask("next", number=number) for number in (2, 3)]
    for topic in ("fast", "plain"):
        camera.call("publish", topic=topic)
        eventually(lambda topic=topic: camera.call("stats", topic=topic)["readers"] == 1)
        camera.call("publish", topic=topic)
    assert [view.answer(number)[0] for number in waiting] == ["c3", "c3"]


def test_case_43_without_the_daemon_no_message_is_lost_and_the_filters_stay(stage: Stage):
    view = stage.view(*LEFT_AND_RIGHT)
    expected = only(left="c1", right="c2", rest="c3")
    assert stage.deliveries(view, expected) == listed(expected)
    stage.daemon.kill()
    first = {told.instance_id: told.call("publish", topic="plain", count=20) - 19 for told in stage.producers}
    stage.daemon.start()
    eventually(lambda: all(stage.daemon.instance_row(instance_id).healthy for instance_id in stage.instances))
    assert messages(view) == {
        slot: [[producer, first[producer] + place] for producer in producers for place in range(20)]
        for slot, producers in expected.items()
    }
    assert stage.deliveries(view, expected) == listed(expected)
