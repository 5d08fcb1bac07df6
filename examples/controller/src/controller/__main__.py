"""Sends an arm around: one goal runs to its end, one is refused as the arm is busy, one is cancelled on its way."""

import asyncio

from peppygen import NodeBuilder, NodeRunner
from peppygen.consumed_actions import brain_move_arm as move_arm
from peppygen.consumed_services import brain_where_is as where_is
from peppygen.parameters import Parameters

from peppy.errors import ActionFeedbackClosed

TIMEOUT = 10.0
"""Seconds that the brain has to take a goal or to answer; it may still be starting."""


async def fire(runner: NodeRunner, arm: int, position: list[int]) -> move_arm.ActionHandle:
    print(f"arm {arm} to {position}, please")
    handle = await move_arm.ActionHandle.fire_goal(runner, move_arm.GoalRequest(arm, position), TIMEOUT)
    print("accepted" if handle.data.accepted else f"rejected: {handle.data.error_message}")
    return handle


async def follow(handle: move_arm.ActionHandle, cancel_after: int = 0) -> None:
    """Print the feedback until the goal has ended and then its result; ask to cancel it after so many messages."""
    count = 0
    try:
        while True:
            feedback = await handle.on_next_feedback_message()
            count += 1
            print(f"  at {list(feedback.new_position)}")
            if count == cancel_after:
                print(f"  cancel: {(await handle.cancel_goal(TIMEOUT)).state.name}")
    except ActionFeedbackClosed:
        pass
    result = await handle.get_result(TIMEOUT)
    where = "" if result.data is None else f" at {list(result.data.final_position)}"
    print(f"result {result.status.name}{where} after {count} feedback messages")


async def control(params: Parameters, runner: NodeRunner) -> None:
    arm = params.arm_id
    first = await fire(runner, arm, [100, 50, 0])
    await fire(runner, arm, [0, 0, 0])  # the arm is on its way: refused
    await follow(first)
    await follow(await fire(runner, arm, [500, 500, 500]), cancel_after=5)
    answer = await where_is.poll(runner, where_is.Request(arm_id=arm), TIMEOUT)
    print(f"arm {arm} of `{answer.instance_id}` is at {list(answer.data.position)}, moving: {answer.data.moving}")


async def setup(params: Parameters, runner: NodeRunner) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(control(params, runner))]


def main() -> None:
    NodeBuilder().run(setup)


if __name__ == "__main__":
    main()
