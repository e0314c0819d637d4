"""The supernode's ``/preheats`` as this command uses it."""

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from supernode.dfget.http import HttpClient, HttpError
from supernode.dfget.options import Node

T = TypeVar("T")

ANSWER_SECONDS = 30.0
ENDED = ("SUCCESS", "FAILED")
_FULL = 503


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


class _Trouble(msgspec.Struct):
    message: str = ""


class Unreachable(Exception):
    """The supernode gives no answer now; it may later."""


class Rejected(Exception):
    """The supernode answered that it will not; the text says why."""


class Preheats:
    """One supernode. Every call raises :class:`Unreachable` or :class:`Rejected`.

    Args:
        node: where it is.
        http: the connections to use.
    """

    def __init__(self, node: Node, http: HttpClient) -> None:
        self._node = node
        self._http = http

    async def create(self, wish: Wish) -> str:
        """Have it preheated; return the preheat's ID."""
        return (await self._ask("POST", "/preheats", _Created, wish)).identity

    async def dry_run(self, wish: Wish) -> DryRun:
        """Return what would be fetched."""
        found = (await self._ask("POST", "/preheats?dryRun=true", _Created, wish)).dry_run
        if found is None:
            raise Rejected(f"supernode {self._node} knows no dry runs")
        return found

    async def look(self, identity: str) -> Preheat:
        """Return how far a preheat is."""
        return await self._ask("GET", f"/preheats/{identity}", Preheat)

    async def _ask(self, method: str, target: str, kind: type[T], wish: Wish | None = None) -> T:
        try:
            answer = await self._http.request(
                (self._node.host, self._node.port),
                method,
                target,
                body=msgspec.json.encode(wish) if wish else b"",
                timeout=ANSWER_SECONDS,
                tls=self._node.tls,
            )
        except HttpError as error:
            raise Unreachable(f"supernode {self._node}: {error}") from error
        try:
            if answer.status < 300:
                return msgspec.json.decode(answer.body, type=kind)
            trouble = msgspec.json.decode(answer.body, type=_Trouble).message
        except msgspec.MsgspecError:
            trouble = ""
        problem = trouble or f"status {answer.status}"
        if answer.status >= 500 and answer.status != _FULL:
            raise Unreachable(f"supernode {self._node}: {problem}")
        raise Rejected(problem)
