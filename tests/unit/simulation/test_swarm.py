"""Simulated swarms: nothing lost, nothing faster than possible, nothing left to chance."""

import json
import subprocess
import sys
from collections.abc import Callable

import pytest
from click.testing import CliRunner

from supernode import feed
from supernode.core.pieces import FRAME_BYTES, MIB, SMALLEST_PIECE
from supernode.dfget import download, http, uploader
from supernode.services import expiry
from supernode.simulation import fetch, peer
from supernode.simulation import supernode as virtual
from supernode.simulation.command import command
from supernode.simulation.figures import Figures, Sent, Spread, fluid_bound
from supernode.simulation.links import Link, Network, Transfer
from supernode.simulation.plan import Arrivals, Failure, Plan, Slowness
from supernode.simulation.run import simulate

Call = Callable[[], None]
RATE = 10.0 * MIB
ONE_PIECE = SMALLEST_PIECE - FRAME_BYTES


def plan(peers: int = 10, size: int = 64 * MIB, **changes: object) -> Plan:
    """Return a plan of equal links, changed as said."""
    values = {"peer_up": RATE, "peer_down": RATE, "seed_up": RATE, **changes}
    return Plan(peers=peers, size=size, **values)  # type: ignore[arg-type]


def seconds(figures: Figures) -> Spread:
    assert figures.seconds is not None
    return figures.seconds


PLANS = [
    plan(),
    plan(origin_rate=2 * RATE, seed_up=3 * RATE, rtt=0.05),
    plan(peers=30, size=30 * MIB + 12345, peer_up=RATE / 4),
    plan(arrivals=Arrivals(spread=20.0)),
    plan(arrivals=Arrivals(rate=0.5), origin_rate=RATE / 3),
    plan(slowness=Slowness(3, RATE / 10)),
    plan(peers=1),
    plan(size=1),
]


@pytest.mark.parametrize("what", PLANS)
def test_every_peer_ends_with_every_byte(what: Plan) -> None:
    figures = simulate(what)
    assert figures.complete == what.peers
    assert figures.bytes.seed + figures.bytes.peers == what.peers * what.size
    assert figures.bytes.seed >= what.size  # nobody else had it
    assert figures.bytes.origin == (what.size if what.origin_rate else 0)
    # Patience may end a little early, where pieces take very different times.
    assert figures.bytes.in_vain <= 0.05 * what.peers * what.size


@pytest.mark.parametrize("what", PLANS)
@pytest.mark.parametrize("seed", range(3))
def test_no_bound_is_beaten(what: Plan, seed: int) -> None:
    figures = simulate(Plan(**{**{f: getattr(what, f) for f in what.__slots__}, "seed": seed}))
    assert figures.fluid_efficiency is not None
    assert 0 < figures.fluid_efficiency.max <= 1
    if figures.piece_efficiency is not None:
        assert 0 < figures.piece_efficiency.max <= 1


def test_the_same_seed_gives_the_same_figures_and_another_one_others() -> None:
    what = plan(peers=20, arrivals=Arrivals(rate=3.0), failure=Failure(2, 0.5))
    assert simulate(what) == simulate(what)
    assert simulate(what) != simulate(
        plan(peers=20, arrivals=Arrivals(rate=3.0), failure=Failure(2, 0.5), seed=1)
    )


def test_figures_do_not_depend_on_the_process() -> None:
    script = (
        "from supernode.simulation.command import command;"
        "command('--peers=12 --size=40MiB --peer-up=1M --seed-up=2M --fail=2@0.5 --json'.split())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(outputs) == 1


def test_one_piece_for_one_peer() -> None:
    piece = SMALLEST_PIECE / RATE
    assert seconds(simulate(plan(1, ONE_PIECE, rtt=0.0))).max == pytest.approx(piece)
    # 2 round trips to register, 1 to pull, 2 to connect and ask, 1 to hear that the file is right
    assert seconds(simulate(plan(1, ONE_PIECE, rtt=0.1))).max == pytest.approx(piece + 0.6)
    # the origin's answer comes while the task's registration waits for it
    cold = plan(1, ONE_PIECE, rtt=0.0, origin_rate=RATE / 2)
    assert seconds(simulate(cold)).max == pytest.approx(3 * piece, rel=1e-5)


def test_one_piece_for_two_peers_goes_one_after_the_other() -> None:
    piece = SMALLEST_PIECE / RATE
    figures = simulate(plan(2, ONE_PIECE, rtt=0.0))
    assert seconds(figures).p50 == pytest.approx(piece)
    assert seconds(figures).max == pytest.approx(2 * piece)
    assert figures.bytes == Sent(origin=0, seed=ONE_PIECE, peers=ONE_PIECE, in_vain=0)
    assert figures.piece_bound == pytest.approx(2 * piece, rel=1e-5)


def test_survivors_of_the_vanished_get_the_file() -> None:
    what = plan(12, failure=Failure(4, 0.5))
    figures = simulate(what)
    assert (figures.complete, figures.vanished) == (8, 4)
    assert figures.bytes.in_vain > 0
    undisturbed = simulate(plan(12))
    assert seconds(figures).max > seconds(undisturbed).max


def test_nothing_begins_at_the_vanished(monkeypatch: pytest.MonkeyPatch) -> None:
    cut: set[Link] = set()
    begun_after = 0

    def watched_cut(network: Network, link: Link) -> None:
        cut.add(link)
        really_cut(network, link)

    def watched_start(
        network: Network, up: Link, down: Link, size: float, finished: Call, stalled: Call
    ) -> Transfer:
        nonlocal begun_after
        begun_after += up in cut or down in cut
        return really_start(network, up, down, size, finished, stalled)

    really_cut, really_start = Network.cut, Network.start
    monkeypatch.setattr(Network, "cut", watched_cut)
    monkeypatch.setattr(Network, "start", watched_start)
    for seed in range(5):
        assert simulate(plan(12, seed=seed, failure=Failure(4, 0.3))).vanished == 4
    assert len(cut) == 5 * 4 * 2
    assert begun_after == 0


def shaped(peers: int, **changes: object) -> Plan:
    """Return a cold file for hosts at 100 Mbit/s, supernode and origin at 200."""
    links = {"peer_up": 12.5e6, "peer_down": 12.5e6, "seed_up": 25e6, "origin_rate": 25e6}
    return plan(peers, 100 * MIB, **links, **changes)


@pytest.mark.parametrize(
    ("what", "fluid", "piecewise"),
    [
        (shaped(8), 0.85, None),
        (shaped(16), 0.80, None),
        (plan(50, 1024 * MIB), 0.80, 0.85),
        (shaped(16, slowness=Slowness(3, 12.5e6 / 20)), 0.35, None),
    ],
)
def test_a_swarm_is_not_far_from_the_bounds(
    what: Plan, fluid: float, piecewise: float | None
) -> None:
    figures = simulate(what)
    assert figures.fluid_efficiency is not None
    assert figures.fluid_efficiency.max >= fluid
    if piecewise is not None:
        assert figures.piece_efficiency is not None
        assert figures.piece_efficiency.max >= piecewise


@pytest.mark.parametrize("seed", range(5))
def test_hosts_that_vanish_half_way_do_not_hold_the_others_up_for_long(seed: int) -> None:
    late = seconds(simulate(shaped(16, seed=seed, failure=Failure(3, 0.5)))).max
    assert late - seconds(simulate(shaped(16, seed=seed))).max <= 3.0


def test_a_swarm_without_a_supernodes_bytes_ends_all_the_same() -> None:
    figures = simulate(plan(3, 8 * MIB, seed_up=1.0))
    assert (figures.complete, figures.seconds) == (0, None)


def test_peers_that_vanish_all_leave_nobody() -> None:
    figures = simulate(plan(3, failure=Failure(10, 0.3)))
    assert (figures.complete, figures.vanished, figures.seconds) == (0, 3, None)


F = 64 * MIB


@pytest.mark.parametrize(
    ("what", "bound"),
    [
        (plan(seed_up=RATE / 2, origin_rate=RATE), 2 * F / RATE),
        (plan(peer_down=RATE / 2, origin_rate=RATE), 2 * F / RATE),
        (plan(origin_rate=RATE / 2), 2 * F / RATE),
        (plan(peer_down=9 * RATE, seed_up=9 * RATE, peer_up=RATE / 10), 10 * F / (10 * RATE)),
        (
            plan(peer_down=9 * RATE, slowness=Slowness(5, RATE / 10)),
            10 * F / (RATE + 5 * RATE + 5 * RATE / 10),
        ),
        (
            plan(peer_down=9 * RATE, peer_up=RATE / 10, failure=Failure(3, 0.5)),
            7 * F / (RATE + 10 * RATE / 10),
        ),
        (plan(seed_up=RATE / 2, arrivals=Arrivals(spread=9.0)), F / RATE),
    ],
)
def test_what_bounds_a_fluid(what: Plan, bound: float) -> None:
    assert fluid_bound(what)[0] == pytest.approx(bound)


def test_peers_arrive_when_they_should() -> None:
    early = simulate(plan(4, ONE_PIECE, rtt=0.0, arrivals=Arrivals(spread=30.0)))
    # each finds the file with the seed or with a peer, and a whole link to itself
    assert seconds(early).max == pytest.approx(SMALLEST_PIECE / RATE)


def test_virtual_peers_have_the_real_ones_figures() -> None:
    for name in (
        "PARALLEL",
        "BATCH",
        "WINDOW",
        "LOW",
        "REPORTS_AT_ONCE",
        "HOLD_SECONDS",
        "FAILURES_IN_A_ROW",
    ):
        assert getattr(peer, name) == getattr(download, name), name
    assert http.HttpClient()._connect_timeout == fetch.CONNECT_SECONDS
    assert peer.LIFE_SECONDS == uploader.HEARTBEAT_SECONDS
    assert virtual.A_FEW == feed._A_FEW
    assert virtual.TICK_SECONDS == expiry.TICK_SECONDS


def run(*arguments: str) -> str:
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    return result.output


SMALL = ("--peers=4", "--size=20MiB", "--peer-up=8Mbit/s", "--seed-up=2M")


def test_the_command_prints_the_figures() -> None:
    text = run(*SMALL, "--origin-rate=16Mbit/s", "--fail=1@0.5", "--slow=1@100K")
    assert "3 of 4 peers have the file: 20.0 MiB in 6 pieces of 4.0 MiB." in text
    assert "efficiency, fluid bound" in text
    assert "max(F/u_origin, F/u_seed, F/d, N·F/(u_seed + Σu))" in text


def test_the_command_prints_json() -> None:
    figures = json.loads(run(*SMALL, "--arrivals=uniform:5", "--seed=3", "--json"))
    assert figures["seed"] == 3
    assert figures["fluid_bound"] == pytest.approx(20 * MIB / 1e6)
    assert set(figures["seconds"]) == {"p50", "p99", "max"}
    assert figures["piece_efficiency"] is None


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("--size=0", "'0' is not a size such as 1GiB or 100M"),
        ("--size=10Mbit", "'10Mbit' is not a size"),
        ("--peer-up=fast", "'fast' is not a rate such as 12MiB/s, 12M or 100Mbit/s"),
        ("--arrivals=uniform:-1", "is not all, uniform:SECONDS or poisson:PEERS_PER_SECOND"),
        ("--arrivals=later", "is not all, uniform:SECONDS or poisson:PEERS_PER_SECOND"),
        ("--fail=3@1.5", "'3@1.5' is not PEERS@SHARE such as 3@0.5"),
        ("--slow=some@1M", "'some@1M' is not PEERS@RATE such as 3@1MiB/s"),
    ],
)
def test_what_makes_no_sense_is_refused(option: str, says: str) -> None:
    result = CliRunner().invoke(command, [*SMALL, option])
    assert result.exit_code == 2
    assert says in " ".join(result.output.split())
