"""A goal from firing to its acceptance, and feedback on its way, beside a topic with the same message."""

from collections.abc import Iterator

from bench.measure import Measure
from bench.results import Case, Sample
from bench.service import SIZE, prepared

ACTIONS = {"goal without feedback": "hold", "goal with feedback": "watch"}
FEEDBACK, TOPIC = "feedback, stamp to awaited", "topic, stamp to awaited"
READS = {FEEDBACK: ("send_feedback", "read_feedback"), TOPIC: ("send_topic", "read_topic")}
MESSAGES_PER_SECOND = 1000
"""The server pauses half a millisecond between two messages; so many is what it reaches at least."""


def plan(quick: bool) -> Iterator[tuple[Case, Measure]]:
    """Goals with and without feedback, then one message as feedback and over a topic."""
    for condition in ("awake",) if quick else ("awake", "free"):
        for note in ACTIONS:
            yield Case("goal", "peppy", "goal", SIZE, "typed-asyncio", condition, "us", f"{note}; round trip"), fire
        for note in READS:
            yield Case("goal", "peppy", "latency", SIZE, "typed-asyncio", condition, "us", note), read


def fire(case: Case, seconds: float) -> Sample:
    """One repeat: goals for about `seconds`, one after the other."""
    with prepared(case) as (caller, _):
        times = caller.call("fire", action=ACTIONS[case.note.partition(";")[0]], seconds=seconds)
    return Sample(n=len(times), times=times)


def read(case: Case, seconds: float) -> Sample:
    """One repeat: messages one way, as many as about `seconds` hold."""
    send, receive = READS[case.note]
    count = max(100, int(seconds * MESSAGES_PER_SECOND))
    with prepared(case) as (caller, server):
        caller.call("watch" if case.note == FEEDBACK else "open_topic")
        caller.ask(receive, count=count)
        server.call(send, count=count)
        times, lost = caller.answer()
    return Sample(n=len(times), times=times, lost=lost)
