"""Moves arms: each goal drives one arm step by step, a busy arm refuses, a cancelled one stops where it is."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from peppygen import NodeBuilder, NodeRunner
from peppygen.exposed_actions import move_arm
from peppygen.exposed_services import where_is
from peppygen.parameters import Parameters

MOST_ARMS = 8


class Arms:
    """Where every arm is, in mm, and which of them are moving."""

    def __init__(self) -> None:
        self.positions: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
        self.moving: set[int] = set()

    def decide(self, request: move_arm.GoalRequest) -> move_arm.GoalResponse:
        """One goal per arm at a time; the arm is taken as soon as its goal is accepted."""
        arm = request.data.arm_id
        if arm >= MOST_ARMS:
            return move_arm.GoalResponse.reject(f"there is no arm {arm}, arms are 0 to {MOST_ARMS - 1}")
        if arm in self.moving:
            return move_arm.GoalResponse.reject(f"arm {arm} is already moving")
        self.moving.add(arm)
        return move_arm.GoalResponse.accept()

    def where_is(self, request: where_is.Request) -> where_is.Response:
        """Answers while arms move: services and goals do not wait for each other."""
        arm = request.data.arm_id
        if arm >= MOST_ARMS:
            raise ValueError(f"there is no arm {arm}")
        return where_is.Response(position=self.positions[arm], moving=arm in self.moving)


async def move(goal: move_arm.GoalContext, arms: Arms, params: Parameters) -> None:
    """Drive one goal to its end. A cancel is looked for after every step."""
    arm, target = goal.request().data.arm_id, goal.request().data.desired_position
    position = arms.positions[arm]
    try:
        while position != list(target):
            position[:] = towards(position, target, params.step_mm)
            await goal.publish_feedback(new_position=position)
            await asyncio.sleep(params.step_secs)
            if goal.is_cancelled():
                await goal.complete_cancelled(success=False, error_msg="cancelled", final_position=position)
                return
        await goal.complete(success=True, error_msg=None, final_position=position)
    finally:
        arms.moving.discard(arm)


def towards(position: Sequence[int], target: Sequence[int], step: int) -> list[int]:
    """The next position on the way, at most `step` mm further along each axis."""
    return [here + max(-step, min(step, there - here)) for here, there in zip(position, target, strict=True)]


async def accept_goals(params: Parameters, runner: NodeRunner, arms: Arms) -> None:
    action = await move_arm.ActionHandle.expose(runner)
    while (goal := await action.handle_goal_next_request(arms.decide)) is not None:
        data = goal.request().data
        print(f"arm {data.arm_id} moves to {list(data.desired_position)} for {goal.request().instance_id}")
        asyncio.create_task(move(goal, arms, params))  # noqa: RUF006 (the runtime keeps the task)


async def serve(runner: NodeRunner, arms: Arms) -> None:
    while not runner.cancellation_token().is_cancelled():
        await where_is.handle_next_request(runner, arms.where_is)


async def setup(params: Parameters, runner: NodeRunner) -> list[asyncio.Task[None]]:
    arms = Arms()
    return [asyncio.create_task(accept_goals(params, runner, arms)), asyncio.create_task(serve(runner, arms))]


def main() -> None:
    NodeBuilder().run(setup)


if __name__ == "__main__":
    main()
