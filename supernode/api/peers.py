"""``/peers``: the machines that download and upload."""

from operator import attrgetter

from supernode.api import validation
from supernode.api.answers import as_json, moment
from supernode.api.decoding import from_fields, from_json
from supernode.api.models import (
    PageQuery,
    PeerCreateRequest,
    PeerCreateResponse,
    PeerInfo,
    V1PageQuery,
)
from supernode.api.paging import page
from supernode.core.commands import RegisterPeer, RemovePeer, SeePeer
from supernode.core.errors import BadField
from supernode.core.identity import PeerId
from supernode.core.model import Peer
from supernode.dispatch import Dispatcher
from supernode.exchange import Answer, Request

_FIELDS = {
    "ID": attrgetter("id"),
    "IP": attrgetter("ip"),
    "hostName": attrgetter("host_name"),
    "port": attrgetter("port"),
    "created": attrgetter("created"),
    "version": attrgetter("version"),
}


class Peers:
    """The operations about peers.

    Args:
        dispatch: the door to the tracker.
    """

    def __init__(self, dispatch: Dispatcher) -> None:
        self._dispatch = dispatch

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
        return as_json(201, [_info(peer) for peer in peers])

    def get(self, request: Request) -> Answer:
        """``GET /peers/{id}``: how a peer asks whether it is still known, so a sign of life."""
        peer = _id(request)
        self._dispatch(SeePeer(peer=peer))
        return as_json(200, _info(self._dispatch.tracker.peer(peer)))

    def delete(self, request: Request) -> Answer:
        """``DELETE /peers/{id}``."""
        self._dispatch(RemovePeer(peer=_id(request)))
        return Answer(204)


def _id(request: Request) -> PeerId:
    return PeerId(request.path_fields["id"])


def _info(peer: Peer) -> PeerInfo:
    return PeerInfo(
        id=peer.id,
        ip=peer.ip,
        host_name=peer.host_name,
        port=peer.port,
        version=peer.version,
        created=moment(peer.created),
        quarantined_until=moment(peer.quarantined_until) if peer.quarantined else None,
        evidence=peer.evidence or None,
    )
