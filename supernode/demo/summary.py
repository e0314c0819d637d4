"""The figures of one demo, as ``--json`` prints them."""

import msgspec

from supernode.demo.ledger import SEED, Ledger


class Sent(msgspec.Struct, frozen=True):
    """Content bytes, by who gave them.

    Args:
        origin: as the origin counted them.
        seed: what peers received from the supernode.
        peers: what peers received from each other.
    """

    origin: int
    seed: int
    peers: int


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """How a demo went.

    Args:
        ok: every file is right, and every process ended well.
        size: bytes of the file.
        seconds: from the start of the first peer's process to the last output in place; null if
            one is not.
        lower_bound_seconds: no swarm could be faster; null without ``--rate``.
        efficiency: the bound divided by the seconds; 1 cannot be surpassed.
    """

    ok: bool
    peers: int
    size: int
    seconds: float | None
    bytes: Sent
    lower_bound_seconds: float | None
    efficiency: float | None
    digests_ok: bool


def lower_bound(size: int, rate: int | None) -> float | None:
    """Return the fluid bound in seconds; None: no link is limited.

    For N peers it is ``max(F/u_seed, F/d_min, N·F/(u_seed + Σu_i))``. Here only the peers' links
    are limited, the seed's is not, so all but ``F/d`` vanish.
    """
    return None if rate is None else size / rate


def summarise(ledger: Ledger, *, ok: bool) -> Summary:
    """Return the figures; ``ok`` tells whether every process ended well."""
    seconds = ledger.seconds
    bound = lower_bound(ledger.size, ledger.rate)
    seed = ledger.given(SEED)
    return Summary(
        ok=ok and ledger.digests_ok,
        peers=len(ledger.peers),
        size=ledger.size,
        seconds=None if seconds is None else round(seconds, 3),
        bytes=Sent(origin=ledger.origin_bytes, seed=seed, peers=ledger.received - seed),
        lower_bound_seconds=None if bound is None else round(bound, 3),
        efficiency=round(bound / seconds, 3) if bound and seconds else None,
        digests_ok=ledger.digests_ok,
    )
