"""What happens to a goal, on its way to stdout (docs/reference/cli.md, Calls and goals)."""

import json
from typing import TYPE_CHECKING, Any

from peppy.cli.calling import message_data, message_lines
from peppy.cli.report import Report
from peppy.cli.terminal import harmless
from peppy.cli.watching import local_time
from peppy.errors import DecodeError, PeppyError
from peppy.model.goals import ResultStatus

if TYPE_CHECKING:
    from peppy.codec import Plan
    from peppy.protocol.calls import Decided
    from peppy.ring import View
    from peppy.runtime.watch_goal import GoalEnd


class GoalEvents:
    """Prints events as text or as JSON lines; what means failure is told to `report`."""

    def __init__(self, report: Report, feedback: "Plan[Any]", result: "Plan[Any]", *, full: bool) -> None:
        self._report = report
        self._feedback = feedback
        self._result = result
        self._full = full
        self._messages = 0

    def decided(self, goal_id: str, decided: "Decided") -> None:
        """The goal was accepted, or not."""
        self._report.envelope = False
        instance_id = decided.instance_id
        if decided.accepted:
            return self._print(["accepted"], event="accepted", instance_id=instance_id, goal_id=goal_id)
        reason = decided.error_message or ""
        self._report.unsuccessful(PeppyError(f"rejected: {reason}", kind="GoalRejected"))
        text = f"rejected: {harmless(reason)}".rstrip()
        return self._print([text], event="rejected", instance_id=instance_id, goal_id=goal_id, error_message=reason)

    def feedback(self, view: "View") -> None:
        """One feedback message. One that cannot be decoded is a warning."""
        try:
            lines = message_lines(self._feedback, view.data, full=self._full)
            data = message_data(self._feedback, view.data, full=self._full) if self._report.as_json else None
        except DecodeError as error:
            self._report.warning(f"DecodeError: {error.message}")
            return
        self._print(self._divided(lines), event="feedback", message=data)
        self._messages += 1

    def cancelled(self) -> None:
        """Ctrl-C has cancelled the goal."""
        self._report.interrupted()
        self._report.info("cancelling the goal; Ctrl-C again leaves without its result")

    def ended(self, end: "GoalEnd") -> None:
        """The goal is terminal. Raises DecodeError for a result that is no payload."""
        lines, data = [end.status.name], None
        if end.payload is not None and self._result.message_format is not None:
            lines += message_lines(self._result, end.payload, full=self._full)
            data = message_data(self._result, end.payload, full=self._full) if self._report.as_json else None
        if end.feedback_lost:
            self._report.warning(f"{end.feedback_lost} feedback message(s) were lost: they came faster than we read")
        instance_id, status = end.instance_id, end.status.name
        self._print(self._divided(lines), event="result", instance_id=instance_id, status=status, result=data)
        if end.status is not ResultStatus.COMPLETED:
            self._report.unsuccessful(PeppyError(f"the goal is {status}", kind="CommandFailed"))

    def _divided(self, lines: list[str]) -> list[str]:
        return ["---", *lines] if self._messages else lines

    def _print(self, lines: list[str], **data: object) -> None:
        text = "\n".join(lines)
        if self._report.as_json:
            text = json.dumps({"time": local_time(), **data}, ensure_ascii=False, allow_nan=False)
        print(text, flush=True)
