"""How often, and after which pauses, an origin is asked again within one fetch."""

import random
from dataclasses import dataclass

from supernode.origin.errors import OriginError


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """What is tried again, how often, and when. Seconds."""

    attempts: int = 4
    """How often in a row the origin is asked without getting any further."""
    first_pause: float = 0.5
    growth: float = 4.0
    """Each pause is so many times as long as the one before …"""
    longest_pause: float = 8.0
    """… but no longer than this."""
    jitter: float = 0.25
    """By up to this part a pause is longer, so that fetches broken off together spread."""
    longest_wish: float = 30.0
    """How long an origin may ask for patience; one that wants more is not asked again."""

    def pause(self, error: OriginError, failures: int, chance: random.Random) -> float | None:
        """Return how long to wait before the next attempt; None: there is none.

        Args:
            error: how the last one ended.
            failures: how many in a row got no further; at least one.
            chance: what spreads the pauses.
        """
        if not error.may_pass or failures >= self.attempts:
            return None
        wish = error.retry_after or 0.0
        if wish > self.longest_wish:
            return None
        usual = min(self.first_pause * self.growth ** (failures - 1), self.longest_pause)
        return max(usual, wish) * (1 + chance.uniform(0, self.jitter))
