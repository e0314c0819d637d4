"""``/peers``: the machines that download and upload."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from supernode.api import validation
from supernode.api.answers import as_json, moment
from supernode.api.decoding import from_fields, from_json
from supernode.api.models import (
    PageQuery,
    PeerCreateRequest,
    PeerCreateResponse,
    PeerGiven,
    PeerInfo,
    V1PageQuery,
)
from supernode.api.paging import page
from supernode.api.traffic import Given, Traffic
from supernode.core.commands import RegisterPeer, RemovePeer, SeePeer
from supernode.core.errors import BadField
from supernode.core.identity import PeerId
from supernode.core.model import Peer
from supernode.dispatch import Dispatcher
from supernode.exchange import Answer, Request

_FIELDS: dict[str, Callable[[Peer], Any]] = {
    "ID": attrgetter("id"),
    "IP": attrgetter("ip"),
    "hostName": attrgetter("host_name"),
    "port": attrgetter("port"),
    "created": attrgetter("created"),
    "version": attrgetter("version"),
    "lastSeen": attrgetter("last_seen"),
    "downloads": lambda peer: len(peer.downloads),
    "slotsUsed": attrgetter("slots_used"),
}


class Peers:
    """The operations about peers.

    Args:
        dispatch: the door to the tracker.
        traffic: who gave how much.
    """

    def __init__(self, dispatch: Dispatcher, traffic: Traffic) -> None:
        self._dispatch = dispatch
        self._traffic = traffic

    def create(self, request: Request) -> Answer:
        """``POST /peers``."""
        asked = from_json(request.body, PeerCreateRequest)
        if asked.port is None:
            raise BadField("port", "is required")
        peer = self._dispatch(
            RegisterPeer(
                ip=validation.ip_address("IP", asked.ip),
                port=asked.port,
                host_name=validation.host_name("hostName", asked.host_name),
                version=validation.plain("version", asked.version),
            )
        )
        return as_json(201, PeerCreateResponse(id=peer))

    def page(self, request: Request) -> Answer:
        """``GET /peers``."""
        asked = from_fields(request.query, V1PageQuery if request.is_v1 else PageQuery)
        peers = page(self._dispatch.tracker.peers(), asked, _FIELDS)
        return as_json(201, [peer_info(peer, self._traffic) for peer in peers])

    def get(self, request: Request) -> Answer:
        """``GET /peers/{id}``: how a peer asks whether it is still known, so a sign of life."""
        peer = _id(request)
        self._dispatch(SeePeer(peer=peer))
        return as_json(200, peer_info(self._dispatch.tracker.peer(peer), self._traffic))

    def delete(self, request: Request) -> Answer:
        """``DELETE /peers/{id}``."""
        self._dispatch(RemovePeer(peer=_id(request)))
        return Answer(204)


def _id(request: Request) -> PeerId:
    return PeerId(request.path_fields["id"])


def peer_info(peer: Peer, traffic: Traffic) -> PeerInfo:
    """Return a peer as answers show it."""
    given = traffic.given(peer.id)
    return PeerInfo(
        id=peer.id,
        ip=peer.ip,
        host_name=peer.host_name,
        port=peer.port,
        version=peer.version,
        created=moment(peer.created),
        quarantined_until=moment(peer.quarantined_until) if peer.quarantined else None,
        evidence=peer.evidence or None,
        last_seen=moment(peer.last_seen),
        downloads=len(peer.downloads),
        slots_used=peer.slots_used,
        given=_given(given) if given else None,
    )


def _given(given: Given) -> PeerGiven:
    return PeerGiven(bytes=given.bytes, pieces=given.pieces, failed=given.failed)
