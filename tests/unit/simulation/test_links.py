"""Sharing links: hand-made cases, and random ones against the textbook's water filling."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supernode.simulation.agenda import Agenda
from supernode.simulation.links import Link, Network, Transfer


class Scene:
    """A network that notes when each transfer has come."""

    def __init__(self) -> None:
        self.agenda = Agenda()
        self.network = Network(self.agenda)
        self.ends: dict[str, float] = {}
        self.stalled: list[str] = []

    def start(self, name: str, up: Link, down: Link, size: float) -> Transfer:
        def finished() -> None:
            self.ends[name] = self.agenda.now

        return self.network.start(up, down, size, finished, lambda: self.stalled.append(name))

    def run(self) -> None:
        self.agenda.run(lambda: False)

    def settle(self) -> None:
        """Let happen what happens at once."""
        settled = list[bool]()
        self.agenda.after(0.0, lambda: settled.append(True))
        self.agenda.run(lambda: bool(settled))


def test_calls_are_made_at_their_moments_in_order() -> None:
    agenda, made = Agenda(), list[tuple[str, float]]()

    def note(name: str) -> Callable[[], None]:
        return lambda: made.append((name, agenda.now))

    agenda.at(2.0, note("second"))
    agenda.at(2.0, note("third"))
    agenda.after(1.0, note("first"))
    agenda.run(lambda: False)
    assert made == [("first", 1.0), ("second", 2.0), ("third", 2.0)]


def test_a_transfer_alone_has_the_slower_link() -> None:
    scene = Scene()
    scene.start("a", Link(10.0), Link(4.0), 8.0)
    scene.run()
    assert scene.ends == {"a": 2.0}


def test_what_one_cannot_use_is_left_to_the_others() -> None:
    scene = Scene()
    up, narrow, wide = Link(10.0), Link(2.0), Link(100.0)
    scene.start("held up", up, narrow, 8.0)  # 2 a second: 4 s
    scene.start("free", up, wide, 32.0)  # the other 8 a second: 4 s
    scene.run()
    assert scene.ends == pytest.approx({"held up": 4.0, "free": 4.0})


def test_rates_change_when_others_come_and_go() -> None:
    scene = Scene()
    up = Link(10.0)
    scene.start("long", up, Link(100.0), 30.0)
    scene.agenda.at(1.0, lambda: scene.start("short", up, Link(100.0), 10.0))
    scene.run()
    # 10 alone, 5 each for 2 s, then the last 10 alone
    assert scene.ends == pytest.approx({"short": 3.0, "long": 4.0})


def test_news_travels_from_link_to_link() -> None:
    scene = Scene()
    first, second = Link(10.0), Link(10.0)
    shared = Link(10.0)
    scene.start("a", first, shared, 1e9)
    b = scene.start("b", second, shared, 1e9)
    c = scene.start("c", second, Link(100.0), 1e9)
    scene.settle()
    assert (b.rate, c.rate) == (5.0, 5.0)
    scene.network.cut(first)
    scene.start("d", Link(100.0), shared, 1e9)
    scene.start("e", Link(100.0), shared, 1e9)
    scene.settle()
    assert (b.rate, c.rate) == pytest.approx((10 / 3, 20 / 3))


def test_what_a_cut_uplink_sent_stalls() -> None:
    scene = Scene()
    up, down = Link(10.0), Link(10.0)
    transfer = scene.start("a", up, down, 100.0)
    scene.agenda.at(4.0, lambda: scene.network.cut(up))
    scene.run()
    assert (scene.stalled, scene.ends, transfer.left) == (["a"], {}, 60.0)


def test_a_cut_downlink_ends_what_comes_without_a_word() -> None:
    scene = Scene()
    up, down = Link(10.0), Link(10.0)
    scene.start("a", up, down, 100.0)
    scene.start("b", up, Link(10.0), 60.0)
    scene.agenda.at(4.0, lambda: scene.network.cut(down))
    scene.run()
    assert not scene.stalled
    assert scene.ends == pytest.approx({"b": 8.0})


@given(
    st.lists(st.sampled_from([1.0, 3.0, 10.0, 40.0]), min_size=2, max_size=6),
    st.lists(st.sampled_from([1.0, 3.0, 10.0, 40.0]), min_size=2, max_size=6),
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=20),
    st.sets(st.integers(0, 19)),
)
def test_rates_never_exceed_a_link_and_are_nearly_max_min_fair(
    ups: list[float], downs: list[float], pairs: list[tuple[int, int]], gone: set[int]
) -> None:
    scene = Scene()
    up_links, down_links = [Link(c) for c in ups], [Link(c) for c in downs]
    transfers = []
    for n, (u, d) in enumerate(pairs):
        up, down = up_links[u % len(ups)], down_links[d % len(downs)]
        transfers.append(scene.start(str(n), up, down, 1e12))
        scene.settle()
    for n in sorted(gone):
        if n < len(transfers):
            scene.network.stop(transfers[n])
            scene.settle()
    left = [t for n, t in enumerate(transfers) if n not in gone]
    fair = max_min(left)
    for link in up_links + down_links:
        assert sum(t.rate for t in link.transfers) <= link.capacity * (1 + 1e-9)
    for transfer in left:
        assert transfer.rate == pytest.approx(fair[transfer], rel=0.15)


def max_min(transfers: list[Transfer]) -> dict[Transfer, float]:
    """Fill the tightest link first, then the others with what is left."""
    rates: dict[Transfer, float] = {}

    def share(link: Link) -> float:
        taken = sum(rates.get(transfer, 0.0) for transfer in link.transfers)
        return (link.capacity - taken) / sum(t not in rates for t in link.transfers)

    while waiting := [transfer for transfer in transfers if transfer not in rates]:
        tightest = min((link for t in waiting for link in (t.up, t.down)), key=share)
        level = share(tightest)
        rates |= {t: level for t in waiting if tightest in (t.up, t.down)}
    return rates
