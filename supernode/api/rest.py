"""The handlers of all operations, by resource."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from supernode.api.call_systems import CallSystems
from supernode.api.dry_runs import DryRuns, Survey
from supernode.api.harbor.jobs import Jobs
from supernode.api.harbor.notifications import Notifications
from supernode.api.health import Check, Health
from supernode.api.holders import SeedAddress
from supernode.api.overview import Overviews
from supernode.api.peers import Peers
from supernode.api.pieces import Pieces
from supernode.api.preheat_wishes import Wishes
from supernode.api.preheats import Preheats
from supernode.api.swarms import Swarms
from supernode.api.system import System
from supernode.api.tasks import Tasks
from supernode.api.traffic import Traffic
from supernode.core.commands import CreatePreheat
from supernode.core.errors import Full
from supernode.dispatch import Dispatcher
from supernode.registry import reference
from supernode.registry.reference import Reference
from supernode.storage.disk_space import DiskUse

__all__ = ["Rest", "SeedAddress"]

_EVERYBODY = CallSystems()


def _nothing(_url: str) -> None:
    """Forbid nothing: every address is judged when it is contacted."""


def _no_survey(_wish: CreatePreheat) -> Survey:
    """Ask nobody."""
    raise Full("dry runs")


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
        parse_image: returns which image a text names; raises BadReference.
        survey: begins to ask an origin what a preheat would fetch; raises Full.
        traffic: what came from where; None: nothing, ever.
        disk: tells how full the disk is, as far as known.
        checks: what being ready depends on, by name.
    """

    def __init__(
        self,
        dispatch: Dispatcher,
        seed: SeedAddress,
        *,
        call_systems: CallSystems = _EVERYBODY,
        forbidden: Callable[[str], str | None] = _nothing,
        parse_image: Callable[[str], Reference] = reference.parse,
        survey: Callable[[CreatePreheat], Survey] = _no_survey,
        traffic: Traffic | None = None,
        disk: Callable[[], DiskUse | None] = _no_disk,
        checks: Mapping[str, Check] = MappingProxyType({}),
    ) -> None:
        wishes = Wishes(call_systems, forbidden, parse_image)
        traffic = traffic or Traffic()
        self.system = System()
        self.health = Health(checks)
        self.overview = Overviews(dispatch, traffic, disk)
        self.swarms = Swarms(dispatch, traffic)
        self.peers = Peers(dispatch, traffic)
        self.tasks = Tasks(dispatch, call_systems)
        self.pieces = Pieces(dispatch, seed)
        self.preheats = Preheats(dispatch, wishes, DryRuns(dispatch, survey))
        self.jobs = Jobs(dispatch, wishes, seed.ip)
        self.notifications = Notifications(dispatch, wishes)
