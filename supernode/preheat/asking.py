"""The supernode's ``/preheats`` as this command uses it."""

from collections.abc import Mapping

import msgspec

from supernode.remote import Rejected, Remote

ENDED = ("SUCCESS", "FAILED")


class Wish(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"kind": "type"}):
    """What is to be preheated; ``headers`` may hold secrets."""

    kind: str
    url: str
    platform: str = ""
    headers: Mapping[str, str] = {}
    filter: str = ""
    identifier: str = ""


class Blob(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename={"done": "bytesDone", "came_from": "from"},
):
    """A file of an image."""

    digest: str
    state: str = ""
    size: int | None = None
    done: int = 0
    platforms: tuple[str, ...] = ()
    came_from: str = ""
    detail: str = ""
    skipped: str = ""


class Preheat(msgspec.Struct, frozen=True, kw_only=True, rename={"error": "errorMsg"}):
    """How far a preheat is."""

    status: str
    digest: str = ""
    blobs: tuple[Blob, ...] = ()
    error: str = ""
    reason: str = ""


class DryRun(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename={
        "admitted": "canAuthenticate",
        "total": "bytesTotal",
        "cached": "bytesCached",
        "to_fetch": "bytesToFetch",
    },
):
    """What a preheat would fetch."""

    admitted: bool
    blobs: tuple[Blob, ...] = ()
    digest: str = ""
    total: int = 0
    cached: int = 0
    to_fetch: int = 0
    reason: str = ""
    detail: str = ""


class _Created(msgspec.Struct, rename={"identity": "ID", "dry_run": "dryRun"}):
    identity: str = ""
    dry_run: DryRun | None = None


class Preheats:
    """Those of one supernode. Every call raises :class:`~supernode.remote.Unreachable` or
    :class:`~supernode.remote.Rejected`.
    """

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    async def create(self, wish: Wish) -> str:
        """Have it preheated; return the preheat's ID."""
        return (await self._remote.ask("POST", "/preheats", _Created, wish)).identity

    async def dry_run(self, wish: Wish) -> DryRun:
        """Return what would be fetched."""
        found = (await self._remote.ask("POST", "/preheats?dryRun=true", _Created, wish)).dry_run
        if found is None:
            raise Rejected(f"supernode {self._remote.node} knows no dry runs")
        return found

    async def look(self, identity: str) -> Preheat:
        """Return how far a preheat is."""
        return await self._remote.ask("GET", f"/preheats/{identity}", Preheat)
