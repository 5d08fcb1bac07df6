"""`peppy completions`."""

import click

from peppy.cli.command import verb
from peppy.cli.report import Report
from peppy.cli.usage import misuse
from peppy.model.text import nearest, quoted

SHELLS = ("bash", "zsh", "fish")


@verb("completions", prints_result=False)
@click.argument("shell", metavar="<bash|zsh|fish>")
def command(report: Report, shell: str) -> object:
    """Print the completion script of a shell: `eval "$(peppy completions bash)"`."""
    from click.shell_completion import get_completion_class

    from peppy.cli.program import peppy

    if shell not in SHELLS or (script := get_completion_class(shell)) is None:
        found = nearest(shell, SHELLS)
        raise misuse(f"{quoted(shell)} is no shell", f"did you mean `{found}`?" if found else "use bash, zsh or fish")
    report.result(script(peppy, {}, "peppy", "_PEPPY_COMPLETE").source())
    return None
