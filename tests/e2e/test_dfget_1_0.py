"""Clients that behave as dfget 1.0 does, through a real supernode, from a real nginx."""

import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
import trio

from supernode.core.pieces import FRAME_BYTES, MIB, unframe
from tests.dfget_1_0.client import DOWNLOAD_ERROR, REGISTER_FAILED, Dfget, Release, WentToOrigin
from tests.dfget_1_0.uploader import Uploader
from tests.e2e.machines import peers
from tests.e2e.neighbours import Daemon, Origin

RELEASES = ("1.0.0", "1.0.1", "1.0.3", "1.0.4", "1.0.5", "1.0.6")
DEADLINE = 300
GOING_ON = {600, 601, 602}
PIECE = 4 * MIB


class Swarm:
    """Clients of one file."""

    def __init__(self, nursery: trio.Nursery, supernode: Daemon, url: str, home: Path) -> None:
        self.nursery = nursery
        self.url = url
        self.home = home
        self.node = ("127.0.0.1", supernode.control)
        self.clients: list[Dfget] = []
        self.ended: dict[str, bytes] = {}

    async def uploader(self, *, corrupt: bool = False) -> Uploader:
        uploader = Uploader(corrupt=corrupt)
        await self.nursery.start(uploader.run)
        return uploader

    async def client(
        self, version: str = "1.0.6", *, shares: bool = True, corrupt: bool = False, md5: str = ""
    ) -> Dfget:
        client = Dfget(
            self.url,
            self.node,
            self.home / str(len(self.clients)),
            uploader=await self.uploader(corrupt=corrupt) if shares else None,
            release=Release(version),
            md5=md5,
        )
        self.clients.append(client)
        return client

    async def download(self, *clients: Dfget) -> None:
        async def one(client: Dfget) -> None:
            self.ended[client.cid] = await client.run()

        async with trio.open_nursery() as nursery:
            for client in clients:
                nursery.start_soon(one, client)

    async def pieces(self, count: int) -> None:
        """Wait until so many pieces have come, to anybody."""
        while sum(sum(client.sources.values()) for client in self.clients) < count:  # noqa: ASYNC110
            await trio.sleep(0.01)

    def right(self, origin: Origin) -> bool:
        (sha256,) = origin.digests.values()
        return all(hashlib.sha256(file).hexdigest() == sha256 for file in self.ended.values())

    def from_seed(self) -> int:
        """Return how many pieces came from the supernode."""
        return sum(
            count
            for client in self.clients
            for holder, count in client.sources.items()
            if holder.startswith("cdnnode:")
        )

    def from_peers(self) -> int:
        """Return how many pieces came from other clients."""
        return sum(sum(client.sources.values()) for client in self.clients) - self.from_seed()


@asynccontextmanager
async def swarm(supernode: Daemon, url: str, home: Path) -> AsyncIterator[Swarm]:
    with trio.fail_after(DEADLINE):
        async with trio.open_nursery() as nursery:
            yield Swarm(nursery, supernode, url, home)
            nursery.cancel_scope.cancel()


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def rest_client(swarm: Swarm) -> bytes:
    """Download by the specification's operations; offer nothing."""
    content: dict[int, bytes] = {}
    host, port = swarm.node
    async with httpx2.AsyncClient(base_url=f"http://{host}:{port}", timeout=30) as http:
        wish = {"rawURL": swarm.url, "cID": "rest"}
        answer = await http.post("/tasks", json=wish, headers={"Prefer": "wait=9"})
        task = answer.json()["ID"]
        reports: list[dict[str, str]] = []
        while (await http.get(f"/tasks/{task}")).json().get("pieceTotal") != len(content):
            answer = await http.request(
                "GET",
                f"/tasks/{task}/pieces?clientID=rest",
                json={"reports": reports},
                headers={"Prefer": "wait=2"},
            )
            reports = []
            for piece in answer.json():
                start, _, _ = piece["pieceRange"].partition("-")
                size = piece["pieceSize"]
                got = await http.get(
                    f"http://{piece['peerIP']}:{piece['peerPort']}{piece['path']}",
                    headers={
                        "Range": f"bytes={piece['pieceRange']}",
                        "Piecenum": str(int(start) // size),
                        "Piecesize": str(size),
                    },
                )
                assert hashlib.md5(got.content).hexdigest() == piece["pieceMD5"].partition(":")[0]
                content[int(start)] = bytes(unframe(memoryview(got.content), size))
                holder = piece["pID"]
                done = {"pieceRange": piece["pieceRange"], "dstPID": holder}
                reports.append(done | {"pieceResult": "SUCCESS"})
    return b"".join(content[start] for start in sorted(content))


async def test_every_release_the_built_in_dfget_and_a_rest_client_in_one_swarm(
    supernode: Daemon, origin: Origin, tmp_path: Path
) -> None:
    size = 64 * MIB + 17
    url = origin.file("f", size)
    with peers(tmp_path / "own", url, supernode.node, 1, "--notbs") as (own,):
        async with swarm(supernode, url, tmp_path / "theirs") as s:
            clients = [await s.client(version) for version in RELEASES]
            clients.append(await s.client(shares=False))

            async def rest() -> None:
                s.ended["rest"] = await rest_client(s)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(rest)
                await s.download(*clients)
        end = await trio.to_thread.run_sync(own.finish)
        assert end["ok"]
        assert own.right(origin.digests["f"])
    assert len(s.ended) == len(RELEASES) + 2
    assert s.right(origin)
    assert origin.bytes_sent() <= 1.02 * size
    assert s.from_peers()
    for client in clients:
        assert set(client.codes) <= GOING_ON
        assert client.outcomes_sent == 1


@pytest.mark.parametrize("size", [0, 1, 4 * MIB - 5, 4 * MIB - 4, 12 * MIB - 15])
async def test_sizes_around_the_piece(
    supernode: Daemon, origin: Origin, tmp_path: Path, size: int
) -> None:
    url = origin.file("f", size)
    async with swarm(supernode, url, tmp_path) as s:
        for _ in range(2):
            client = await s.client()
            await s.download(client)
            assert set(client.codes) <= GOING_ON
    assert s.right(origin)
    assert origin.bytes_sent() == size


async def test_uploaders_that_are_killed_or_serve_wrong_bytes_stop_nobody(
    supernode: Daemon, origin: Origin, tmp_path: Path
) -> None:
    size = 96 * MIB
    url = origin.file("f", size)
    async with swarm(supernode, url, tmp_path) as s:
        clients = [await s.client(corrupt=number == 0) for number in range(6)]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(s.download, *clients)
            await s.pieces(12)
            for client in clients[1:3]:
                assert client.uploader is not None
                client.uploader.scope.cancel()
    assert len(s.ended) == 6
    assert s.right(origin)
    assert origin.bytes_sent() <= 1.02 * size


async def test_a_swarm_goes_on_when_the_supernode_is_killed_and_begins_again(
    supernode: Daemon, origin: Origin, tmp_path: Path
) -> None:
    size = 80 * MIB
    url = origin.file("f", size)
    async with swarm(supernode, url, tmp_path) as s:
        clients = [await s.client(version) for version in (*RELEASES, "1.0.6", "1.0.6")]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(s.download, *clients)
            await s.pieces(40)
            await trio.to_thread.run_sync(supernode.kill)
            await trio.to_thread.run_sync(supernode.start)
    assert len(s.ended) == 8
    assert s.right(origin)
    assert origin.bytes_sent() <= 1.02 * size
    assert s.from_peers()
    for client in clients:
        assert set(client.codes) <= GOING_ON


async def test_whatever_goes_wrong_at_once_a_large_file_comes_right_and_once(
    supernode: Daemon, origin: Origin, tmp_path: Path
) -> None:
    """300 MiB; two clients die, one serves wrong bytes, and the supernode is killed."""
    size = 300 * MIB
    url = origin.file("f", size)
    async with swarm(supernode, url, tmp_path) as s:
        corrupt = await s.client(corrupt=True)
        dying = [await s.client(), await s.client()]
        others = [await s.client(version) for version in (*RELEASES, "1.0.6")]
        files: dict[str, str] = {}

        async def one(client: Dfget) -> None:
            path = await client.to_file()
            files[client.cid] = await trio.to_thread.run_sync(sha256_of, path)

        async with trio.open_nursery() as survivors, trio.open_nursery() as victims:
            for client in (corrupt, *others):
                survivors.start_soon(one, client)
            for client in dying:
                victims.start_soon(one, client)
            await s.pieces(100)
            for client in dying:
                assert client.uploader is not None
                client.uploader.scope.cancel()
            victims.cancel_scope.cancel()
            await s.pieces(200)
            await trio.to_thread.run_sync(supernode.kill)
            await trio.to_thread.run_sync(supernode.start)
    finished = [corrupt, *others]
    assert files == {client.cid: origin.digests["f"] for client in finished}
    assert len(finished) == 8
    assert origin.bytes_sent() <= 1.02 * size
    for client in finished:
        assert set(client.codes) <= GOING_ON
    assert s.from_peers() > s.from_seed()
    assert corrupt.uploader is not None
    found = supernode.get("/api/v1/peers?pageSize=100&pageNum=0")
    assert isinstance(found, list)
    evidence = {peer["port"]: peer.get("evidence") for peer in found}
    assert evidence[corrupt.uploader.port]
    assert not any(evidence[other.uploader.port] for other in others if other.uploader)


async def test_a_piece_that_goes_bad_in_the_cache_is_fetched_again_while_a_client_downloads(
    supernode: Daemon, origin: Origin, tmp_path: Path
) -> None:
    size = 20 * MIB
    url = origin.file("f", size)
    async with swarm(supernode, url, tmp_path) as s:
        first, second = await s.client(shares=False), await s.client(shares=False)
        await s.download(first)
        with (supernode.directory / "repo/download" / first.task[:3] / first.task).open("r+b") as f:
            f.seek(2 * PIECE + 1000)
            f.write(b"not what it was")
        await s.download(second)
    assert s.right(origin)
    assert set(second.codes) <= GOING_ON
    assert origin.bytes_sent() == size + PIECE - FRAME_BYTES


async def test_one_that_leaves_is_offered_no_longer(
    supernode: Daemon, origin: Origin, tmp_path: Path
) -> None:
    url = origin.file("f", 12 * MIB)
    async with swarm(supernode, url, tmp_path) as s:
        first, second = await s.client(), await s.client()
        await s.download(first)
        assert await first.leave() == 612
        await s.download(second)
        assert s.from_peers() == 0
        third = await s.client()
        await s.download(third)
        assert second.cid in third.sources
        assert first.cid not in third.sources


def reasons(group: BaseExceptionGroup[BaseException]) -> Iterator[int]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from reasons(error)
        else:
            assert isinstance(error, WentToOrigin)
            yield error.reason


async def test_a_file_that_is_not_there_sends_the_client_to_see_for_itself(
    supernode: Daemon, origin: Origin, tmp_path: Path
) -> None:
    async with swarm(supernode, f"http://127.0.0.1:{origin.port}/nothing", tmp_path) as s:
        with pytest.raises(BaseExceptionGroup) as caught:
            await s.download(await s.client())
    assert list(reasons(caught.value)) == [REGISTER_FAILED]


async def test_a_file_with_another_digest_than_asked_for_is_given_to_nobody(
    supernode: Daemon, origin: Origin, tmp_path: Path
) -> None:
    url = origin.file("f", 5 * MIB)
    async with swarm(supernode, url, tmp_path) as s:
        with pytest.raises(BaseExceptionGroup) as caught:
            await s.download(await s.client(md5="0" * 32))
        right = hashlib.md5((origin.root / "f").read_bytes()).hexdigest()
        await s.download(await s.client(md5=right))
    assert list(reasons(caught.value)) == [DOWNLOAD_ERROR]
    assert s.right(origin)
