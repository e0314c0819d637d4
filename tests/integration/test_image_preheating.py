"""Images preheated by the real services from a scripted origin: fetched once, shared, resumed."""

import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from supernode.core.commands import (
    CreatePreheat,
    RegisterTask,
    RemovePreheat,
    RemoveTask,
)
from supernode.core.identity import ClientId, PreheatId, TaskId, task_id
from supernode.core.model import (
    CdnStatus,
    PartStatus,
    Preheat,
    PreheatKind,
    PreheatStatus,
    Secrets,
    Source,
    TaskSpec,
)
from supernode.core.reasons import Reason
from supernode.origin.errors import OriginError
from supernode.origin.http import OriginClient
from supernode.services.blob_access import BlobAccess
from supernode.services.cdn import Cdn
from supernode.services.copying import Copying
from supernode.services.eviction import Eviction
from supernode.services.preheating import Preheating
from supernode.services.resolving import Resolving
from supernode.services.retries import RetryPolicy
from supernode.storage import piece_files
from supernode.storage.disk_space import WaterMark
from tests.integration.process import Process, begun
from tests.integration.scripted_images import ScriptedImages
from tests.integration.scripted_origin import (
    LOOPBACK,
    ScriptedOrigin,
    answer,
    send_and_wait,
)
from tests.waiting import eventually

AT_ONCE = RetryPolicy(first_pause=0)
PLENTY = WaterMark(size=1 << 60)


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class World:
    """A registry whose blobs are real, and whose manifests are a test's."""

    def __init__(self, origin: ScriptedOrigin, state: Path) -> None:
        self.origin = origin
        self.images = ScriptedImages()
        self._state = state

    def blob_url(self, content: bytes, name: str = "a") -> str:
        return self.origin.url(f"/v2/{name}/blobs/{sha256(content)}")

    def push(self, tag: str, *layers: bytes, names: tuple[str, ...] = ("a",)) -> None:
        self.images.layers[tag] = tuple(map(sha256, layers))
        for name in names:
            for layer in layers:
                self.origin.answers[f"/v2/{name}/blobs/{sha256(layer)}"] = answer(200, layer)

    def fetched(self) -> list[str]:
        return [asked.target for asked in self.origin.asked]

    @asynccontextmanager
    async def supernode(self, high: WaterMark = PLENTY) -> AsyncIterator[Process]:
        """Run a process until the test ends it, as if killed but for a last commit."""
        async with OriginClient(LOOPBACK) as client, begun(self._state, client) as process:
            dispatch, store = process.dispatch, process.store
            access = BlobAccess(process.tracker, self.images)
            cdn = Cdn(dispatch, store, client, retries=AT_ONCE, headers_for=access.headers_for)
            resolving = Resolving(dispatch, self.images, retries=AT_ONCE)
            preheating = Preheating(dispatch, resolving, Copying(dispatch, store))
            settled = process.journaling.settled
            eviction = Eviction(dispatch, store, settled, high=high, low=high)
            async with trio.open_nursery() as nursery:
                for service in (eviction.run, cdn.run, preheating.run):
                    await nursery.start(service)
                yield process
                process.tracker.check()
                nursery.cancel_scope.cancel("the test ends the process")

    def ask(self, process: Process, tag: str, name: str = "a", **headers: str) -> PreheatId:
        url = self.origin.url(f"/v2/{name}/manifests/{tag}")
        spec = TaskSpec(raw_url=url, task_url=url, headers=Secrets(headers))
        return process.dispatch(CreatePreheat(spec=spec, kind=PreheatKind.IMAGE))

    async def ended(self, process: Process, preheat: PreheatId) -> Preheat:
        await eventually(lambda: process.tracker.preheat(preheat).finished is not None)
        return process.tracker.preheat(preheat)

    async def preheated(self, process: Process, tag: str, name: str = "a") -> Preheat:
        return await self.ended(process, self.ask(process, tag, name))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            origin = ScriptedOrigin()
            await nursery.start(origin.run, "127.0.0.1")
            yield World(origin, tmp_path)
            nursery.cancel_scope.cancel()


def sources(preheat: Preheat) -> list[Source | None]:
    return [part.came_from for part in preheat.parts.values()]


def content_of(process: Process, task: TaskId) -> bytes:
    """Return what is on disk of a small file, without its frame."""
    file = process.store.find(task)
    assert file is not None
    return file.path.read_bytes()[4:-1]


async def test_every_layer_is_fetched_once(world: World) -> None:
    world.push("v1", b"one", b"two")
    world.images.skipped = "it is elsewhere"
    async with world.supernode() as process:
        preheat = await world.preheated(process, "v1")
        assert preheat.status is PreheatStatus.SUCCESS, preheat.detail
        assert sources(preheat) == [Source.ORIGIN, Source.ORIGIN, None]
        again = await world.preheated(process, "v1")
        assert sources(again) == [Source.CACHE, Source.CACHE, None]
    assert len(world.fetched()) == 2


async def test_credentials_come_with_the_fetch_and_stay_nowhere(world: World) -> None:
    world.push("v1", b"one")
    world.images.headers = {"Authorization": "Bearer t0ken"}
    async with world.supernode() as process:
        job = world.ask(process, "v1", Authorization="Bearer asked")
        preheat = await world.ended(process, job)
        assert preheat.status is PreheatStatus.SUCCESS, preheat.detail
        (asked,) = world.origin.asked
        assert asked.headers["Authorization"] == "Bearer t0ken"
        assert world.images.asked[0].headers == {"Authorization": "Bearer asked"}
        (task,) = process.tracker.tasks()
        assert task.spec.headers.names() == []
        assert "Bearer" not in str(preheat.spec.headers.reveal())


async def test_a_wrong_blob_is_dropped(world: World, tmp_path: Path) -> None:
    world.push("v1", b"one", b"two")
    world.origin.answers[f"/v2/a/blobs/{sha256(b'two')}"] = answer(200, b"owt")
    async with world.supernode() as process:
        preheat = await world.preheated(process, "v1")
        assert (preheat.status, preheat.reason) == (PreheatStatus.FAILED, Reason.DIGEST_MISMATCH)
        right, wrong = preheat.parts.values()
        assert (right.status, wrong.status) == (PartStatus.SUCCESS, PartStatus.FAILED)
        await eventually(lambda: process.store.find(wrong.task) is None)
        path = tmp_path / "repo" / "download" / wrong.task[:3] / wrong.task
        await eventually(lambda: not os.path.exists(path))


async def test_a_registry_is_asked_again_before_it_is_given_up(world: World) -> None:
    world.push("v1", b"one")
    trouble = OriginError(Reason.ORIGIN_TIMEOUT, "slow", may_pass=True)
    world.images.errors["v1"] = [trouble, trouble]
    async with world.supernode() as process:
        assert (await world.preheated(process, "v1")).status is PreheatStatus.SUCCESS
        world.images.errors["v1"] = [trouble] * 9
        failed = await world.preheated(process, "v1")
        assert (failed.reason, failed.detail) == (Reason.ORIGIN_TIMEOUT, "slow")


@pytest.mark.parametrize("reason", [Reason.ORIGIN_AUTH, Reason.ORIGIN_DNS, Reason.URL_FORBIDDEN])
async def test_it_fails_for_the_reason_that_the_registry_is_of_no_use(
    world: World, reason: Reason
) -> None:
    world.images.errors["v1"] = [OriginError(reason, "what was seen")]
    async with world.supernode() as process:
        failed = await world.preheated(process, "v1")
    assert (failed.status, failed.reason) == (PreheatStatus.FAILED, reason)
    assert failed.detail == "what was seen"


async def test_a_registry_that_never_answers_is_given_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supernode.services.resolving.LONGEST_SECONDS", 0.1)
    world.images.may_answer = trio.Event()
    async with begun(world._state) as process, trio.open_nursery() as nursery:
        resolving = Resolving(process.dispatch, world.images, longest=0.1)
        copying = Copying(process.dispatch, process.store)
        await nursery.start(Preheating(process.dispatch, resolving, copying).run)
        failed = await world.ended(process, world.ask(process, "v1"))
        assert failed.reason is Reason.ORIGIN_TIMEOUT
        nursery.cancel_scope.cancel()


async def test_a_defect_in_the_client_ends_the_preheat_and_nothing_else(world: World) -> None:
    world.push("v1", b"one")
    world.images.errors["v2"] = [KeyError("x")]  # type: ignore[list-item]  # a defect
    with capture_logs() as logs:
        async with world.supernode() as process:
            assert (await world.preheated(process, "v2")).reason is Reason.INTERNAL
            assert (await world.preheated(process, "v1")).status is PreheatStatus.SUCCESS
    assert "an image could not be resolved" in [line["event"] for line in logs]


async def test_deleted_while_it_is_resolved_nothing_comes_of_it(world: World) -> None:
    world.push("v1", b"one")
    world.images.may_answer = trio.Event()
    async with world.supernode() as process:
        job = world.ask(process, "v1")
        await eventually(lambda: bool(world.images.asked))
        process.dispatch(RemovePreheat(preheat=job))
        world.images.may_answer.set()
        world.push("v2", b"two")
        await world.preheated(process, "v2")
        assert world.fetched() == [f"/v2/a/blobs/{sha256(b'two')}"]


# one blob, one copy


async def test_the_same_blob_of_another_repository_takes_neither_origin_nor_disk(
    world: World,
) -> None:
    world.push("v1", b"one", b"two")
    async with world.supernode() as process:
        first = await world.preheated(process, "v1")
        there = await process.store.disk_use()
        second = await world.preheated(process, "v1", "b")
        assert sources(second) == [Source.COPY, Source.COPY]
        assert (await process.store.disk_use()).cached == there.cached
        for ours, theirs in zip(first.parts.values(), second.parts.values(), strict=True):
            assert ours.task != theirs.task
            assert content_of(process, ours.task) == content_of(process, theirs.task)
            copied = process.store.find(theirs.task)
            assert copied is not None
            assert copied.is_complete
            assert process.tracker.task(theirs.task).status is CdnStatus.SUCCESS
    assert len(world.fetched()) == 2


async def test_two_at_once_are_fetched_once(world: World) -> None:
    world.push("v1", b"one", b"two", names=("a", "b"))
    async with world.supernode() as process:
        jobs = [world.ask(process, "v1", name) for name in ("a", "b", "a")]
        for job in jobs:
            ended = await world.ended(process, job)
            assert ended.status is PreheatStatus.SUCCESS, ended.detail
    digests = [target.rpartition("/")[2] for target in world.fetched()]
    assert sorted(digests) == sorted(map(sha256, (b"one", b"two")))


async def test_what_is_shared_outlives_either_name(world: World) -> None:
    world.push("v1", b"one")
    async with world.supernode() as process:
        (first,) = (await world.preheated(process, "v1")).parts.values()
        (second,) = (await world.preheated(process, "v1", "b")).parts.values()
        before = await process.store.disk_use()
        process.dispatch(RemoveTask(task=first.task, reason=Reason.TASK_DELETED))
        await eventually(lambda: process.store.find(first.task) is None)
        assert content_of(process, second.task) == b"one"
        assert (await process.store.disk_use()).cached == before.cached


async def test_shared_bytes_are_free_when_the_last_name_has_gone(world: World) -> None:
    """The two names of one content must go both before anything else has to."""
    world.push("v1", b"1" * 1000)
    world.push("v2", b"2" * 1000)
    async with world.supernode() as process:
        shared = [await world.preheated(process, "v1", name) for name in "ab"]
        other = await world.preheated(process, "v2")
    mark = WaterMark(size=1500)
    async with world.supernode(high=mark) as process:
        await eventually(lambda: len(process.tracker.tasks()) == 1)
        (left,) = process.tracker.tasks()
        assert left.id == next(iter(other.parts.values())).task
        gone = [part.task for job in shared for part in job.parts.values()]
        await eventually(lambda: not any(map(process.store.find, gone)))


async def test_it_is_known_after_a_restart_what_shares_its_bytes(world: World) -> None:
    world.push("v1", b"one")
    async with world.supernode() as process:
        for name in "ab":
            await world.preheated(process, "v1", name)
        before = await process.store.disk_use()
    async with world.supernode() as process:
        await eventually(
            lambda: all(task.status is CdnStatus.SUCCESS for task in process.tracker.tasks())
        )
        assert len(process.tracker.tasks()) == 2
        assert (await process.store.disk_use()).cached == before.cached


async def test_where_files_cannot_be_shared_it_is_fetched(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    world.push("v1", b"one", names=("a", "b"))
    async with world.supernode() as process:
        await world.preheated(process, "v1")
        second = await world.preheated(process, "v1", "b")
        assert (second.status, sources(second)) == (PreheatStatus.SUCCESS, [Source.ORIGIN])


async def test_a_client_that_asks_meanwhile_keeps_the_copy_from_its_file(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the link on disk and its being known a client has the same file fetched."""
    world.push("v1", b"one", names=("a", "b"))
    async with world.supernode() as process:
        await world.preheated(process, "v1")
        verify, linked = piece_files.PieceFile.verify_frames, trio.Event()
        go_on = trio.Event()

        async def slow(file: piece_files.PieceFile) -> None:
            linked.set()
            await go_on.wait()
            await verify(file)

        monkeypatch.setattr(piece_files.PieceFile, "verify_frames", slow)
        job = world.ask(process, "v1", "b")
        await linked.wait()
        url = world.blob_url(b"one", "b")
        spec = TaskSpec(raw_url=url, task_url=url)
        register = RegisterTask(spec=spec, client=ClientId("c"), peer=None, path="")
        task = process.dispatch(register)
        await eventually(lambda: process.tracker.task(task).status is CdnStatus.SUCCESS)
        go_on.set()
        ended = await world.ended(process, job)
        assert ended.status is PreheatStatus.SUCCESS
        assert content_of(process, task) == b"one"


async def test_a_copy_that_is_cancelled_leaves_nothing_behind(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.push("v1", b"one", names=("a", "b"))
    async with world.supernode() as process:
        await world.preheated(process, "v1")
        linked = trio.Event()

        async def forever(_: piece_files.PieceFile) -> None:
            linked.set()
            await trio.sleep_forever()

        with monkeypatch.context() as patched:
            patched.setattr(piece_files.PieceFile, "verify_frames", forever)
            job = world.ask(process, "v1", "b")
            await linked.wait()
            copy = task_id(world.blob_url(b"one", "b"))
            path = tmp_path / "repo" / "download" / copy[:3] / copy
            assert os.path.exists(path)  # noqa: ASYNC240 - it is a test
    assert not os.path.exists(path)  # noqa: ASYNC240 - it is a test
    async with world.supernode() as process:
        ended = await world.ended(process, job)
        assert sources(ended) == [Source.COPY]


# restarts


async def test_it_goes_on_in_the_next_process(world: World) -> None:
    world.push("v1", b"one", b"two")
    slow = f"/v2/a/blobs/{sha256(b'two')}"
    right = world.origin.answers[slow]
    world.origin.answers[slow] = send_and_wait(b"")
    async with world.supernode() as process:
        job = world.ask(process, "v1")
        one = task_id(world.blob_url(b"one"))
        await eventually(
            lambda: (
                one in [t.id for t in process.tracker.tasks()]
                and process.tracker.task(one).status is CdnStatus.SUCCESS
            )
        )
        await eventually(lambda: slow in world.fetched())
    world.origin.answers[slow] = right
    async with world.supernode() as process:
        preheat = await world.ended(process, job)
        assert preheat.status is PreheatStatus.SUCCESS, preheat.detail
        assert len(world.images.asked) == 1, "what it consists of is known"
    assert world.fetched().count(f"/v2/a/blobs/{sha256(b'one')}") == 1
    async with world.supernode() as process:
        preheat = process.tracker.preheat(job)
        assert preheat.status is PreheatStatus.SUCCESS
        assert [part.status for part in preheat.parts.values()] == [PartStatus.SUCCESS] * 2


async def test_one_that_was_not_resolved_is_resolved_by_the_next_process(world: World) -> None:
    world.push("v1", b"one")
    world.images.may_answer = trio.Event()
    async with world.supernode() as process:
        job = world.ask(process, "v1", Authorization="Bearer asked")
        await eventually(lambda: bool(world.images.asked))
    world.images.may_answer.set()
    async with world.supernode() as process:
        assert (await world.ended(process, job)).status is PreheatStatus.SUCCESS
        assert world.images.asked[-1].headers == {"Authorization": "Bearer asked"}


async def test_very_many_layers_are_begun_a_few_at_a_time(world: World) -> None:
    layers = [f"{n}".encode() for n in range(300)]
    world.push("v1", *layers)
    async with world.supernode() as process:
        job = world.ask(process, "v1")
        await eventually(lambda: process.tracker.preheat(job).is_resolved)
        assert len(process.tracker.tasks()) <= process.tracker.limits.parts_at_once * 2
        preheat = await world.ended(process, job)
        assert preheat.status is PreheatStatus.SUCCESS
        assert len(process.tracker.tasks()) == 300
