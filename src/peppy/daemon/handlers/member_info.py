"""What a caller needs of one service or action (docs/reference/cli.md, Calls and goals)."""

from peppy.daemon.core import Core
from peppy.daemon.member_names import LiveMember, known_member
from peppy.daemon.operation import Operation
from peppy.model.node import Action
from peppy.model.types import MessageFormat, canonical, schema_hash
from peppy.protocol.answers import MemberDetails
from peppy.protocol.frames import MemberInfo


async def handle(core: Core, request: MemberInfo, _operation: Operation) -> MemberDetails:
    """The formats of one service or action of a live instance, from the manifest of its node in the stack."""
    found = known_member(core.registry, request.kind, request.address)
    formats = _formats(found)
    feedback = found.member.feedback if isinstance(found.member, Action) else None
    return MemberDetails(
        address=found.address,
        instance_id=found.instance_id,
        name=found.member.name,
        interface=found.interface,
        node=str(found.node),
        formats=tuple(None if declared is None else canonical(declared) for declared in formats),
        hashes=tuple(map(schema_hash, formats)),
        feedback_qos=int(feedback.qos) if feedback else None,
    )


def _formats(found: LiveMember) -> tuple[MessageFormat | None, ...]:
    member = found.member
    if isinstance(member, Action):
        feedback = member.feedback.message_format if member.feedback else None
        return member.goal, feedback, member.result
    return member.request, member.response
