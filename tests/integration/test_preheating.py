"""The preheating service with the real core and feed; the test plays the fetch."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from trio.testing import wait_all_tasks_blocked

from supernode.core.commands import CreatePreheat, RegisterTask, RemovePreheat, RemoveTask
from supernode.core.identity import ClientId, PartId, PreheatId, TaskId
from supernode.core.model import CdnStatus, Limits, Preheat, PreheatStatus, TaskSpec
from supernode.core.reasons import Reason
from supernode.services.preheating import Preheating
from supernode.services.resolving import Resolving
from supernode.services.retries import RetryPolicy
from tests.inprocess import InProcess
from tests.integration.scripted_images import ScriptedImages

URL = "http://o/x"


def spec(url: str = URL, **fields: str) -> TaskSpec:
    return TaskSpec(raw_url=url, task_url=url, **fields)  # type: ignore[arg-type]


class World:
    def __init__(self, limits: Limits | None = None) -> None:
        self.node = InProcess(limits)
        self.images = ScriptedImages()
        retries = RetryPolicy(first_pause=0)
        resolving = Resolving(self.node.dispatch, self.images, retries=retries)
        self.copies: list[tuple[PartId, TaskId]] = []
        self.preheating = Preheating(self.node.dispatch, resolving, self)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                await nursery.start(self.preheating.run)
                yield
                nursery.cancel_scope.cancel()

    async def copy(self, part: PartId, source: TaskId) -> bool:
        """Stand for what copies files: there are none."""
        self.copies.append((part, source))
        return False

    def create(self, url: str = URL, **fields: str) -> PreheatId:
        return self.node.dispatch(CreatePreheat(spec=spec(url, **fields)))

    async def settled(self, preheat: PreheatId) -> Preheat:
        await wait_all_tasks_blocked()
        return self.node.tracker.preheat(preheat)

    def fetch(self, task: TaskId) -> None:
        self.node.size(task, 5)
        self.node.cache(task)
        self.node.finish(task)

    def ask(self, url: str = URL, **fields: str) -> TaskId:
        register = RegisterTask(spec=spec(url, **fields), client=ClientId("c"), peer=None, path="")
        return self.node.dispatch(register)


async def test_a_preheat_succeeds_when_its_file_is_there() -> None:
    world = World()
    async with world.running():
        preheat = world.create()
        running = await world.settled(preheat)
        assert running.status is PreheatStatus.RUNNING
        assert running.finished is None
        world.fetch(running.task)
        ended = await world.settled(preheat)
    assert ended.status is PreheatStatus.SUCCESS
    assert ended.finished is not None


async def test_a_file_that_is_there_already_is_a_success_at_once() -> None:
    world = World()
    task = world.ask()
    world.fetch(task)
    async with world.running():
        assert (await world.settled(world.create())).status is PreheatStatus.SUCCESS
    assert world.node.tracker.task(task).status is CdnStatus.SUCCESS


async def test_a_preheat_fails_for_the_reason_its_file_does() -> None:
    world = World()
    async with world.running():
        preheat = world.create()
        task = (await world.settled(preheat)).task
        world.node.fail(task, Reason.ORIGIN_NOT_FOUND, "404 from o")
        ended = await world.settled(preheat)
    assert (ended.status, ended.reason) == (PreheatStatus.FAILED, Reason.ORIGIN_NOT_FOUND)
    assert ended.detail == "404 from o"


async def test_a_file_that_failed_before_is_fetched_again() -> None:
    world = World()
    task = world.ask()
    world.node.fail(task, Reason.DISK_FULL)
    async with world.running():
        preheat = world.create()
        assert (await world.settled(preheat)).status is PreheatStatus.RUNNING
        world.fetch(task)
        assert (await world.settled(preheat)).status is PreheatStatus.SUCCESS


async def test_a_file_whose_origin_failed_a_moment_ago_is_not_fetched_again() -> None:
    world = World()
    task = world.ask()
    world.node.fail(task, Reason.ORIGIN_NOT_FOUND, "404 from o")
    async with world.running():
        ended = await world.settled(world.create())
    assert (ended.status, ended.reason) == (PreheatStatus.FAILED, Reason.ORIGIN_NOT_FOUND)
    assert ended.detail == "404 from o"
    assert world.node.tracker.next_to_fetch() is None


async def test_a_preheat_fails_when_its_task_is_deleted() -> None:
    world = World()
    async with world.running():
        preheat = world.create()
        task = (await world.settled(preheat)).task
        world.node.dispatch(RemoveTask(task=task, reason=Reason.TASK_DELETED))
        ended = await world.settled(preheat)
    assert (ended.status, ended.reason) == (PreheatStatus.FAILED, Reason.TASK_DELETED)


async def test_a_deleted_preheat_leaves_nothing_to_fetch() -> None:
    world = World()
    async with world.running():
        preheat = world.create()
        await world.settled(preheat)
        world.node.dispatch(RemovePreheat(preheat=preheat))
        await wait_all_tasks_blocked()
    assert world.node.tracker.next_to_fetch() is None


async def test_a_preheat_whose_file_conflicts_with_another_fails() -> None:
    """The other one came after the preheat had been asked for, before it began."""
    world = World()
    preheat = world.create(md5="ab" * 16)
    world.ask(identifier="ab" * 16)
    async with world.running():
        ended = await world.settled(preheat)
    assert (ended.status, ended.reason) == (PreheatStatus.FAILED, Reason.TASK_CONFLICT)
    assert "MD5" in ended.detail


async def test_a_preheat_waits_while_there_is_no_room_for_its_task() -> None:
    world = World(Limits(most_tasks=1))
    other = world.ask("http://o/other")
    async with world.running():
        preheat = world.create()
        assert (await world.settled(preheat)).status is PreheatStatus.WAITING
        world.node.dispatch(RemoveTask(task=other, reason=Reason.TASK_EVICTED))
        assert (await world.settled(preheat)).status is PreheatStatus.RUNNING


async def test_after_a_crash_it_goes_on_where_it_was() -> None:
    world = World()
    async with world.running():
        preheat = world.create()
        task = (await world.settled(preheat)).task
    world.fetch(task)
    async with world.running():
        assert (await world.settled(preheat)).status is PreheatStatus.SUCCESS
