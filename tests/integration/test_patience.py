"""A swarm of clients that wait, in virtual time: nobody is left behind."""

import json

import pytest
import trio
from trio.testing import MockClock

from supernode.core.identity import SEED_PREFIX, ClientId, TaskId
from supernode.core.model import DownloadStatus
from supernode.core.pieces import SMALLEST_PIECE, content_size
from supernode.exchange import Answer, Request
from supernode.services.expiry import Expiry
from tests.inprocess import InProcess

PIECES = 10
TRANSFER_SECONDS = 1.0
ORIGIN_SECONDS = 0.5


class Swarm:
    """Clients that pull with patience, fetch one piece after the other and report with the next."""

    def __init__(self, clients: int) -> None:
        self.node = InProcess()
        self.from_seed = self.from_peers = 0
        """Pieces."""
        self.names = [ClientId(f"c{n}") for n in range(clients)]
        (self.task,) = {self._register(number) for number in range(clients)}

    def _register(self, number: int) -> TaskId:
        rest = self.node.rest
        peer = {"IP": f"10.0.{number >> 8}.{number & 255}", "hostName": "h", "port": 15001}
        known = rest.peers.create(Request(body=json.dumps(peer).encode()))
        wish = {
            "rawURL": "http://o/x",
            "cID": self.names[number],
            "peerID": json.loads(known.body)["ID"],
            "path": "/f",
        }
        created = rest.tasks.create(Request(body=json.dumps(wish).encode()))
        assert isinstance(created, Answer)
        return TaskId(json.loads(created.body)["ID"])

    async def run(self) -> float:
        """Let everybody download the file; return how many seconds the last one took."""
        before = trio.current_time()
        async with trio.open_nursery() as services:
            await services.start(Expiry(self.node.dispatch).run)
            async with trio.open_nursery() as clients:
                for name in self.names:
                    clients.start_soon(self._download, name)
                self.node.size(self.task, PIECES * content_size(SMALLEST_PIECE))
                for piece in range(PIECES):
                    await trio.sleep(ORIGIN_SECONDS)
                    self.node.cache(self.task, piece)
                self.node.finish(self.task)
            services.cancel_scope.cancel()
        return trio.current_time() - before

    async def _download(self, name: ClientId) -> None:
        download = self.node.tracker.task(self.task).downloads[name]
        reports: list[dict[str, str]] = []
        while download.status is DownloadStatus.RUNNING:
            request = Request(
                path_fields={"id": self.task},
                query_string=f"clientID={name}",
                headers={"prefer": "wait=30"},
                body=json.dumps({"reports": reports}).encode(),
            )
            answer = await self.node.responder.respond(self.node.rest.pieces.pull, request)
            assert answer.status == 200
            reports = []
            for piece in json.loads(answer.body):
                await trio.sleep(TRANSFER_SECONDS)
                if piece["pID"].startswith(SEED_PREFIX):
                    self.from_seed += 1
                else:
                    self.from_peers += 1
                done = {"pieceRange": piece["pieceRange"], "dstPID": piece["pID"]}
                reports.append(done | {"pieceResult": "SUCCESS"})


async def test_everybody_gets_everything_soon(autojump_clock: MockClock) -> None:
    swarm = Swarm(60)
    seconds = await swarm.run()
    # One piece after the other takes ten seconds, and the last piece spreads like a tree.
    assert seconds < 2 * (PIECES * TRANSFER_SECONDS + ORIGIN_SECONDS)
    statuses = {d.status for d in swarm.node.tracker.task(swarm.task).downloads.values()}
    assert statuses == {DownloadStatus.SUCCESS}
    assert swarm.node.feed._topics == {}


@pytest.mark.parametrize(("clients", "share"), [(6, 0.6), (60, 0.9)])
async def test_most_of_it_comes_from_peers(
    autojump_clock: MockClock, clients: int, share: float
) -> None:
    swarm = Swarm(clients)
    await swarm.run()
    assert swarm.from_seed + swarm.from_peers == clients * PIECES
    assert swarm.from_peers > share * clients * PIECES
