"""`peppy goal`."""

import time

import click

from peppy.cli.arguments import given_object, message_of, packed
from peppy.cli.calling import member, plans
from peppy.cli.command import verb
from peppy.cli.options import seconds_option
from peppy.cli.report import Report
from peppy.cli.session import daemon
from peppy.errors import PeppyError


@verb("goal", json_lines=True)
@click.argument("action", metavar="<action>")
@click.argument("argument", metavar="[json5]", required=False)
@seconds_option("--timeout", 5.0, "How long the decision may take; 5 s unless given.")
@click.option("--feedback", is_flag=True, help="Print the feedback messages as they come.")
@seconds_option("--result-timeout", None, "How long the result may take; no limit unless given.")
@click.option("--full", is_flag=True, help="Print long arrays and bytes in full.")
def command(
    report: Report,
    action: str,
    argument: str | None,
    timeout: float,
    feedback: bool,
    result_timeout: float | None,
    full: bool,
) -> object:
    """Give a goal to an action and print how it ends. The goal is one JSON5 object, as in '{ bay: 7 }'; - reads it from
    standard input. Ctrl-C cancels the goal and waits for its end, a second Ctrl-C does not wait."""
    from peppy.cli.goal_events import GoalEvents
    from peppy.runtime.watch_goal import WatchedGoal

    given = given_object(argument)
    deadline = time.monotonic() + timeout
    with daemon(report) as client:
        found = member(report, client, "action", action, deadline)
        goal_plan, feedback_plan, result_plan = plans(found)
        if feedback and found.feedback_qos is None:
            raise PeppyError(f"`{found.address}` has no feedback", kind="Refused", hint="leave `--feedback` out")
        message = message_of(goal_plan, given)
        events = GoalEvents(report, feedback_plan, result_plan, full=full)
        with WatchedGoal(client, found, events.cancelled, events.feedback if feedback else None) as goal:
            request = packed(goal_plan, message)
            try:
                decided = goal.fire(request, max(0.0, deadline - time.monotonic()), timeout)
            finally:
                request.close()
            events.decided(goal.goal_id, decided)
            if decided.accepted:
                events.ended(goal.follow(result_timeout))
            if goal.was_cancelled:
                report.ends_by_interrupt = True
                raise KeyboardInterrupt
    return None
