"""Messages of one topic on their way to stdout (docs/reference/cli.md, Topics of a running stack)."""

import json
import time
from typing import TYPE_CHECKING, Any

from peppy.cli.report import Report
from peppy.cli.watching import local_time
from peppy.errors import DecodeError, PeppyError

if TYPE_CHECKING:
    from peppy.cli.render.messages import Selection
    from peppy.codec import Plan
    from peppy.protocol.answers import TopicDetails


class Echo:
    """Prints messages as text or as JSON lines; `shown` counts them. `learn` comes before the first `show`."""

    def __init__(self, report: Report, field: str | None, *, full: bool, raw: bool) -> None:
        self.report = report
        self.shown = 0
        self._field = field
        self._full = full
        self._raw = raw

    def learn(self, topic: "TopicDetails") -> None:
        """Take over the format. Raises PeppyError when it has no such field, or is not the one the producer writes."""
        from peppy.cli.render.messages import select
        from peppy.codec import plan_of

        self._instance_id = topic.instance_id
        self._plan: Plan[Any] = plan_of(topic.address, topic.format, {})
        if f"{self._plan.schema_hash:016x}" != topic.schema_hash and not self._raw:
            raise PeppyError(
                f"`{topic.address}` writes another format than its node declares",
                kind="SchemaMismatch",
                hint="read it with `--raw`, or run `peppy node sync` and add the node again",
            )
        self._selection: Selection = select(topic.address, self._plan.message_format, self._field)

    def show(self, payload: memoryview, publish_time_ns: int) -> None:
        """Print one message. One that cannot be decoded is a warning."""
        try:
            message = payload.hex() if self._raw else self._selection.of(self._plan.decode(payload, owned=False))
        except DecodeError as error:
            self.report.warning(f"DecodeError: {error.message}")
            return
        if self.report.as_json:
            print(self._json(message, publish_time_ns), flush=True)
        else:
            print(self._text(message), flush=True)
        self.shown += 1

    def _text(self, message: Any) -> str:
        from peppy.cli.render.messages import value_lines

        lines = [message] if self._raw else value_lines(self._selection.type, message, full=self._full)
        return "\n".join([*(["---"] if self.shown else []), *lines])

    def _json(self, message: Any, publish_time_ns: int) -> str:
        from peppy.cli.render.messages import value_data

        data = message if self._raw else value_data(self._selection.type, message, full=self._full)
        published = time.time() - (time.monotonic_ns() - publish_time_ns) / 1e9
        line = {"time": local_time(published), "instance_id": self._instance_id, "message": data}
        return json.dumps(line, ensure_ascii=False, allow_nan=False)
