"""Who holds a piece, as clients are told and as they say it."""

from dataclasses import dataclass

from supernode.core.commands import Seed
from supernode.core.identity import SEED_PREFIX


@dataclass(frozen=True, slots=True)
class SeedAddress:
    """Where clients reach the data port."""

    ip: str
    port: int


def holder(name: str) -> Seed | str | None:
    """Return whom a client means by a holder's name; None: it does not say."""
    if name.startswith(SEED_PREFIX):
        return Seed.SEED
    return name or None
