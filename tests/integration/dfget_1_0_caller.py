"""Somebody who says to a supernode, without sockets, what a dfget 1.0 would."""

import json
from typing import Any

import httpx2

from supernode.core.identity import ClientId, TaskId, task_id
from supernode.core.model import Download
from tests.inprocess import InProcess
from tests.integration.rest_caller import URL, nth

Said = dict[str, Any]
SEED = "cdnnode:10.9.9.9~"


class Dfget:
    """One run: its client ID, its machine.

    Args:
        node: whom it talks to.
        name: of the run; its machine is called the same.
        fields: of its registration, beyond or instead of the usual.
    """

    def __init__(self, node: InProcess, name: str = "a", /, **fields: object) -> None:
        self.node = node
        self.cid = f"10.0.0.1-{name}-1600000000.123"
        self.task = task_id(URL)
        self.wish = {
            "superNodeIp": "supernode",
            "rawUrl": URL,
            "taskUrl": URL,
            "cid": self.cid,
            "ip": "10.0.0.1",
            "hostName": name,
            "port": 15001,
            "path": f"/peer/file/{name}",
            "version": "1.0.6",
        } | fields

    @property
    def download(self) -> Download:
        return self.node.tracker.task(self.task).downloads[ClientId(self.cid)]

    async def send(
        self, method: str, path: str, content: bytes = b"", **headers: str
    ) -> httpx2.Response:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.node.browse() as client:
            return await client.request(method, path, content=content, headers=sent)

    async def get(self, path: str, **query: object) -> Said:
        """Return the answer, whose status must be 200; a query is not escaped, as of old."""
        said = "&".join(f"{name}={value}" for name, value in query.items())
        answer = await self.send("GET", f"{path}?{said}")
        assert answer.status_code == 200, answer.text
        found: Said = answer.json()
        return found

    async def register(self, **change: object) -> Said:
        body = json.dumps(self.wish | change).encode()
        answer = await self.send(
            "POST", "/peer/registry", body, Content_Type="application/json;charset=utf-8"
        )
        assert answer.status_code == 200, answer.text
        said: Said = answer.json()
        if said["code"] == 200:
            self.task = TaskId(said["data"]["taskId"])
        return said

    async def pull(
        self, piece: int | None = None, result: int = 503, dst: str = "", status: int = 701
    ) -> Said:
        """Ask for pieces; at the start, or with a report of one."""
        query = {"srcCid": self.cid, "dstCid": dst, "range": "", "result": 502, "status": 700}
        if piece is not None:
            query |= {"range": nth(piece), "result": result, "status": status}
        return await self.get("/peer/task", **query, taskId=self.task)

    async def suc(self, piece: int, dst: str = SEED) -> Said:
        return await self.get(
            "/peer/piece/suc",
            taskId=self.task,
            cid=self.cid,
            dstCid=dst,
            pieceRange=nth(piece),
        )

    async def error(self, dst: str, piece: int | None = None) -> Said:
        return await self.get(
            "/peer/piece/error",
            errorType="FILE_NOT_EXIST" if piece is None else "FILE_MD5_NOT_MATCH",
            srcCid=self.cid,
            dstCid=dst,
            dstIp="",
            taskId=self.task,
            range="" if piece is None else nth(piece),
            realMd5="",
            expectedMd5="",
        )

    async def down(self) -> Said:
        return await self.get("/peer/service/down", taskId=self.task, cid=self.cid)


def numbers(said: Said) -> list[int]:
    """Return which pieces an answer names."""
    assert said["code"] == 601, said
    return sorted(piece["pieceNum"] for piece in said["data"])


def holders(said: Said) -> set[str]:
    """Return whom they are to be taken from."""
    assert said["code"] == 601, said
    return {piece["cid"] for piece in said["data"]}
