"""What every virtual peer finds around it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from supernode.core.identity import PeerId
from supernode.simulation.agenda import Agenda
from supernode.simulation.file import Copy, File
from supernode.simulation.links import Link, Network
from supernode.simulation.supernode import Supernode

if TYPE_CHECKING:
    from supernode.simulation.peer import Peer


@dataclass(slots=True, kw_only=True)
class World:
    """The supernode, the file and its copy there, the network and who is on it.

    Args:
        rtt: seconds from any request to the beginning of its answer.
        seed_up: the supernode's uplink.
        delivered: called with the content bytes of every piece that a peer has got.
        running: how many downloads have not ended in whatever way.
    """

    agenda: Agenda
    network: Network
    supernode: Supernode
    file: File
    copy: Copy
    rtt: float
    seed_up: Link
    delivered: Callable[[int], None]
    running: int
    peers: "dict[PeerId, Peer]" = field(default_factory=dict)
    """By the names that the tracker gives them."""
