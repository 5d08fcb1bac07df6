"""Explorer of the attach protocol of docs/design/ring.md: a row has one owner, and nobody else clears its pins.

One producer keeps one row for two consumers after each other. Claims travel through the daemon and may be late by any
time; the daemon may report a consumer gone that is not; consumers close or die at any step. Tickets name reservations,
the lease (a byte lock, which the kernel drops with its holder) decides who may write the row.

  writer    ticket = t (release) | answer | ... | lock, refused: the owner lives | ticket = 0, zero the row | unlock
  consumer  lock, refused: stale | ticket is not t: unlock, stale | zero pins, cursor = start | state = LIVE (release)
            pin = c + 1 ... pin = 0 | closing: pins = 0, state = GONE, unlock

A lock, an unlock and a message through a socket happen in the kernel: the stores before them are visible after them.
Every mutant must be caught. Run: python tests/unit/models/claims.py (exit 1 on any surprise).
"""

import sys
from functools import partial

from explorer import PLAIN, RELEASE, SEQ_CST, Case, drained, drains, explore, goto, load, poke, report, store

CONSUMERS = 2
WRITER = CONSUMERS  # processes 0 and 1 are the consumers; consumer c gets ticket c + 1
TICKET, PIN, CURSOR, STATE, LEASE, MAIL = 0, 1, 2, 3, 4, 5  # words; MAIL is one word per consumer: its claim
FREE, LIVE, GONE = 0, 1, 2
NOBODY, BY_WRITER = 0, 99  # what LEASE says beside ticket numbers

MUTANTS = (
    "consumer does not compare the ticket",
    "taken back without the lease",
    "ticket cleared after the lease is dropped",
    "row zeroed after it was given to the next consumer",
    "closing consumer drops the lease before its pins",
    "row LIVE before it is zeroed and its cursor set",
    "LIVE stored without release",
    "dead owner's row taken before the kernel dropped its lease",
)
NO_COMPARE, NO_LEASE, LATE_TICKET, LATE_ZERO, LATE_PINS, EARLY_LIVE, PLAIN_LIVE, EARLY_DEATH = MUTANTS

OWNING = ("zero pin", "set cursor", "live", "use", "view", "zero last", "gone", "unlock")


def take_back_order(mutant):
    """The writer's steps from the lock on."""
    order = ["lock", "ticket = 0", "pin = 0", "cursor = 0", "state = 0", "unlock"]
    if mutant == NO_LEASE:
        order = [step for step in order if step not in ("lock", "unlock")]
    if mutant == LATE_TICKET:
        order = ["lock", "pin = 0", "cursor = 0", "state = 0", "unlock", "ticket = 0"]
    if mutant == LATE_ZERO:
        order = ["lock", "ticket = 0", "unlock"]
    return [*order, "free"]


def after_answer(mutant):
    """What is left of zeroing the row once it was given away: nothing, as designed."""
    return ["pin = 0", "cursor = 0", "state = 0", "idle"] if mutant == LATE_ZERO else ["idle"]


CLEARING = {"ticket = 0": TICKET, "pin = 0": PIN, "cursor = 0": CURSOR, "state = 0": STATE}


def writer_steps(model, mutant, state):
    """Local values: the ticket the row is reserved for (0 = free) and the next consumer."""
    step, reserved, consumer = state[2][WRITER]
    order = take_back_order(mutant)
    if step == "idle" and not reserved and consumer < CONSUMERS:
        yield goto(
            store(model, state, WRITER, TICKET, consumer + 1, RELEASE), WRITER, ("answer", consumer + 1, consumer)
        )
    elif step == "answer" and drained(state, WRITER):
        yield goto(poke(state, MAIL + consumer, reserved), WRITER, (after_answer(mutant)[0], reserved, consumer + 1))
    elif step == "idle" and reserved:
        yield goto(state, WRITER, (order[0], reserved, consumer))  # somebody says that the consumer is gone
        if load(state, WRITER, STATE) == LIVE:
            yield goto(state, WRITER, ("look", reserved, consumer))
    elif step == "look":
        seen = load(state, WRITER, CURSOR)
        if load(state, WRITER, STATE) == LIVE:
            yield goto(state, WRITER, ("idle" if seen == reserved else "saw a foreign cursor", reserved, consumer))
        else:
            yield goto(state, WRITER, ("idle", reserved, consumer))
    elif step == "lock" and drained(state, WRITER):
        dead = mutant == EARLY_DEATH and state[2][reserved - 1][0] == "dead"
        if load(state, WRITER, LEASE) == NOBODY or dead:
            yield goto(poke(state, LEASE, BY_WRITER), WRITER, (order[1], reserved, consumer))
        else:
            yield goto(state, WRITER, ("idle", reserved, consumer))
    elif step in CLEARING:
        cleared = store(model, state, WRITER, CLEARING[step], 0, RELEASE)
        sequence = order if step in order else after_answer(mutant)
        yield goto(cleared, WRITER, (sequence[sequence.index(step) + 1], reserved, consumer))
    elif step == "unlock" and drained(state, WRITER):
        yield goto(poke(state, LEASE, NOBODY), WRITER, (order[order.index(step) + 1], reserved, consumer))
    elif step == "free":
        yield goto(state, WRITER, ("idle", 0, consumer))


def claim_order(mutant):
    """A consumer's steps from the successful comparison to the use of its row."""
    if mutant == EARLY_LIVE:
        return ["live", "zero pin", "set cursor", "use"]
    return ["zero pin", "set cursor", "live", "use"]


def consumer_steps(model, mutant, state, me):
    (step,) = state[2][me]
    ticket = me + 1
    claiming = claim_order(mutant)

    def put(word, value, order, next_step):
        return goto(store(model, state, me, word, value, order), me, (next_step,))

    if step == "wait" and load(state, me, MAIL + me):
        yield goto(state, me, ("lock",))
    elif step == "lock" and drained(state, me):
        if load(state, me, LEASE) == NOBODY:
            yield goto(poke(state, LEASE, ticket), me, ("compare",))
        else:
            yield goto(state, me, ("stale",))
    elif step == "compare":
        good = load(state, me, TICKET) == ticket or mutant == NO_COMPARE
        yield goto(state, me, (claiming[0] if good else "give up",))
    elif step == "give up" and drained(state, me):
        yield goto(poke(state, LEASE, NOBODY), me, ("stale",))
    elif step == "zero pin":
        yield put(PIN, 0, RELEASE, claiming[claiming.index(step) + 1])
    elif step == "set cursor":
        yield put(CURSOR, ticket, PLAIN, claiming[claiming.index(step) + 1])
    elif step == "live":
        lax = mutant == PLAIN_LIVE
        yield put(STATE, LIVE, PLAIN if lax else RELEASE, claiming[claiming.index(step) + 1])
    elif step == "use":
        yield put(PIN, ticket, SEQ_CST, "view")
    elif step == "view":
        yield from [goto(state, me, ("gone",))] if mutant == LATE_PINS else [put(PIN, 0, RELEASE, "gone")]
    elif step == "gone":
        yield put(STATE, GONE, RELEASE, "unlock")
    elif step == "unlock" and drained(state, me):
        yield goto(poke(state, LEASE, NOBODY), me, ("zero last" if mutant == LATE_PINS else "done",))
    elif step == "zero last":
        yield put(PIN, 0, RELEASE, "done")


def death_steps(state, me):
    """The kernel drops a dead consumer's lease when its stores are visible."""
    if state[2][me] == ("dead",) and drained(state, me) and load(state, me, LEASE) == me + 1:
        yield poke(state, LEASE, NOBODY)


def may_happen(state):
    for me in range(CONSUMERS):
        if state[2][me][0] not in ("dead", "done", "stale"):
            yield goto(state, me, ("dead",))


def wrong(state):
    step, reserved, _ = state[2][WRITER]
    if step == "saw a foreign cursor":
        return "the writer sees a LIVE row with a cursor that is not its reader's"
    owners = [me for me in range(CONSUMERS) if state[2][me][0] in OWNING and state[2][me][0] != "zero last"]
    if len(owners) > 1:
        return "the row has two owners"
    for me in owners:
        if step == "idle" and reserved != me + 1:
            return f"consumer {me} owns a row that is {f'kept for ticket {reserved}' if reserved else 'free'}"
        if state[2][me] == ("view",) and load(state, me, PIN) != me + 1:
            return f"the pin of a view of consumer {me} is cleared"
    return None


def run(model, mutant=None):
    def steps(state):
        yield from drains(model, state)
        yield from writer_steps(model, mutant, state)
        for me in range(CONSUMERS):
            yield from consumer_steps(model, mutant, state, me)
            yield from death_steps(state, me)

    memory = (0,) * (MAIL + CONSUMERS)
    start = (memory, ((),) * (CONSUMERS + 1), (("wait",),) * CONSUMERS + (("idle", 0, 0),))
    return explore(start, steps, may_happen, wrong=wrong)


def cases():
    for model in ("SC", "TSO", "PSO"):
        yield Case("as designed", model, False, partial(run, model))
    for mutant in MUTANTS:
        yield Case(mutant, "PSO", True, partial(run, "PSO", mutant))


if __name__ == "__main__":
    sys.exit(report("attach: 1 row, 2 consumers after each other, late claims, false reports, deaths", cases()) > 0)
