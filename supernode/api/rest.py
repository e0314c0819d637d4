"""The handlers of all operations, by resource."""

from collections.abc import Callable

from supernode.api.call_systems import CallSystems
from supernode.api.holders import SeedAddress
from supernode.api.peers import Peers
from supernode.api.pieces import Pieces
from supernode.api.preheats import Preheats
from supernode.api.system import System
from supernode.api.tasks import Tasks
from supernode.dispatch import Dispatcher

__all__ = ["Rest", "SeedAddress"]

_EVERYBODY = CallSystems()


def _nothing(_url: str) -> None:
    """Forbid nothing: every address is judged when it is contacted."""


class Rest:
    """Every public attribute is one resource, every public method of that one operation.

    Args:
        dispatch: the door to the tracker.
        seed: the data port's address as clients are told.
        call_systems: who may ask for files.
        forbidden: tells why a URL must not be preheated, as far as the URL itself shows it.
    """

    def __init__(
        self,
        dispatch: Dispatcher,
        seed: SeedAddress,
        *,
        call_systems: CallSystems = _EVERYBODY,
        forbidden: Callable[[str], str | None] = _nothing,
    ) -> None:
        self.system = System()
        self.peers = Peers(dispatch)
        self.tasks = Tasks(dispatch, call_systems)
        self.pieces = Pieces(dispatch, seed)
        self.preheats = Preheats(dispatch, call_systems, forbidden)
