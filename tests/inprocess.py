"""A supernode without sockets and disk: the real core, feed, handlers and web app."""

import random
from collections.abc import Mapping
from typing import Any

import httpx2
import pytest

from supernode.api.app import create_app
from supernode.api.dfget_1_0 import protocol as dfget_1_0
from supernode.api.errors import explain
from supernode.api.health import Check
from supernode.api.hot import HotTable
from supernode.api.metrics import MetricsPage, metrics_of
from supernode.api.rest import Rest, SeedAddress
from supernode.api.routes import routes
from supernode.api.traffic import Traffic
from supernode.clock import Clock
from supernode.core.commands import (
    CachePiece,
    FailFetch,
    FinishFetch,
    SizeTask,
    StartFetch,
)
from supernode.core.identity import TaskId
from supernode.core.model import CdnStatus, Limits
from supernode.core.pieces import PieceDigest, framed_piece_length
from supernode.core.reasons import Reason
from supernode.core.tracker import Tracker
from supernode.dispatch import Dispatcher
from supernode.exchange import Responder
from supernode.feed import Feed
from tests.front_transport import FrontTransport

through_both = pytest.mark.parametrize("front", [False, True], ids=["quart", "front"])
"""Of a test that is to hold whichever way requests take; see ``InProcess.browse``."""
SEED = SeedAddress(ip="10.9.9.9", port=8001)


class InProcess:
    """The parts, wired as the daemon does; the test plays the fetch from the origin.

    Make one inside ``trio.run``: its clock starts with Trio's.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        abort: bool = False,
        checks: Mapping[str, Check] | None = None,
    ) -> None:
        self.tracker = Tracker(limits)
        self.feed = Feed()
        self.clock = Clock.started_now()
        self.dispatch = Dispatcher(self.tracker, self.feed, self.clock, random.Random(0))
        self.traffic = Traffic()
        self.feed.listen(self.traffic.note)
        self.rest = Rest(self.dispatch, SEED, traffic=self.traffic, checks=checks or {})
        self.responder = Responder(self.feed, self.clock, explain)
        self.metrics = metrics_of(self.dispatch)
        dialect = dfget_1_0.operations(
            self.dispatch, SEED, abort_without_credentials=abort, metrics=self.metrics.clients
        )
        operations = [
            *routes(self.rest),
            *dialect,
            *MetricsPage(self.metrics).operations(),
        ]
        self.app = create_app(operations, self.responder, requests=self.metrics.requests)
        self.hot = HotTable(operations, self.responder, self.metrics.requests)

    def browse(self, *, front: bool = False) -> httpx2.AsyncClient:
        """Return an HTTP client whose requests end in the app, or in the front's hot table."""
        app: Any = self.app  # typed for ASGI as Hypercorn knows it
        transport: httpx2.AsyncBaseTransport = httpx2.ASGITransport(app)
        if front:
            transport = FrontTransport(self.hot, transport)
        return httpx2.AsyncClient(transport=transport, base_url="http://supernode", timeout=None)

    # the origin's side

    def size(self, task: TaskId, length: int | None) -> int:
        """Let the origin answer; return the piece size."""
        generation = self.dispatch(StartFetch(task=task))
        return self.dispatch(SizeTask(task=task, generation=generation, length=length))

    def cache(self, task: TaskId, *pieces: int) -> None:
        """Let these pieces arrive; unless given, all of them."""
        known = self.tracker.task(task)
        assert known.length is not None
        assert known.piece_size is not None
        assert known.piece_total is not None
        for piece in pieces or range(known.piece_total):
            framed = framed_piece_length(piece, known.length, known.piece_size)
            self.cache_piece(task, piece, PieceDigest(f"{piece:032x}:{framed}"))

    def cache_piece(self, task: TaskId, piece: int, digest: PieceDigest) -> None:
        """Let one piece arrive."""
        generation = self.tracker.task(task).generation
        self.dispatch(CachePiece(task=task, generation=generation, piece=piece, digest=digest))

    def finish(self, task: TaskId) -> None:
        """Let the fetch succeed."""
        known = self.tracker.task(task)
        assert known.length is not None
        self.dispatch(
            FinishFetch(
                task=task,
                generation=known.generation,
                length=known.length,
                md5="1" * 32,
                sha256="2" * 64,
            )
        )

    def fail(self, task: TaskId, reason: Reason, detail: str = "") -> None:
        """Let the fetch fail."""
        known = self.tracker.task(task)
        if known.status is CdnStatus.WAITING:
            self.dispatch(StartFetch(task=task))
        self.dispatch(
            FailFetch(task=task, generation=known.generation, reason=reason, detail=detail)
        )
