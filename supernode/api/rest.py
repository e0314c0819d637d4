"""The handlers of all operations, by resource."""

from collections.abc import Callable

from supernode.api.call_systems import CallSystems
from supernode.api.dry_runs import DryRuns, Survey
from supernode.api.harbor.jobs import Jobs
from supernode.api.harbor.notifications import Notifications
from supernode.api.holders import SeedAddress
from supernode.api.peers import Peers
from supernode.api.pieces import Pieces
from supernode.api.preheat_wishes import Wishes
from supernode.api.preheats import Preheats
from supernode.api.system import System
from supernode.api.tasks import Tasks
from supernode.core.commands import CreatePreheat
from supernode.core.errors import Full
from supernode.dispatch import Dispatcher
from supernode.registry import reference
from supernode.registry.reference import Reference

__all__ = ["Rest", "SeedAddress"]

_EVERYBODY = CallSystems()


def _nothing(_url: str) -> None:
    """Forbid nothing: every address is judged when it is contacted."""


def _no_survey(_wish: CreatePreheat) -> Survey:
    """Ask nobody."""
    raise Full("dry runs")


class Rest:
    """Every public attribute is one resource, every public method of that one operation.

    Args:
        dispatch: the door to the tracker.
        seed: the data port's address as clients are told.
        call_systems: who may ask for files.
        forbidden: tells why a URL must not be preheated, as far as the URL itself shows it.
        parse_image: returns which image a text names; raises BadReference.
        survey: begins to ask an origin what a preheat would fetch; raises Full.
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
    ) -> None:
        wishes = Wishes(call_systems, forbidden, parse_image)
        self.system = System()
        self.peers = Peers(dispatch)
        self.tasks = Tasks(dispatch, call_systems)
        self.pieces = Pieces(dispatch, seed)
        self.preheats = Preheats(dispatch, wishes, DryRuns(dispatch, survey))
        self.jobs = Jobs(dispatch, wishes, seed.ip)
        self.notifications = Notifications(dispatch, wishes)
