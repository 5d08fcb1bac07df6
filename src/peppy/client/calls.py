"""Calls of the command line: one at a time, of one instance, blocking (docs/design/protocol.md, A call)."""

import select
import time
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from peppy.client.client import Client
from peppy.client.interrupt import Interrupts
from peppy.errors import PeppyError
from peppy.protocol.answers import MemberDetails
from peppy.protocol.calls import Acknowledged, Answered, Call, CallFailed, Decided, Goal, Withdraw
from peppy.protocol.frame import Received, close_all
from peppy.protocol.payloads import Packed, payload_of


class Called(NamedTuple):
    """Who has answered a call, and what."""

    instance_id: str
    core_node: str
    payload: bytes | memoryview


class _Descriptor(Protocol):
    def fileno(self) -> int: ...


def deadline_ns(seconds: float) -> int:
    """So many seconds from now on the clock of the protocol."""
    return time.monotonic_ns() + round(seconds * 1e9)


def wait_readable(descriptors: Iterable[_Descriptor | int], until_ns: int | None) -> None:
    """Sleep until there is something to read in one of them, or the time has come."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    left = None if until_ns is None else max(0, until_ns - time.monotonic_ns()) / 1e6
    poll.poll(left)


def call(
    client: Client, service: MemberDetails, request: Packed, seconds: float, allowed: float | None = None
) -> Called:
    """Call a service of one instance and wait for its response.

    `allowed` is what an error calls the time: the whole allowance in seconds, when a part of it is used up already.

    Raises PeppyError of the kinds `ServiceUnreachable`, `ServiceTimeout`, `ServiceError` and `SchemaMismatch`
    (docs/reference/services_actions.md, Outcomes), `DaemonUnavailable`, and DecodeError for a response that is no
    payload. Ctrl-C withdraws the call and raises KeyboardInterrupt.
    """
    until_ns = deadline_ns(seconds)
    frame = Call(
        client.new_call_id(),
        "",
        service.name,
        service.hashes,
        until_ns,
        instance_id=service.instance_id,
        interface=service.interface,
        beside=request.beside,
    )
    what = f"service `{service.address}`"
    with Interrupts() as interrupts:
        received = ask(client, interrupts, frame, (), request, what, seconds if allowed is None else allowed)
    answered = received.frame
    assert isinstance(answered, Answered)
    if answered.error is not None:
        close_all(received.fds)
        raise PeppyError(
            f"{what} returned error: {answered.error}", kind="ServiceError", hint=see_logs(service.instance_id)
        )
    return Called(answered.instance_id, answered.core_node, payload_of(received))


def ask(
    client: Client,
    interrupts: Interrupts,
    frame: Call | Goal,
    fds: tuple[int, ...],
    request: Packed,
    what: str,
    seconds: float,
) -> Received:
    """Send a call or a goal and wait for its `Answered` or `Decided`, until the deadline that it names.

    `fds` and the payload stay the caller's. Raises as `call`.
    """
    acknowledged = False
    target = frame.instance_id or ""
    client.tell(frame, (*fds, *request.fds), request.inside)
    while True:
        if interrupts.happened():
            client.tell(Withdraw(frame.call_id))
            raise KeyboardInterrupt
        if (received := client.notice()) is None:
            if time.monotonic_ns() >= frame.deadline_ns:
                client.tell(Withdraw(frame.call_id))
                raise _out_of_time(what, seconds, target, acknowledged)
            wait_readable((client, interrupts), frame.deadline_ns)
            continue
        match received.frame:
            case Acknowledged(call_id=frame.call_id):
                acknowledged = True
            case CallFailed(call_id=frame.call_id) as failure:
                raise failed_call(failure, target)
            case Answered(call_id=frame.call_id) | Decided(call_id=frame.call_id):
                return received
            case _:
                close_all(received.fds)


def failed_call(failure: CallFailed, instance_id: str) -> PeppyError:
    """What the daemon says about a call that got no answer."""
    hint = "run `peppy node sync` for its node, then add, build and run it again"
    if failure.kind != "SchemaMismatch":
        hint = see_logs(instance_id)
    return PeppyError(failure.message, kind=failure.kind, hint=hint)


def _out_of_time(what: str, seconds: float, instance_id: str, acknowledged: bool) -> PeppyError:
    if acknowledged:
        text = f"{what}: taken, but not answered within {seconds:g} s: it may have run"
        return PeppyError(text, kind="ServiceTimeout", hint="give it longer with `--timeout`")
    text = f"{what}: not taken within {seconds:g} s: nothing has run, it is safe to try again"
    return PeppyError(text, kind="ServiceUnreachable", hint=see_logs(instance_id))


def see_logs(instance_id: str) -> str:
    """The hint that fits whatever happened inside a node."""
    return f"see `peppy node logs {instance_id}`"
