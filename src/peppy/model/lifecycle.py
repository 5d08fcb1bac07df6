"""Stages of a node, states of an instance, and the transitions between them (docs/reference/daemon.md, Stages)."""

from enum import StrEnum


class Stage(StrEnum):
    """How far a node's artifact is."""

    ROOT = "Root"
    ADDED = "Added"
    BUILDING = "Building"
    READY = "Ready"


class State(StrEnum):
    """What an instance does."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    FINISHED = "finished"
    FAILED = "failed"


LIVE = frozenset({State.STARTING, State.RUNNING, State.STOPPING})
ENDED = frozenset({State.FINISHED, State.FAILED})

STAGE_CHANGES: dict[Stage, frozenset[Stage]] = {
    Stage.ROOT: frozenset(),
    Stage.ADDED: frozenset({Stage.BUILDING, Stage.ADDED}),
    Stage.BUILDING: frozenset({Stage.READY, Stage.ADDED}),
    Stage.READY: frozenset({Stage.BUILDING, Stage.ADDED}),
}
STATE_CHANGES: dict[State, frozenset[State]] = {
    State.STARTING: frozenset({State.RUNNING, State.FAILED, State.STOPPING}),
    State.RUNNING: frozenset({State.FINISHED, State.FAILED, State.STOPPING}),
    State.STOPPING: frozenset({State.FINISHED}),
    State.FINISHED: frozenset(),
    State.FAILED: frozenset(),
}


def checked_stage(before: Stage, after: Stage) -> Stage:
    """`after`, when a node may go there from `before`; otherwise ValueError, a defect of the caller."""
    if after not in STAGE_CHANGES[before]:
        raise ValueError(f"a node cannot go from `{before}` to `{after}`")
    return after


def checked_state(before: State, after: State) -> State:
    """`after`, when an instance may go there from `before`; otherwise ValueError, a defect of the caller."""
    if after not in STATE_CHANGES[before]:
        raise ValueError(f"an instance cannot go from `{before}` to `{after}`")
    return after
