"""Questions before something running is stopped (docs/reference/cli.md, Prompts)."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from peppy.cli.report import Report
from peppy.cli.session import PLAIN_SECS
from peppy.errors import PeppyError
from peppy.model.lifecycle import LIVE, Stage

if TYPE_CHECKING:
    from peppy.client import Client

Answer = TypeVar("Answer")


def stopping_allowed(
    report: Report,
    client: "Client",
    attempt: Callable[[bool], Answer],
    *,
    node: str | None,
    flag: str,
    consequence: str,
    yes: bool,
) -> Answer:
    """What `attempt(may_stop)` answers: first without stopping anything, and again when a person agrees.

    `node` limits the question to the instances of one `name:tag`; `yes` agrees beforehand. Raises the daemon's own
    refusal when no live instance is behind it, and `Aborted` when the answer is no.
    """
    if yes:
        return attempt(True)
    try:
        return attempt(False)
    except PeppyError as refusal:
        if flag not in (refusal.hint or "") or not _can_ask(report):
            raise
        if not (ids := _live_instances(client, node)):
            raise
    _ask(ids, consequence)
    return attempt(True)


def _can_ask(report: Report) -> bool:
    """Whether a person can be asked; without one the answer is no, and the refusal itself names the flag."""
    return not report.as_json and sys.stdin.isatty() and sys.stderr.isatty()


def _live_instances(client: "Client", node: str | None) -> list[str]:
    from peppy.protocol.frames import StackList

    stack = client.call(StackList(), timeout=PLAIN_SECS)
    nodes = [row for row in stack.nodes if row.stage != Stage.ROOT and node in (None, f"{row.name}:{row.tag}")]
    return sorted(instance.instance_id for row in nodes for instance in row.instances if instance.state in LIVE)


def _ask(ids: list[str], consequence: str) -> None:
    """Raises PeppyError unless a person says yes."""
    listed = ", ".join(f"`{instance_id}`" for instance_id in ids)
    print(f"{consequence} stops {listed}. Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):  # Ctrl-D: the question's line is still open
        print(file=sys.stderr, flush=True)
    if answer.strip().lower() not in ("y", "yes"):
        raise PeppyError("aborted by user", kind="Aborted")
