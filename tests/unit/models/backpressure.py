"""Explorer of the back-pressure protocol of docs/design/ring.md: a waiting writer is always woken, nothing is lost.

One writer publishes MESSAGES messages into a ring that holds `depth`, two readers take them. A reader may close or be
killed at any step, also half-way through waking the writer. The publish timeout and the 100 ms slices are left out, so
that a lost wake-up is a state in which the writer waits for ever. Death frees the reader's lease; then the daemon's
notice (in the real system a slice would do as well) rings the writer, which looks at cursors and leases again.

  writer  look at every row: lease held and cursor <= n - depth means it is in the way | nobody: publish n
          wants_space = 1 (seq_cst) | look again (seq_cst) | still somebody: poll(space), read(space), from the top
  reader  take | cursor = next (seq_cst) | wants_space (seq_cst) is 1: exchange(wants_space, 0); was 1: write(space, 1)
          closing is the same with a cursor beyond every message

Every mutant must be caught. Run: python tests/unit/models/backpressure.py (exit 1 on any surprise).
"""

import sys
from functools import partial

from explorer import RELEASE, SEQ_CST, Case, drained, drains, explore, goto, load, poke, report, settled, store

MESSAGES, READERS, BEYOND = 3, 2, 99
WRITER = READERS  # processes 0 and 1 are the readers
SEQ, WANTS_SPACE, SPACE = 0, 1, 2  # words; SPACE is the writer's eventfd
CURSOR, LEASE, NOTICE = (
    3,
    3 + READERS,
    3 + 2 * READERS,
)  # one word per reader; the cursor names the next message to take

MUTANTS = (
    "writer: release store, then load",
    "reader: release store, then load",
    "no look after setting wants_space",
    "dead reader not looked at again",
    "death of a reader not announced",
    "closing reader does not look at wants_space",
    "reader looks at wants_space before its store",
    "cursor published before the message is taken",
)


def writer_steps(model, depth, mutant, state):
    step, number, reader = state[2][WRITER]
    if step in ("look", "look again") and number <= MESSAGES and settled(state, WRITER):
        if reader == READERS:
            yield goto(state, WRITER, ("publish", number, 0))
            return
        alive = load(state, WRITER, LEASE + reader) or mutant == MUTANTS[3]
        if not alive or load(state, WRITER, CURSOR + reader) > number - depth:
            yield goto(state, WRITER, (step, number, reader + 1))
        else:
            yield goto(state, WRITER, ("want" if step == "look" else "poll", number, 0))
    elif step == "publish":
        yield goto(store(model, state, WRITER, SEQ, number, RELEASE), WRITER, ("look", number + 1, 0))
    elif step == "want":
        order = RELEASE if mutant == MUTANTS[0] else SEQ_CST
        next_step = "poll" if mutant == MUTANTS[2] else "look again"
        yield goto(store(model, state, WRITER, WANTS_SPACE, 1, order), WRITER, (next_step, number, 0))
    elif step == "poll" and load(state, WRITER, SPACE):
        yield goto(poke(state, SPACE, 0), WRITER, ("look", number, 0))


def reader_steps(model, mutant, state, me):
    step, cursor = state[2][me]
    if step == "take" and load(state, me, SEQ) >= cursor:
        if mutant == MUTANTS[7]:
            yield goto(state, me, ("publish early", cursor))
        else:
            yield goto(state, me, ("peek" if mutant == MUTANTS[6] else "publish", cursor + 1))
    elif step == "publish":
        order = RELEASE if mutant == MUTANTS[1] else SEQ_CST
        silent = cursor == BEYOND and mutant == MUTANTS[5]
        yield goto(store(model, state, me, CURSOR + me, cursor, order), me, ("take" if silent else "test", cursor))
    elif step == "publish early":
        yield goto(store(model, state, me, CURSOR + me, cursor + 1, SEQ_CST), me, ("copy late", cursor))
    elif step == "copy late":
        yield goto(state, me, ("test", cursor + 1))
    elif step == "peek":
        next_step = "store, then exchange" if load(state, me, WANTS_SPACE) else "store only"
        yield goto(state, me, (next_step, cursor))
    elif step in ("store, then exchange", "store only"):
        after = "exchange" if step == "store, then exchange" else "take"
        yield goto(store(model, state, me, CURSOR + me, cursor, SEQ_CST), me, (after, cursor))
    elif step == "test" and settled(state, me):
        yield goto(state, me, ("exchange" if load(state, me, WANTS_SPACE) else "take", cursor))
    elif step == "exchange" and drained(state, me):
        wanted = load(state, me, WANTS_SPACE)
        yield goto(poke(state, WANTS_SPACE, 0), me, ("ring" if wanted else "take", cursor))
    elif step == "ring":
        yield goto(poke(state, SPACE, 1), me, ("take", cursor))


def death_steps(mutant, state, reader):
    """What the kernel and the daemon do after a reader died: free its lease, then tell the writer."""
    if state[2][reader][0] != "dead" or not drained(state, reader):
        return
    if load(state, reader, LEASE + reader):
        yield poke(state, LEASE + reader, 0)
    elif not load(state, reader, NOTICE + reader) and mutant != MUTANTS[4]:
        yield poke(poke(state, NOTICE + reader, 1), SPACE, 1)


def steps_of(model, depth, mutant):
    def steps(state):
        yield from drains(model, state)
        yield from writer_steps(model, depth, mutant, state)
        for reader in range(READERS):
            yield from reader_steps(model, mutant, state, reader)
            yield from death_steps(mutant, state, reader)

    return steps


def may_happen(state):
    """What no waiting writer can count on: a reader dies, or closes between two messages."""
    for reader in range(READERS):
        step, cursor = state[2][reader]
        if step != "dead":
            yield goto(state, reader, ("dead", BEYOND))
        if step == "take" and cursor != BEYOND:
            yield goto(state, reader, ("publish", BEYOND))


def run(model, depth, mutant=None):
    def lost_message(state):
        step, number, _ = state[2][WRITER]
        for reader in range(READERS):
            if step == "publish" and state[2][reader][1] <= number - depth:
                return f"message {number} overwrites {number - depth}, unread by reader {reader}"
        return None

    def waiting_for_ever(state):
        step, number, _ = state[2][WRITER]
        return f"writer waits for ever with message {number}" if step == "poll" else None

    words = (0, 0, 0) + (1,) * READERS + (1,) * READERS + (0,) * READERS
    start = (words, ((),) * (READERS + 1), (("take", 1),) * READERS + (("look", 1, 0),))
    return explore(start, steps_of(model, depth, mutant), may_happen, wrong=lost_message, stuck=waiting_for_ever)


def cases():
    for depth in (1, 2):
        for model in ("SC", "TSO", "PSO"):
            yield Case(f"as designed, depth {depth}", model, False, partial(run, model, depth))
    for mutant in MUTANTS:
        yield Case(mutant, "TSO", True, partial(run, "TSO", 1, mutant))


if __name__ == "__main__":
    sys.exit(report("back-pressure: 1 writer, 2 readers that close or die at any step", cases()) > 0)
