"""`peppy repo list` as text (docs/reference/cli.md, `peppy repo`)."""

from peppy.cli.render.repositories import refreshed_text, repository_lines
from peppy.protocol.answers import RepositoryEntry, RepositoryLauncher, RepositoryRow

ROWS = (
    RepositoryRow(
        5,
        "fs",
        "/home/ada/own",
        nodes=(
            RepositoryEntry("wheels", "0.2.0", "/home/ada/own/wheels/peppy.json5", False, None),
            RepositoryEntry("peppy.json5", None, "/home/ada/own/x/peppy.json5", False, "DocumentEmpty: is empty"),
        ),
        launchers=(RepositoryLauncher("start", "/home/ada/own/start.json5", False, None),),
    ),
    RepositoryRow(
        1000,
        "fs",
        "/opt/robot",
        interfaces=(RepositoryEntry("drive", "v1", "/opt/robot/drive.json5", True, None),),
    ),
)


def test_repositories_have_ids_and_nodes_launchers_and_interfaces_follow() -> None:
    assert repository_lines(ROWS) == [
        "5: /home/ada/own (2 nodes):",
        "  wheels       0.2.0  /home/ada/own/wheels/peppy.json5",
        "  peppy.json5  -      /home/ada/own/x/peppy.json5       (broken: DocumentEmpty: is empty)",
        "1000: /opt/robot (0 nodes):",
        "",
        "Launchers:",
        "  start  /home/ada/own/start.json5",
        "",
        "Interfaces:",
        "  drive  v1  /opt/robot/drive.json5  (duplicate)",
    ]


def test_without_repositories_there_is_nothing_to_show() -> None:
    assert repository_lines([]) == []


def test_a_refresh_tells_how_much_there_is() -> None:
    assert refreshed_text(ROWS) == "Refreshed 2 repositories: 2 nodes, 1 launchers, 1 interfaces"
