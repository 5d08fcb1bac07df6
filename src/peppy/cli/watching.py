"""Reports about watched topics, window by window, as `topic hz` and `topic bw` print them."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

import click

from peppy.cli.report import Report
from peppy.cli.session import daemon
from peppy.cli.usage import misuse

if TYPE_CHECKING:
    from peppy.runtime.rates import Meter, Window
    from peppy.runtime.watch import WatchedTopic

LOOK_SECS = 0.05
"""How often the ring is looked at for the shortest, longest, smallest and largest."""

SHORTEST_WINDOW, LONGEST_WINDOW = 0.1, 3600.0


def window_options(body: Any) -> Any:
    """The arguments and options that `hz` and `bw` share."""
    topics = click.argument("topics", metavar="<topic>...", nargs=-1, required=True)
    window = click.option(
        "--window",
        metavar="<seconds>",
        type=float,
        default=1.0,
        callback=_window,
        help="Length of a window; 1 s unless given.",
    )
    return topics(window(count_option("reports", "End after n windows of each topic.")(body)))


def count_option(what: str, text: str) -> Callable[[Any], Any]:
    """`-n`: how many of something to print."""
    return click.option("-n", "count", metavar=f"<{what}>", type=int, callback=_count, help=text)


def _window(_context: click.Context, _option: click.Parameter, seconds: float) -> float:
    if not SHORTEST_WINDOW <= seconds <= LONGEST_WINDOW:
        raise misuse(f"`--window` cannot be `{seconds:g}`", f"give {SHORTEST_WINDOW:g} to {LONGEST_WINDOW:g} seconds")
    return seconds


def _count(_context: click.Context, _option: click.Parameter, count: int | None) -> int | None:
    if count is not None and count < 1:
        raise misuse(f"`-n` cannot be `{count}`", "give a number above 0")
    return count


def report_windows(
    report: Report,
    topics: Sequence[str],
    seconds: float,
    count: int | None,
    text: "Callable[[Window], str]",
    data: "Callable[[Window], dict[str, object]]",
) -> None:
    """Print a line for each window of each topic until `count` of each are out or every producer is gone.

    Raises PeppyError of the daemon for a topic that nobody declares.
    """
    from peppy.runtime.watch import Watches

    with daemon(report) as client, Watches(client) as watches:
        watched = [watches.open(topic, reads=False) for topic in topics]
        report.envelope = False
        report.ends_by_interrupt = count is None
        for topic in watched:
            say_what_is_missing(report, topic)
        going = [_Measured(topic, seconds, count) for topic in watched]
        while going:
            watches.wait(_pause(going))
            for measured in going:
                if (window := measured.step()) is not None:
                    _print(report, measured.topic, window, len(topics) > 1, text, data)
                if measured.topic.gone and measured.left != 0:
                    say_gone(report, measured.topic)
            going = [measured for measured in going if not measured.topic.gone and measured.left != 0]


@dataclass(eq=False, slots=True)
class _Measured:
    """One topic with what is left to report of it; `meter` is None until there is a stream."""

    topic: "WatchedTopic"
    seconds: float
    left: int | None
    meter: "Meter | None" = None

    def step(self) -> "Window | None":
        """Look at the stream; the window that has ended, if one has."""
        from peppy.runtime.rates import Meter

        if self.meter is None:
            if self.topic.observer is None:
                return None
            self.meter = Meter(self.topic.observer, self.seconds)
        self.meter.look()
        if monotonic_ns() < self.meter.ends_ns:
            return None
        self.left = None if self.left is None else self.left - 1
        return self.meter.window()


def say_what_is_missing(report: Report, topic: "WatchedTopic") -> None:
    """Tell a person why nothing is shown yet."""
    if not topic.open:
        reason = "it has published nothing yet" if topic.live else "no live instance emits it yet"
        report.info(f"waiting for `{topic.address}`: {reason}")


def say_gone(report: Report, topic: "WatchedTopic") -> None:
    """Tell a person why this is the end."""
    report.warning(f"the producer of `{topic.address}` is gone")


def _pause(going: "list[_Measured]") -> float | None:
    """Until the next look or the end of a window; None while there is nothing to look at."""
    ends = [measured.meter.ends_ns for measured in going if measured.meter is not None]
    return min(LOOK_SECS, (min(ends) - monotonic_ns()) / 1e9) if ends else None


def _print(
    report: Report,
    topic: "WatchedTopic",
    window: "Window",
    several: bool,
    text: "Callable[[Window], str]",
    data: "Callable[[Window], dict[str, object]]",
) -> None:
    if report.as_json:
        line = json.dumps({"time": local_time(), "topic": topic.address, **data(window)}, ensure_ascii=False)
    else:
        line = f"{topic.address}: {text(window)}" if several else text(window)
    print(line, flush=True)


def local_time(seconds: float | None = None) -> str:
    """Now, or a time in seconds since the Unix epoch, as RFC 3339 with offset and milliseconds."""
    moment = datetime.now() if seconds is None else datetime.fromtimestamp(seconds)
    return moment.astimezone().isoformat(timespec="milliseconds")
