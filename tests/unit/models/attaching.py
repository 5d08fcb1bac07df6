"""Explorer of rows that come and go while a reliable writer waits or publishes (docs/design/ring.md, Reliable streams).

One writer publishes MESSAGES messages into a ring that holds `depth`. It remembers up to where there is room, and
looks at the row only when that forbids the next message. One row is reserved, claimed, closed and reserved again, LIVES
times; its reader may die or close at any step. Rows are reserved and taken back under the writer's mutex, so never in
the middle of a publish. As in `backpressure.py` there is neither a timeout nor a slice: a lost wake-up is a writer that
waits for ever. A reader that has closed may keep its lease for as long as a view of it lives.

  reserve row: start = next or next - 1, row cleared, room_end lowered | claim: cursor = start | state = LIVE (release)
  writer  n < room_end: publish | look: state 0 counts with start, else cursor (seq_cst); room_end = cursor + depth
          | wants_space = 1 (seq_cst) | look again | row in the way with a free lease: take it back | poll(space)
  reader  take | cursor = next (seq_cst) | wants_space (seq_cst): exchange, ring | close: state, cursor beyond all, ring
  daemon  the reader has left or never came: take the row back, ring

Every mutant must be caught. Run: python tests/unit/models/attaching.py (exit 1 on any surprise).
"""

import sys
from functools import partial

from explorer import (
    PLAIN,
    RELEASE,
    SEQ_CST,
    Case,
    drained,
    drains,
    explore,
    goto,
    load,
    poke,
    report,
    room,
    settled,
    store,
)

MESSAGES, LIVES, BEYOND = 4, 2, 99
READER, WRITER = 0, 1
SEQ, WANTS_SPACE, SPACE, CURSOR, STATE, LEASE = range(6)
FREE, LIVE, CLOSING = range(3)

MUTANTS = (
    "new row does not lower what the writer remembers",
    "row without reader does not hold the writer",
    "row not cleared before it is reserved again",
    "row taken back without a ring",
    "closing does not publish a cursor",
)


def outside_the_mutex(state):
    return state[2][WRITER][0] in ("begin", "poll")


def writer_steps(model, depth, mutant, state):
    step, number, start, holding, room_end = state[2][WRITER]
    following = partial(goto, state, WRITER)
    if step == "begin" and number <= MESSAGES:
        next_step = "publish" if number < room_end else "look" if holding else "remember"
        yield following((next_step, number, start, holding, room_end))
    elif step == "remember":
        yield following(("publish", number, start, holding, BEYOND))
    elif step in ("look", "look again") and settled(state, WRITER):
        if load(state, WRITER, STATE) == FREE:
            cursor = number if mutant == MUTANTS[1] else start
            yield from decide(depth, state, step, cursor)
        else:
            yield following((step + " at the cursor", number, start, holding, room_end))
    elif step in ("look at the cursor", "look again at the cursor") and settled(state, WRITER):
        cursor = max(start, min(number, load(state, WRITER, CURSOR)))
        yield from decide(depth, state, step.removesuffix(" at the cursor"), cursor)
    elif step == "want":
        wanting = store(model, state, WRITER, WANTS_SPACE, 1, SEQ_CST)
        yield goto(wanting, WRITER, ("look again", number, start, holding, room_end))
    elif step == "lease":
        dead = load(state, WRITER, STATE) != FREE and not load(state, WRITER, LEASE)
        yield take_back(state, mutant, "publish") if dead else following(("poll", number, start, holding, room_end))
    elif step == "publish":
        published = store(model, state, WRITER, SEQ, number, RELEASE)
        yield goto(published, WRITER, ("begin", number + 1, start, holding, room_end))
    elif step == "poll" and load(state, WRITER, SPACE):
        yield goto(poke(state, SPACE, 0), WRITER, ("begin", number, start, holding, room_end))


def decide(depth, state, step, cursor):
    _, number, start, holding, _ = state[2][WRITER]
    refused = "want" if step == "look" else "lease"
    next_step = "publish" if number < cursor + depth else refused
    yield goto(state, WRITER, (next_step, number, start, holding, cursor + depth))


def take_back(state, mutant, next_step):
    """Whoever read there is gone; the next reader may have the row."""
    _, number, _, _, _ = state[2][WRITER]
    lives = state[2][READER][1]
    if mutant != MUTANTS[2]:
        state = poke(poke(state, CURSOR, 0), STATE, FREE)
    state = goto(state, READER, ("absent", lives, 0))
    return goto(state, WRITER, (next_step, number, 0, False, BEYOND))


def reader_steps(model, mutant, state):
    step, lives, cursor = state[2][READER]
    following = partial(goto, state, READER)
    if step == "reserved":
        yield goto(poke(state, LEASE, 1), READER, ("claim", lives, cursor))
    elif step == "claim" and room(state, READER):
        yield goto(store(model, state, READER, CURSOR, cursor, PLAIN), READER, ("live", lives, cursor))
    elif step == "live" and room(state, READER):
        yield goto(store(model, state, READER, STATE, LIVE, RELEASE), READER, ("take", lives, cursor))
    elif step == "take" and load(state, READER, SEQ) >= cursor:
        yield following(("publish", lives, cursor + 1))
    elif step == "close" and room(state, READER):
        next_step = "closed" if mutant == MUTANTS[4] else "publish"
        yield goto(store(model, state, READER, STATE, CLOSING, RELEASE), READER, (next_step, lives, BEYOND))
    elif step == "publish" and room(state, READER):
        yield goto(store(model, state, READER, CURSOR, cursor, SEQ_CST), READER, ("test", lives, cursor))
    elif step == "test" and settled(state, READER):
        wanted = load(state, READER, WANTS_SPACE)
        yield following(("exchange" if wanted else after(cursor), lives, cursor))
    elif step == "exchange" and drained(state, READER):
        wanted = load(state, READER, WANTS_SPACE)
        yield goto(poke(state, WANTS_SPACE, 0), READER, ("ring" if wanted else after(cursor), lives, cursor))
    elif step == "ring":
        yield goto(poke(state, SPACE, 1), READER, (after(cursor), lives, cursor))


def after(cursor):
    return "closed" if cursor == BEYOND else "take"


def daemon_steps(mutant, state):
    """What the kernel and the daemon do after a reader died, and what the daemon does after one has left."""
    step = state[2][READER][0]
    if step == "dead" and drained(state, READER) and load(state, READER, LEASE):
        yield poke(state, LEASE, 0)
    elif (step == "left" or (step == "dead" and drained(state, READER))) and outside_the_mutex(state):
        gone = take_back(state, mutant, state[2][WRITER][0])
        yield gone if mutant == MUTANTS[3] else poke(gone, SPACE, 1)


def steps_of(model, depth, mutant):
    def steps(state):
        yield from drains(model, state)
        yield from writer_steps(model, depth, mutant, state)
        yield from reader_steps(model, mutant, state)
        yield from daemon_steps(mutant, state)

    return steps


def may_happen_with(depth, mutant):
    def may_happen(state):
        """What nobody can count on: a reader comes, dies, closes, or lets go of its last view."""
        step, lives, cursor = state[2][READER]
        writer_step, number, _, _, room_end = state[2][WRITER]
        if step == "absent" and lives and outside_the_mutex(state):
            for start in {number, max(1, number - 1)}:
                lowered = room_end if mutant == MUTANTS[0] else min(room_end, start + depth)
                reserved = goto(state, READER, ("reserved", lives - 1, start))
                yield goto(reserved, WRITER, (writer_step, number, start, True, lowered))
        if step not in ("absent", "dead", "left"):
            yield goto(state, READER, ("dead", lives, BEYOND))
        if step == "take":
            yield goto(state, READER, ("close", lives, BEYOND))
        if step == "closed" and drained(state, READER):
            yield goto(poke(state, LEASE, 0), READER, ("left", lives, cursor))

    return may_happen


def run(model, depth, mutant=None):
    def lost_message(state):
        step, number, _, _, _ = state[2][WRITER]
        reader, _, cursor = state[2][READER]
        waits_for_it = reader in ("reserved", "claim", "live", "take", "publish", "test", "exchange", "ring")
        if step == "publish" and waits_for_it and cursor <= number - depth:
            return f"message {number} overwrites {number - depth}, unread by a reader at `{reader}`"
        return None

    def waiting_for_ever(state):
        step, number, _, _, _ = state[2][WRITER]
        return f"writer waits for ever with message {number}" if step == "poll" else None

    start = ((0,) * 6, ((), ()), (("absent", LIVES, 0), ("begin", 1, 0, False, BEYOND)))
    steps, may_happen = steps_of(model, depth, mutant), may_happen_with(depth, mutant)
    return explore(start, steps, may_happen, wrong=lost_message, stuck=waiting_for_ever)


def cases():
    for depth in (1, 2):
        for model in ("SC", "TSO", "PSO"):
            yield Case(f"as designed, depth {depth}", model, False, partial(run, model, depth))
    for mutant in MUTANTS:
        yield Case(mutant, "TSO", True, partial(run, "TSO", 1, mutant))


if __name__ == "__main__":
    sys.exit(report("attaching: 1 writer, 1 row whose readers come, close and die", cases()) > 0)
