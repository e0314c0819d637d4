"""One piece on its way from its holder to a virtual peer."""

from collections.abc import Callable
from typing import NamedTuple

from supernode.core.identity import PeerId
from supernode.patience import Wait
from supernode.simulation.links import Link, Transfer
from supernode.simulation.world import World

CONNECT_SECONDS = 5.0
"""When a holder that does not answer is given up: as the built-in peer's HTTP client."""


class Piece(NamedTuple):
    """What to take from whom (None: the seed)."""

    number: int
    holder: PeerId | None


class Fetch:
    """Ends once: when the piece has come, or when the client's patience is over.

    Args:
        world: where it happens.
        piece: what, from whom.
        down: the client's downlink.
        connected: whether the client has a connection to the holder.
        wait: the client's patience.
        ended: called with the piece, whether it has come, and the bytes that came in vain.
    """

    __slots__ = (
        "_connected",
        "_down",
        "_ended",
        "_is_over",
        "_piece",
        "_stall_seconds",
        "_transfer",
        "_world",
    )

    def __init__(
        self,
        world: World,
        piece: Piece,
        down: Link,
        *,
        connected: bool,
        wait: Wait,
        ended: Callable[[Piece, bool, float], None],
    ) -> None:
        self._world = world
        self._piece = piece
        self._down = down
        self._connected = connected
        self._stall_seconds = wait.stall
        self._ended = ended
        self._is_over = False
        self._transfer: Transfer | None = None
        world.agenda.after(world.rtt / 2 if connected else 1.5 * world.rtt, self._arrive)
        world.agenda.after(wait.total, self._give_up)

    def _arrive(self) -> None:
        """The holder has been asked."""
        world, piece = self._world, self._piece
        up = world.seed_up if piece.holder is None else world.peers[piece.holder].up
        if self._down.is_cut:
            return
        if up.is_cut:
            silent = self._stall_seconds
            most = silent if self._connected else min(silent, CONNECT_SECONDS)
            world.agenda.after(most, self._give_up)
            return
        size = world.file.framed[piece.number]
        self._transfer = world.network.start(up, self._down, size, self._sent, self._stall)

    def _sent(self) -> None:
        self._world.agenda.after(self._world.rtt / 2, self._receive)

    def _receive(self) -> None:
        self._is_over = True
        self._ended(self._piece, True, 0.0)

    def _stall(self) -> None:
        self._world.agenda.after(self._stall_seconds, self._give_up)

    def _give_up(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        received = 0.0
        if self._transfer is not None:
            self._world.network.stop(self._transfer)
            received = self._world.file.framed[self._piece.number] - self._transfer.left
        self._ended(self._piece, False, received)
