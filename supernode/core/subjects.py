"""What an event is about besides what it says: known when it happens, and maybe not afterwards."""

from typing import NamedTuple

from supernode.core.events import ClientEvent, Event, PreheatEvent, TaskEvent
from supernode.core.identity import PeerId
from supernode.core.state import State


class Subject(NamedTuple):
    """The generation of an event's task, and the peer of its client, as far as there are any."""

    generation: int | None = None
    peer: PeerId | None = None


NOTHING = Subject()


def subject_of(event: Event, state: State) -> Subject:
    """Return what an event is about, before it changes the state."""
    if not isinstance(event, (TaskEvent, PreheatEvent)):
        return NOTHING
    task = state.tasks.get(event.task)
    if task is None:
        return NOTHING
    download = task.downloads.get(event.client) if isinstance(event, ClientEvent) else None
    return Subject(task.generation, download.peer if download else None)
