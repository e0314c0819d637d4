"""What a supernode has answered for, and whether it still stands by it."""

import random
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

from supernode.clock import Clock
from supernode.core.pieces import SMALLEST_PIECE, TRAILER, content_size, frame_header
from tests.e2e.persistent_client import PersistentClient
from tests.e2e.promises import Promise, Promises

T = TypeVar("T")

PIECE = SMALLEST_PIECE
"""Framed bytes of every piece but the last: no file here is larger than 200 MiB."""
PAGE = 1000
SOME = 20
"""How many are looked into each time, of those that came last and of the others."""


@dataclass
class Acknowledged:
    """What clients were told, and so may rely on.

    Args:
        peers: IDs of those that are known.
        downloads: of each task, the client IDs of its downloads, none of which has ended.
        preheats: of each ID, how it ended; empty: nobody was told that it has.
        paused: IDs of tasks.
        gone: paths of what was removed, the latest last.
        complete: of each target at the origin, when its task was complete; epoch seconds.
        pieces: of each task that dfgets are downloading, the content, and the pieces one has.
    """

    peers: set[str] = field(default_factory=set)
    downloads: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    preheats: dict[str, str] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)
    gone: list[str] = field(default_factory=list)
    complete: dict[str, float] = field(default_factory=dict)
    pieces: dict[str, tuple[bytes, set[int]]] = field(default_factory=dict)


class Verification:
    """Asks a supernode for everything that was acknowledged.

    Args:
        call: asks it.
        known: what it has acknowledged; clients may add to it meanwhile.
        promises: is told what is so and what is not.
        chance: chooses where everything would take too long.
        clock: tells when.
    """

    def __init__(
        self,
        call: PersistentClient,
        known: Acknowledged,
        promises: Promises,
        chance: random.Random,
        clock: Clock,
    ) -> None:
        self._call = call
        self._known = known
        self._promises = promises
        self._chance = chance
        self._clock = clock

    async def run(self) -> None:
        """Look at everything, or at the latest and some of what was before."""
        await self._peers()
        await self._tasks()
        await self._preheats()
        await self._pieces()
        for path in self._some(self._known.gone):
            status = (await self._call("GET", path)).status
            self._promises.look(Promise.GONE, status == 404, f"{path}: {status}")

    def _some(self, of: Iterable[T]) -> list[T]:
        """Return the last ones, and as many others."""
        (*others,) = of
        last = [others.pop() for _ in range(min(len(others), SOME))]
        return last + self._chance.sample(others, min(len(others), SOME))

    async def _listed(self, path: str) -> list[Any]:
        """Return a list, page by page; empty if there is none."""
        listed: list[Any] = []
        while True:
            answer = await self._call("GET", f"{path}pageSize={PAGE}&pageNum={len(listed) // PAGE}")
            page = answer.body if answer.status < 300 else []
            listed += page
            if len(page) < PAGE:
                return listed

    async def _is_there(self, path: str) -> bool:
        return (await self._call("GET", path)).status == 200

    async def _peers(self) -> None:
        peers = sorted(self._known.peers)
        listed = {peer["ID"] for peer in await self._listed("/peers?")}
        for peer in peers:
            # What a list lacks may have moved to another page meanwhile: ask for it by itself.
            there = peer in listed or await self._is_there(f"/peers/{peer}")
            self._promises.look(Promise.PEERS, there or peer not in self._known.peers, peer)

    async def _tasks(self) -> None:
        known = self._known
        tasks, paused = list(known.downloads), set(known.paused)
        listed = {task["ID"]: task for task in await self._listed("/tasks?")}
        for task in tasks:
            there = task in listed or await self._is_there(f"/tasks/{task}")
            self._promises.look(Promise.TASKS, there or task not in known.downloads, task)
        for task in self._some(tasks):
            await self._downloads(task)
        for task in sorted(paused & listed.keys()):
            said = bool(listed[task].get("paused"))
            self._promises.look(Promise.PAUSED, said or task not in known.paused, task)
        complete = [task for task in listed.values() if task["cdnStatus"] == "SUCCESS"]
        for task in complete:
            known.complete.setdefault(target_of(task["rawURL"]), self._clock.now())
        for task in self._some(complete):
            await self._whole(task["ID"])

    async def _downloads(self, task: str) -> None:
        """Look at the downloads of a task; have one of them go on."""
        known = self._known.downloads
        clients = sorted(known.get(task, ()))
        listed = await self._listed(f"/tasks/{task}/clients?")
        going_on = {one["cID"] for one in listed if one["status"] in ("WAITING", "RUNNING")}
        for client in clients:
            kept = client in going_on or client not in known.get(task, ())
            self._promises.look(Promise.DOWNLOADS, kept, f"{client} of {task}")
        if clients:
            client = self._chance.choice(clients)
            answer = await self._call("GET", f"/tasks/{task}/pieces?clientID={client}&num=1")
            kept = answer.status == 200 or task not in known
            self._promises.look(Promise.DOWNLOADS, kept, f"{client} pulls: {answer.body}")

    async def _whole(self, task: str) -> None:
        """Look whether a complete file is there, unless it has been evicted meanwhile."""
        size = (await self._call("GET", f"/tasks/{task}")).body.get("fileLength")
        if size is None:
            return
        answers = [
            await self._call.piece(task, start, start + 4) for start in range(0, size, PIECE)
        ]
        kept = all(answer.status == 206 for answer in answers) or not await self._is_complete(task)
        self._promises.look(Promise.WHOLE, kept, task)

    async def _is_complete(self, task: str) -> bool:
        answer = await self._call("GET", f"/tasks/{task}")
        return answer.status == 200 and answer.body["cdnStatus"] == "SUCCESS"

    async def _preheats(self) -> None:
        ended = dict(self._known.preheats)
        for preheat in self._some(ended):
            answer = await self._call("GET", f"/preheats/{preheat}")
            status = answer.body.get("status") if answer.status == 200 else "unknown"
            kept = status == ended[preheat] if ended[preheat] else status != "unknown"
            self._promises.look(Promise.PREHEATS, kept, f"{preheat}: {ended[preheat]} → {status}")
            if kept and status in ("SUCCESS", "FAILED"):
                self._known.preheats[preheat] = status

    async def _pieces(self) -> None:
        """Look at the pieces of files that are being downloaded: they cannot be evicted."""
        for task, (content, numbers) in list(self._known.pieces.items()):
            wanted = sorted(numbers)
            whole = self._chance.choice(wanted) if wanted else None
            for number in wanted:
                framed = framed_piece(content, number)
                length = len(framed) if number == whole else 4
                start = number * PIECE
                answer = await self._call.piece(task, start, start + length)
                kept = answer.status == 206 and answer.body == framed[:length]
                self._promises.look(
                    Promise.SEALED,
                    kept or task not in self._known.pieces,
                    f"piece {number} of {task}: {answer.status}",
                )


def framed_piece(content: bytes, number: int) -> bytes:
    """Return a piece as it travels."""
    size = content_size(PIECE)
    part = content[number * size : (number + 1) * size]
    return frame_header(len(part), PIECE) + part + TRAILER


def target_of(url: str) -> str:
    """Return path and query."""
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path
