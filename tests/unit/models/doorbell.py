"""Explorer of the sleep/wake protocol of docs/design/ring.md (armed mask, eventfd doorbells): no wake-up may be lost.

One writer publishes MESSAGES messages and stops, two readers take all of them and sleep; all may be killed at any step.
No timer helps a sleeper: a lost wake-up is a state in which a live reader sleeps for ever beside a message. The daemon
tells the readers when the writer has died, as it does in the real system.

  writer  P5 seq = n (release) | P8 m = exchange(armed, 0) | for each bit of m: write(doorbell, 1)
  reader  ring has a message: take it | fetch_or(armed, bit) | check again | poll(doorbell) | read(doorbell) | check ...

Every mutant must be caught. Run: python tests/unit/models/doorbell.py (exit 1 on any surprise).
"""

import sys
from functools import partial

from explorer import RELEASE, Case, drained, drains, explore, goto, load, poke, report, store

MESSAGES, READERS = 3, 2
WRITER = READERS  # processes 0 and 1 are the readers
SEQ, ARMED, NOTICE = 0, 1, 2  # words; seq stands for head and descriptors, notice = the daemon has spoken
DOORBELL = 3  # one eventfd per reader; read() takes the whole count, so "not zero" is all that matters

MUTANTS = (
    "plain load before exchange",
    "no check after arming",
    "armed cleared after ringing, not exchanged",
    "reader arms after the second check",
    "eventfd read between arming and sleeping",
    "death of the writer not announced",
)


def writer_steps(model, mutant, state):
    step, value = state[2][WRITER]
    if step == "publish" and value <= MESSAGES:
        yield goto(store(model, state, WRITER, SEQ, value, RELEASE), WRITER, ("look", value))
    elif step == "look" and mutant == MUTANTS[0]:
        asleep = load(state, WRITER, ARMED)  # a plain load may overtake the pending store of SEQ
        yield goto(state, WRITER, ("exchange" if asleep else "publish", value if asleep else value + 1))
    elif step in ("look", "exchange") and drained(state, WRITER):
        mask = load(state, WRITER, ARMED)
        if mutant == MUTANTS[2]:
            yield goto(state, WRITER, ("ring", (value, mask, "then clear")))
        else:
            yield goto(poke(state, ARMED, 0), WRITER, ("ring", (value, mask, "")))
    elif step == "ring":
        number, mask, after = value
        for reader in range(READERS):  # lowest bit first, one write per step
            if mask >> reader & 1:
                yield goto(poke(state, DOORBELL + reader, 1), WRITER, ("ring", (number, mask & ~(1 << reader), after)))
                return
        yield goto(poke(state, ARMED, 0) if after else state, WRITER, ("publish", number + 1))


def reader_steps(mutant, state, me):
    step, cursor = state[2][me]
    has_message = load(state, me, SEQ) >= cursor
    if step == "check":
        next_step = "check again" if mutant == MUTANTS[3] else "arm"
        yield goto(state, me, ("check", cursor + 1) if has_message else (next_step, cursor))
    elif step == "arm":
        next_step = "poll" if mutant in (MUTANTS[1], MUTANTS[3]) else "check again"
        yield goto(poke(state, ARMED, load(state, me, ARMED) | 1 << me), me, (next_step, cursor))
    elif step == "check again":
        next_step = {MUTANTS[3]: "arm", MUTANTS[4]: "read, then poll"}.get(mutant, "poll")
        yield goto(state, me, ("check" if has_message else next_step, cursor))
    elif step == "poll" and load(state, me, DOORBELL + me):
        yield goto(state, me, ("check" if mutant == MUTANTS[4] else "read", cursor))
    elif step in ("read", "read, then poll"):
        yield goto(poke(state, DOORBELL + me, 0), me, ("check" if step == "read" else "poll", cursor))


def steps_of(model, mutant):
    def steps(state):
        yield from drains(model, state)
        yield from writer_steps(model, mutant, state)
        for reader in range(READERS):
            yield from reader_steps(mutant, state, reader)
        writer_is_dead = state[2][WRITER][0] == "dead" and drained(state, WRITER)
        if writer_is_dead and not load(state, WRITER, NOTICE) and mutant != MUTANTS[5]:
            told = poke(state, NOTICE, 1)
            for reader in range(READERS):
                told = poke(told, DOORBELL + reader, 1)
            yield told

    return steps


def may_happen(state):
    for process, (step, _) in enumerate(state[2]):
        if step != "dead":
            yield goto(state, process, ("dead", 0))


def lost_wake_up(state):
    for reader in range(READERS):
        step, cursor = state[2][reader]
        if step == "poll" and load(state, reader, SEQ) >= cursor:
            return f"reader {reader} sleeps beside message {cursor}"
    return None


def run(model, mutant=None):
    start = ((0,) * (DOORBELL + READERS), ((),) * (READERS + 1), (("check", 1),) * READERS + (("publish", 1),))
    return explore(start, steps_of(model, mutant), may_happen, stuck=lost_wake_up)


def cases():
    for model in ("SC", "TSO", "PSO"):
        yield Case("as designed", model, False, partial(run, model))
    for mutant in MUTANTS:
        yield Case(mutant, "TSO", True, partial(run, "TSO", mutant))


if __name__ == "__main__":
    sys.exit(report("sleep/wake: 1 writer, 2 readers, every process killable", cases()) > 0)
