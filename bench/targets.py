"""Which targets the figures of a run meet (docs/design/performance.md, Targets): ratios inside one run."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

Row = dict[str, Any]


class Verdict(NamedTuple):
    """One target: what was measured, and the limit. `met` is None when this run lacks a figure for it."""

    name: str
    claim: str
    measured: str
    limit: str
    met: bool | None


def verdicts(rows: Sequence[Row]) -> Iterator[Verdict]:
    """All targets; those that compare us with another middleware only where that is installed."""
    figures = _Figures(rows)
    mib, eight = 1 << 20, 8 << 20
    small = figures.latency("raw-block")
    eventfd, loop = figures.floor("floor:eventfd"), figures.floor("floor:asyncio-eventfd")
    yield _most("T1", "64 B raw, polling, awake", figures.latency("raw-poll"), 1.5, "us")
    yield _ratio("must", "64 B raw, blocking, awake / eventfd", small, eventfd, 1.35)
    yield _ratio("T2", "64 B raw, blocking, awake / Unix socket", small, figures.floor("unix-socket"), 1.1)
    yield _most("T3", "64 B raw, blocking, one CPU", figures.latency("raw-block", condition="1cpu"), 5.0, "us")
    typed = figures.latency("typed-asyncio", suite="typed")
    yield _ratio("must", "typed IMU, asyncio, awake / eventfd", typed, eventfd, 2.0)
    yield _ratio("T4", "typed IMU, asyncio, awake / asyncio eventfd", typed, loop, 1.3)
    loaned = figures.latency("loan-block")
    for size in (mib, eight):
        figure = figures.latency("loan-block", size)
        yield _ratio("T5", f"{_size(size)} loaned, blocking / 64 B loaned", figure, loaned, 1.15)
    frames = figures.value(test="throughput", suite="throughput", size=6_220_800)
    for note in ("into 5 buffers", "into one buffer"):
        memcpy = figures.value(peer="floor:memcpy", size=6_220_800, note=note)
        yield _ratio("T6", f"6.2 MB frames / memcpy {note}", frames, memcpy, 0.85, least=True)
    for size in (mib, eight):
        yield from _sending(figures, size)
    for how in ("copy", "loan"):
        figure = figures.p50(test="take_scaling", size=eight, note=how)
        yield _most("must", f"take and view at 8 MiB, written by {how}", figure, 5.0, "us")
    copied = figures.p50(test="take_scaling", size=eight, note="copy")
    rare = figures.p50(test="take_scaling", size=64, note="a millisecond")
    yield _ratio("must", "take and view at 8 MiB, by copy / 64 B as rarely", copied, rare, 1.5)
    raw = figures.value(test="throughput", suite="throughput", size=64, note="paced")
    yield _least("T7", "64 B raw, nothing lost", raw, 1.0e6, "msg/s")
    flow = figures.value(test="throughput", suite="typed", size=64, note="paced")
    yield _least("T7", "64 B typed, nothing lost", flow, 5.0e5, "msg/s")
    yield from _calling(figures)
    bare = figures.p50(peer="floor:python")
    start = figures.p50(test="startup", note="exec of its interpreter")
    above = None if start is None or bare is None else start - bare
    yield _most("T11", "node start to first message, above a bare interpreter", above, 250.0, "ms")
    yield _most("T12", "subscriber that waits", figures.value(test="idle", note="waits"), 0.05, "%")
    yield _most("T12", "daemon with idle nodes", figures.value(test="idle", note="daemon"), 0.5, "%")
    yield _most("T12", "memory of a subscriber", figures.value(test="idle", note="above a bare"), 25.0, "MiB")
    yield _most("T13", "peppy --help", figures.p50(test="cli", note="--help"), 150.0, "ms")
    yield _most("T13", "peppy stack list", figures.p50(test="cli", note="stack list"), 250.0, "ms")
    none = figures.p50(test="publish_scaling", size=64, note="readers=0 depth=128;")
    many = figures.p50(test="publish_scaling", size=64, note="readers=16 depth=128;")
    yield _ratio("T14", "publish to 16 readers / to none", many, none, 2.0)
    yield from _watching(figures)


def table(judged: Iterable[Verdict]) -> str:
    """The verdicts for people."""
    words = {True: "met", False: "MISSED", None: "not measured"}
    lines = [f"{'target':<6} {'':<56} {'measured':>18} {'limit':>16}"]
    for entry in judged:
        lines.append(
            f"{entry.name:<6} {entry.claim:<56} {entry.measured:>18} {entry.limit:>16}  {words[entry.met]}".rstrip()
        )
    return "\n".join(lines)


def _calling(figures: "_Figures") -> Iterator[Verdict]:
    """Calls and goals through the daemon, which stands where the kernel puts it."""
    call = figures.p50(peer="peppy", test="service", condition="awake", note="daemon anywhere")
    for peer, claim, limit in (("zenoh", "", 0.75), ("iceoryx2", "stretch: ", 1.0)):
        theirs = figures.p50(peer=peer, test="service", condition="awake")
        yield _ratio("T9", f"{claim}service round trip, awake / {peer}", call, theirs, limit)
    for note in ("goal without feedback", "goal with feedback"):
        goal = figures.p50(peer="peppy", test="goal", condition="awake", note=note)
        yield _ratio("T10", f"{note}, fired to accepted / service", goal, call, 1.5)
    feedback, topic = (
        figures.p50(suite="goal", test="latency", condition="awake", note=note) for note in ("feedback,", "topic,")
    )
    yield _ratio("T10", "feedback one way / the same message over a topic", feedback, topic, 1.15)


def _watching(figures: "_Figures") -> Iterator[Verdict]:
    """`topic hz` and `topic bw`: as good as the publisher's own figures, next to nothing themselves, and not felt."""
    for size, name in ((6_220_800, "30 Hz, 6.2 MB"), (64, "10 kHz, 64 B")):
        quiet = figures.p99(test="watch_publish", size=size, note="nobody")
        for tool in ("topic hz", "topic bw"):
            off = figures.value(test="watch_rate", size=size, note=tool)
            yield _most("watch", f"{tool}, {name}: off the truth", off, 0.5, "%")
            used = figures.value(test="watch_cpu", size=size, note=tool)
            yield _most("watch", f"{tool}, {name}: one CPU", used, 1.0, "%")
            watched = figures.p99(test="watch_publish", size=size, note=tool)
            yield _ratio("watch", f"{tool}, {name}: publish p99 / unwatched", watched, quiet, 1.2)


def _sending(figures: "_Figures", size: int) -> Iterator[Verdict]:
    """One publish against one memcpy: a shallow stream and a full one, each into as many buffers as it has chunks."""
    depths = sorted(
        int(row["note"].split("depth=")[1].split(";")[0])
        for row in figures.rows(test="publish_scaling", size=size, note="readers=0")
    )
    for depth in depths:
        publish = figures.p50(test="publish_scaling", size=size, note=f"depth={depth};")
        for note in (f"into {depth + 1} buffers", "into one buffer"):
            rate = figures.value(peer="floor:memcpy", size=size, note=note)
            copy = None if rate is None else size / rate / 1000
            claim = f"publish {_size(size)}, depth {depth} / memcpy {note}"
            yield _ratio("must", claim, publish, copy, 1.5)


class _Figures:
    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows

    def rows(self, note: str = "", **columns: object) -> list[Row]:
        """The rows with these values whose note holds this text."""
        return [row for row in self._rows if note in row["note"] and all(row[key] == columns[key] for key in columns)]

    def p50(self, **wanted: Any) -> float | None:
        return next((row["p50"] for row in self.rows(**wanted)), None)

    def p99(self, **wanted: Any) -> float | None:
        return next((row["p99"] for row in self.rows(**wanted)), None)

    def value(self, **wanted: Any) -> float | None:
        return next((row["value"] for row in self.rows(**wanted)), None)

    def latency(self, mode: str, size: int = 64, *, condition: str = "awake", suite: str = "latency") -> float | None:
        return self.p50(test="latency", suite=suite, peer="peppy", mode=mode, size=size, condition=condition)

    def floor(self, peer: str) -> float | None:
        return self.p50(test="latency", peer=peer, condition="awake")


def _most(name: str, claim: str, figure: float | None, limit: float, unit: str) -> Verdict:
    met = None if figure is None else figure <= limit
    return Verdict(name, claim, _number(figure, unit), f"<= {_number(limit, unit)}", met)


def _least(name: str, claim: str, figure: float | None, limit: float, unit: str) -> Verdict:
    met = None if figure is None else figure >= limit
    return Verdict(name, claim, _number(figure, unit), f">= {_number(limit, unit)}", met)


def _ratio(
    name: str, claim: str, figure: float | None, floor: float | None, limit: float, *, least: bool = False
) -> Verdict:
    ratio = None if figure is None or floor is None else figure / floor
    return _least(name, claim, ratio, limit, "x") if least else _most(name, claim, ratio, limit, "x")


def _number(figure: float | None, unit: str) -> str:
    return "-" if figure is None else f"{figure:,.0f} {unit}" if figure >= 1000 else f"{figure:.2f} {unit}"


def _size(size: int) -> str:
    return f"{size >> 20} MiB"
