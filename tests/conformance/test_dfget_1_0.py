"""What a real dfget 1.0 said to Dragonfly v1's supernode, said to ours.

Every recorded exchange is repeated in its order, and held against v1's answer: status, code, the
fields of the answer and their types, the measures of files and pieces, and the state after it.
Which pieces are handed out when is ours to decide. Where v1's answer is known to be a defect, the
tables below say what ours is.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx2
import pytest
import trio
from trio.testing import MockClock

from supernode.core.commands import FinishFetch
from supernode.core.errors import NotFound
from supernode.core.identity import ClientId, TaskId, download_path
from supernode.core.model import Download, DownloadStatus
from supernode.core.pieces import PieceDigest, PieceNumber, framed_piece_length
from supernode.core.reasons import Reason
from supernode.feed import TO_FETCH
from supernode.services.expiry import Expiry
from tests.inprocess import SEED, InProcess, through_both

Recorded = dict[str, Any]

REFUSED = {
    # cID → code of a registration that v1 lets pass
    "c7": 501,  # would give others of that URL what is at this one
    "c8": 501,  # "m" is no MD5
}
UNREADABLE = "{bad"
MORE_PIECES, NO_PIECES = 601, 602


def scenarios() -> list[Recorded]:
    text = (Path(__file__).parent / "data" / "dfget_1_0.json").read_text()
    entries: list[Recorded] = json.loads(text)
    for entry in entries:
        exchanges = json.dumps(entry["exchanges"])
        for number, task in enumerate(entry["tasks"]):
            exchanges = exchanges.replace(f"{{T{number}}}", task)
        entry["exchanges"] = json.loads(exchanges)
    return entries


def shape(value: object) -> object:
    """Return fields and types, as far down as they go; a list is as its first entry."""
    if isinstance(value, dict):
        return {name: shape(part) for name, part in value.items() if name != "msg"}
    if isinstance(value, list):
        return [shape(part) for part in value[:1]]
    return type(value)


@dataclass
class File:
    """What the recording tells of a file."""

    length: int
    md5: str = "1" * 32
    framed_length: int = 0
    digests: dict[int, PieceDigest] = field(default_factory=dict)


def files(exchanges: list[Recorded]) -> dict[TaskId, File]:
    found: dict[TaskId, File] = {}
    for exchange in exchanges:
        answer = exchange.get("answer") or {}
        data: Any = answer.get("data")
        if exchange["path"] == "/peer/registry" and exchange["status"] == 200:
            found.setdefault(TaskId(data["taskId"]), File(data["fileLength"]))
        elif exchange["path"] == "/peer/task" and data:
            file = found[TaskId(parse_qs(exchange["query"])["taskId"][0])]
            if answer["code"] == 600:
                file.md5, file.framed_length = data["md5"], data["fileLength"]
            for piece in data if answer["code"] == MORE_PIECES else []:
                file.digests[piece["pieceNum"]] = piece["pieceMd5"]
    return found


async def origin(node: InProcess, known: dict[TaskId, File]) -> None:
    """Play the origin: every file comes at once, but for those that nobody got."""
    while True:
        while task := node.tracker.next_to_fetch():
            if file := known.get(task):
                deliver(node, task, file)
            else:
                node.fail(task, Reason.ORIGIN_NOT_FOUND)
        await node.feed.wait(TO_FETCH, trio.current_time() + 3600)


def deliver(node: InProcess, task: TaskId, file: File) -> None:
    size = node.size(task, file.length)
    for piece in range(node.tracker.task(task).piece_total or 0):
        framed = framed_piece_length(piece, file.length, size)
        digest = file.digests.get(piece, PieceDigest(f"{piece:032x}:{framed}"))
        assert digest.endswith(f":{framed}")
        node.cache_piece(task, piece, digest)
    generation = node.tracker.task(task).generation
    md5 = node.tracker.task(task).spec.md5 or file.md5
    finish = FinishFetch(
        task=task, generation=generation, length=file.length, md5=md5, sha256="2" * 64
    )
    assert node.dispatch(finish)


class Replay:
    """One scenario, repeated."""

    def __init__(self, node: InProcess, client: httpx2.AsyncClient, scenario: Recorded) -> None:
        self.node = node
        self.client = client
        self.files = files(scenario["exchanges"])

    async def say(self, exchange: Recorded) -> httpx2.Response:
        body = exchange.get("body", "")
        answer = await self.client.request(
            exchange["method"],
            exchange["path"] + ("?" + exchange["query"] if "query" in exchange else ""),
            content=body if isinstance(body, str) else json.dumps(body),
            headers={"Host": "127.0.0.1:8002", "Content-Type": exchange.get("contentType", "")},
        )
        assert int(answer.headers["Content-Length"]) == len(answer.content)
        assert answer.headers["Content-Type"] == "application/json"
        return answer

    async def exchange(self, exchange: Recorded) -> None:
        answer = await self.say(exchange)
        if exchange["status"] == 405:
            assert answer.status_code == 405
            return
        match exchange["path"]:
            case "/peer/registry":
                self.registration(exchange, answer)
            case "/peer/task":
                await self.pull(exchange, answer)
            case "/peer/piece/suc":
                self.success(exchange, answer)
            case "/peer/piece/error":
                assert answer.status_code == 200
                assert answer.json()["code"] == (200 if "query" in exchange else 501)
            case "/peer/service/down":
                self.goodbye(exchange, answer)
            case "/task/metrics":
                assert (answer.status_code, answer.json()) == (200, {"code": 1})
            case other:
                raise AssertionError(other)

    def download(self, query: dict[str, str], client: str) -> Download | None:
        try:
            task = self.node.tracker.task(TaskId(query.get("taskId", "")))
        except NotFound:
            return None
        return task.downloads.get(ClientId(query.get(client, "")))

    def registration(self, exchange: Recorded, answer: httpx2.Response) -> None:
        asked, theirs = exchange.get("body", {}), exchange["answer"]
        if asked == UNREADABLE:
            assert answer.status_code == 400
            return
        ours = answer.json()
        assert answer.status_code == 200
        if not isinstance(asked, dict):
            asked = {name: values[0] for name, values in parse_qs(asked).items()}
        elif exchange["status"] != 200 or asked["cid"] in REFUSED:
            missing = "missing" in asked.get("rawUrl", "")
            assert ours["code"] == (607 if missing else REFUSED.get(asked.get("cid", ""), 501))
            assert ours["msg"]
            assert "data" not in ours
            return
        assert shape(ours) == shape(theirs)
        assert ours == theirs
        task = self.node.tracker.task(TaskId(theirs["data"]["taskId"]))
        assert task.spec.raw_url == asked["rawUrl"]
        download = task.downloads[ClientId(asked["cid"])]
        assert download.status is DownloadStatus.RUNNING
        assert not download.have
        if int(asked["port"]):
            assert download.peer is not None
            peer = self.node.tracker.peer(download.peer)
            assert (peer.ip, peer.port) == (asked["ip"], int(asked["port"]))
            assert download.path == asked["path"]
        else:
            assert download.peer is None

    async def pull(self, exchange: Recorded, answer: httpx2.Response) -> None:
        theirs = exchange["answer"]
        query = {name: v[0] for name, v in parse_qs(exchange.get("query", "")).items()}
        if theirs["code"] == 600 and answer.json()["code"] == NO_PIECES:
            answer = await self.say(exchange)  # the last piece had come, but was not written
        ours = answer.json()
        assert answer.status_code == 200
        if theirs["code"] in (500, 501, 502):
            assert ours["code"] == theirs["code"]
            assert ours["msg"]
            return
        download = self.download(query, "srcCid")
        assert download is not None
        file = self.files[download.task]
        if query["status"] == "701":
            said = int(query["range"].partition("-")[0]) // 4194304
            if query["result"] != "500":
                assert download.have >> said & 1 or download.leases[PieceNumber(said)].written_by
        # Of an empty file v1 never tells the second client that it has all.
        if theirs["code"] == 600 or (file.length == 0 and ours["code"] == 600):
            assert ours["code"] == 600
            data = ours["data"]
            assert data["fileLength"] == file.framed_length
            complete = (
                download.have.bit_count() == self.node.tracker.task(download.task).piece_total
            )
            assert complete or query["status"] == "702"
            assert data["md5"] == file.md5
            return
        assert ours["code"] in (MORE_PIECES, NO_PIECES)
        if ours["code"] == NO_PIECES:
            assert ours["msg"]
            assert "data" not in ours
            return
        assert 1 <= len(ours["data"]) <= 4
        for piece in ours["data"]:
            self.piece(piece, download, file)
        if theirs["code"] == MORE_PIECES and theirs.get("data"):
            assert shape(ours) == shape(theirs)

    def piece(self, piece: Recorded, download: Download, file: File) -> None:
        number = piece["pieceNum"]
        assert piece["range"] == f"{number * 4194304}-{(number + 1) * 4194304 - 1}"
        assert piece["pieceSize"] == 4194304
        assert piece["pieceMd5"] == file.digests.get(number, piece["pieceMd5"])
        assert download.leases[number].client == download.client
        if piece["cid"].startswith("cdnnode:"):
            assert piece["peerIp"] == ("7.7.7.7" if download.client == "n1" else "127.0.0.1")
            assert piece["peerPort"] == SEED.port
            assert piece["path"] == download_path(download.task)
            return
        task = self.node.tracker.task(download.task)
        holder = task.downloads[ClientId(piece["cid"])]
        assert holder.have >> number & 1
        assert holder.peer is not None
        peer = self.node.tracker.peer(holder.peer)
        assert (piece["peerIp"], piece["peerPort"]) == (peer.ip, peer.port)
        assert piece["path"] == holder.path

    def success(self, exchange: Recorded, answer: httpx2.Response) -> None:
        assert answer.status_code == 200
        query = {name: v[0] for name, v in parse_qs(exchange.get("query", "")).items()}
        download = self.download(query, "cid")
        if not query or query["pieceRange"] == "junk":
            assert answer.json()["code"] == 501
        elif download is None:
            assert answer.json()["code"] == 502
        else:  # whoever it is from; also of a piece that the file has not got
            assert answer.json() == {"code": 611}
            number = int(query["pieceRange"].partition("-")[0]) // 4194304
            total = self.node.tracker.task(download.task).piece_total
            assert total
            assert bool(download.have >> number & 1) == (number < total)

    def goodbye(self, exchange: Recorded, answer: httpx2.Response) -> None:
        assert answer.status_code == 200
        query = {name: v[0] for name, v in parse_qs(exchange.get("query", "")).items()}
        download = self.download(query, "cid")
        if download is not None:  # said twice, too
            assert answer.json() == {"code": 612}
            assert download.peer is None
        else:
            assert answer.json()["code"] == (502 if query else 501)


@through_both
@pytest.mark.parametrize("scenario", scenarios(), ids=lambda entry: entry["scenario"])
async def test_recorded_downloads(
    autojump_clock: MockClock, scenario: Recorded, front: bool
) -> None:
    node = InProcess()
    replay = Replay(node, node.browse(front=front), scenario)
    async with replay.client, trio.open_nursery() as nursery:
        nursery.start_soon(origin, node, replay.files)
        await nursery.start(Expiry(node.dispatch).run)
        for exchange in scenario["exchanges"]:
            await replay.exchange(exchange)
            node.tracker.check()
        nursery.cancel_scope.cancel()
    for exchange in scenario["exchanges"]:
        if "answer" in exchange and (exchange["answer"] or {}).get("code") == 600:
            query = {name: v[0] for name, v in parse_qs(exchange["query"]).items()}
            download = replay.download(query, "srcCid")
            assert download is not None
            assert download.status is DownloadStatus.SUCCESS
