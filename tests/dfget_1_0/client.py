"""A dfget 1.0, as its releases behave: one download, from registration to outcome.

Two loops and a writer, as in the original: one loop asks the supernode and begins pieces, every
piece is fetched by a task of its own, and what has come is written in turn. What looks odd here is
what real clients do, and what a supernode must live with.
"""

import hashlib
import os
import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import trio

from supernode.core.pieces import FRAME_BYTES
from tests.dfget_1_0.uploader import Uploader
from tests.dfget_1_0.wire import Address, Broken, Http

START, RUNNING = 700, 701
FAILED, INVALID, SEMI_SUCCESS = 500, 502, 503
FINISH, CONTINUE, WAIT = 600, 601, 602
SUCCESS, UNREACHABLE, NEED_AUTH, WAIT_AUTH = 200, 607, 608, 609
REPORTED, ACCEPTED = 611, 1

REGISTER_FAILED, DOWNLOAD_ERROR, WRITE_ERROR = 1, 3, 6
"""Reasons to go to the origin."""
QUEUE = 6
MERGED_ABOVE = 2
"""With more pieces in flight, the supernode is not asked for each that has come."""
POLL_SECONDS = 2.0
SLEEP, LONGEST_SLEEP = (0.05, 0.1), (0.8, 1.6)
MIN_RATE = 64 << 10
GRACE_SECONDS = 10.0
UNKNOWN_LENGTH_SECONDS = 300.0
LEAST_NAME = 25


class WentToOrigin(Exception):
    """The client gives the supernode up and asks the origin itself."""

    def __init__(self, reason: int, why: object) -> None:
        super().__init__(f"reason {reason}: {why}")
        self.reason = reason


class GaveUp(Exception):
    """The client ends without the file, for want of credentials."""


class Crashed(Exception):
    """The real client would have crashed here."""


@dataclass(frozen=True)
class Release:
    """What differs between releases."""

    version: str

    @property
    def _minor(self) -> int:
        return int(self.version.rpartition(".")[2])

    @property
    def wakes_for_reports(self) -> bool:
        """Whether a finished piece ends its sleep after a 602."""
        return self._minor >= 1

    @property
    def attempts_to_report(self) -> int:
        return 3 if self._minor >= 1 else 1

    @property
    def takes_the_supernodes_md5(self) -> bool:
        return self._minor >= 6

    @property
    def nodes_per_supernode(self) -> int:
        """How often it may register with a supernode, whether or not that fails it."""
        return 2 if self._minor == 0 else 1


class Report(NamedTuple):
    """What it tells with its next pull."""

    status: int
    result: int
    range: str = ""
    dst: str = ""
    piece_size: int = 0


class Piece(NamedTuple):
    number: int
    range: str
    size: int
    md5: str
    dst: str
    address: Address
    path: str

    @classmethod
    def of(cls, said: dict[str, Any]) -> "Piece":
        if len(said["cid"]) < LEAST_NAME:
            raise Crashed(f"holder {said['cid']!r}")
        address = (said["peerIp"], said["peerPort"])
        digest = said["pieceMd5"].partition(":")[0]
        return cls(
            said["pieceNum"],
            said["range"],
            said["pieceSize"],
            digest,
            said["cid"],
            address,
            said["path"],
        )


@dataclass
class Dfget:
    """One run.

    Args:
        url: what to download.
        node: the supernode.
        home: where its files go.
        uploader: of its machine; None: the pattern is cdn.
        release: which client it is.
        md5: what the file must have, if the user says.
        headers: for the origin, as lines.
        twice: whether it runs under dfdaemon, which names every supernode twice.
    """

    url: str
    node: Address
    home: Path
    uploader: Uploader | None = None
    release: Release = field(default_factory=lambda: Release("1.0.6"))
    md5: str = ""
    headers: tuple[str, ...] = ()
    twice: bool = False
    name: str = "f"
    codes: list[int] = field(default_factory=list)
    """Of every answer to a pull."""
    sources: dict[str, int] = field(default_factory=dict)
    """Pieces by whom they came from."""
    outcomes_sent: int = 0
    task: str = ""

    def __post_init__(self) -> None:
        sign = f"{os.getpid()}-{random.randrange(10**9)}.{random.randrange(1000):03}"
        self.cid = f"{self.uploader.ip if self.uploader else '127.0.0.1'}-{sign}"
        self.file_name = f"{self.name}-{sign}"
        self.output = self.home / self.file_name
        self.service_file = self.home / f"{self.file_name}.service"
        self._http = Http()
        self._trouble = "no supernode is named"
        """What the last answer to a pull was."""
        self._piece_size = 0
        self._length = -1
        self._pieces: dict[str, bool] = {}
        """By range: whether it has come."""
        self._queue: deque[Report] = deque()
        self._news = trio.Event()
        self._sleep = SLEEP
        count = max(self.release.nodes_per_supernode, 2 if self.twice else 1)
        self._nodes: Iterator[Address] = iter([self.node] * count)

    # registration

    async def run(self) -> bytes:
        """Download; return the file, which is also where it belongs. Raises as :meth:`to_file`."""
        return (await self.to_file()).read_bytes()

    async def to_file(self) -> Path:
        """Download; return where the file is. On cancel the client is as if killed.

        Raises:
            WentToOrigin, GaveUp, Crashed: as their names say.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        self.service_file.touch()
        if self.uploader is not None:
            self.uploader.files[self.file_name] = self.service_file
        try:
            await self._register()
            with trio.fail_after(self._patience()):
                await self._download()
            await self._tell_outcome()
        finally:
            self._http.close()
        return self.output

    async def leave(self) -> int:
        """Let the uploader not offer the file any longer; return the supernode's code."""
        http = Http()
        answer = await http.get(self.node, f"/peer/service/down?taskId={self.task}&cid={self.cid}")
        http.close()
        code: int = answer.json()["code"]
        return code

    def _patience(self) -> float:
        if self._length > 0:
            return self._length / MIN_RATE + GRACE_SECONDS
        return UNKNOWN_LENGTH_SECONDS

    def _introduction(self, node: Address) -> dict[str, object]:
        said: dict[str, object] = {
            "superNodeIp": node[0],
            "rawUrl": self.url,
            "taskUrl": self.url,
            "cid": self.cid,
            "ip": self.uploader.ip if self.uploader else "127.0.0.1",
            "hostName": "vm",
            "port": self.uploader.port if self.uploader else 0,
            "path": f"/peer/file/{self.file_name}",
            "version": self.release.version,
        }
        if self.md5:
            said["md5"] = self.md5
        if self.headers:
            said["headers"] = list(self.headers)
        return said

    async def _register(self) -> None:
        """Register with the next supernode, until one takes it."""
        why: object = self._trouble
        for node in self._nodes:
            answer: dict[str, Any] = {"code": WAIT_AUTH}
            for _ in range(4):
                if (answer := await self._registry(node))["code"] != WAIT_AUTH:
                    break
                await trio.sleep(1)
            why = answer
            if answer["code"] == SUCCESS:
                return self._registered(node, answer["data"])
            if answer["code"] == NEED_AUTH:
                raise GaveUp(answer.get("msg"))
            if answer["code"] == UNREACHABLE:
                break
        raise WentToOrigin(DOWNLOAD_ERROR if self.task else REGISTER_FAILED, why)

    async def _registry(self, node: Address) -> dict[str, Any]:
        try:
            answer = await self._http.post(node, "/peer/registry", self._introduction(node))
        except Broken as error:
            return {"code": -100, "msg": str(error)}
        if answer.status != 200:
            return {"code": -100, "msg": answer.body.decode()}
        said: dict[str, Any] = answer.json()
        return said

    def _registered(self, node: Address, data: dict[str, Any]) -> None:
        self.node, self.task = node, data["taskId"]
        self._length = data["fileLength"]
        if data["pieceSize"] != self._piece_size:
            self._pieces.clear()
        self._piece_size = data["pieceSize"]
        self._put(Report(START, INVALID))

    # the loop that asks

    async def _download(self) -> None:
        async with trio.open_nursery() as self._tellers, trio.open_nursery() as self._nursery:
            self._to_write, written = trio.open_memory_channel[tuple[Piece, bytes]](QUEUE)
            self._writer_ended = trio.Event()
            self._nursery.start_soon(self._write, written)
            last: Report | None = None
            while True:
                send, last = await self._next(last)
                if not send or last is None:
                    continue
                report, last = last, None
                answer = await self._pull(report)
                if answer is None:
                    await self._register()
                elif answer["code"] == FINISH:
                    break
                elif answer["code"] == CONTINUE:
                    self._begin(answer["data"])
            await self._finish(answer)
            self._nursery.cancel_scope.cancel("what is still coming is there already")

    async def _next(self, last: Report | None) -> tuple[bool, Report | None]:
        """Return whether to ask now, and what to say then."""
        merge = True
        with trio.move_on_after(POLL_SECONDS):
            while not self._queue:
                await self._news.wait()
        if not self._queue:
            merge = False
        else:
            report = self._queue.popleft()
            if report.piece_size not in (0, self._piece_size):
                return False, last
            if report.range:
                if report.range not in self._pieces:
                    return False, last
                if not self._pieces[report.range]:
                    if report.result == SEMI_SUCCESS:
                        self._pieces[report.range] = True
                    else:
                        del self._pieces[report.range]
            last = report
        running = sum(not has_come for has_come in self._pieces.values())
        busy = bool(self._queue) or running > MERGED_ABOVE
        if merge and last is not None and last.result == SEMI_SUCCESS and busy:
            return False, last
        return last is not None, last

    async def _pull(self, report: Report) -> dict[str, Any] | None:
        """Ask, the same again while there is nothing to do; None: the supernode is of no use."""
        query = (
            f"srcCid={self.cid}&dstCid={report.dst}&range={report.range}"
            f"&result={report.result}&status={report.status}&taskId={self.task}"
        )
        while True:
            try:
                answer = await self._http.get(self.node, f"/peer/task?{query}")
            except Broken as error:
                self._trouble = str(error)
                return None
            self._trouble = answer.body.decode()
            if answer.status != 200:
                return None
            said: dict[str, Any] = answer.json()
            if "code" not in said:
                raise Crashed("an answer without a code")
            self.codes.append(said["code"])
            if said["code"] in (FINISH, CONTINUE, 603, SUCCESS):
                return said
            if said["code"] != WAIT:
                return None
            if self._queue:
                return said
            await self._sleep_a_little()

    async def _sleep_a_little(self) -> None:
        with trio.move_on_after(random.uniform(*self._sleep)):
            if self.release.wakes_for_reports:
                await self._news.wait()
            else:
                await trio.sleep_forever()
        self._sleep = (
            min(2 * self._sleep[0], LONGEST_SLEEP[0]),
            min(2 * self._sleep[1], LONGEST_SLEEP[1]),
        )

    def _begin(self, data: list[dict[str, Any]]) -> None:
        for said in data:
            piece = Piece.of(said)
            if self._pieces.get(piece.range):
                self._put(Report(RUNNING, SEMI_SUCCESS, piece.range, piece.dst, piece.size))
            elif piece.range not in self._pieces:
                self._pieces[piece.range] = False
                self._nursery.start_soon(self._fetch, piece)

    def _put(self, report: Report) -> None:
        self._queue.append(report)
        self._stir()

    def _stir(self) -> None:
        self._news.set()
        self._news = trio.Event()

    # pieces

    async def _fetch(self, piece: Piece) -> None:
        try:
            with trio.fail_after(piece.size / MIN_RATE + GRACE_SECONDS):
                body = await self._piece(piece)
        except (Broken, trio.TooSlowError):
            body = None
        if body is None:
            await trio.sleep(0.02)
            self._put(Report(RUNNING, FAILED, piece.range, piece.dst, piece.size))
            return
        self.sources[piece.dst] = self.sources.get(piece.dst, 0) + 1
        await self._to_write.send((piece, body))
        self._put(Report(RUNNING, SEMI_SUCCESS, piece.range, piece.dst, piece.size))

    async def _piece(self, piece: Piece) -> bytes | None:
        """Return a piece, framed; None: its holder is no good."""
        await self._http.probe(piece.address)
        headers = {
            "User-Agent": f"dfget/{self.release.version}",
            "Piecenum": str(piece.number),
            "Piecesize": str(piece.size),
            "Range": f"bytes={piece.range}",
        }
        answer = await self._http.piece(piece.address, piece.path, headers)
        if answer.status == 404:
            await self._accuse(piece, "FILE_NOT_EXIST")
        if not 200 <= answer.status < 300:
            return None
        md5 = hashlib.md5(answer.body).hexdigest()
        if piece.md5 and md5 != piece.md5:
            await self._accuse(piece, "FILE_MD5_NOT_MATCH", md5)
            return None
        return answer.body

    async def _accuse(self, piece: Piece, what: str, md5: str = "") -> None:
        details = ("", "", "", "")
        if md5:
            details = (piece.address[0], piece.range, md5, piece.md5)
        ip, where, real, expected = details
        query = (
            f"errorType={what}&srcCid={self.cid}&dstCid={piece.dst}&dstIp={ip}&taskId={self.task}"
            f"&range={where}&realMd5={real}&expectedMd5={expected}"
        )
        await self._http.get(self.node, f"/peer/piece/error?{query}")

    async def _write(self, written: trio.MemoryReceiveChannel[tuple[Piece, bytes]]) -> None:
        with self.service_file.open("r+b") as file:
            async for piece, body in written:
                if len(body) < FRAME_BYTES:
                    raise WentToOrigin(WRITE_ERROR, f"{len(body)} bytes")
                # Others may ask for the piece at any moment, also at this one.
                await trio.lowlevel.checkpoint()
                file.seek(piece.number * (piece.size - FRAME_BYTES))
                file.write(body[4:-1])
                file.flush()
                self._tellers.start_soon(self._tell_of, piece)
        self._writer_ended.set()

    async def _tell_of(self, piece: Piece) -> None:
        query = f"taskId={self.task}&cid={self.cid}&dstCid={piece.dst}&pieceRange={piece.range}"
        for _ in range(self.release.attempts_to_report):
            try:
                answer = await self._http.get(self.node, f"/peer/piece/suc?{query}")
            except Broken:
                pass
            else:
                if answer.status == 200:
                    self._stir()
                    return
            await trio.sleep(random.uniform(0.05, 0.55))

    # the end

    async def _finish(self, answer: dict[str, Any]) -> None:
        if not isinstance(answer.get("data"), dict):
            raise Crashed("the end without data")
        expected = self.md5
        if not expected and self.release.takes_the_supernodes_md5:
            expected = answer["data"]["md5"]
        self._to_write.close()
        await self._writer_ended.wait()
        if expected and await trio.to_thread.run_sync(_md5_of, self.service_file) != expected:
            raise WentToOrigin(DOWNLOAD_ERROR, "the md5 is another one")
        self.output.hardlink_to(self.service_file)

    async def _tell_outcome(self) -> None:
        outcome = {
            "IP": "127.0.0.1",
            "backsourceReason": "0",
            "cID": self.cid,
            "duration": 0.1,
            "fileLength": self._length,
            "port": self.uploader.port if self.uploader else 0,
            "success": True,
            "taskId": self.task,
        }
        for _ in range(2):
            self.outcomes_sent += 1
            answer = await self._http.post(self.node, "/task/metrics", outcome)
            if answer.status == 200 and (answer.json() or {}).get("code") == ACCEPTED:
                return


def _md5_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
