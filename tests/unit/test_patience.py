"""When a client gives a holder up."""

import pytest

from supernode.core.pieces import MIB
from supernode.patience import BAD_LUCK, Patience, Wait

PIECE = 4 * MIB
LONGEST = Wait(stall=10.0, total=74.0)
"""Of such a piece: at 64 KiB/s, and ten seconds."""


def with_usual(seconds: float) -> Patience:
    patience = Patience()
    patience.came(seconds)
    return patience


def test_with_the_supernode_it_is_long_whatever_others_do() -> None:
    patience = with_usual(0.1)
    patience.failed()
    assert patience.wait(PIECE, peer=False) == LONGEST


def test_a_peer_that_sends_may_take_its_time_while_nothing_is_known() -> None:
    assert Patience().wait(PIECE, peer=True) == Wait(stall=2.0, total=74.0)


@pytest.mark.parametrize(("usual", "total"), [(0.1, 2.0), (1.0, 3.0), (20.0, 60.0), (30.0, 74.0)])
def test_a_peer_may_take_a_few_times_as_long_as_usual(usual: float, total: float) -> None:
    assert with_usual(usual).wait(PIECE, peer=True) == Wait(stall=2.0, total=total)


def test_what_is_usual_changes() -> None:
    patience = with_usual(1.0)
    patience.came(5.0)
    assert patience.wait(PIECE, peer=True).total == pytest.approx(6.0)
    for _ in range(40):
        patience.came(5.0)
    assert patience.wait(PIECE, peer=True).total == pytest.approx(15.0, rel=1e-3)


def test_patience_grows_when_one_peer_after_the_other_fails_and_shrinks_when_one_does_not() -> None:
    patience = with_usual(1.0)
    seen = []
    for _ in range(BAD_LUCK + 3):
        patience.failed()
        seen.append(patience.wait(PIECE, peer=True))
    assert seen[:BAD_LUCK] == [Wait(2.0, 3.0)] * BAD_LUCK
    assert seen[BAD_LUCK:] == [Wait(4.0, 6.0), Wait(8.0, 12.0), Wait(10.0, 24.0)]
    for _ in range(10_000):
        patience.failed()
    assert patience.wait(PIECE, peer=True) == LONGEST
    patience.came(1.0)
    assert patience.wait(PIECE, peer=True) == Wait(2.0, 3.0)
