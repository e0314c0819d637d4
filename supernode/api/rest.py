"""The handlers of all operations, by resource."""

from collections.abc import Callable

from supernode.api.call_systems import CallSystems
from supernode.api.overview import Overviews
from supernode.api.peers import Peers
from supernode.api.pieces import Pieces, SeedAddress
from supernode.api.preheats import Preheats
from supernode.api.swarms import Swarms
from supernode.api.system import System
from supernode.api.tasks import Tasks
from supernode.api.traffic import Traffic
from supernode.dispatch import Dispatcher
from supernode.storage.disk_space import DiskUse

__all__ = ["Rest", "SeedAddress"]

_EVERYBODY = CallSystems()


def _nothing(_url: str) -> None:
    """Forbid nothing: every address is judged when it is contacted."""


def _no_disk() -> DiskUse | None:
    """Tell that nothing is known of the disk."""
    return None


class Rest:
    """Every public attribute is one resource, every public method of that one operation.

    Args:
        dispatch: the door to the tracker.
        seed: the data port's address as clients are told.
        call_systems: who may ask for files.
        forbidden: tells why a URL must not be preheated, as far as the URL itself shows it.
        traffic: what came from where; None: nothing, ever.
        disk: tells how full the disk is, as far as known.
    """

    def __init__(
        self,
        dispatch: Dispatcher,
        seed: SeedAddress,
        *,
        call_systems: CallSystems = _EVERYBODY,
        forbidden: Callable[[str], str | None] = _nothing,
        traffic: Traffic | None = None,
        disk: Callable[[], DiskUse | None] = _no_disk,
    ) -> None:
        traffic = traffic or Traffic()
        self.system = System()
        self.overview = Overviews(dispatch, traffic, disk)
        self.swarms = Swarms(dispatch, traffic)
        self.peers = Peers(dispatch, traffic)
        self.tasks = Tasks(dispatch, call_systems)
        self.pieces = Pieces(dispatch, seed)
        self.preheats = Preheats(dispatch, call_systems, forbidden)
