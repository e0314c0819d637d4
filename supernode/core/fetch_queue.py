"""Which tasks wait for their fetch: of each origin in the order they came, the origins in turn.

An origin that is busy costs one look, however many of its files wait.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator

from supernode.core.identity import TaskId, origin_key
from supernode.core.model import Task


class FetchQueue:
    """The tasks that are to be fetched; those that are paused are not among them."""

    def __init__(self) -> None:
        self._origins: OrderedDict[str, OrderedDict[TaskId, None]] = OrderedDict()

    def __contains__(self, task: Task) -> bool:
        return task.id in self._origins.get(origin_key(task.spec.raw_url), ())

    def __iter__(self) -> Iterator[TaskId]:
        for tasks in self._origins.values():
            yield from tasks

    def add(self, task: Task) -> None:
        """Let a task be the last of its origin's."""
        self._origins.setdefault(origin_key(task.spec.raw_url), OrderedDict())[task.id] = None

    def discard(self, task: Task) -> None:
        """Let a task wait no longer, if it does; then it is the other origins' turn."""
        origin = origin_key(task.spec.raw_url)
        tasks = self._origins.get(origin)
        if tasks is None or task.id not in tasks:
            return
        del tasks[task.id]
        if tasks:
            self._origins.move_to_end(origin)
        else:
            del self._origins[origin]

    def first(self, may_begin: Callable[[str], bool]) -> TaskId | None:
        """Return the task whose turn it is. O(origins that may not begin).

        Args:
            may_begin: tells whether an origin may be asked for one more file.
        """
        for origin, tasks in self._origins.items():
            if may_begin(origin):
                return next(iter(tasks))
        return None
