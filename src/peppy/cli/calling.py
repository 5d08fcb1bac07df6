"""What `peppy call` and `peppy goal` share: finding the member, and showing the messages that it sends back."""

import time
from typing import TYPE_CHECKING, Any, Literal

from peppy.cli.report import Report
from peppy.cli.session import PLAIN_SECS
from peppy.errors import PeppyError

if TYPE_CHECKING:
    from peppy.client import Client
    from peppy.codec import Plan
    from peppy.protocol.answers import MemberDetails


LOOK_SECS = 0.05
"""How often to ask for a member that no live instance exposes yet."""


def member(
    report: Report, client: "Client", kind: Literal["service", "action"], address: str, deadline: float
) -> "MemberDetails":
    """How a service or an action is called. One that a node of the stack declares is waited for until the deadline
    (monotonic seconds): caller and producer may start in any order. Raises PeppyError, `Refused` for a name of several.
    """
    from peppy.protocol.frames import MemberInfo

    told = False
    while True:
        try:
            return client.call(MemberInfo(kind, address), timeout=PLAIN_SECS)
        except PeppyError as error:
            if error.kind != "NotLive":
                raise
            if time.monotonic() + LOOK_SECS > deadline:
                raise PeppyError(error.message, kind="NotFound", hint=error.hint) from None
        if not told:
            told = True
            report.info(f"waiting for an instance that exposes `{address}`")
        time.sleep(LOOK_SECS)


def plans(found: "MemberDetails") -> "tuple[Plan[Any], ...]":
    """One plan for each of its formats."""
    from peppy.codec import plan_of

    return tuple(plan_of(found.address, text, {}) for text in found.formats)


def message_lines(plan: "Plan[Any]", payload: bytes | memoryview, *, full: bool) -> list[str]:
    """A message in the form of `topic echo`. Raises DecodeError."""
    from peppy.cli.render.messages import select, value_lines

    kind = select(plan.member, plan.message_format, None).type
    return value_lines(kind, plan.decode(payload, owned=False), full=full)


def message_data(plan: "Plan[Any]", payload: bytes | memoryview, *, full: bool) -> Any:
    """A message for JSON, None without payload. Raises DecodeError."""
    from peppy.cli.render.messages import select, value_data

    kind = select(plan.member, plan.message_format, None).type
    return value_data(kind, plan.decode(payload, owned=False), full=full)
