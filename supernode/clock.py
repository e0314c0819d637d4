"""The daemon's clock: seconds since the epoch that never jump while the process lives."""

import time
from dataclasses import dataclass

import trio


@dataclass(frozen=True, slots=True)
class Clock:
    """The wall clock at one moment, carried on by Trio's monotonic one.

    Args:
        start_wall: seconds since the epoch, when
        start: Trio's clock showed this.
    """

    start_wall: float
    start: float

    @classmethod
    def started_now(cls) -> "Clock":
        """Return a clock that starts with the present wall time; call it inside ``trio.run``."""
        return cls(time.time(), trio.current_time())  # noqa: TID251 - the one place

    def now(self) -> float:
        """Return seconds since the epoch."""
        return self.start_wall + trio.current_time() - self.start

    def deadline(self, moment: float) -> float:
        """Return when ``moment`` (seconds since the epoch) is on Trio's clock."""
        return moment - self.start_wall + self.start
