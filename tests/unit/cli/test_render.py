"""Answers of the daemon as text, reviewed as text in tests/golden/output."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from peppy.cli.render.node import instance_text, node_lines
from peppy.cli.render.stack import instance_count, stack_lines
from peppy.cli.render.topics import topic_info_lines, topic_lines
from peppy.cli.terminal import display_width
from peppy.protocol.answers import (
    Dependency,
    Edge,
    Exit,
    InstanceRow,
    Logs,
    Member,
    Members,
    NodeDetails,
    NodeRow,
    ParameterLine,
    SlotBinding,
    Stack,
    StandaloneRow,
    TopicCounters,
    TopicDetails,
    TopicReader,
    TopicRow,
)

from .running import golden

CORE = "core-node-brisk-lovelace-2741"


@pytest.fixture(autouse=True)
def _at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("TZ", "UTC")


def instance(name: str, state: str = "running", **given: object) -> InstanceRow:
    values: dict[str, object] = {
        "healthy": True if state == "running" else None,
        "pid": 100,
        "exit": None,
        "slot_bindings": {},
    }
    return InstanceRow(instance_id=name, state=state, **{**values, **given})  # type: ignore[arg-type]


def node(name: str, tag: str, *instances: InstanceRow, stage: str = "Ready", variant: str = "default") -> NodeRow:
    base = "/home/ada/.peppy"
    if stage == "Root":
        return NodeRow(name, tag, stage, variant, f"{base}/bin", None, instances)
    artifact = f"{base}/built_nodes/{name}_{tag}.tar.zst" if stage == "Ready" else None
    return NodeRow(name, tag, stage, variant, f"{base}/staging/{name}_{tag}", artifact, instances)


def core() -> NodeRow:
    return node(CORE, "v0.1.0", instance(CORE), stage="Root")


PLANNER_BINDINGS = {
    "spare": SlotBinding("from_any_unbound"),
    "drive": SlotBinding("pinned", producer_instance_id="left_wheels"),
}


def robot() -> Stack:
    """The stack of the reference: cli.md, stack list."""
    return Stack(
        nodes=(
            node(
                "wheels",
                "0.2.0",
                instance("left_wheels", healthy=False),
                instance("right_wheels", "failed"),
                variant="sim",
            ),
            node("planner", "v3", instance("calm-noether-0913", slot_bindings=PLANNER_BINDINGS)),
            core(),
        ),
        standalone=(),
        edges=(Edge("planner:v3", "wheels:0.2.0", None, False),),
    )


def empty() -> Stack:
    return Stack((core(),), (), ())


def text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


STACKS: list[tuple[str, Callable[[], Stack], int | None]] = [
    ("piped", robot, None),
    ("wide", robot, 140),
    ("with-home-shortened", robot, 130),
    ("narrow", robot, 84),
    ("narrower", robot, 80),
    ("empty", empty, None),
    ("empty-narrow", empty, 80),
]


@pytest.mark.parametrize(
    ("name", "stack", "columns"), STACKS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_stack_is_listed_as_reviewed(name: str, stack: Callable[[], Stack], columns: int | None) -> None:
    lines = stack_lines(stack(), columns)
    assert text(lines) == golden(f"output/stack-list-{name}.txt", text(lines))
    assert columns is None or max(map(display_width, lines)) <= columns


def test_wide_glyphs_count_two_columns() -> None:
    home = Stack((core(), NodeRow("カメラ", "v1", "Added", "標準", "/home/結/.peppy/é", None, ())), (), ())
    lines = stack_lines(home, None)
    assert text(lines) == golden("output/stack-list-wide-glyphs.txt", text(lines))
    table = lines[1 : lines.index("", 1)]
    assert len({display_width(line) for line in table}) == 1


def test_cells_are_never_cut_on_the_narrowest_terminal() -> None:
    lines = text(stack_lines(robot(), 20))
    assert "~/.peppy/built_nodes/wheels_0.2.0.tar.zst" in lines
    assert f"{CORE}:v0.1.0" in lines


def test_edges_tell_the_interface_and_what_is_missing() -> None:
    edges = (
        Edge("b:v1", "sonar:v1", "range_sensor:v2", False),
        Edge("b:v1", "gone:v1", None, True),
        Edge("a:v1", "b:v1", None, False),
    )
    assert stack_lines(Stack((core(),), (), edges), None)[-4:] == [
        "Dependencies",
        "  a:v1 ➔ b:v1",
        "  b:v1 ➔ gone:v1 (missing)",
        "  b:v1 ➔ sonar:v1 (via range_sensor:v2)",
    ]


def test_bindings_are_shown_when_a_standalone_program_is_connected() -> None:
    stack = Stack((core(), node("a", "v1", instance("one"))), (StandaloneRow("tool-1", "tool:v1", 9),), ())
    lines = stack_lines(stack, None)
    assert text(lines) == golden("output/stack-list-standalone.txt", text(lines))


def test_bindings_are_not_shown_when_nothing_is_bound_and_all_is_well() -> None:
    stack = Stack((core(), node("a", "v1", instance("one"))), (), ())
    assert "Instance bindings" not in stack_lines(stack, None)


def test_finished_records_have_no_binding_row() -> None:
    rows = (instance("gone", "finished"), instance("here", healthy=False))
    lines = stack_lines(Stack((core(), node("a", "v1", *rows)), (), ()), None)
    assert not [line for line in lines if "gone" in line]


def test_a_bound_slot_without_producers_left_says_so() -> None:
    bindings = {"x": SlotBinding("from_any_bound"), "y": SlotBinding("from_any_bound", None, ("b", "c"))}
    lines = text(stack_lines(Stack((node("a", "v1", instance("one", slot_bindings=bindings)),), (), ()), None))
    assert "x → (nobody)" in lines
    assert "y → b, c" in lines


@pytest.mark.parametrize(
    ("states", "cell"),
    [
        ((), "0"),
        (("finished",), "0"),
        (("running", "finished"), "1 running"),
        (("failed", "failed"), "2 failed"),
        (("failed", "stopping", "starting", "running"), "4 (1 running, 1 starting, 1 stopping, 1 failed)"),
    ],
)
def test_instances_are_counted_by_state(states: tuple[str, ...], cell: str) -> None:
    assert instance_count(instance(str(number), state) for number, state in enumerate(states)) == cell


def wheels() -> NodeDetails:
    """The node of the reference: cli.md, node info."""
    ended = Exit(3, None, "2026-11-03T14:02:11.250+00:00")
    run = {"left_wheels": "/home/ada/.peppy/logs/run/left_wheels.log"}
    run["right_wheels"] = "/home/ada/.peppy/logs/run/right_wheels.log"
    return NodeDetails(
        name="wheels",
        tag="0.2.0",
        language="python",
        labels=("drive",),
        build_cmd=("uv", "sync"),
        run_cmd=("uv", "run", "wheels"),
        container=None,
        stage="Ready",
        variant="sim",
        instances=(instance("left_wheels"), instance("right_wheels", "failed", exit=ended)),
        logs=Logs("/home/ada/.peppy/logs/add/wheels_0.2.0_20261103_135902_118.log", None, run),
        dependencies=(
            Dependency("power", "battery:v1", "node", False),
            Dependency("bumper", "range_sensor:v2", "interface", True),
        ),
        exposes=Members((Member("odometry", qos="SensorData"),), (Member("set_speed"),), ()),
        consumes=Members((Member("distance", slot="bumper"),), (), ()),
        config_sha256="5f0c" * 16,
        parameters=(ParameterLine(0, "wheel_radius_m: f64 = 0.08"),),
    )


def bare() -> NodeDetails:
    return NodeDetails(
        name="hello_world",
        tag="0.1.0",
        language="python",
        labels=(),
        build_cmd=None,
        run_cmd=("sh", "-c", "echo hello; sleep 1"),
        container=None,
        stage="Added",
        variant="default",
        instances=(),
        logs=Logs(None, None, {}),
        dependencies=(),
        exposes=Members((), (), ()),
        consumes=Members((), (), ()),
        config_sha256="0" * 64,
        parameters=(),
    )


def full() -> NodeDetails:
    return msgspec.structs.replace(
        wheels(),
        labels=("drive", "base"),
        exposes=Members(
            (Member("odometry", qos="Standard", interface="drive_base:v1"),),
            (Member("stop", interface="drive_base:v1"),),
            (Member("dock", qos="SensorData"), Member("park")),
        ),
        consumes=Members((), (Member("charge", slot="power"),), (Member("swap", slot="power"),)),
        parameters=(
            ParameterLine(0, "video:"),
            ParameterLine(1, "width: u16 = 640"),
            ParameterLine(0, 'name: string = "left"'),
            ParameterLine(0, "gains: array[f64; 3]"),
        ),
        stats=(
            TopicCounters("left_wheels", "odometry", "out", None, 1200, 0, 0, 0),
            TopicCounters("left_wheels", "distance", "in", "sonar-1", 98, 2, 31, 0),
        ),
    )


@pytest.mark.parametrize(("name", "details"), [("wheels", wheels), ("bare", bare), ("full", full)])
def test_a_node_is_described_as_reviewed(name: str, details: Callable[[], NodeDetails]) -> None:
    lines = node_lines(details(), None, statistics=name == "full")
    assert text(lines) == golden(f"output/node-info-{name}.txt", text(lines))


def test_values_start_in_column_13() -> None:
    first = node_lines(wheels(), None)[2:8]
    assert {line[11] for line in first} == {" "}
    assert " " not in {line[12] for line in first}


def test_a_container_stands_in_place_of_the_run_command() -> None:
    lines = node_lines(msgspec.structs.replace(wheels(), container="node.def", run_cmd=None), None)
    assert "Container:  node.def" in lines
    assert not [line for line in lines if line.startswith("Run cmd")]


TIME = "2026-11-03T14:02:11.250+00:00"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (instance("a"), "a [running]"),
        (instance("a", healthy=False), "a [running] unhealthy"),
        (instance("a", "starting"), "a [starting]"),
        (instance("a", "failed", exit=Exit(3, None, TIME)), "a [failed] exit status 3, 14:02:11"),
        (instance("a", "failed", exit=Exit(None, "SIGSEGV", TIME)), "a [failed] signal SIGSEGV, 14:02:11"),
        (instance("a", "failed", exit=Exit(None, None, None)), "a [failed] exit status unknown"),
        (instance("a", "finished", exit=Exit(0, None, TIME)), "a [finished] 14:02:11"),
        (instance("a", "finished", exit=Exit(None, "SIGKILL", TIME, True)), "a [finished] 14:02:11 (killed)"),
    ],
)
def test_an_instance_tells_how_it_is_or_how_it_ended(row: InstanceRow, expected: str) -> None:
    assert instance_text(row) == expected


TOPICS = [
    TopicRow("imu-1/sample", "imu-1", "sample", None, "imu:v1", "Standard", 2, 123456, 999.96),
    TopicRow("cam-1/frames", "cam-1", "frames", None, "camera:v1", "SensorData", 1, 900, 30.0),
]


@pytest.mark.parametrize(("name", "columns"), [("wide", 80), ("narrow", 70)])
def test_topics_are_listed_by_address_with_their_numbers_to_the_right(name: str, columns: int) -> None:
    lines = topic_lines(TOPICS, columns)
    assert text(lines) == golden(f"output/topic-list-{name}.txt", text(lines))
    assert max(map(display_width, lines)) <= columns


FORMAT = (
    '[["stamp","time",0],["pose",[["x","f64",0],["y","f64",0]],0],["ranges",["f32",0],0],["mode",["u8",4],1],'
    '["marks",[[["id","u32",0],["name","string",0]],0],0]]'
)
READERS = (TopicReader("viewer-1", 900, 3, 0), TopicReader("peppy-cli-4120", 12, 0, 1))
DETAILS = TopicDetails(
    address="cam-1/frames",
    instance_id="cam-1",
    name="frames",
    interface=None,
    node="camera:v1",
    qos="SensorData",
    subscribers=2,
    published=903,
    hz=29.97,
    bytes=5_616_660_000,
    largest=6_220_844,
    format=FORMAT,
    schema_hash="5f0c5f0c5f0c5f0c",
    depth=9,
    capacity=6_221_824,
    ring_bytes=62_259_200,
    readers=READERS,
)
NO_STREAM = msgspec.structs.replace(
    DETAILS,
    subscribers=0,
    published=0,
    hz=0.0,
    bytes=0,
    largest=0,
    depth=None,
    capacity=None,
    ring_bytes=None,
    readers=(),
)


@pytest.mark.parametrize(
    ("name", "details", "columns"),
    [
        ("wide", DETAILS, 80),
        ("narrow", DETAILS, 40),
        ("no-stream", NO_STREAM, 80),
        ("no-payload", msgspec.structs.replace(NO_STREAM, format=None, schema_hash="0" * 16), None),
    ],
)
def test_a_topic_is_told_with_its_format_and_subscribers(name: str, details: TopicDetails, columns: int | None) -> None:
    lines = topic_info_lines(details, columns)
    assert text(lines) == golden(f"output/topic-info-{name}.txt", text(lines))


def test_statistics_put_names_below_numbers_on_a_narrow_terminal() -> None:
    lines = node_lines(full(), 60, statistics=True)
    table = lines[lines.index("Topic Statistics") :]
    assert text(table) == golden("output/node-info-statistics-narrow.txt", text(table))
    assert max(map(display_width, table)) <= 60


def test_bindings_stand_below_their_instance_on_a_narrow_terminal() -> None:
    lines = stack_lines(robot(), 64)
    table = lines[lines.index("Instance bindings") : lines.index("Dependencies")]
    assert text(table) == golden("output/stack-list-bindings-narrow.txt", text(table))
    assert max(map(display_width, table)) <= 64


def test_a_stack_without_topics_says_so() -> None:
    assert topic_lines([], None) == ["No topics: no live instance emits one"]


REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "cli.md"


def test_the_reference_shows_the_stack_as_it_is_printed() -> None:
    assert f"```\n{text(stack_lines(robot(), None))}```" in REFERENCE.read_text()


def test_the_reference_shows_a_node_as_it_is_printed() -> None:
    printed = text(node_lines(wheels(), None)).replace("5f0c" * 16, "5f0c…(64 digits)")
    assert f"```\n{printed}```" in REFERENCE.read_text()
