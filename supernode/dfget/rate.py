"""Rate limits: how fast bytes may pass."""

import trio

BURST_SECONDS = 0.1


class TokenBucket:
    """Lets ``rate`` bytes/s through, shared fairly by all who take from it.

    Bytes are paid for after they have passed, which keeps the count exact whatever a system call
    delivers. A bucket holds at most a tenth of a second's worth.

    Args:
        rate: bytes/s; 0 means no limit.
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._paid_until = -1e18

    async def take(self, amount: int) -> float:
        """Wait until ``amount`` bytes are paid for. Return the seconds waited; a checkpoint."""
        if not self.rate:
            await trio.lowlevel.checkpoint()
            return 0.0
        now = trio.current_time()
        due = max(self._paid_until, now - BURST_SECONDS) + amount / self.rate
        self._paid_until = due
        await trio.sleep_until(due)
        return max(0.0, due - now)
