"""A client could not get a piece from the supernode: what comes of its word, in both dialects.

Real disk, real CDN, an origin on a real socket; the handlers are asked without one.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from supernode.core.commands import LosePieces
from supernode.core.identity import TaskId
from supernode.core.model import CdnStatus, DownloadStatus, Limits, Task
from supernode.core.reasons import Reason
from supernode.origin.http import OriginClient
from supernode.services import seed_checks
from supernode.services.cdn import Cdn
from supernode.services.repairing import Repair
from supernode.services.retries import RetryPolicy
from supernode.services.seed_checks import SeedChecks
from supernode.storage import verification
from supernode.storage.piece_files import PieceFile, PieceStore
from tests.inprocess import InProcess
from tests.integration.dfget_1_0_caller import SEED, Dfget, numbers
from tests.integration.rest_caller import Caller, nth
from tests.integration.scripted_origin import LOOPBACK
from tests.integration.test_resumption import CONTENT, FULL, SIZE, WHOLE, Origin, Reply, other
from tests.waiting import eventually

ALL = 0b1111
OF_THE_SECOND = f"bytes={FULL}-{2 * FULL - 1} of any"


class Seeding:
    """A supernode that has a file of four pieces, and a client of it that has none yet."""

    def __init__(self, state: Path, origin: Origin, client: OriginClient) -> None:
        self.node = InProcess(Limits(avoid_seed=0))
        self.origin = origin
        self.store = PieceStore(state / "repo")
        dispatch = self.node.dispatch
        self.cdn = Cdn(dispatch, self.store, client, retries=RetryPolicy(first_pause=0))
        self.checks = SeedChecks(dispatch, self.store, Repair(dispatch, client))
        self.dfget = Dfget(self.node, rawUrl=origin.scripted.url("/f"), taskUrl="")
        self.read: list[int] = []

    @property
    def task(self) -> Task:
        return self.node.tracker.task(self.dfget.task)

    @property
    def file(self) -> PieceFile:
        file = self.store.find(self.task.id)
        assert file is not None
        return file

    async def until_whole(self) -> None:
        while self.task.status in (CdnStatus.WAITING, CdnStatus.RUNNING):
            await self.node.feed.wait(self.task.id, trio.current_time() + 10)

    def harm(self, piece: int) -> None:
        with self.file.path.open("r+b") as file:
            file.seek(piece * SIZE + 100)
            file.write(b"not what it was")

    def is_right(self) -> bool:
        framed = self.file.path.read_bytes()
        parts = [framed[n * SIZE + 4 : (n + 1) * SIZE - 1] for n in range(3)]
        return b"".join((*parts, framed[3 * SIZE + 4 : -1])) == CONTENT

    async def accuse(self, piece: int, *, how: str = "piece/error") -> None:
        """Let the client say that it could not get a piece that it was told to fetch here."""
        if how == "REST":
            report = {"clientID": self.dfget.cid, "pieceStatus": "FAILED", "dstPID": SEED}
            path = f"/tasks/{self.task.id}/pieces/{nth(piece)}"
            assert (await Caller(self.node)("PUT", path, report)).status_code == 200
        elif how == "piece/error over REST":
            path = f"/api/v1/tasks/{self.task.id}/pieces/{nth(piece)}/error"
            body = {"srcCid": self.dfget.cid, "dstPid": SEED, "errorType": "FILE_MD5_NOT_MATCH"}
            assert (await Caller(self.node)("GET", path, body)).status_code == 200
        elif how == "task":
            await self.dfget.pull(piece, 500, SEED)
        else:
            assert (await self.dfget.error(SEED, piece)) == {"code": 200}


@asynccontextmanager
async def seeding(
    state: Path, monkeypatch: pytest.MonkeyPatch, *replies: Reply, last: Reply | None = None
) -> AsyncIterator[Seeding]:
    origin = Origin([Reply(), *replies], last or Reply())
    origin.scripted.answers["/f"] = origin
    monkeypatch.setattr(seed_checks, "PAUSE_SECONDS", 0)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery, OriginClient(LOOPBACK) as client:
            await nursery.start(origin.scripted.run, "127.0.0.1")
            seeding = Seeding(state, origin, client)
            await nursery.start(seeding.cdn.run)
            await nursery.start(seeding.checks.run)
            await seeding.dfget.register()
            await seeding.until_whole()
            await eventually(lambda: seeding.file.origin is not None)
            assert numbers(await seeding.dfget.pull()) == [0, 1, 2, 3]
            yield seeding
            seeding.node.tracker.check()
            nursery.cancel_scope.cancel("the test is over")


def noted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the list to which the number of each piece goes that is read again."""
    read: list[int] = []
    real: Callable[..., None] = verification.check_piece

    def check(path: Path, offset: int, *rest: object) -> None:
        real(path, offset, *rest)
        read.append(offset // SIZE)

    monkeypatch.setattr(verification, "check_piece", check)
    return read


@pytest.mark.parametrize("how", ["piece/error", "piece/error over REST", "task", "REST"])
async def test_a_damaged_piece_is_fetched_again_by_its_range(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    async with seeding(tmp_path, monkeypatch) as seed:
        seed.harm(1)
        await seed.accuse(1, how=how)
        await eventually(lambda: len(seed.origin.wanted) == 2)
        await eventually(lambda: seed.task.swarm.seeded == ALL)
        assert seed.origin.wanted == [WHOLE, OF_THE_SECOND]
        assert seed.is_right()
        assert seed.file.is_complete


async def test_while_it_is_fetched_again_nobody_is_given_the_damaged_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = trio.Event()
    async with seeding(tmp_path, monkeypatch, Reply(after=gate)) as seed:
        seed.harm(1)
        await seed.accuse(1)
        await eventually(lambda: len(seed.origin.scripted.asked) == 2)
        assert seed.task.swarm.seeded == 0b1101
        assert not seed.file.covers(SIZE, 2 * SIZE)
        gate.set()
        await eventually(lambda: seed.task.swarm.seeded == ALL)


async def test_a_good_piece_stays_whatever_is_said_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with seeding(tmp_path, monkeypatch) as seed:
        read = noted(monkeypatch)
        for _ in range(5):
            await seed.accuse(2)
            assert numbers(await seed.dfget.pull(0)) == [2]
        await seed.accuse(3)
        await eventually(lambda: len(read) == 2)
        assert sorted(read) == [2, 3], "each once, however often it is accused"
        assert seed.task.swarm.seeded == ALL
        assert seed.origin.wanted == [WHOLE]


async def test_after_a_minute_a_piece_is_looked_at_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seed_checks, "SAME_PIECE_SECONDS", 0)
    async with seeding(tmp_path, monkeypatch) as seed:
        read = noted(monkeypatch)
        for count in (1, 2):
            await seed.accuse(2)
            await eventually(lambda count=count: len(read) == count)  # type: ignore[misc]
            await seed.dfget.pull(0)


async def test_who_was_not_sent_here_for_a_piece_has_it_read_by_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with seeding(tmp_path, monkeypatch) as seed:
        read = noted(monkeypatch)
        stranger = Dfget(seed.node, "b", rawUrl=seed.origin.scripted.url("/f"), taskUrl="")
        await stranger.register()
        await stranger.error(SEED, 1)
        await seed.dfget.error("10.0.0.7-9-1600000000.123", 1)
        await seed.accuse(3)
        await eventually(lambda: bool(read))
        assert read == [3]


async def test_a_file_that_cannot_be_repaired_is_fetched_once_more_under_its_clients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = Reply(instead=b"HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n")
    async with seeding(tmp_path, monkeypatch, refused) as seed:
        await seed.dfget.suc(0)
        seed.harm(1)
        with capture_logs() as logs:
            await seed.accuse(1)
            await eventually(lambda: len(seed.origin.wanted) == 2)
            await seed.until_whole()
        assert seed.origin.wanted[-1] == f'bytes={FULL}- of "v1"'
        assert seed.is_right()
        assert seed.task.status is CdnStatus.SUCCESS
        download = seed.dfget.download
        assert (download.status, download.have) == (DownloadStatus.RUNNING, 0b0001)
        assert "task.reopened" not in [line["event"] for line in logs], "that is the feed's to say"
        assert numbers(await seed.dfget.pull(0)) == [1]


async def test_a_file_that_is_gone_is_fetched_once_more_under_its_clients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with seeding(tmp_path, monkeypatch) as seed:
        seed.file.path.unlink()
        await seed.accuse(1)
        await eventually(lambda: WHOLE in seed.origin.wanted[1:])
        await seed.until_whole()
        assert seed.is_right()
        assert seed.dfget.download.status is DownloadStatus.RUNNING
        assert numbers(await seed.dfget.pull(0)) == [1]


async def test_a_file_that_the_origin_has_changed_ends_with_that_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with seeding(tmp_path, monkeypatch, last=Reply(content=other(FULL))) as seed:
        seed.harm(1)
        await seed.accuse(1)
        await eventually(lambda: seed.task.reason is not None)
        assert seed.task.reason is Reason.ORIGIN_CHANGED
        assert (await seed.dfget.pull(0))["code"] == 604


async def test_a_damaged_file_that_nobody_waits_for_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = Reply(instead=b"HTTP/1.1 404 Gone\r\nContent-Length: 0\r\n\r\n", after=trio.Event())
    assert gone.after is not None
    async with seeding(tmp_path, monkeypatch, gone) as seed:
        seed.harm(1)
        await seed.accuse(1)
        await eventually(lambda: len(seed.origin.scripted.asked) == 2)
        await seed.dfget.get(
            "/peer/task",
            srcCid=seed.dfget.cid,
            taskId=seed.dfget.task,
            status=702,
            result=500,
        )
        gone.after.set()
        task = TaskId(seed.dfget.task)
        await eventually(lambda: seed.node.tracker.why_gone(task) is Reason.CACHE_DAMAGED)


async def test_what_a_run_that_crashed_has_left_behind_is_seen_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with seeding(tmp_path, monkeypatch) as seed:
        seed.harm(1)
        seed.file.unseal(1)
        lost = LosePieces(task=seed.task.id, generation=seed.task.generation, pieces=0b0010)
        seed.node.dispatch(lost)
        async with trio.open_nursery() as nursery:
            await nursery.start(seed.checks.run)
            await eventually(lambda: seed.task.swarm.seeded == ALL)
            nursery.cancel_scope.cancel("that was it")
        assert seed.origin.wanted == [WHOLE, OF_THE_SECOND]
        assert seed.is_right()
