"""`peppy topic bw`."""

from peppy.cli.command import verb
from peppy.cli.report import Report
from peppy.cli.watching import report_windows, window_options


@verb("topic bw", json_lines=True)
@window_options
def command(report: Report, topics: tuple[str, ...], window: float, count: int | None) -> object:
    """Print how many bytes a second topics carry: one line a window and topic, with the mean, smallest and
    largest size of a message."""
    from peppy.cli.render.rates import bw_data, bw_text

    report_windows(report, topics, window, count, bw_text, bw_data)
    return None
