"""Interfaces between real processes: cases 24, 25, 26 and 39 of docs/reference/bindings.md, case 54 of
docs/reference/services_actions.md, and the repositories that their documents come from."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from living import LivingDaemon, assert_nothing_is_left, eventually, make_node
from programs import Robot, sync
from sights import EVERYTHING, ITS_OWN, MEMBERS, consumes, slot, write_sight
from telling import Told

from peppy.errors import PeppyError
from peppy.protocol.frames import NodeAdd, NodeInfo, NodeRun, RepoAdd, RepoList, RepoRefresh, RepoRemove, StackList

NATIVE, INHERITED = "image", "image_source.v1.image"
IMAGE = "image_source:v1"
DOCUMENT = f"""{{
  peppy_schema: "interface_v1", manifest: {{ name: "image_source", tag: "v1" }},
  interfaces: {{ {", ".join(f"{kind}: [{member}]" for kind, member in MEMBERS.items())} }},
}}"""
CLAIM = 'conforms_to: [{ name: "image_source", tag: "v1" }]'


SLOTS_OF_EYE = f"interfaces: [{slot('main', 'image_source')}, {slot('other', 'image_source', from_any=True)}]"
SLOTS_OF_BOTH = f"nodes: [{slot('n', 'cam')}], interfaces: [{slot('i', 'image_source', from_any=True)}]"
SLOTS_OF_TWIN = f"interfaces: [{slot('peers', 'image_source', from_any=True)}]"


SLOTS_OF_SPINE = f"interfaces: [{', '.join(slot(link_id, 'image_source') for link_id in ('left', 'right'))}, " + (
    f"{slot('extra', 'image_source', from_any=True)}]"
)


class Stage(Robot):
    """`cam` has members of its own and inherits others of the same names, `eye`, `both` and `spine` use them, `twin`
    reads what other twins inherit."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.repository = directory / "contracts"
        self.repository.mkdir()
        (self.repository / "image.json5").write_text(DOCUMENT)
        self.daemon.ask(RepoAdd(str(self.repository), top=False))
        self.daemon.ask(RepoRefresh(60.0))
        for source in (
            write_sight(directory, "cam", f"{ITS_OWN}, {CLAIM}"),
            write_sight(directory, "mic", ""),
            write_sight(directory, "eye", consumes(main=EVERYTHING, other=EVERYTHING), SLOTS_OF_EYE),
            write_sight(directory, "both", consumes(n=EVERYTHING, i=EVERYTHING), SLOTS_OF_BOTH),
            write_sight(directory, "spine", consumes(left="actions", right="actions", extra="actions"), SLOTS_OF_SPINE),
            write_sight(directory, "twin", f"{consumes(peers='topics')}, {CLAIM}", SLOTS_OF_TWIN),
        ):
            self.sources[source.name] = source
            self.daemon.ready(source)

    def cam(self, instance_id: str) -> Told:
        """A camera that serves whatever it has, native and inherited."""
        cam = self.instance("cam", instance_id)
        for package in ("", "image_source.v1."):
            cam.call("serve", service=f"{package}zoom")
            cam.call("expose", action=f"{package}track")
        return cam


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    stage = Stage(tmp_path_factory.mktemp("i"))
    for instance_id in ("c1", "c2"):
        stage.cam(instance_id)
    stage.instance("mic", "m1")
    yield stage
    stage.close()
    assert_nothing_is_left(stage.daemon.home)


@pytest.fixture(autouse=True)
def _tidy(stage: Stage) -> Iterator[None]:
    yield
    stage.tidy("c1", "c2", "m1")


def published(stage: Stage, consumer: Told, *topics: str) -> dict[str, set[tuple[str, int]]]:
    """What `consumer` reads on each of its topics: everything of c1 and c2 until the end of a round in which all that
    are attached get a message. The numbers are odd on native topics, even on inherited ones."""
    for topic in topics:
        consumer.call("subscribe", topic=topic)
    found: dict[str, set[tuple[str, int]]] = {topic: set() for topic in topics}

    def read() -> bool:
        for topic in topics:
            found[topic] |= {(producer, number) for producer, number in consumer.call("rest", topic=topic)}
        return all(found.values())

    def publish(number: int) -> bool:
        for instance_id in ("c1", "c2"):
            stage.instances[instance_id].call("publish", topic=NATIVE, number=number)
            stage.instances[instance_id].call("publish", topic=INHERITED, number=number + 1)
        return read()

    eventually(lambda: publish(1), "messages on every topic")
    publish(3)
    eventually(lambda: read() and any(number > 2 for topic in topics for _, number in found[topic]))
    return found


# --- bindings --------------------------------------------------------------------------------------------------------


def test_case_24_interface_slots_reach_what_is_inherited_and_a_claimed_producer_only_its_slot(stage: Stage) -> None:
    eye = stage.instance("eye", "e1", "main@c1")
    read = published(stage, eye, "main_image", "other_image")
    assert read["main_image"] <= {("c1", 2), ("c1", 4)}
    assert read["other_image"] <= {("c2", 2), ("c2", 4)}
    assert eye.call("call", service="main_zoom") == ["c1", "image_source.v1.zoom 1"]
    assert eye.call("call", service="other_zoom") == ["c2", "image_source.v1.zoom 1"]


def test_case_25_a_node_that_does_not_claim_the_interface_cannot_be_bound(stage: Stage) -> None:
    arguments = (("control", "x"), ("harness", "x"))
    error = stage.daemon.refusal(NodeRun("eye:v1", "refused", arguments, (("main", "m1"),), {}, 60.0))
    assert error.kind == "BindingInterfaceNotConformed"
    assert "slot `main` expects interface `image_source:v1`" in error.message
    assert "`m1` is an instance of `mic:v1`, which claims no interface" in error.message
    assert stage.daemon.instance_row("refused") is None


def test_case_26_node_and_interface_slots_are_no_siblings(stage: Stage) -> None:
    both = stage.instance("both", "b1", "n@c1")
    read = published(stage, both, "n_image", "i_image")
    assert read["n_image"] <= {("c1", 1), ("c1", 3)}
    assert {number % 2 for _, number in read["i_image"]} == {0}
    assert "c1" in {producer for producer, _ in read["i_image"]}


def test_case_39_a_node_reads_what_its_like_inherit_but_never_itself(stage: Stage) -> None:
    twins = [stage.instance("twin", instance_id) for instance_id in ("t1", "t2")]
    for twin in twins:
        twin.call("subscribe", topic="peers_image")
    for number, twin in enumerate(twins):
        twin.call("publish", topic=INHERITED, number=number)
    assert twins[0].call("next", topic="peers_image") == ["t2", 1]
    assert twins[1].call("next", topic="peers_image") == ["t1", 0]
    for twin in twins:
        assert twin.call("rest", topic="peers_image") == []


def test_case_54_native_and_inherited_members_of_one_name_never_cross(stage: Stage) -> None:
    both = stage.instance("both", "b1", "n@c1")
    c1, c2 = stage.instances["c1"], stage.instances["c2"]
    for told in (c1, c2):
        told.call("report")
    assert both.call("call", service="n_zoom", number=3) == ["c1", "zoom 3"]
    assert both.call("goal", action="n_track") == ["c1", 7, "track"]
    assert c1.call("report") == ["zoom", "track"]
    assert both.call("call", service="i_zoom")[1] == "image_source.v1.zoom 1"
    assert both.call("goal", action="i_track")[1:] == [7, "image_source.v1.track"]
    assert sorted(c1.call("report") + c2.call("report")) == ["image_source.v1.track", "image_source.v1.zoom"]


@pytest.mark.parametrize("bindings", [(), ("extra@c3",)], ids=["unbound", "bound"])
def test_goals_reach_the_bound_cameras_and_a_free_slot_whoever_is_left(stage: Stage, bindings: tuple[str, ...]) -> None:
    stage.cam("c3")
    spine = stage.instance("spine", "s1", "left@c1", "right@c2", *bindings)
    reached = {link_id: spine.call("goal", action=f"{link_id}_track")[0] for link_id in ("left", "right", "extra")}
    assert reached == {"left": "c1", "right": "c2", "extra": "c3"}


def test_what_only_the_native_member_serves_is_not_reached_through_an_interface_slot(stage: Stage) -> None:
    half = stage.instance("cam", "c3")
    half.call("serve", service="zoom")
    eye = stage.instance("eye", "e1", "main@c3")
    with pytest.raises(Exception, match="was not reached within"):
        eye.call("call", service="main_zoom", timeout=0.3)
    half.call("serve", service="image_source.v1.zoom")
    assert eye.call("call", service="main_zoom") == ["c3", "image_source.v1.zoom 1"]


def test_a_standalone_program_conforms_too(stage: Stage) -> None:
    sync(stage.daemon, stage.sources["cam"])
    program = stage.program("cam", '.with_instance_id("s1")')
    program.call("serve", service="image_source.v1.zoom")
    eye = stage.instance("eye", "e1", "main@s1")
    assert eye.call("call", service="main_zoom") == ["s1", "image_source.v1.zoom 1"]
    eye.call("subscribe", topic="main_image")
    program.call("publish", topic=NATIVE, number=5)
    program.call("publish", topic=INHERITED, number=6)
    assert eye.call("next", topic="main_image") == ["s1", 6]


# --- the command line ------------------------------------------------------------------------------------------------


def test_inherited_members_have_addresses_of_their_own(stage: Stage) -> None:
    rows = json.loads(stage.peppy("topic", "list", "--json").stdout)["data"]["topics"]
    assert [(row["address"], row["name"], row["interface"]) for row in rows if row["instance_id"] == "c1"] == [
        ("c1/image", "image", None),
        ("c1/image_source:v1/image", "image", IMAGE),
    ]
    called = stage.peppy("call", "c1/image_source:v1/zoom", "{ number: 4 }")
    assert (called.returncode, called.stdout) == (0, 'said: "image_source.v1.zoom 4"\n')
    assert stage.peppy("call", "c1/zoom", "{ number: 4 }").stdout == 'said: "zoom 4"\n'
    fired = stage.peppy("goal", "c2/image_source:v1/track", "{ number: 4 }")
    assert (fired.returncode, "image_source.v1.track" in fired.stdout) == (0, True)
    refused = stage.peppy("call", "zoom", "{ number: 4 }")
    assert refused.returncode == 1
    assert "`c1/image_source:v1/zoom`" in refused.stderr


def test_an_inherited_topic_is_watched_by_its_address(stage: Stage) -> None:
    stage.instances["c1"].call("publish", topic=INHERITED, number=2)
    info = json.loads(stage.peppy("topic", "info", "c1/image_source:v1/image", "--json").stdout)["data"]
    assert (info["interface"], info["published"] > 0, "number" in info["format"]) == (IMAGE, True, True)
    measured = stage.peppy("topic", "hz", "c1/image_source:v1/image", "-n", "1", "--window", "0.1", "--json")
    assert json.loads(measured.stdout)["topic"] == "c1/image_source:v1/image"


def test_node_info_and_stack_list_name_the_interface(stage: Stage) -> None:
    text = stage.peppy("node", "info", "cam:v1").stdout
    assert "  - image (qos: Standard)\n  - image (qos: Standard) (interface: image_source:v1)\n" in text
    assert "  - zoom\n  - zoom (interface: image_source:v1)\n" in text
    assert "- main -> image_source:v1 (interface)\n" in stage.peppy("node", "info", "eye:v1").stdout
    listed = stage.peppy("stack", "list").stdout
    assert "  eye:v1 ➔ cam:v1 (via image_source:v1)\n" in listed
    edges = stage.daemon.ask(StackList()).edges
    assert {edge.target for edge in edges if edge.source == "both:v1"} == {"cam:v1", "twin:v1"}


# --- repositories ----------------------------------------------------------------------------------------------------


def refusal(stage: Stage, source: Path) -> PeppyError:
    with pytest.raises(PeppyError) as caught:
        stage.daemon.add(source)
    return caught.value


def test_an_interface_that_is_not_cached_or_not_the_pinned_one_is_refused_with_a_hint(stage: Stage) -> None:
    directory = stage.directory / "wrong"
    directory.mkdir()
    unknown = '{ name: "unknown", tag: "v1" }'
    pinned = f'{{ name: "image_source", tag: "v1", sha256: "{"0" * 64}" }}'
    source = write_sight(
        directory, "wrong", f"conforms_to: [{unknown}, {pinned}]", f"interfaces: [{slot('u', 'unknown')}]"
    )
    error = refusal(stage, source)
    assert [problem.kind for problem in error.details] == [
        "InterfaceNotCached",
        "InterfaceNotCached",
        "InterfaceDigest",
    ]
    assert error.hint is not None
    assert "peppy repo refresh" in error.hint
    synced = stage.peppy("node", "sync", str(source))
    assert synced.returncode == 1
    assert synced.stderr.count("InterfaceNotCached: ") == 2


def test_a_node_keeps_the_interface_that_it_was_added_with(stage: Stage) -> None:
    document = stage.repository / "image.json5"
    document.write_text(DOCUMENT.replace("zoom", "boom"))
    try:
        changed = refusal(stage, stage.sources["eye"])
        assert {problem.kind for problem in changed.details} == {"InterfaceNotCached"}
        assert "has changed since the last refresh" in changed.message
        stage.daemon.ask(RepoRefresh(60.0))
        assert (
            "service `zoom` of interface `image_source:v1` is not exposed"
            in refusal(stage, stage.sources["eye"]).message
        )
        error = stage.daemon.refusal(NodeAdd(str(stage.sources["cam"]), None, True, True, 60.0))
        assert "`cam:v1` is needed by `both:v1`, and its `interfaces` have changed" in error.message
        stage.daemon.kill()
        stage.daemon.start()
        names = [(member.name, member.interface) for member in stage.daemon.ask(NodeInfo("cam:v1")).exposes.services]
        assert names == [("zoom", None), ("zoom", IMAGE)]
        called = stage.peppy("call", "c1/image_source:v1/zoom", "{ number: 4 }")
        assert called.stdout == 'said: "image_source.v1.zoom 4"\n'
        stage.daemon.build("eye:v1", force=True)
    finally:
        document.write_text(DOCUMENT)
        stage.daemon.ask(RepoRefresh(60.0))


def test_a_node_whose_interfaces_are_not_valid_any_more_is_told_to_be_added_again(
    daemon: LivingDaemon, tmp_path: Path
) -> None:
    contracts = tmp_path / "contracts"
    contracts.mkdir()
    (contracts / "image.json5").write_text(DOCUMENT)
    daemon.ask(RepoAdd(str(contracts), top=True))
    daemon.ask(RepoRefresh(60.0))
    claims = {"conforms_to": [{"name": "image_source", "tag": "v1"}]}
    daemon.add(make_node(tmp_path, interfaces=claims))
    assert [member.name for member in daemon.ask(NodeInfo("echoer:0.1.0")).exposes.actions] == ["track"]
    daemon.stop()
    state = daemon.home / "state" / "stack.json"
    state.write_text(state.read_text().replace("track", "tr ack"))
    daemon.start()
    assert daemon.ask(NodeInfo("echoer:0.1.0")).exposes.actions == ()
    assert "`echoer:0.1.0` has lost its interfaces, add it again" in daemon.log()


def test_the_commands_of_repositories(stage: Stage) -> None:
    extra = stage.directory / "extra"
    (extra / "nodes" / "lamp").mkdir(parents=True)
    (extra / "light.json5").write_text('{ peppy_schema: "interface_v1", manifest: { name: "light", tag: "v1" } }')
    (extra / "image.json5").write_text(DOCUMENT)
    (extra / "broken.json5").write_text('{ peppy_schema: "interface_v1", manifest: { name: "half" } }')
    manifest = '{ peppy_schema: "node_v1", manifest: { name: "lamp", tag: "v1" }, execution: { language: "other", '
    (extra / "nodes" / "lamp" / "peppy.json5").write_text(manifest + 'run_cmd: ["lamp"] } }')
    added = stage.peppy("repo", "add", str(extra))
    assert added.stdout == f"Added repository 1001: {extra}\n"
    assert "already exists" in stage.peppy("repo", "add", str(extra)).stderr
    refreshed = stage.peppy("repo", "refresh")
    assert refreshed.stdout == "Refreshed 2 repositories: 1 nodes, 0 launchers, 4 interfaces\n"
    listed = stage.peppy("repo", "list").stdout
    assert f"1001: {extra} (1 nodes):\n  lamp  v1  {extra}/nodes/lamp/peppy.json5\n" in listed
    assert f"{extra}/image.json5" in next(line for line in listed.splitlines() if line.endswith("(duplicate)"))
    assert "(broken: MissingKey: " in next(line for line in listed.splitlines() if line.startswith("  half"))
    interfaces = stage.daemon.ask(RepoList()).repositories[1].interfaces
    assert [entry.name for entry in interfaces if entry.broken] == ["half"]
    removed = stage.peppy("repo", "remove", "1001")
    assert removed.stdout.startswith("Removed repository 1001\nRefreshed 1 repositories: 0 nodes, ")
    assert stage.daemon.refusal(RepoRemove(1001, 60.0)).kind == "NotFound"
    assert len(stage.daemon.ask(RepoList()).repositories) == 1
