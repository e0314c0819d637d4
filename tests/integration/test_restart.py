"""One process ends, another begins on the same directory: what is fetched, verified, offered."""

import errno
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs

from supernode.core.commands import (
    CreatePreheat,
    PieceResult,
    Pull,
    PullStatus,
    RegisterTask,
    RemoveTask,
    Report,
    StartPreheat,
)
from supernode.core.identity import ClientId, TaskId
from supernode.core.model import CdnStatus, DownloadStatus, Secrets, Task, TaskSpec
from supernode.core.reasons import Reason
from supernode.journal.errors import JournalError
from supernode.journal.journal import Journal
from supernode.origin.http import OriginClient
from supernode.services import restoration
from supernode.services.cdn import Cdn
from supernode.services.copying import Copying
from supernode.services.preheating import Preheating
from supernode.services.resolving import Resolving
from supernode.services.retries import RetryPolicy
from supernode.storage import piece_files
from tests.faults import Fails, GoesOn, Group, Recovers, Recovery, Seen, fault
from tests.integration.process import Process, begun
from tests.integration.scripted_images import ScriptedImages
from tests.integration.scripted_origin import LOOPBACK
from tests.integration.test_restoration import WAITED_FOR
from tests.integration.test_resumption import CONTENT, FULL, SIZE, WHOLE, Origin, Reply, other
from tests.unit.test_journal import (
    cut_short,
    overwritten,
    something_else,
    with_a_status_that_never_was,
    without_a_table,
)
from tests.waiting import eventually

C = ClientId("c")
BROKEN = Reply(until=2 * FULL + 1234)
"""Two pieces come, and part of a third."""
NEVER = RetryPolicy(attempts=100, first_pause=3600, longest_pause=3600)
"""The process ends before it asks again."""


@asynccontextmanager
async def supernode(
    state: Path, origin: Origin, retries: RetryPolicy | None = None
) -> AsyncIterator[Process]:
    """Run a process that fetches, until the test ends it."""
    async with OriginClient(LOOPBACK) as client, begun(state, client) as process:
        policy = retries or RetryPolicy(first_pause=0)
        cdn = Cdn(process.dispatch, process.store, client, retries=policy)
        async with trio.open_nursery() as nursery:
            await nursery.start(cdn.run)
            resolving = Resolving(process.dispatch, ScriptedImages())
            copying = Copying(process.dispatch, process.store)
            await nursery.start(Preheating(process.dispatch, resolving, copying).run)
            yield process
            nursery.cancel_scope.cancel("the test ends the process")


@asynccontextmanager
async def origin_of(*replies: Reply, last: Reply | None = None) -> AsyncIterator[Origin]:
    origin = Origin(list(replies), last or Reply())
    origin.scripted.answers["/f"] = origin
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(origin.scripted.run, "127.0.0.1")
            yield origin
            nursery.cancel_scope.cancel()


def spec_of(origin: Origin) -> TaskSpec:
    url = origin.scripted.url("/f")
    return TaskSpec(raw_url=url, task_url=url, headers=Secrets({"X-Token": "t"}))


def ask(process: Process, origin: Origin, client: ClientId = C) -> TaskId:
    spec = spec_of(origin)
    return process.dispatch(RegisterTask(spec=spec, client=client, peer=None, path=""))


async def pieces_of(process: Process, task: TaskId, count: int) -> None:
    """Wait until the supernode can give so many pieces."""
    while process.tracker.task(task).swarm.seeded.bit_count() < count:
        await process.feed.wait(task, trio.current_time() + 10)


async def ended(process: Process, task: TaskId) -> Task:
    while process.tracker.task(task).status in (CdnStatus.WAITING, CdnStatus.RUNNING):
        await process.feed.wait(task, trio.current_time() + 10)
    process.tracker.check()
    return process.tracker.task(task)


async def broken_off(state: Path, origin: Origin) -> TaskId:
    """Let a process fetch two pieces of four, and end."""
    async with supernode(state, origin, NEVER) as process:
        task = ask(process, origin)
        await pieces_of(process, task, 2)
    return task


def is_right(process: Process, task: Task) -> bool:
    file = process.store.find(task.id)
    assert file is not None
    framed = file.path.read_bytes()
    parts = [framed[start + 4 : start + SIZE - 1] for start in range(0, 3 * SIZE, SIZE)]
    return (
        b"".join((*parts, framed[3 * SIZE + 4 : -1])) == CONTENT
        and task.status is CdnStatus.SUCCESS
        and task.md5 == hashlib.md5(CONTENT).hexdigest()
        and task.sha256 == hashlib.sha256(CONTENT).hexdigest()
        and file.is_complete
    )


# a fetch goes on


async def test_a_fetch_goes_on_where_the_last_process_was(tmp_path: Path) -> None:
    async with origin_of(BROKEN) as origin:
        task = await broken_off(tmp_path, origin)
        async with supernode(tmp_path, origin) as process:
            assert process.tracker.task(task).downloads[C].status is DownloadStatus.RUNNING
            assert is_right(process, await ended(process, task))
        assert origin.wanted == [WHOLE, f'bytes={2 * FULL}- of "v1"']
        assert [asked.headers["X-Token"] for asked in origin.scripted.asked] == ["t", "t"]


async def test_what_is_there_is_offered_before_the_origin_answers(tmp_path: Path) -> None:
    answers = trio.Event()
    async with origin_of(BROKEN, Reply(after=answers)) as origin:
        task = await broken_off(tmp_path, origin)
        async with supernode(tmp_path, origin) as process:
            given = process.dispatch(Pull(task=task, client=C)).assignments
            assert len(given) == 2
            file = process.store.find(task)
            assert file is not None
            assert file.covers(0, 2 * SIZE)
            answers.set()
            assert is_right(process, await ended(process, task))


async def test_in_another_boot_nothing_is_offered_before_it_is_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = trio.Event()
    async with origin_of(BROKEN, Reply(after=answers)) as origin:
        task = await broken_off(tmp_path, origin)
        (tmp_path / "boot").write_text("another one")
        monkeypatch.setattr(piece_files, "_BOOT_ID", tmp_path / "boot")
        async with begun(tmp_path) as process:
            assert not process.dispatch(Pull(task=task, client=C)).assignments
        async with supernode(tmp_path, origin) as process:
            await pieces_of(process, task, 2)
            answers.set()
            assert is_right(process, await ended(process, task))
        assert origin.wanted[1:] == [f'bytes={2 * FULL}- of "v1"']


def altered(path: Path) -> None:
    """Flip some bits of the second piece; its frame is as before."""
    with path.open("r+b") as file:
        file.seek(SIZE + 100)
        file.write(b"\xff\x00\xff")


def cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(SIZE + 100)


def removed(path: Path) -> None:
    path.unlink()


def harmed(how: Recovery, case: str) -> pytest.MarkDecorator:
    what = "the file of an unfinished fetch {} while no supernode runs"
    return fault(Group.DISK, what, Recovers(how), case=case)


@pytest.mark.parametrize(
    ("harm", "wanted"),
    [
        pytest.param(altered, f'bytes={FULL}- of "v1"', marks=harmed(Recovery.REST, "is altered")),
        pytest.param(cut, WHOLE, marks=harmed(Recovery.ANEW, "is cut short")),
        pytest.param(removed, WHOLE, marks=harmed(Recovery.ANEW, "is removed")),
    ],
)
async def test_what_was_harmed_is_fetched_again_and_never_given(
    tmp_path: Path,
    seen: Seen,
    harm: Callable[[Path], None],
    wanted: str,
) -> None:
    async with origin_of(BROKEN) as origin:
        task = await broken_off(tmp_path, origin)
        async with begun(tmp_path) as process:
            file = process.store.find(task)
            assert file is not None
            path = file.path
        harm(path)
        with capture_logs() as logs:
            async with supernode(tmp_path, origin) as process:
                assert is_right(process, await ended(process, task))
        assert origin.wanted == [WHOLE, wanted]
        seen(Recovers(Recovery.ANEW if origin.wanted[-1] == WHOLE else Recovery.REST))
        assert any("again" in line["event"] or "anew" in line["event"] for line in logs)


async def test_an_origin_without_validators_is_asked_for_all_of_it_and_compared(
    tmp_path: Path,
) -> None:
    plain = Reply(etag="W/weak")
    async with origin_of(Reply(until=BROKEN.until, etag="W/weak"), last=plain) as origin:
        task = await broken_off(tmp_path, origin)
        async with supernode(tmp_path, origin) as process:
            assert is_right(process, await ended(process, task))
        assert origin.wanted == [WHOLE, WHOLE]


async def test_a_file_that_has_changed_meanwhile_is_not_mixed(tmp_path: Path) -> None:
    changed = Reply(content=other(FULL), etag='"v2"')
    async with origin_of(BROKEN, last=changed) as origin:
        task = await broken_off(tmp_path, origin)
        async with supernode(tmp_path, origin) as process:
            assert (await ended(process, task)).reason is Reason.ORIGIN_CHANGED


async def test_a_fetch_of_which_only_the_verdict_is_missing_asks_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def for_ever(*_: object) -> None:
        await trio.sleep_forever()

    async with origin_of() as origin:
        with monkeypatch.context() as patch:
            patch.setattr(Cdn, "_finish", for_ever)
            async with supernode(tmp_path, origin) as process:
                task = ask(process, origin)
                await pieces_of(process, task, 4)
        async with supernode(tmp_path, origin) as process:
            assert is_right(process, await ended(process, task))
        assert origin.wanted == [WHOLE]


# what is complete


def damaged(case: str) -> pytest.MarkDecorator:
    outcome = GoesOn(
        says="the journal is damaged: peers and downloads are forgotten until they call again",
        does="it is kept as `supernode.db.damaged`, and another begun; cached files are known by "
        "their `.meta`",
    )
    return fault(Group.JOURNAL, "is {}", outcome, case=case)


async def whole(state: Path, origin: Origin) -> tuple[TaskId, Path]:
    """Let a process fetch the file, with a client that has the first two pieces of it."""
    async with supernode(state, origin) as process:
        task = ask(process, origin)
        await ended(process, task)
        given = process.dispatch(Pull(task=task, client=C, count=2)).assignments
        done = tuple(
            Report(field="", piece_range=a.piece_range, holder=None, result=PieceResult.SUCCESS)
            for a in given
        )
        process.dispatch(Pull(task=task, client=C, reports=done, count=0))
        file = process.store.find(task)
        assert file is not None
        await eventually(lambda: file.origin is not None)
    return task, file.path


async def test_a_client_goes_on_with_what_it_lacks(tmp_path: Path) -> None:
    async with origin_of() as origin:
        task, _ = await whole(tmp_path, origin)
        async with supernode(tmp_path, origin) as process:
            assert is_right(process, process.tracker.task(task))
            download = process.tracker.task(task).downloads[C]
            assert download.have.bit_count() == 2
            assert len(process.dispatch(Pull(task=task, client=C, count=9)).assignments) == 2
        assert origin.wanted == [WHOLE]


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(
            "the journal",
            marks=fault(
                Group.JOURNAL,
                "is missing",
                GoesOn(
                    says="",
                    does="cached files are known by their `.meta`; peers and downloads are when "
                    "they call again",
                ),
            ),
        ),
        pytest.param(
            "the sidecars",
            marks=fault(
                Group.DISK,
                "`.meta` and `.md5` of a cached file are missing, and the journal knows it",
                GoesOn(says="", does="the file is served all the same"),
            ),
        ),
    ],
)
async def test_either_account_of_a_file_is_enough(tmp_path: Path, seen: Seen, what: str) -> None:
    async with origin_of() as origin:
        task, path = await whole(tmp_path, origin)
        if what == "the journal":
            (tmp_path / "supernode.db").unlink()
        else:
            for suffix in (".meta", ".md5"):
                path.with_name(path.name + suffix).unlink()
        with capture_logs() as logs:
            async with supernode(tmp_path, origin) as process:
                assert is_right(process, await ended(process, task))
        assert origin.wanted == [WHOLE]
        seen(GoesOn(says=complaint_in(logs)))


def complaint_in(logs: Sequence[Mapping[str, Any]]) -> str:
    """Return the one warning or error, if there is one."""
    said = [line["event"] for line in logs if line["log_level"] in ("warning", "error")]
    assert len(said) <= 1
    return said[0] if said else ""


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(cut_short, marks=damaged("cut short")),
        pytest.param(overwritten, marks=damaged("altered")),
        pytest.param(something_else, marks=damaged("no journal at all")),
        pytest.param(with_a_status_that_never_was, marks=damaged("altered")),
        pytest.param(without_a_table, marks=damaged("altered")),
    ],
)
async def test_a_damaged_journal_costs_no_file(
    tmp_path: Path, seen: Seen, harm: Callable[[Path], None]
) -> None:
    journal = tmp_path / "supernode.db"
    async with origin_of() as origin:
        task, _ = await whole(tmp_path, origin)
        harm(journal)
        with capture_logs() as logs:
            async with supernode(tmp_path, origin) as process:
                assert is_right(process, await ended(process, task))
                assert not process.tracker.task(task).downloads
                ask(process, origin)
        assert journal.with_name("supernode.db.damaged").exists()
        async with supernode(tmp_path, origin) as process:
            assert C in process.tracker.task(task).downloads
        assert origin.wanted == [WHOLE]
        seen(GoesOn(says=complaint_in(logs)))


@fault(
    Group.DISK,
    WAITED_FOR,
    Recovers(Recovery.ANEW),
    case="is gone",
)
async def test_who_waits_for_a_complete_file_that_is_gone_goes_on(
    tmp_path: Path, seen: Seen
) -> None:
    async with origin_of() as origin:
        task, path = await whole(tmp_path, origin)
        path.unlink()
        async with supernode(tmp_path, origin) as process:
            assert is_right(process, await ended(process, task))
            assert process.tracker.task(task).downloads[C].status is DownloadStatus.RUNNING
        assert origin.wanted == [WHOLE, WHOLE]
        assert "X-Token" not in origin.scripted.asked[1].headers
        seen(Recovers(Recovery.ANEW))


async def test_a_complete_file_that_is_gone_and_nobody_waits_for_is_forgotten(
    tmp_path: Path,
) -> None:
    async with origin_of() as origin:
        task, path = await whole(tmp_path, origin)
        async with begun(tmp_path) as process:
            process.dispatch(Pull(task=task, client=C, status=PullStatus.FINISHED))
        path.unlink()
        async with supernode(tmp_path, origin) as process:
            await eventually(lambda: not process.tracker.tasks())
        assert origin.wanted == [WHOLE], "nobody needs it"


async def test_a_deleted_file_does_not_come_back(tmp_path: Path) -> None:
    """Even if the process ends after its answer and before the file is unlinked."""
    async with origin_of() as origin:
        task, path = await whole(tmp_path, origin)
        async with begun(tmp_path) as process:
            process.dispatch(RemoveTask(task=task, reason=Reason.TASK_DELETED))
        assert path.exists()
        async with begun(tmp_path) as process:
            assert not process.tracker.tasks()
            assert process.tracker.why_gone(task) is Reason.TASK_DELETED
            assert not path.exists()
            again = ask(process, origin)
            assert again == task
        async with begun(tmp_path) as process:
            assert process.tracker.why_gone(task) is None


async def test_a_preheat_goes_on(tmp_path: Path) -> None:
    async with origin_of(BROKEN) as origin:
        async with supernode(tmp_path, origin, NEVER) as process:
            preheat = process.dispatch(CreatePreheat(spec=spec_of(origin)))
            process.dispatch(StartPreheat(preheat=preheat))
            task = process.tracker.preheat(preheat).task
            await pieces_of(process, task, 2)
        async with supernode(tmp_path, origin) as process:
            assert is_right(process, await ended(process, task))
            await eventually(lambda: process.tracker.preheat(preheat).finished is not None)
            assert process.tracker.preheat(preheat).status.value == "SUCCESS"
        async with supernode(tmp_path, origin) as process:
            assert process.tracker.preheat(preheat).finished is not None
        assert origin.wanted == [WHOLE, f'bytes={2 * FULL}- of "v1"']


# a piece is damaged


def cut_a_little(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(3 * SIZE + 10)


@fault(Group.DISK, "a piece of a cached file is damaged", Recovers(Recovery.PIECE))
@pytest.mark.parametrize(
    ("harm", "boot", "wanted"),
    [
        (altered, "another", f"bytes={FULL}-{2 * FULL - 1} of any"),
        (cut_a_little, "the same", f"bytes={3 * FULL}-{len(CONTENT) - 1} of any"),
    ],
)
async def test_a_damaged_piece_is_all_that_is_fetched_again(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    harm: Callable[[Path], None],
    boot: str,
    wanted: str,
    seen: Seen,
) -> None:
    async with origin_of() as origin:
        task, path = await whole(tmp_path, origin)
        harm(path)
        if boot == "another":
            (tmp_path / "boot").write_text(boot)
            monkeypatch.setattr(piece_files, "_BOOT_ID", tmp_path / "boot")
        async with supernode(tmp_path, origin) as process:
            assert is_right(process, await ended(process, task))
            assert process.tracker.task(task).downloads[C].status is DownloadStatus.RUNNING
        assert origin.wanted == [WHOLE, wanted]
        seen(Recovers(Recovery.PIECE))
        assert "X-Token" not in origin.scripted.asked[1].headers


@fault(
    Group.DISK,
    WAITED_FOR,
    Fails(CdnStatus.SOURCE_ERROR, Reason.ORIGIN_CHANGED, asked=1),
    case="is damaged, and the origin has another by now",
)
async def test_a_piece_that_the_origin_has_no_longer_costs_the_file(
    tmp_path: Path, seen: Seen
) -> None:
    async with origin_of(last=Reply(content=other(3 * FULL))) as origin:
        origin.replies.append(Reply())
        task, path = await whole(tmp_path, origin)
        cut_a_little(path)
        async with supernode(tmp_path, origin) as process:
            failed = await ended(process, task)
            assert failed.reason is not None
            seen(Fails(failed.status, failed.reason, len(origin.wanted) - 2))
            await eventually(lambda: not path.exists())


@fault(
    Group.DISK,
    WAITED_FOR,
    Recovers(Recovery.REST),
    case="is damaged in many places",
)
async def test_who_waits_for_a_file_that_is_damaged_all_over_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: Seen
) -> None:
    monkeypatch.setattr(restoration, "MOST_REPAIRS", 1)
    async with origin_of() as origin:
        task, path = await whole(tmp_path, origin)
        cut(path)
        async with supernode(tmp_path, origin) as process:
            assert is_right(process, await ended(process, task))
            assert process.tracker.task(task).downloads[C].status is DownloadStatus.RUNNING
        repaired = f"bytes={FULL}-{2 * FULL - 1} of any"
        assert origin.wanted == [WHOLE, repaired, f'bytes={2 * FULL}- of "v1"']
        seen(Recovers(Recovery.REST))


# what the disk does not take


@fault(
    Group.DISK,
    "the disk is full when the daemon starts",
    GoesOn(
        says="a restart would forget what happens now",
        does="it serves what it has; of new files it says `disk_full`",
    ),
)
async def test_a_disk_that_is_full_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: Seen
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def full_journal(*_: object) -> None:
        raise JournalError("database or disk is full")

    async with origin_of() as origin:
        task, _ = await whole(tmp_path, origin)
        monkeypatch.setattr(os, "pwritev", full)
        monkeypatch.setattr(Path, "write_bytes", full)
        monkeypatch.setattr(Journal, "write", full_journal)
        with capture_logs() as logs:
            async with supernode(tmp_path, origin) as process:
                assert is_right(process, process.tracker.task(task))
                assert len(process.dispatch(Pull(task=task, client=C, count=9)).assignments) == 2
                url = origin.scripted.url("/f?another")
                spec = TaskSpec(raw_url=url, task_url=url)
                new = RegisterTask(spec=spec, client=ClientId("d"), peer=None, path="")
                assert (await ended(process, process.dispatch(new))).reason is Reason.DISK_FULL
                await eventually(lambda: any("forget" in line["event"] for line in logs))
    (warning,) = [line for line in logs if "forget" in line["event"]]
    seen(GoesOn(says=warning["event"]))
