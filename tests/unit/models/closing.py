"""Explorer of the end of a stream of docs/design/ring.md: every reader gets the last message, and then the end.

One writer publishes MESSAGES messages and closes, two readers take all of them and learn the end; all may be killed at
any step. The daemon tells the readers when the writer has died.

  writer  P5 seq = n (release), P8 | ... | closed_status (release) | closed_seq = last + 1 (release) | P8: doorbells
  reader  ring has a message: take it | cursor >= closed_seq: read closed_status, end | writer's lease is free: look at
          ring and closed_seq again, only then "gone" | fetch_or(armed, bit) | look at both again | poll, read(doorbell)

Every mutant must be caught. Run: python tests/unit/models/closing.py (exit 1 on any surprise).
"""

import sys
from functools import partial

from explorer import PLAIN, RELEASE, Case, drained, drains, explore, goto, load, poke, report, store

MESSAGES, READERS, STATUS = 2, 2, 7
WRITER = READERS  # processes 0 and 1 are the readers
SEQ, ARMED, CLOSED_STATUS, CLOSED_SEQ, LEASE, NOTICE, DOORBELL = (
    0,
    1,
    2,
    3,
    4,
    5,
    6,
)  # words; DOORBELL is one per reader

MUTANTS = (
    "doorbells before closed_seq",
    "end judged by an empty ring",
    "closed_seq before closed_status",
    "closed_seq stored without release",
    "closed_seq not looked at after arming",
    "no second look at the ring after the writer's death",
    "no second look at closed_seq after the writer's death",
    "closing does not ring",
    "death of the writer not announced",
)
BELLS_FIRST, EMPTY_RING, SEQ_FIRST, PLAIN_SEQ, BLIND_ARM, NO_RING_AGAIN, NO_END_AGAIN, SILENT, NO_NOTICE = MUTANTS


def closing_order(mutant):
    if mutant == BELLS_FIRST:
        return ["status", "exchange", "closed_seq", "done"]
    if mutant == SEQ_FIRST:
        return ["closed_seq", "status", "exchange", "done"]
    if mutant == SILENT:
        return ["status", "closed_seq", "done"]
    return ["status", "closed_seq", "exchange", "done"]


def writer_steps(model, mutant, state):
    """Local values: the message being published, the doorbells still to ring, and what comes after them."""
    step, number, mask = state[2][WRITER]
    order = closing_order(mutant)
    if step == "publish" and number <= MESSAGES:
        yield goto(store(model, state, WRITER, SEQ, number, RELEASE), WRITER, ("wake", number, 0))
    elif step == "publish":
        yield goto(state, WRITER, (order[0], number, 0))
    elif step == "wake" and drained(state, WRITER):
        yield goto(poke(state, ARMED, 0), WRITER, ("ring", number, load(state, WRITER, ARMED)))
    elif step == "exchange" and drained(state, WRITER):
        yield goto(poke(state, ARMED, 0), WRITER, ("ring at the end", number, load(state, WRITER, ARMED)))
    elif step in ("ring", "ring at the end"):
        for reader in range(READERS):  # lowest bit first, one write per step
            if mask >> reader & 1:
                yield goto(poke(state, DOORBELL + reader, 1), WRITER, (step, number, mask & ~(1 << reader)))
                return
        following = ("publish", number + 1, 0) if step == "ring" else (order[order.index("exchange") + 1], number, 0)
        yield goto(state, WRITER, following)
    elif step == "status":
        stored = store(model, state, WRITER, CLOSED_STATUS, STATUS, RELEASE)
        yield goto(stored, WRITER, (order[order.index(step) + 1], number, 0))
    elif step == "closed_seq":
        stored = store(model, state, WRITER, CLOSED_SEQ, number, PLAIN if mutant == PLAIN_SEQ else RELEASE)
        yield goto(stored, WRITER, (order[order.index(step) + 1], number, 0))


def has_ended(state, me, cursor, mutant):
    closed = load(state, me, CLOSED_SEQ)
    return closed and (cursor >= closed or mutant == EMPTY_RING)


def reader_steps(mutant, state, me):
    """Local values: the next message to take, and the status once the end is known."""
    step, cursor, _ = state[2][me]
    has_message = load(state, me, SEQ) >= cursor

    def then(next_step):
        return goto(state, me, (next_step, cursor, 0))

    if step == "look":
        yield goto(state, me, ("look", cursor + 1, 0)) if has_message else then("end?")
    elif step == "end?":
        yield then("read status" if has_ended(state, me, cursor, mutant) else "alive?")
    elif step == "read status":
        yield goto(state, me, ("ended", cursor, load(state, me, CLOSED_STATUS)))
    elif step == "alive?":
        dead = "end again?" if mutant == NO_RING_AGAIN else "look again"
        yield then("arm" if load(state, me, LEASE) else dead)
    elif step == "look again":
        nothing = "gone" if mutant == NO_END_AGAIN else "end again?"
        yield then("look" if has_message else nothing)
    elif step == "end again?":
        yield then("read status" if has_ended(state, me, cursor, mutant) else "gone")
    elif step == "arm":
        armed = poke(state, ARMED, load(state, me, ARMED) | 1 << me)
        yield goto(armed, me, ("armed, look", cursor, 0))
    elif step == "armed, look":
        nothing = "poll" if mutant == BLIND_ARM else "armed, end?"
        yield then("look" if has_message else nothing)
    elif step == "armed, end?":
        yield then("read status" if has_ended(state, me, cursor, mutant) else "poll")
    elif step == "poll" and load(state, me, DOORBELL + me):
        yield goto(poke(state, DOORBELL + me, 0), me, ("look", cursor, 0))


def death_steps(mutant, state):
    """The kernel drops a dead writer's lease when its stores are visible; then the daemon tells the readers."""
    if state[2][WRITER][0] != "dead" or not drained(state, WRITER):
        return
    if load(state, WRITER, LEASE):
        yield poke(state, LEASE, 0)
    elif not load(state, WRITER, NOTICE) and mutant != NO_NOTICE:
        told = poke(state, NOTICE, 1)
        for reader in range(READERS):
            told = poke(told, DOORBELL + reader, 1)
        yield told


def may_happen(state):
    for process, (step, _, _) in enumerate(state[2]):
        if step not in ("dead", "ended", "gone"):
            yield goto(state, process, ("dead", 0, 0))


def wrong(state):
    for reader in range(READERS):
        step, cursor, status = state[2][reader]
        if step == "ended" and cursor != MESSAGES + 1:
            return f"reader {reader} reports the end without message {cursor}"
        if step == "ended" and status != STATUS:
            return f"reader {reader} reports the end with a status that was not given"
        if step == "gone" and load(state, reader, SEQ) >= cursor:
            return f"reader {reader} reports the writer gone without message {cursor}"
        if step == "gone" and load(state, reader, CLOSED_SEQ):
            return f"reader {reader} reports the writer gone, but it had closed the stream"
    return None


def asleep_at_the_end(state):
    for reader in range(READERS):
        if state[2][reader][0] == "poll":
            return f"reader {reader} sleeps for ever"
    return None


def run(model, mutant=None):
    def steps(state):
        yield from drains(model, state)
        yield from writer_steps(model, mutant, state)
        for reader in range(READERS):
            yield from reader_steps(mutant, state, reader)
        yield from death_steps(mutant, state)

    words = (0, 0, 0, 0, 1, 0) + (0,) * READERS
    start = (words, ((),) * (READERS + 1), (("look", 1, 0),) * READERS + (("publish", 1, 0),))
    return explore(start, steps, may_happen, wrong=wrong, stuck=asleep_at_the_end)


def cases():
    for model in ("SC", "TSO", "PSO"):
        yield Case("as designed", model, False, partial(run, model))
    for mutant in MUTANTS:
        yield Case(mutant, "PSO", True, partial(run, "PSO", mutant))


if __name__ == "__main__":
    sys.exit(report("end of a stream: 1 writer that closes, 2 readers, every process killable", cases()) > 0)
