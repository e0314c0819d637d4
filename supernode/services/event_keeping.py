"""Events on their way to the disk, where the feed finds them when it has forgotten them."""

from collections import deque
from collections.abc import Callable

from supernode.feed import Published
from supernode.journal.kept_events import TRANSIENT, Found, Kept, Lost

MOST_UNWRITTEN = 8192
"""How many wait for a disk that takes nothing; older ones are lost."""
MOST_AT_ONCE = 500
"""How many are written in one commit, so that none takes long."""


class Unwritten:
    """Events that are to be kept, until they are.

    Args:
        shown: how an event is shown.
    """

    def __init__(self, shown: Callable[[Published], bytes]) -> None:
        self._shown = shown
        self._waiting: deque[Published | Lost] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def note(self, published: Published) -> None:
        """Keep an event, if it is of those that are."""
        if type(published.event) in TRANSIENT:
            return
        self._waiting.append(published)
        if len(self._waiting) > MOST_UNWRITTEN:
            self._lose_the_first()

    def _lose_the_first(self) -> None:
        first, last = self._waiting.popleft(), self._waiting.popleft()
        self._waiting.appendleft(
            Lost(
                first.first if isinstance(first, Lost) else first.seq,
                last.last if isinstance(last, Lost) else last.seq,
            )
        )

    def take(self) -> list[Found]:
        """Return the first ones; ``written`` drops them."""
        first = [self._waiting[n] for n in range(min(MOST_AT_ONCE, len(self._waiting)))]
        return [
            each if isinstance(each, Lost) else Kept(each.seq, self._shown(each)) for each in first
        ]

    def written(self, up_to: int) -> None:
        """Drop what is kept now: all numbers up to this one."""
        waiting = self._waiting
        while waiting and _last(waiting[0]) <= up_to:
            waiting.popleft()


def _last(waiting: Published | Lost) -> int:
    return waiting.last if isinstance(waiting, Lost) else waiting.seq
