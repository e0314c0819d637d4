"""Which tasks wait for their fetch: of each origin in the order they came, the origins in turn.

An origin that is busy costs one look, however many of its files wait.
"""

from collections import OrderedDict
from collections.abc import Callable

from supernode.core.identity import TaskId, origin_key
from supernode.core.model import Task


class FetchQueue(OrderedDict[str, dict[TaskId, None]]):
    """The tasks that are to be fetched, by origin; those that are paused are not among them."""

    def holds(self, task: Task) -> bool:
        """Tell whether a task waits for its fetch."""
        return task.id in self.get(origin_key(task.spec.raw_url), ())

    def add(self, task: Task) -> None:
        """Let a task be the last of its origin's."""
        self.setdefault(origin_key(task.spec.raw_url), {})[task.id] = None

    def discard(self, task: Task) -> None:
        """Let a task wait no longer, if it does; then it is the other origins' turn."""
        origin = origin_key(task.spec.raw_url)
        tasks = self.get(origin)
        if tasks is None or task.id not in tasks:
            return
        del tasks[task.id]
        if tasks:
            self.move_to_end(origin)
        else:
            del self[origin]

    def first(self, may_begin: Callable[[str], bool]) -> TaskId | None:
        """Return the task whose turn it is. O(origins that may not begin).

        Args:
            may_begin: tells whether an origin may be asked for one more file.
        """
        for origin, tasks in self.items():
            if may_begin(origin):
                return next(iter(tasks))
        return None
