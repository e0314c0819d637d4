"""Peers come, show that they live, and go."""

from supernode.core.commands import RegisterPeer, RemovePeer, SeePeer
from supernode.core.errors import Full
from supernode.core.events import PeerLeft, PeerRegistered
from supernode.core.identity import PeerId, peer_id
from supernode.core.reasons import Reason
from supernode.core.transitions.step import Step


def register_peer(step: Step, command: RegisterPeer) -> PeerId:
    """Make a peer known, or note that it still lives. Raises Full."""
    peer = peer_id(command.host_name, command.ip, command.port)
    known = step.state.peers.get(peer)
    if known is None and len(step.state.peers) >= step.state.limits.most_peers:
        raise Full("peers")
    if known is not None and known.version == command.version:
        step.see_peer(known)
        return peer
    step.emit(
        PeerRegistered(
            at=step.now,
            peer=peer,
            ip=command.ip,
            port=command.port,
            host_name=command.host_name,
            version=command.version,
        )
    )
    return peer


def see_peer(step: Step, command: SeePeer) -> None:
    """Note that a peer lives. Raises NotFound."""
    step.see_peer(step.peer(command.peer))


def remove_peer(step: Step, command: RemovePeer) -> None:
    """Send nobody to a peer any more. Raises NotFound."""
    peer = step.peer(command.peer)
    step.release(sorted(peer.serving), Reason.PEER_LEFT)
    step.emit(PeerLeft(at=step.now, peer=peer.id))
