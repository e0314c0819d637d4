"""A supernode without disk and origin that has a large swarm: something to watch.

``python -m tests.busy_node`` serves the whole interface, the console and the feed on a free
loopback port, which it prints, and plays the clients of one task: they report pieces and ask for
more, so fast that there are as many events a second as wanted. It ends with its standard input.
"""

import random
import sys
from collections import deque
from functools import partial

import trio

from supernode.api.app import create_app
from supernode.api.console.page import Console
from supernode.api.errors import explain
from supernode.api.events import add_events, opener
from supernode.api.rest import Rest, SeedAddress
from supernode.api.routes import routes
from supernode.api.traffic import Traffic
from supernode.api.watching import Watching
from supernode.clock import Clock
from supernode.core.commands import (
    CachePiece,
    FinishFetch,
    PeerHolder,
    PieceResult,
    Pull,
    RegisterPeer,
    RegisterTask,
    Report,
    Seed,
    SizeTask,
    StartFetch,
)
from supernode.core.identity import ClientId, TaskId
from supernode.core.model import Limits, TaskSpec
from supernode.core.pieces import (
    SMALLEST_PIECE,
    PieceDigest,
    PieceNumber,
    content_size,
    piece_size_for,
)
from supernode.core.tracker import Tracker
from supernode.dispatch import Dispatcher
from supernode.exchange import Responder
from supernode.feed import Feed
from supernode.logs import set_up
from supernode.wire.front import Front

TICK = 0.02
URL = "http://origin.example/images/large-language-model.safetensors"


class BusyNode:
    """The parts, wired as the daemon does, and the clients.

    Args:
        peers: how many download.
        pieces: how many the file has.
        events: how many a second are wanted.
    """

    def __init__(self, peers: int, pieces: int, events: int) -> None:
        self.feed = Feed()
        self._clock = Clock.started_now()
        self._tracker = Tracker(Limits(seed_slots=8))
        self._chance = random.Random(1)
        self.dispatch = Dispatcher(self._tracker, self.feed, self._clock, self._chance)
        self._pieces = pieces
        self._events = events
        self._under_way: deque[tuple[ClientId, Report]] = deque()
        self._idle: deque[ClientId] = deque()
        self.task = self._register(peers)

    def _register(self, peers: int) -> TaskId:
        spec = TaskSpec(raw_url=URL, task_url=URL)
        for number in range(peers):
            name = f"node-{number:04}"
            ip = f"10.0.{number // 250}.{number % 250 + 1}"
            peer = self.dispatch(RegisterPeer(ip=ip, port=15001, host_name=name, version="1"))
            client = ClientId(f"{name}-1")
            task = self.dispatch(RegisterTask(spec=spec, client=client, peer=peer, path="/f"))
            self._idle.append(client)
        fetch = self.dispatch(StartFetch(task=task))
        length = self._length()
        self._size = self.dispatch(SizeTask(task=task, generation=fetch, length=length))
        for piece in range(self._pieces):
            digest = PieceDigest(f"{piece:032x}:{self._size}")
            number = PieceNumber(piece)
            self.dispatch(CachePiece(task=task, generation=fetch, piece=number, digest=digest))
        self.dispatch(
            FinishFetch(task=task, generation=fetch, length=length, md5="1" * 32, sha256="2" * 64)
        )
        return task

    def _length(self) -> int:
        """Return a length that makes so many pieces."""
        size = SMALLEST_PIECE
        while (fitting := piece_size_for(self._pieces * content_size(size))) != size:
            size = fitting
        return self._pieces * content_size(size)

    async def run(self) -> None:
        """Play the clients until cancelled."""
        wanted = float(self.feed.seq)
        while True:
            wanted += self._events * TICK
            for _ in range(len(self._under_way) + len(self._idle)):
                if self.feed.seq >= wanted:
                    break
                self._pull()
            await trio.sleep(TICK)

    def _pull(self) -> None:
        """Let one client report a piece, if there is one under way, and ask for more."""
        reports: tuple[Report, ...] = ()
        if self._idle and self._chance.random() < len(self._idle) / (
            len(self._idle) + len(self._under_way)
        ):
            client = self._idle.popleft()
        else:
            client, report = self._under_way.popleft()
            reports = (report,)
        pulled = self.dispatch(Pull(task=self.task, client=client, reports=reports, count=2))
        for given in pulled.assignments:
            holder = given.holder.peer if isinstance(given.holder, PeerHolder) else Seed.SEED
            done = Report(
                field="",
                piece_range=given.piece_range,
                holder=holder,
                result=PieceResult.SUCCESS,
            )
            self._under_way.append((client, done))
        if not pulled.assignments and not pulled.ended:
            self._idle.append(client)


async def serve(peers: int, pieces: int, events: int) -> None:
    """Serve on a free port until standard input ends."""
    node = BusyNode(peers, pieces, events)
    traffic = Traffic()
    node.feed.listen(traffic.note)
    rest = Rest(node.dispatch, SeedAddress("10.9.9.9", 8001), traffic=traffic)
    responder = Responder(node.feed, Clock.started_now(), explain)
    app = create_app([*routes(rest), *Console().operations()], responder)
    watching = Watching(node.feed)
    add_events(app, watching)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    front = Front(
        listeners,
        app,
        max_connections=100,
        write_timeout=60,
        drain_timeout=1,
        idle_timeout=60,
        streams=partial(opener, watching),
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(front.run)
        nursery.start_soon(node.run)
        print(listeners[0].socket.getsockname()[1], node.task, flush=True)
        await trio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    set_up("warning")  # and nothing but the port on stdout
    peers, pieces, events = map(int, sys.argv[1:])
    trio.run(serve, peers, pieces, events)
