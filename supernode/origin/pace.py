"""How fast an origin has to be: slow enough, and it might as well have stopped."""

LEAST_RATE = 1024.0
WINDOW_SECONDS = 60.0


class Pace:
    """Holds an origin to a least rate, on average over each window of the time it takes.

    Only time that we wait for the origin counts, hence neither our own limits nor our own disk.

    Args:
        floor: bytes/s.
        window: seconds.
    """

    def __init__(self, floor: float, window: float) -> None:
        self._floor = floor
        self._window = window
        self._seconds = 0.0
        self._bytes = 0

    def too_slow(self, amount: int, seconds: float) -> str | None:
        """Return what is too slow, for people, now that ``amount`` bytes came after ``seconds``."""
        self._seconds += seconds
        self._bytes += amount
        if self._seconds < self._window:
            return None
        if self._bytes < self._floor * self._seconds:
            return f"only {self._bytes} bytes in {self._seconds:.0f} s"
        self._seconds, self._bytes = 0.0, 0
        return None
