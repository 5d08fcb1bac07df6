"""What repositories hold, and looking interfaces up (docs/reference/daemon.md, Repositories)."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from peppy.errors import PeppyError
from peppy.manifest.node import parse_node
from peppy.model.names import Reference
from peppy.model.node import NodeManifest
from peppy.store.repositories import Repository, save_repositories
from peppy.store.repository_index import Entry, Refreshed, load_indexes, refresh, resolve_interfaces
from peppy.store.repository_walk import found_documents
from peppy.store.root import DataRoot

LIGHT = Reference("light", "v1")


@pytest.fixture
def root(tmp_path: Path) -> DataRoot:
    made = DataRoot(tmp_path / "home")
    made.create()
    return made


@pytest.fixture
def robot(root: DataRoot, tmp_path: Path) -> Path:
    """An empty directory that is registered as repository 1000."""
    directory = tmp_path / "robot"
    directory.mkdir()
    save_repositories(root, [Repository(1000, "fs", str(directory))])
    return directory


def interface(name: str = "light", tag: str = "v1", more: str = "") -> str:
    return f'{{ peppy_schema: "interface/v1", manifest: {{ name: "{name}", tag: "{tag}" }}{more} }}'


def node(name: str = "lamp", variants: str = "") -> str:
    return (
        f'{{ peppy_schema: "node_v1", manifest: {{ name: "{name}", tag: "v1", variants: [{variants}] }},'
        'execution: { language: "other", run_cmd: ["x"] } }'
    )


def put(directory: Path, **files: str) -> None:
    """Files by their path, `__` for `/`, all of them `.json5`."""
    for name, text in files.items():
        path = directory / f"{name.replace('__', '/')}.json5"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def claims(*interfaces: str) -> NodeManifest:
    listed = ", ".join(f'{{ name: "{name}", tag: "v1" }}' for name in interfaces)
    text = node().replace("execution", f"interfaces: {{ conforms_to: [{listed}] }}, execution")
    return parse_node(text.encode(), "peppy.json5").manifest


def again(root: DataRoot) -> Refreshed:
    return refresh(root, lambda: False)


def names(entries: tuple[Entry, ...]) -> list[tuple[str, str | None]]:
    return [entry.key for entry in entries]


# --- what is found ---------------------------------------------------------------------------------------------------


def test_documents_are_classified_by_their_schema(root: DataRoot, robot: Path) -> None:
    put(robot, lamp__peppy=node(), contracts__light=interface(), other='{ "peppy": 1 }', lab='{ peppy_schema: "x_v1" }')
    put(robot, start='{ peppy_schema: "launcher_v1", deployments: [] }', manifest=node("misnamed"))
    found = again(root)
    assert names(found.indexes.nodes) == [("lamp", "v1")]
    assert names(found.indexes.launchers) == [("start", None)]
    assert names(found.indexes.interfaces) == [("light", "v1")]
    assert found.warnings == ()
    assert load_indexes(root) == found.indexes


def test_an_entry_says_where_its_document_is_and_what_it_was(root: DataRoot, robot: Path) -> None:
    put(robot, light=interface())
    (entry,) = again(root).indexes.interfaces
    digest = hashlib.sha256(interface().encode()).hexdigest()
    path = str(robot / "light.json5")
    assert entry == Entry(1000, "light", "v1", "fs", str(robot), None, digest, path, None)
    assert json.loads(root.interface_index.read_text())["entries"][0]["sha256"] == digest


def test_hidden_and_generated_directories_links_and_ignored_files_are_left_out(root: DataRoot, robot: Path) -> None:
    for number, directory in enumerate((".git", ".venv", ".peppy", "target", "node_modules", "__pycache__", ".x")):
        put(robot / directory, light=interface(f"hidden{number}"))
    put(robot, old__light=interface("old"), new__light=interface("new"), new__draft=interface("draft"))
    put(robot, **{".hidden": interface("dotted")})
    (robot / ".gitignore").write_text("# comment\nold/\ndraft.json5\n")
    (robot / "link.json5").symlink_to(robot / "new" / "light.json5")
    (robot / "loop").symlink_to(robot)
    os.mkfifo(robot / "pipe.json5")
    assert names(again(root).indexes.interfaces) == [("new", "v1")]


def test_the_manifest_of_a_variant_is_no_node_of_its_own(root: DataRoot, robot: Path) -> None:
    put(robot, lamp__peppy=node("lamp", '{ name: "sim", source: { local: "./sim" } }'))
    put(robot, lamp__sim__peppy='{ peppy_schema: "node_v1", execution: { language: "other", run_cmd: ["y"] } }')
    assert names(again(root).indexes.nodes) == [("lamp", "v1")]


def test_directories_may_be_nested_deeper_than_functions(robot: Path) -> None:
    put(robot, lamp__peppy=node())
    inner = os.open(robot, os.O_RDONLY)
    for _ in range(sys.getrecursionlimit() + 100):
        os.mkdir("d", dir_fd=inner)
        inner, outer = os.open("d", os.O_RDONLY, dir_fd=inner), inner
        os.close(outer)
    os.close(inner)
    assert [found.name for found in found_documents(robot)] == ["lamp"]
    subprocess.run(["rm", "-r", robot / "d"], check=True)  # the cleaning of pytest is recursive


def test_links_that_lead_in_a_circle_hold_nothing_up(root: DataRoot, robot: Path) -> None:
    (robot / "a").symlink_to(robot / "b")
    (robot / "b").symlink_to(robot / "a")
    for number, local in enumerate(("./a", "\\0")):
        put(robot / str(number), peppy=node(f"lamp{number}", f'{{ name: "sim", source: {{ local: "{local}" }} }}'))
    assert names(again(root).indexes.nodes) == [("lamp0", "v1"), ("lamp1", "v1")]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('{ peppy_schema: "interface_v1", manifest: { name: "half" } }', ("half", None)),
        ('{ peppy_schema: "interface_v1", manifest: { name: "", tag: "v1" } }', ("broken.json5", "v1")),
        ('{ peppy_schema: "interface_v1", manifest: ', ("broken.json5", None)),
        (interface("typo", more=", interfaces: { topic: [] }"), ("typo", "v1")),
    ],
)
def test_a_broken_document_is_listed_with_what_can_be_read(
    root: DataRoot, robot: Path, text: str, key: tuple[str, str | None]
) -> None:
    put(robot, broken=text)
    (entry,) = again(root).indexes.interfaces
    assert entry.key == key
    assert entry.broken is not None
    assert str(robot / "broken.json5") in entry.broken


def test_a_broken_manifest_is_a_warning(root: DataRoot, robot: Path) -> None:
    put(robot, lamp__peppy="{ nonsense }")
    found = again(root)
    assert names(found.indexes.nodes) == [("peppy.json5", None)]
    assert found.warnings[0].startswith(f"`{robot}/lamp/peppy.json5` is broken: ")


def test_a_repository_that_cannot_be_read_keeps_its_entries(root: DataRoot, robot: Path, tmp_path: Path) -> None:
    put(robot, light=interface())
    second = tmp_path / "second"
    second.mkdir()
    save_repositories(root, [Repository(1000, "fs", str(robot)), Repository(1001, "fs", str(second))])
    again(root)
    robot.rename(tmp_path / "moved")
    found = again(root)
    assert names(found.indexes.interfaces) == [("light", "v1")]
    assert found.warnings == (f"repository 1000 (`{robot}`) cannot be read: No such file or directory",)


def test_a_refresh_fails_when_nothing_can_be_read(root: DataRoot, robot: Path) -> None:
    put(robot, light=interface())
    again(root)
    save_repositories(root, [Repository(1000, "fs", str(robot / "gone")), Repository(5, "git", "file:///x")])
    with pytest.raises(PeppyError) as caught:
        again(root)
    assert "git repositories are not supported yet" in caught.value.message
    assert "cannot be read" in caught.value.message
    assert names(load_indexes(root).interfaces) == [("light", "v1")]
    assert refresh(root, lambda: False, after_removal=True).indexes.interfaces == ()


def test_a_cancelled_refresh_changes_nothing(root: DataRoot, robot: Path) -> None:
    put(robot, light=interface())
    refresh(root, lambda: True)
    assert load_indexes(root).interfaces == ()


def test_a_damaged_index_counts_as_empty(root: DataRoot, robot: Path) -> None:
    put(robot, light=interface())
    again(root)
    for damaged in ("", "{", '{"version": 2, "entries": []}', '{"version": 1, "entries": [{}]}'):
        root.interface_index.write_text(damaged)
        assert load_indexes(root).interfaces == ()


# --- looking up ------------------------------------------------------------------------------------------------------


def test_the_lowest_repository_wins_and_in_it_the_first_path(root: DataRoot, tmp_path: Path) -> None:
    for name, more in (("a", ""), ("b", ", interfaces: {}")):
        put(tmp_path / name, y__light=interface(more=more), x__light=interface(more=f"{more} /* x */"))
    save_repositories(root, [Repository(2, "fs", str(tmp_path / "a")), Repository(1, "fs", str(tmp_path / "b"))])
    again(root)
    document = resolve_interfaces(root, claims("light")).documents[LIGHT]
    assert document.raw == (tmp_path / "b" / "x" / "light.json5").read_bytes()
    assert [entry.repository for entry in load_indexes(root).interfaces] == [1, 1, 2, 2]


def test_what_the_index_does_not_know_is_left_out(root: DataRoot, robot: Path) -> None:
    put(robot, light=interface())
    again(root)
    resolved = resolve_interfaces(root, claims("light", "sound"))
    assert (list(resolved.documents), resolved.broken) == ([LIGHT], {})


@pytest.mark.parametrize("change", ["edited", "deleted"])
def test_a_document_that_is_not_what_it_was_asks_for_a_refresh(root: DataRoot, robot: Path, change: str) -> None:
    put(robot, light=interface())
    again(root)
    if change == "edited":
        put(robot, light=interface(more=", interfaces: {}"))
    else:
        (robot / "light.json5").unlink()
    (problem,) = resolve_interfaces(root, claims("light")).broken[LIGHT]
    assert (problem.kind, problem.hint) == ("InterfaceNotCached", "run `peppy repo refresh`")
    assert "has changed since" in problem.message or "cannot be read any more" in problem.message


def test_using_a_broken_document_reports_all_its_errors(root: DataRoot, robot: Path) -> None:
    put(robot, light=interface(more=", interfaces: { topics: [{}], topic: [] }, extra: 1"))
    again(root)
    problems = resolve_interfaces(root, claims("light")).broken[LIGHT]
    assert sorted(problem.kind for problem in problems) == ["MissingKey", "UnknownKey", "UnknownKey"]
    assert {problem.file for problem in problems} == {str(robot / "light.json5")}


def test_documents_of_others_count_only_for_what_the_node_does_not_name(root: DataRoot, robot: Path) -> None:
    put(robot, light=interface(), sound=interface("sound"))
    again(root)
    others = resolve_interfaces(root, claims("light", "sound")).documents
    root.interface_index.unlink()
    assert list(resolve_interfaces(root, claims("light")).checked_with(others)) == [Reference("sound", "v1")]


def test_walking_stops_when_it_is_told_to(robot: Path) -> None:
    put(robot, light=interface())
    assert list(found_documents(robot, lambda: True)) == []
