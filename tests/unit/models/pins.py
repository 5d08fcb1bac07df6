"""Explorer of the pin protocol of docs/design/ring.md: a chunk that a valid view names is never written, and the writer
always finds a chunk.

One writer publishes through `slots` descriptors of which `depth` are held; readers take and release views in any order.
A reader takes any published message, so every cursor, history and skipping rule is covered. A process that dies or is
stopped is one that takes no further step, which the search covers anyway; "writer stuck" therefore counts a scan that
frees nothing, even if a reader could still move. What death adds is the recycled row: it is modelled on its own.

  writer  P1 pop a chunk or scan the pins | P2 payload | P3 victim.seq = 0 | P4 e.chunk | P5 e.seq = n | P7 retire
  reader  T3 q = e.seq | T4 c = e.chunk | T6 pin = c + 1 | T7 e.seq still q: a view, else pin = 0 | ... | unpin: pin = 0
  death   a reader stops; its stores drain; lease free; the writer zeroes its pins and hands the row to a newcomer

Every mutant must be caught. Run: python tests/unit/models/pins.py (exit 1 on any surprise).
"""

import sys
from collections import namedtuple
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

# Words of memory: e.seq per slot, e.chunk per slot, payload per chunk, pins of reader 1, of reader 2, ...
Ring = namedtuple(
    "Ring", "model depth slots chunks readers pins messages recycle mutant chunk_at payload_at pin_at words"
)
MUTANTS = (
    "T6/T7 without seq_cst (no reader barrier)",
    "P3 without seq_cst (no writer barrier)",
    "T7 left out (no second look)",
    "P4/P5 plain (no store order)",
    "one chunk too few",
    "row handed over before its pins are zeroed",
)
WRITER = 0  # process 0; readers are 1, 2, ...
IDLE = ("idle", 0, 0, 0)
LOCALS = ("number", "chunk", "free", "retired", "shadow", "marks")  # of the writer


def writer_steps(ring, state):
    """Local values: message number, chunk being filled, free and retired chunks, chunk of each held message, marks."""
    step, number, chunk, free, retired, shadow, marks = state[2][WRITER]
    slot, victim = number % ring.slots, (number - ring.depth) % ring.slots

    def then(next_state, next_step, **changed):
        values = (number, chunk, free, retired, shadow, marks)
        changes = (changed.get(name, value) for name, value in zip(LOCALS, values, strict=True))
        return goto(next_state, WRITER, (next_step, *changes))

    def put(word, value, order, next_step, **changed):
        return then(store(ring.model, state, WRITER, word, value, order), next_step, **changed)

    lax = ring.mutant == MUTANTS[3]
    if step == "P1" and number <= ring.messages:
        if free:
            yield then(state, "P2", chunk=free[0], free=free[1:])
        if retired or not free:  # scanning early, last freed first used: reuse after as few messages as possible
            yield then(state, "scan")
    elif step == "scan" and settled(state, WRITER):
        if len(marks) < ring.words - ring.pin_at:
            yield then(state, "scan", marks=(*marks, load(state, WRITER, ring.pin_at + len(marks))))
        else:
            freed = tuple(c for c in retired if c + 1 not in marks)
            kept = tuple(c for c in retired if c + 1 in marks)
            next_step = "P1" if freed or free else "stuck"
            yield then(state, next_step, free=freed + free, retired=kept, marks=())
    elif step == "P2":
        yield put(ring.payload_at + chunk, number, PLAIN, "P3")
    elif step == "P3":
        order = RELEASE if ring.mutant == MUTANTS[1] else SEQ_CST
        yield put(victim, 0, order, "P4")
    elif step == "P4":
        yield put(ring.chunk_at + slot, chunk, PLAIN if lax else RELEASE, "P5")
    elif step == "P5":
        held = (*shadow, chunk)
        old, held = (held[:1], held[1:]) if len(held) > ring.depth else ((), held)
        order = PLAIN if lax else RELEASE
        yield put(slot, number, order, "P1", number=number + 1, retired=retired + old, shadow=held, chunk=-1)


def reader_steps(ring, state, me):
    """Local values: what it is doing (step, slot, seq, chunk) and per pin the view it holds, (seq, chunk) or None."""
    (step, slot, seq, chunk), views = state[2][me]
    if step == "dead":
        return
    pin = views.index(None) if None in views else None  # the pin of the take in progress: the first unused one
    pins = ring.pin_at + (me - 1) * ring.pins
    lax = ring.mutant == MUTANTS[0]
    if step == "idle":
        for held, view in enumerate(views):
            if view:
                released = store(ring.model, state, me, pins + held, 0, RELEASE)
                yield goto(released, me, (IDLE, (*views[:held], None, *views[held + 1 :])))
        for any_slot in range(ring.slots if pin is not None else 0):
            published = load(state, me, any_slot)
            if published:
                yield goto(state, me, (("T4", any_slot, published, 0), views))
    elif step == "T4":
        yield goto(state, me, (("T6", slot, seq, load(state, me, ring.chunk_at + slot)), views))
    elif step == "T6":
        pinned = store(ring.model, state, me, pins + pin, chunk + 1, RELEASE if lax else SEQ_CST)
        yield goto(pinned, me, (("T7", slot, seq, chunk), views))
    elif step == "T7" and settled(state, me):
        if load(state, me, slot) == seq or ring.mutant == MUTANTS[2]:
            yield goto(state, me, (IDLE, (*views[:pin], (seq, chunk), *views[pin + 1 :])))
        else:
            yield goto(store(ring.model, state, me, pins + pin, 0, RELEASE), me, (IDLE, views))


def death_steps(ring, state, me):
    """A reader dies at any step; when its stores have drained the writer clears the row, and a newcomer begins."""
    no_views = (None,) * ring.pins
    if state[2][me][0][0] != "dead":
        yield goto(state, me, (("dead", 0, 0, 0), no_views))
    elif drained(state, me) and room(state, WRITER):
        for word in range(ring.pin_at + (me - 1) * ring.pins, ring.pin_at + me * ring.pins):
            late = ring.mutant == MUTANTS[5]
            state = store(ring.model, state, WRITER, word, 0, RELEASE) if late else poke(state, word, 0)
        yield goto(state, me, (IDLE, no_views))


def run(ring):
    readers = range(1, ring.readers + 1)

    def steps(state):
        yield from drains(ring.model, state)
        yield from writer_steps(ring, state)
        for me in readers:
            yield from reader_steps(ring, state, me) if room(state, me) else ()
            yield from death_steps(ring, state, me) if ring.recycle else ()

    def wrong(state):
        if state[2][WRITER][0] == "stuck":
            return "a scan that frees nothing"
        for me in readers:
            for seq, chunk in filter(None, state[2][me][1]):
                found = load(state, me, ring.payload_at + chunk)
                if found != seq:
                    return f"a view of message {seq} shows {found}"
        return None

    memory = (0,) * ring.words
    writer = ("P1", 1, -1, tuple(range(ring.chunks)), (), (), ())
    start = (memory, ((),) * (ring.readers + 1), (writer,) + ((IDLE, (None,) * ring.pins),) * ring.readers)
    return explore(start, steps, wrong=wrong)


def ring_of(model, readers=1, pins=1, depth=1, slots=None, messages=4, recycle=False, mutant=None):
    slots, chunks = slots or depth, depth + readers * pins + 1 - (mutant == MUTANTS[4])
    at = (slots, 2 * slots, 2 * slots + chunks, 2 * slots + chunks + readers * pins)
    return Ring(model, depth, slots, chunks, readers, pins, messages, recycle, mutant, *at)


DESIGNED = (
    ("1 reader, 1 pin", {}),
    ("1 reader, 1 pin, depth 2", {"depth": 2, "messages": 5}),
    ("1 reader, 1 pin, 2 slots for depth 1", {"slots": 2, "messages": 5}),
    ("1 reader, 1 pin, rows recycled after death", {"recycle": True}),
    ("1 reader, 2 pins", {"pins": 2}),
)


def cases():
    for name, sizes in DESIGNED:
        for model in ("SC", "TSO", "PSO"):
            yield Case(name, model, False, partial(run, ring_of(model, **sizes)))
    yield Case("2 readers, 1 pin each", "PSO", False, partial(run, ring_of("PSO", readers=2, messages=3)))
    for mutant in MUTANTS:
        recycle = mutant == MUTANTS[5]
        yield Case(mutant, "PSO", True, partial(run, ring_of("PSO", recycle=recycle, mutant=mutant)))


if __name__ == "__main__":
    sys.exit(report("pins: 1 writer, readers that take and release in any order", cases()) > 0)
