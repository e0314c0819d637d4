"""Clients that register and remove things all at once, and remember what was acknowledged."""

import random
from collections.abc import Awaitable, Callable

import trio

from tests.e2e.acknowledged import Acknowledged
from tests.e2e.persistent_client import Answer, PersistentClient
from tests.e2e.promises import Promise, Promises

AT_ONCE = 32


class Registering:
    """One burst after the other.

    Args:
        call: asks the supernode.
        known: where acknowledgements are noted.
        promises: is told of answers that should not be.
        chance: chooses what to register.
        url: of a small file; any query makes it another task.
    """

    def __init__(
        self,
        call: PersistentClient,
        known: Acknowledged,
        promises: Promises,
        chance: random.Random,
        url: str,
    ) -> None:
        self._call = call
        self._known = known
        self._promises = promises
        self._chance = chance
        self._url = url
        self._count = 0

    async def burst(self, acknowledged: Callable[[], None]) -> None:
        """Do :data:`AT_ONCE` things at the same time.

        Args:
            acknowledged: called at the very moment of each acknowledgement.
        """
        kinds: list[tuple[Callable[[int], Awaitable[Answer | None]], int]] = [
            (self._peer, 12),
            (self._download, 6),
            (self._new_task, 6),
            (self._preheat, 4),
            (self._leave, 2),
            (self._pause, 1),
            (self._remove, 1),
        ]
        wanted = [kind for kind, count in kinds for _ in range(count)]
        self._chance.shuffle(wanted)

        async def one(kind: Callable[[int], Awaitable[Answer | None]], number: int) -> None:
            answer = await kind(number)
            if answer is not None:
                self._promises.look(Promise.ENDS, answer.status < 300, f"{kind.__name__}: {answer}")
                acknowledged()

        async with trio.open_nursery() as nursery:
            for kind in wanted[:AT_ONCE]:
                self._count += 1
                nursery.start_soon(one, kind, self._count)

    async def _peer(self, number: int) -> Answer:
        ip = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        answer = await self._call(
            "POST", "/peers", {"IP": ip, "hostName": f"h{number}", "port": 15001}
        )
        if answer.status == 201:
            self._known.peers.add(answer.body["ID"])
        return answer

    async def _new_task(self, number: int) -> Answer:
        return await self.download(f"{self._url}?task={number}", f"first-{number}")

    async def _download(self, number: int) -> Answer:
        return await self.download(f"{self._url}?shared={number % 4}", f"client-{number}")

    async def download(self, url: str, client: str, *, wait: int = 0) -> Answer:
        """Register a download that does not end by itself."""
        answer = await self._call("POST", "/tasks", {"rawURL": url, "cID": client}, wait=wait)
        if answer.status == 201:
            self._known.downloads[answer.body["ID"]].add(client)
        return answer

    async def finish(self, task: str, client: str) -> None:
        """End a download; if it was the last one, the task may be evicted."""
        clients = self._known.downloads[task]
        clients.discard(client)
        if not clients:
            del self._known.downloads[task]
        path = f"/tasks/{task}/pieces?clientID={client}"
        await self._call("GET", path, {"dfgetTaskStatus": "FINISHED"})

    async def _preheat(self, number: int) -> Answer:
        return await self.preheat(f"{self._url}?preheat={number}")

    async def preheat(self, url: str) -> Answer:
        """Have a file fetched that nobody asks for."""
        answer = await self._call("POST", "/preheats", {"type": "file", "url": url})
        if answer.status == 200:
            self._known.preheats.setdefault(answer.body["ID"], "")
        return answer

    async def _leave(self, _number: int) -> Answer | None:
        if not self._known.peers:
            return None
        peer = self._chance.choice(sorted(self._known.peers))
        self._known.peers.remove(peer)  # until it is answered, nobody knows
        return await self._gone(f"/peers/{peer}")

    async def _remove(self, _number: int) -> Answer | None:
        tasks = [task for task, clients in self._known.downloads.items() if _is_lonely(clients)]
        if not tasks:
            return None
        task = self._chance.choice(sorted(tasks))
        del self._known.downloads[task]
        self._known.paused.discard(task)
        return await self._gone(f"/tasks/{task}")

    async def _gone(self, path: str) -> Answer | None:
        answer = await self._call("DELETE", path)
        if answer.status in (204, 404):  # the latter if the answer before got lost
            self._known.gone.append(path)
        return answer if answer.status != 404 else None

    async def _pause(self, _number: int) -> Answer | None:
        tasks = [task for task, clients in self._known.downloads.items() if _is_lonely(clients)]
        if not tasks:
            return None
        task = self._chance.choice(sorted(tasks))
        answer = await self._call("PUT", f"/tasks/{task}", {"paused": True})
        if answer.status == 200:
            self._known.paused.add(task)
        return answer if answer.status != 404 else None  # it was removed meanwhile


def _is_lonely(clients: set[str]) -> bool:
    """Tell whether a task has no download but the one that made it known."""
    return all(client.startswith("first-") for client in clients)
