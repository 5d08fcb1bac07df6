"""What happens to a goal, on its way to stdout (docs/reference/cli.md, Calls and goals)."""

import json
from collections.abc import Sequence
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
        known = {"instance_id": decided.instance_id, "goal_id": goal_id}
        if decided.accepted:
            self._print({"event": "accepted", **known}, ["accepted"])
            return
        reason = decided.error_message or ""
        self._report.unsuccessful(PeppyError(f"rejected: {reason}", kind="GoalRejected"))
        rejected = {"event": "rejected", **known, "error_message": reason}
        self._print(rejected, [f"rejected: {harmless(reason)}".rstrip()])

    def feedback(self, payload: memoryview) -> None:
        """One feedback message. One that cannot be decoded is a warning."""
        try:
            if self._report.as_json:
                self._print({"event": "feedback", "message": self._data(self._feedback, payload)})
            else:
                self._print({}, self._divided(self._lines(self._feedback, payload)))
        except DecodeError as error:
            self._report.warning(f"DecodeError: {error.message}")
            return
        self._messages += 1

    def cancelled(self) -> None:
        """Ctrl-C has cancelled the goal."""
        self._report.interrupted()
        self._report.info("cancelling the goal; Ctrl-C again leaves without its result")

    def ended(self, end: "GoalEnd") -> None:
        """The goal is terminal. Raises DecodeError for a result that is no payload."""
        if end.feedback_lost:
            self._report.warning(f"{end.feedback_lost} feedback message(s) were lost: they came faster than we read")
        payload = end.payload if self._result.message_format is not None else None
        if self._report.as_json:
            result = None if payload is None else self._data(self._result, payload)
            known = {"instance_id": end.instance_id, "status": end.status.name}
            self._print({"event": "result", **known, "result": result})
        else:
            lines = [] if payload is None else self._lines(self._result, payload)
            self._print({}, self._divided([end.status.name, *lines]))
        if end.status is not ResultStatus.COMPLETED:
            if end.status is ResultStatus.ABANDONED:
                self._report.info(f"nobody can complete the goal any more: see `peppy node logs {end.instance_id}`")
            self._report.unsuccessful(PeppyError(f"the goal is {end.status.name}", kind="CommandFailed"))

    def _lines(self, plan: "Plan[Any]", payload: bytes | memoryview) -> list[str]:
        return message_lines(plan, payload, full=self._full)

    def _data(self, plan: "Plan[Any]", payload: bytes | memoryview) -> Any:
        return message_data(plan, payload, full=self._full)

    def _divided(self, lines: list[str]) -> list[str]:
        return ["---", *lines] if self._messages else lines

    def _print(self, event: dict[str, Any], lines: Sequence[str] = ()) -> None:
        """One event: a line of JSON, or these lines."""
        text = "\n".join(lines)
        if self._report.as_json:
            text = json.dumps({"time": local_time(), **event}, ensure_ascii=False, allow_nan=False)
        print(text, flush=True)
