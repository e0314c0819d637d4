"""The demo's book-keeping and its figures."""

import msgspec
import pytest

from supernode.core.pieces import SMALLEST_PIECE, content_size
from supernode.demo.ledger import SEED, EndEvent, Ledger, PieceEvent, Unexpected
from supernode.demo.summary import lower_bound, summarise

PIECE = content_size(SMALLEST_PIECE)
SIZE = 2 * PIECE + 1000


def from_seed(number: int, amount: int) -> PieceEvent:
    return PieceEvent(
        number=number, bytes=amount, source="seed", holder="cdnnode:127.0.0.1~0123abcd"
    )


def from_peer(number: int, amount: int, port: int) -> PieceEvent:
    return PieceEvent(number=number, bytes=amount, source="peer", holder=f"a-host-127.0.0.1-{port}")


@pytest.fixture
def ledger() -> Ledger:
    """Two peers, of which A has everything from the seed and B one piece from A."""
    ledger = Ledger(SIZE, [20001, 20002])
    first, second = ledger.peers
    first.started, second.started = 10.0, 11.0
    ledger.hear(first, from_seed(0, PIECE), 12.0)
    ledger.hear(first, from_seed(1, PIECE), 12.5)
    ledger.hear(first, from_seed(2, 1000), 12.5)
    ledger.hear(second, from_peer(1, PIECE, 20001), 12.6)
    return ledger


def test_it_knows_who_gave_what_to_whom(ledger: Ledger) -> None:
    first, second = ledger.peers
    assert (first.givers, second.givers) == ([SEED] * 3, [None, "A", None])
    assert (first.from_seed, first.from_peers) == (SIZE, 0)
    assert (second.from_seed, second.from_peers) == (0, PIECE)
    assert [ledger.given(name) for name in (SEED, "A", "B")] == [SIZE, PIECE, 0]


@pytest.mark.parametrize(
    "event",
    [
        from_peer(1, PIECE, 30000),
        from_seed(3, PIECE),
        from_seed(-1, PIECE),
    ],
)
def test_what_cannot_be_true_of_this_swarm_is_refused(ledger: Ledger, event: PieceEvent) -> None:
    with pytest.raises(Unexpected, match="peer B: piece"):
        ledger.hear(ledger.peers[1], event, 13.0)


def test_events_are_read_as_dfget_prints_them() -> None:
    line = b'{"event":"piece","number":3,"bytes":5,"from":"peer","holder":"h-1-2","pieces":null}'
    event = msgspec.json.decode(line, type=PieceEvent)
    assert event == PieceEvent(number=3, bytes=5, source="peer", holder="h-1-2")
    line = b'{"event":"end","ok":false,"exit":1,"error":"no","bytes":{},"seconds":1.5}'
    assert msgspec.json.decode(line, type=EndEvent) == EndEvent(ok=False, error="no")


def test_the_time_counts_from_the_first_start_to_the_last_end(ledger: Ledger) -> None:
    first, second = ledger.peers
    ledger.hear(first, EndEvent(ok=True), 14.0)
    assert ledger.seconds is None
    ledger.hear(second, EndEvent(ok=False, error="no luck"), 15.0)
    assert ledger.seconds is None
    assert second.error == "no luck"
    ledger.hear(second, EndEvent(ok=True), 16.5)
    assert ledger.seconds == 6.5


def test_a_rate_is_of_late(ledger: Ledger) -> None:
    assert ledger.peers[0].rate(13.0) == SIZE / 2
    assert ledger.peers[0].rate(14.2) == (PIECE + 1000) / 2
    assert ledger.peers[0].rate(20.0) == 0


@pytest.mark.parametrize(
    ("sent", "fetched"), [(0, 0), (PIECE - 1, 0), (PIECE, 1), (SIZE - 1, 2), (SIZE, 3)]
)
def test_a_piece_is_fetched_when_all_of_it_has_left_the_origin(sent: int, fetched: int) -> None:
    ledger = Ledger(SIZE, [20001])
    ledger.sent_by_origin(sent)
    assert ledger.fetched == fetched


def test_the_bound_is_that_of_the_peers_own_links() -> None:
    assert lower_bound(200, 20) == 10
    assert lower_bound(200, None) is None


def test_the_figures_of_a_swarm_that_went_well() -> None:
    ledger = Ledger(1000, [20001, 20002], rate=500)
    ledger.sent_by_origin(1000)
    for peer, event in zip(
        ledger.peers, (from_seed(0, 1000), from_peer(0, 1000, 20001)), strict=True
    ):
        peer.started = 1.0
        ledger.hear(peer, event, 2.0)
        ledger.hear(peer, EndEvent(ok=True), 5.0)
        peer.digest_ok = True
    assert msgspec.to_builtins(summarise(ledger, ok=True)) == {
        "ok": True,
        "peers": 2,
        "size": 1000,
        "seconds": 4.0,
        "bytes": {"origin": 1000, "seed": 1000, "peers": 1000},
        "lower_bound_seconds": 2.0,
        "efficiency": 0.5,
        "digests_ok": True,
    }
    assert not summarise(ledger, ok=False).ok
    ledger.peers[1].digest_ok = False
    assert not summarise(ledger, ok=True).ok


def test_the_figures_of_a_swarm_that_did_not_finish(ledger: Ledger) -> None:
    summary = summarise(ledger, ok=False)
    assert (summary.ok, summary.digests_ok, summary.seconds) == (False, False, None)
    assert (summary.lower_bound_seconds, summary.efficiency) == (None, None)
