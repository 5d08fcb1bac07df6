"""`peppy repo init`."""

from peppy.cli.command import verb
from peppy.cli.report import Report
from peppy.cli.session import check_data_root, home
from peppy.cli.terminal import shortened


@verb("repo init")
def command(report: Report) -> object:
    """Create conf/repositories.json5 with an empty list; a file that is there stays as it is."""
    root = home()
    check_data_root(root)
    path = root / "conf" / "repositories.json5"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x") as file:
            file.write("[]\n")
        made = True
    except FileExistsError:
        made = False
    shown = shortened(str(path))
    report.result(f"Created {shown}" if made else f"{shown} is already in place")
    return {"path": str(path), "created": made}
