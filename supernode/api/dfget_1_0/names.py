"""What holders are called: by their client IDs, at some length.

Clients up to 1.0.6 look at the first 25 characters of a holder's name, and crash if there are
fewer. Their own IDs are longer; those of others may not be.
"""

from supernode.api import holders
from supernode.core.commands import Seed
from supernode.core.identity import ClientId, TaskId

LEAST_CHARACTERS = 25


def name_of(client: ClientId, task: TaskId) -> str:
    """Return what to call the holder that is this client of the task."""
    return client if len(client) >= LEAST_CHARACTERS else client + _suffix(task)


def holder(name: str, task: TaskId) -> Seed | str | None:
    """Return whom a client of the task means by a name; None: it does not say."""
    return holders.holder(name.removesuffix(_suffix(task)) if name else name)


def _suffix(task: TaskId) -> str:
    """Return what a short name is made longer with, in the way of the supernode's own."""
    return f"~{task}"
