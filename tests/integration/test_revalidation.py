"""A file that was idle is asked for again: what its origin is asked, and what clients get."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from supernode.core.commands import PieceResult, Pull, PullStatus, RegisterTask, RemoveTask
from supernode.core.identity import ClientId, TaskId
from supernode.core.model import CdnStatus, Secrets, Task, TaskSpec
from supernode.core.reasons import Reason
from supernode.origin.http import OriginClient
from supernode.services import revalidation
from supernode.services.cdn import Cdn
from supernode.services.retries import RetryPolicy
from supernode.services.revalidation import Revalidation
from supernode.storage.piece_files import PieceStore
from tests.inprocess import InProcess
from tests.integration.scripted_origin import LOOPBACK, ScriptedOrigin, answer

TAG = '"v1"'
CHANGED = "Tue, 02 Jan 2024 03:04:05 GMT"


class World:
    """A supernode that has a file of one origin, for which nobody has asked for long."""

    def __init__(self, state: Path, client: OriginClient) -> None:
        self.node = InProcess()
        self.origin = ScriptedOrigin()
        self.store = PieceStore(state / "repo")
        retries = RetryPolicy(attempts=1)
        self.cdn = Cdn(self.node.dispatch, self.store, client, retries=retries)
        self.revalidation = Revalidation(self.node.dispatch, client)

    def ask(self, name: str) -> TaskId:
        url = self.origin.url("/f")
        spec = TaskSpec(raw_url=url, task_url=url, headers=Secrets({"X-Token": name}))
        ask = RegisterTask(spec=spec, client=ClientId(name), peer=None, path="")
        return self.node.dispatch(ask)

    async def fetched(self, task: TaskId) -> Task:
        while (known := self.node.tracker.task(task)).status in (
            CdnStatus.WAITING,
            CdnStatus.RUNNING,
        ) or known.doubted:
            await self.node.feed.wait(task, trio.current_time() + 10)
        return known

    async def content(self, task: TaskId) -> bytes:
        file = self.store.find((await self.fetched(task)).id)
        assert file is not None
        return file.path.read_bytes()[4:-1]

    async def left_idle(self, head: bytes) -> TaskId:
        """Let a client have the file, and a minute pass in which nobody asks for it."""
        self.origin.answers["/f"] = head
        task = self.ask("a")
        assert await self.content(task) == b"old"
        done = Pull(
            task=task, client=ClientId("a"), status=PullStatus.FINISHED, result=PieceResult.SUCCESS
        )
        self.node.dispatch(done)
        self.node.tracker.task(task).checked -= 60
        return task


@asynccontextmanager
async def running(state: Path) -> AsyncIterator[World]:
    with trio.fail_after(20):
        async with OriginClient(LOOPBACK) as client, trio.open_nursery() as nursery:
            world = World(state, client)
            await nursery.start(world.origin.run, "127.0.0.1")
            await nursery.start(world.cdn.run)
            await nursery.start(world.revalidation.run)
            yield world
            nursery.cancel_scope.cancel()


async def test_an_origin_that_still_has_it_sends_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        await world.left_idle(answer(200, b"old", ETag=TAG, Last_Modified=CHANGED))
        world.origin.answers["/f"] = b"HTTP/1.1 304 Not Modified\r\n\r\n"
        assert await world.content(world.ask("b")) == b"old"
        first, second = world.origin.asked
        assert "If-None-Match" not in first.headers
        assert second.headers["If-None-Match"] == TAG
        assert second.headers["If-Modified-Since"] == CHANGED
        assert second.headers["X-Token"] == "b", "the one who asks has credentials, maybe new ones"


async def test_one_that_heeds_no_conditions_is_compared(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        head = answer(200, b"old", ETag=TAG)
        await world.left_idle(head)
        world.origin.answers["/f"] = head
        assert await world.content(world.ask("b")) == b"old"
        assert len(world.origin.asked) == 2


async def test_another_file_is_fetched_for_who_asks(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        task = await world.left_idle(answer(200, b"old", ETag=TAG))
        world.origin.answers["/f"] = answer(200, b"another one", ETag='"v2"')
        assert world.ask("b") == task
        assert not world.node.dispatch(Pull(task=task, client=ClientId("b"))).assignments
        assert await world.content(task) == b"another one"
        (given,) = world.node.dispatch(Pull(task=task, client=ClientId("b"))).assignments
        assert given.digest.endswith(":16")


async def test_what_no_version_was_told_of_is_fetched_again(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        await world.left_idle(answer(200, b"old"))
        world.origin.answers["/f"] = answer(200, b"new")
        assert await world.content(world.ask("b")) == b"new"


async def test_what_is_there_no_longer_is_not_given_out(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        await world.left_idle(answer(200, b"old", ETag=TAG))
        world.origin.answers["/f"] = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        task = await world.fetched(world.ask("b"))
        assert task.status is CdnStatus.SOURCE_ERROR


@pytest.mark.parametrize("status", ["500 Oops", "403 Forbidden", "302 Found"])
async def test_an_origin_in_trouble_costs_nobody_the_copy(tmp_path: Path, status: str) -> None:
    async with running(tmp_path) as world:
        await world.left_idle(answer(200, b"old", ETag=TAG))
        reply = f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"
        world.origin.answers["/f"] = reply.encode()
        with capture_logs() as logs:
            assert await world.content(world.ask("b")) == b"old"
        assert [line["event"][:25] for line in logs if line["log_level"] == "warning"] == [
            "an origin cannot be asked"
        ]


async def test_a_silent_origin_keeps_nobody_waiting_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revalidation, "LONGEST_SECONDS", 0.05)

    async def silent(_: trio.abc.Stream) -> None:
        await trio.sleep_forever()

    async with running(tmp_path) as world:
        await world.left_idle(answer(200, b"old", ETag=TAG))
        world.origin.answers["/f"] = silent
        assert await world.content(world.ask("b")) == b"old"


async def test_a_task_that_is_removed_meanwhile_is_no_trouble(tmp_path: Path) -> None:
    asked, go_on = trio.Event(), trio.Event()

    async def slow(stream: trio.abc.Stream) -> None:
        asked.set()
        await go_on.wait()
        await stream.send_all(b"HTTP/1.1 304 Not Modified\r\n\r\n")

    async with running(tmp_path) as world:
        await world.left_idle(answer(200, b"old", ETag=TAG))
        world.origin.answers["/f"] = slow
        task = world.ask("b")
        await asked.wait()
        world.node.dispatch(RemoveTask(task=task, reason=Reason.TASK_DELETED))
        go_on.set()
        world.origin.answers["/f"] = answer(200, b"new", ETag=TAG)
        assert await world.content(world.ask("c")) == b"new"
