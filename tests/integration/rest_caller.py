"""Somebody who talks HTTP to a supernode without sockets, and what he checks."""

import json
from typing import Any

import httpx2

from supernode.core.identity import TaskId
from supernode.core.pieces import MIB, content_size
from tests.inprocess import InProcess

URL = "http://origin/file"
SIZE = 4 * MIB
FOUR_PIECES = 4 * content_size(SIZE)
UNKNOWN = "0" * 64
PEER = {"IP": "10.0.0.1", "hostName": "h1", "port": 15001, "version": "1"}


class Caller:
    """Somebody who talks HTTP to the supernode."""

    def __init__(self, node: InProcess) -> None:
        self.node = node

    async def __call__(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        raw: bytes = b"",
        **headers: str,
    ) -> httpx2.Response:
        content = raw or (b"" if body is None else json.dumps(body).encode())
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.node.browse() as client:
            return await client.request(method, path, content=content, headers=sent)

    async def task(self, client: str = "c1", **fields: object) -> TaskId:
        """Register a download; return the task."""
        answer = await self("POST", "/tasks", {"rawURL": URL, "cID": client, **fields})
        assert answer.status_code == 201
        return TaskId(answer.json()["ID"])

    async def file(self, length: int = 1) -> TaskId:
        """Register a download of a file that the supernode has; return the task."""
        task = await self.task()
        self.node.size(task, length)
        self.node.cache(task)
        self.node.finish(task)
        return task

    async def peer(self, **change: object) -> str:
        """Register a peer; return its ID."""
        answer = await self("POST", "/peers", PEER | change)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["ID"])

    async def look(self, path: str) -> Any:  # noqa: ANN401 - JSON
        """Return what is there."""
        answer = await self("GET", path)
        assert answer.is_success, answer.text
        return answer.json()

    async def holder(self, name: str, address: str, task_path: str = "/f") -> tuple[str, TaskId]:
        """Register a peer and its download; return its ID and the task."""
        asked = {"IP": address, "hostName": name, "port": 15001}
        peer = (await self("POST", "/peers", asked)).json()["ID"]
        return peer, await self.task(name, peerID=peer, path=task_path)

    async def pull(
        self, task: TaskId, client: str = "c1", num: int = 4, body: object = None, wait: int = 0
    ) -> list[dict[str, Any]]:
        answer = await self(
            "GET", f"/tasks/{task}/pieces?clientID={client}&num={num}", body, Prefer=f"wait={wait}"
        )
        assert answer.status_code == 200, answer.text
        pieces: list[dict[str, Any]] = answer.json()
        return pieces


def refusal(answer: httpx2.Response, status: int, *mentioned: str) -> None:
    """Check status and shape of an error answer, and that it mentions what it is about."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    said = answer.json()
    assert said.keys() - {"reason"} == {"code", "message"}
    assert said["code"] == status
    for word in mentioned:
        assert word in said["message"]


def nth(number: int) -> str:
    return f"{number * SIZE}-{(number + 1) * SIZE - 1}"


def done(number: int, holder: str = "", result: str = "SUCCESS") -> dict[str, str]:
    return {"pieceRange": nth(number), "dstPID": holder, "pieceResult": result}
