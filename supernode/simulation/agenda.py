"""The virtual clock: what happens when, in one order for one seed."""

import heapq
from collections.abc import Callable


class Agenda:
    """Calls to make at their moments; those of one moment in the order they were entered."""

    def __init__(self) -> None:
        self.now = 0.0
        """Seconds since the simulation began."""
        self._calls: list[tuple[float, int, Callable[[], object]]] = []
        self._entered = 0

    def at(self, moment: float, call: Callable[[], object]) -> None:
        """Make a call at a moment, at once if it has passed. O(log n)."""
        self._entered += 1
        heapq.heappush(self._calls, (max(moment, self.now), self._entered, call))

    def after(self, seconds: float, call: Callable[[], object]) -> None:
        """Make a call after some seconds. O(log n)."""
        self.at(self.now + seconds, call)

    def run(self, is_over: Callable[[], bool]) -> None:
        """Let time pass until ``is_over``, or until nothing is left to happen."""
        while self._calls and not is_over():
            self.now, _, call = heapq.heappop(self._calls)
            call()
