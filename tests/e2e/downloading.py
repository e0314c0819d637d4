"""Machines that download one file after the other, by real dfget processes, and what came of it."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import trio

from supernode.core.identity import task_id
from supernode.demo.processes import child
from tests.e2e.acknowledged import Acknowledged
from tests.e2e.promises import Promise, Promises
from tests.e2e.registering import Registering

GRACE_SECONDS = 5.0
DOWNLOAD_SECONDS = 120.0
"""After so long a download counts as hanging."""


@dataclass(frozen=True)
class File:
    """What is downloaded, under any number of URLs."""

    url: str
    content: bytes


class Machines:
    """Some machines that want the same at the same time; when all have it, the next.

    Args:
        name: tells them from others.
        directory: for their homes.
        node: the supernode, as dfget takes it.
        known: where pieces that somebody has are noted.
        registering: keeps a file in use until all have it, so that it is not evicted.
        promises: is told what came of each download.
        rate: most bytes/s of one download, as dfget takes it.
    """

    def __init__(
        self,
        name: str,
        directory: Path,
        node: str,
        known: Acknowledged,
        registering: Registering,
        promises: Promises,
        *,
        rate: str,
    ) -> None:
        self.downloads = 0
        self.refused = 0
        """How many of the downloads found nobody listening for a while."""
        self.name = name
        self._directory = directory
        self._node = node
        self._known = known
        self._registering = registering
        self._promises = promises
        self._rate = rate
        self._enough = False

    def enough(self) -> None:
        """Begin nothing new."""
        self._enough = True

    async def run(self, file: File, machines: int) -> None:
        """Download ``file`` under one URL after the other, until it is enough."""
        wave = 0
        while not self._enough:
            wave += 1
            url = f"{file.url}?{self.name}={wave}"
            keeper = f"keeper-{self.name}-{wave}"
            task = (await self._registering.download(url, keeper)).body["ID"]
            self._known.pieces[task] = file.content, set()
            async with trio.open_nursery() as nursery:
                for number in range(machines):
                    home = self._directory / f"{self.name}{number}"
                    nursery.start_soon(self._download, f"{home.name}-{wave}", home, url, file)
            del self._known.pieces[task]
            await self._registering.finish(task, keeper)

    async def _download(self, title: str, home: Path, url: str, file: File) -> None:
        """Run one dfget; check its end and its file."""
        await trio.Path(home).mkdir(exist_ok=True)
        output, log = home / "output", home / f"{title}.stderr"
        end: dict[str, object] = {}
        try:
            with trio.fail_after(DOWNLOAD_SECONDS):
                async with child(
                    title,
                    log,
                    *("dfget", "--url", url, "--output", str(output), "--node", self._node),
                    *("--home", str(home), "--ip", "127.0.0.1", "--json", "--console"),
                    *("--locallimit", self._rate, "--expiretime", "30s"),
                    grace=GRACE_SECONDS,
                ) as dfget:
                    async for line in dfget.lines():
                        said = json.loads(line)
                        if said["event"] == "piece":
                            self._has(task_id(url), said["number"])
                        elif said["event"] == "end":
                            end = said
        except trio.TooSlowError:
            end = {"ok": False, "error": f"not done within {DOWNLOAD_SECONDS:g} s"}
        self._judge(title, end, log.read_text(errors="replace"))
        look = self._promises.look
        look(Promise.FILES, bool(end.get("ok")), f"{title}: {end.get('error', 'was killed')}")
        if end.get("ok"):
            digest = await trio.to_thread.run_sync(_sha256, output)
            right = digest == hashlib.sha256(file.content).digest()
            look(Promise.FILES, right, f"{title} has another file")
            await trio.Path(output).unlink()

    def _has(self, task: str, number: int) -> None:
        """Take note: somebody was told where the piece is, so it is sealed."""
        if task in self._known.pieces:
            self._known.pieces[task][1].add(number)

    def _judge(self, title: str, end: dict[str, object], log: str) -> None:
        self.downloads += 1
        refused = f"cannot connect to {self._node}" in log
        self.refused += refused
        look = self._promises.look
        look(Promise.DOWNLOADS, "registering again" not in log, f"{title} was forgotten")
        amounts = end.get("bytes")
        from_origin = amounts["origin"] if isinstance(amounts, dict) else 0
        # Who is refused may go; that nobody is, where sockets are held, is a promise of its own.
        what = f"{title} had {from_origin} bytes from the origin"
        look(Promise.ORIGIN, from_origin == 0 or refused, what)


def _sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
