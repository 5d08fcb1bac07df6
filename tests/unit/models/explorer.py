"""Exhaustive exploration of small concurrent protocols: the memory models and the search that all models share.

A state is (memory, buffers, processes): a tuple of words, one tuple of pending stores per process, and what each
process does next with its local values. A store waits in its process's buffer until it drains to memory:

  SC    no buffer, a store is visible at once
  TSO   x86: stores drain in program order
  PSO   stand-in for ARM: stores to different words drain in any order, a release store never before an earlier store

A load sees the process's own youngest pending store, else memory. A seq_cst load waits until no seq_cst store of its
own process is pending (weaker than x86 xchg, as strong as ARM stlr/ldar). A read-modify-write first drains the own
buffer. Loads are not reordered: every load that matters in docs/design/ring.md is acquire or stronger. What holds under
PSO holds under TSO, what holds under TSO holds under SC; a mutant may need the weaker ones to show.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

PLAIN, RELEASE, SEQ_CST = "plain", "release", "seq_cst"
BUFFER = 6  # a process with this many pending stores waits: keeps the search finite


class Finding(NamedTuple):
    """How many states a search has seen, and what was wrong with the last of them, if anything."""

    states: int
    complaint: str | None


class Case(NamedTuple):
    """One search: a protocol as designed, which must hold, or a mutant of it, which must be caught."""

    name: str
    model: str
    mutant: bool
    search: Callable[[], Finding]

    def is_as_expected(self, finding: Finding) -> bool:
        return bool(finding.complaint) == self.mutant


def replaced(values, index, value):
    return (*values[:index], value, *values[index + 1 :])


def goto(state, who, next_step):
    memory, buffers, processes = state
    return memory, buffers, replaced(processes, who, next_step)


def load(state, who, word):
    memory, buffers, _ = state
    for pending, value, _ in reversed(buffers[who]):
        if pending == word:
            return value
    return memory[word]


def store(model, state, who, word, value, order):
    memory, buffers, processes = state
    if model == "SC":
        return replaced(memory, word, value), buffers, processes
    return memory, replaced(buffers, who, buffers[who] + ((word, value, order),)), processes


def poke(state, word, value):
    """Change memory at once: the second half of a read-modify-write, or something the kernel does."""
    memory, buffers, processes = state
    return replaced(memory, word, value), buffers, processes


def room(state, who):
    """True when this process may store."""
    return len(state[1][who]) < BUFFER


def drained(state, who):
    """True when a read-modify-write of this process may happen."""
    return not state[1][who]


def settled(state, who):
    """True when a seq_cst load of this process may happen."""
    return all(order != SEQ_CST for _, _, order in state[1][who])


def drains(model, state):
    """The states in which one pending store of any process has reached memory."""
    memory, buffers, processes = state
    for who, buffer in enumerate(buffers):
        for index in range(len(buffer) if model == "PSO" else min(1, len(buffer))):
            word, value, order = buffer[index]
            if index and (order != PLAIN or any(earlier == word for earlier, _, _ in buffer[:index])):
                continue
            left = buffer[:index] + buffer[index + 1 :]
            yield replaced(memory, word, value), replaced(buffers, who, left), processes


def explore(start, steps, may_happen=None, wrong=None, stuck=None) -> Finding:
    """Visit every reachable state, nearest first, until one gives reason to complain.

    may_happen(state) gives what nobody can count on, such as a crash. wrong(state) is asked of every state,
    stuck(state) of those in which no process has a step left.
    """
    seen, todo = {start}, deque([start])
    while todo:
        state = todo.popleft()
        following = list(steps(state))
        complaint = wrong(state) if wrong else None
        if stuck and not following:
            complaint = complaint or stuck(state)
        if complaint:
            return Finding(len(seen), complaint)
        if may_happen:
            following.extend(may_happen(state))
        for successor in following:
            if successor not in seen:
                seen.add(successor)
                todo.append(successor)
    return Finding(len(seen), None)


def report(title: str, cases: Iterator[Case]) -> int:
    """Run every case and print one line for it; return the number of surprises."""
    surprises = 0
    print(title)
    for case in cases:
        finding = case.search()
        expected = case.is_as_expected(finding)
        surprises += not expected
        verdict = f"{'caught: ' if case.mutant else ''}{finding.complaint}" if finding.complaint else "holds"
        mark = "" if expected else "   <-- UNEXPECTED"
        print(f"  {case.name:52} {case.model:4} {finding.states:9,} states  {verdict}{mark}", flush=True)
    return surprises
