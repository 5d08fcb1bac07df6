"""Who serves what: the services and actions that can be called now (docs/reference/services_actions.md, Terms)."""

from collections.abc import Mapping
from types import MappingProxyType

from peppy.daemon.parties import ACTION, SERVICE, Endpoint, Key, Party
from peppy.errors import PeppyError
from peppy.model.names import Reference, is_name
from peppy.model.text import quoted
from peppy.protocol.calls import EndpointOpen

ENDPOINTS = 4096
"""Endpoints that one process may have."""

HASHES = 3
"""Formats of a member: request and response, or goal, feedback and result."""

_NOBODY: Mapping[str, Endpoint] = MappingProxyType({})


class Endpoints:
    """All endpoints that are being served, by what they serve and the instance that does."""

    def __init__(self) -> None:
        self._serving: dict[Key, dict[str, Endpoint]] = {}

    def of(self, key: Key) -> Mapping[str, Endpoint]:
        """Who serves this, by instance id."""
        return self._serving.get(key, _NOBODY)

    def open(self, party: Party, frame: EndpointOpen) -> Endpoint:
        """A process serves this from now on, or again after a reconnect. Raises PeppyError (`ProtocolViolation`)."""
        key = (frame.kind, frame.name, frame.interface)
        check_member(key, frame.hashes)
        endpoint = party.endpoints.get(frame.endpoint_id)
        if endpoint is not None and (endpoint.key, endpoint.hashes) != (key, frame.hashes):
            raise _violation(f"endpoint `{frame.endpoint_id}` serves something else")
        other = self.of(key).get(party.session.instance_id)
        if other not in (None, endpoint):
            raise _violation(f"{quoted(frame.name)} has an endpoint already")
        if endpoint is None:
            if len(party.endpoints) >= ENDPOINTS:
                raise _violation(f"a process has at most {ENDPOINTS} endpoints")
            endpoint = Endpoint(party, frame.endpoint_id, key, frame.hashes)
            party.endpoints[frame.endpoint_id] = endpoint
        endpoint.serving = True
        self._serving.setdefault(key, {})[party.session.instance_id] = endpoint
        return endpoint

    def suspend(self, endpoint: Endpoint) -> None:
        """Nobody can call this endpoint until it is opened again."""
        endpoint.serving = False
        serving = self._serving.get(endpoint.key, {})
        if serving.get(endpoint.instance_id) is endpoint:
            del serving[endpoint.instance_id]
            if not serving:
                del self._serving[endpoint.key]

    def close(self, endpoint: Endpoint) -> None:
        """The endpoint is no more."""
        self.suspend(endpoint)
        endpoint.party.endpoints.pop(endpoint.endpoint_id, None)


def check_member(key: Key, hashes: tuple[int, ...]) -> None:
    """Raises PeppyError (`ProtocolViolation`) for what no node can serve, whoever says it."""
    kind, name, interface = key
    is_member = kind in (SERVICE, ACTION) and is_name(name) and len(hashes) <= HASHES
    if not is_member or (interface is not None and Reference.parse(interface) is None):
        raise _violation(f"there can be no {quoted(kind)} {quoted(name)} of {quoted(interface)}")


def _violation(text: str) -> PeppyError:
    return PeppyError(text, kind="ProtocolViolation")
