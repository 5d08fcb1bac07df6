"""`peppy topic hz`."""

from peppy.cli.command import verb
from peppy.cli.report import Report
from peppy.cli.watching import report_windows, window_options


@verb("topic hz", json_lines=True)
@window_options
def command(report: Report, topics: tuple[str, ...], window: float, count: int | None) -> object:
    """Print how many messages a second topics carry: one line a window and topic, with the shortest and
    longest time between two messages and what subscribers have lost."""
    from peppy.cli.render.rates import hz_data, hz_text

    report_windows(report, topics, window, count, hz_text, hz_data)
    return None
