"""The core alone, driven by commands on a clock that stands still unless told."""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest

from supernode.core.commands import (
    Assignment,
    CachePiece,
    Command,
    Expire,
    FailFetch,
    FinishFetch,
    PeerHolder,
    PieceResult,
    Pull,
    Pulled,
    PullStatus,
    RegisterPeer,
    RegisterTask,
    Report,
    ReportPiece,
    Seed,
    SizeTask,
    StartFetch,
)
from supernode.core.errors import DomainError
from supernode.core.events import Event
from supernode.core.identity import ClientId, PeerId, TaskId
from supernode.core.model import (
    CdnStatus,
    Download,
    DownloadStatus,
    Limits,
    TaskSpec,
)
from supernode.core.pieces import (
    MIB,
    PieceDigest,
    content_size,
    pack_pieces,
    parse_piece_range,
    piece_range,
)
from supernode.core.reasons import Reason
from supernode.core.tracker import Tracker

A = TypeVar("A")
E = TypeVar("E", bound=Event)

SIZE = 4 * MIB


@dataclass
class World:
    """A tracker driven by its commands alone."""

    limits: Limits = field(default_factory=Limits)
    seed: int = 0
    now: float = 1000.0
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tracker = Tracker(self.limits)
        self.chance = random.Random(self.seed)

    def do(self, command: Command[A]) -> A:
        answer, events = self.tracker.execute(command, now=self.now, chance=self.chance)
        self.events += events
        self.tracker.check()
        return answer

    def refused(self, command: Command[Any], error: type[DomainError]) -> None:
        with pytest.raises(error):
            self.do(command)
        self.tracker.check()

    def peer(self, name: str) -> PeerId:
        return self.do(RegisterPeer(ip="10.0.0.1", port=15001, host_name=name, version="1"))

    def client(
        self,
        name: str,
        *,
        peer: bool = True,
        of: str = "",
        url: str = "http://o/x",
        path: str = "",
        has: Iterable[int] = (),
    ) -> "Client":
        """Register a download; its peer has the same name, unless it is one ``of`` another.

        It says that it ``has`` these pieces from before.
        """
        task = self.do(
            RegisterTask(
                spec=TaskSpec(raw_url=url, task_url=url),
                client=ClientId(name),
                peer=self.peer(of or name) if peer else None,
                path=path or f"/{name}",
                pieces=pack_pieces(has),
            )
        )
        return Client(self, task, ClientId(name))

    def cache(self, task: TaskId, *pieces: int, total: int = 4) -> None:
        """Fetch these of the task's ``total`` pieces from the origin."""
        if self.tracker.task(task).status is CdnStatus.WAITING:
            self.do(StartFetch(task=task))
            length = total * content_size(SIZE)
            self.do(SizeTask(task=task, generation=self.fetch(task), length=length))
        for piece in pieces:
            digest = PieceDigest(f"{piece:032x}:{SIZE}")
            fetch = self.fetch(task)
            self.do(CachePiece(task=task, generation=fetch, piece=piece, digest=digest))

    def fetch(self, task: TaskId) -> int:
        return self.tracker.task(task).generation

    def finish(self, task: TaskId, total: int = 4) -> None:
        length = total * content_size(SIZE)
        fetch = self.fetch(task)
        self.do(
            FinishFetch(task=task, generation=fetch, length=length, md5="1" * 32, sha256="2" * 64)
        )

    def fail(self, task: TaskId, reason: Reason, detail: str = "") -> None:
        fetch = self.fetch(task)
        self.do(FailFetch(task=task, generation=fetch, reason=reason, detail=detail))

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        while self.do(Expire()):
            pass

    def last(self, kind: type[E]) -> E:
        return next(event for event in reversed(self.events) if isinstance(event, kind))

    def count(self, kind: type[Event]) -> int:
        return sum(isinstance(event, kind) for event in self.events)


@dataclass
class Client:
    """One download, as its client sees it."""

    world: World
    task: TaskId
    name: ClientId

    def pull(
        self,
        count: int = 1,
        *reports: Report,
        status: PullStatus = PullStatus.RUNNING,
        result: PieceResult | None = None,
        retry: bool = False,
    ) -> Pulled:
        return self.world.do(
            Pull(
                task=self.task,
                client=self.name,
                count=count,
                reports=reports,
                status=status,
                result=result,
                retry=retry,
            )
        )

    def take(self, count: int = 1) -> list[tuple[int, str]]:
        """Pull; return pieces with their holders' names ("seed": the supernode)."""
        return [(number(a), holder(a)) for a in self.pull(count).assignments]

    def say(self, piece: int, result: PieceResult, holder: str | Seed | None = None) -> "Client":
        command = ReportPiece(
            task=self.task, client=self.name, report=report(piece, result, holder)
        )
        self.world.do(command)
        return self

    def has(self, *pieces: int) -> "Client":
        for piece in pieces:
            self.say(piece, PieceResult.SUCCESS)
        return self

    def leave(self) -> None:
        """End the download, offering nothing."""
        self.pull(status=PullStatus.FINISHED, result=PieceResult.FAILED)

    @property
    def download(self) -> Download:
        return self.world.tracker.task(self.task).downloads[self.name]


def status(client: Client) -> DownloadStatus:
    return client.download.status


def report(piece: int, result: PieceResult, holder: str | Seed | None = None) -> Report:
    return Report(
        field="pieceRange", piece_range=piece_range(piece, SIZE), holder=holder, result=result
    )


def number(assignment: Assignment) -> int:
    return parse_piece_range(assignment.piece_range, SIZE)


def holder(assignment: Assignment) -> str:
    if isinstance(assignment.holder, PeerHolder):
        return assignment.holder.peer.partition("-")[0]
    return "seed"


def swarm(
    *names: str, cached: int = 4, seed: int = 0, **limits: float
) -> tuple[World, list[Client]]:
    """Return a world with these clients of one task, ``cached`` of whose pieces are there.

    There are slots enough for a few clients to take all pieces at once, unless ``limits`` say
    otherwise.
    """
    world = World(Limits(**{"seed_slots": 8, "peer_slots": 5, **limits}), seed)  # type: ignore[arg-type]
    clients = [world.client(name) for name in names]
    world.cache(clients[0].task, *range(cached), total=max(4, cached))
    return world, clients
