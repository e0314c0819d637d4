"""How often an origin is asked again, and when."""

import random

import pytest

from supernode.core.reasons import Reason
from supernode.origin.errors import OriginError
from supernode.services.retries import RetryPolicy

POLICY = RetryPolicy()
CHANCE = random.Random(0)
BROKEN = OriginError(Reason.ORIGIN_BROKEN, "o", may_pass=True)


def pauses(policy: RetryPolicy, error: OriginError) -> list[float]:
    found: list[float] = []
    while (pause := policy.pause(error, len(found) + 1, CHANCE)) is not None:
        found.append(pause)
    return found


def test_what_may_pass_is_tried_four_times_with_growing_pauses() -> None:
    assert pauses(RetryPolicy(jitter=0), BROKEN) == [0.5, 2.0, 8.0]


def test_no_pause_is_longer_than_the_longest() -> None:
    assert pauses(RetryPolicy(attempts=6, jitter=0), BROKEN) == [0.5, 2.0, 8.0, 8.0, 8.0]


def test_fetches_that_broke_off_together_spread() -> None:
    found = {POLICY.pause(BROKEN, 1, CHANCE) or 0 for _ in range(100)}
    assert len(found) > 90
    assert min(found) >= 0.5
    assert max(found) <= 0.5 * (1 + POLICY.jitter)


def test_what_lasts_is_not_tried_again() -> None:
    assert pauses(POLICY, OriginError(Reason.ORIGIN_NOT_FOUND, "o")) == []


@pytest.mark.parametrize(("wish", "waited"), [(0.0, 0.5), (7.0, 7.0), (30.0, 30.0)])
def test_an_origin_may_ask_for_patience(wish: float, waited: float) -> None:
    busy = OriginError(Reason.ORIGIN_STATUS, "503 from o", may_pass=True, retry_after=wish)
    assert RetryPolicy(jitter=0).pause(busy, 1, CHANCE) == waited
    assert (POLICY.pause(busy, 1, CHANCE) or 0) >= wish, "never sooner"


def test_one_that_asks_for_too_much_is_left_alone() -> None:
    busy = OriginError(Reason.ORIGIN_STATUS, "503 from o", may_pass=True, retry_after=31)
    assert pauses(POLICY, busy) == []
