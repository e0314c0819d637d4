"""What operators and peers can do to a task as a whole: one test a rule."""

import msgspec
import pytest

from supernode.core.commands import (
    AdoptTask,
    FailFetch,
    HoldTask,
    PauseTask,
    PinTask,
    PullStatus,
    RegisterTask,
    RemoveTask,
    StartFetch,
)
from supernode.core.errors import BadField, Full, NotFound, TaskConflict
from supernode.core.events import TaskPaused, TaskPinned, TaskResumed, TaskUnpinned
from supernode.core.identity import ClientId, PeerId, TaskId, task_id
from supernode.core.model import CdnStatus, DownloadStatus, Limits, Secrets, TaskSpec
from supernode.core.pieces import content_size
from supernode.core.reasons import Reason
from supernode.core.state import MOST_GONE
from tests.world import SIZE, World, status, swarm

URL = "http://o/x"


def spec(**fields: object) -> TaskSpec:
    return TaskSpec(raw_url=URL, task_url=URL, **fields)  # type: ignore[arg-type]


def ask(world: World, asked: TaskSpec, client: str = "z") -> TaskId:
    return world.do(RegisterTask(spec=asked, client=ClientId(client), peer=None, path=""))


# removing


def test_a_removed_task_is_gone_with_its_downloads_and_says_why() -> None:
    world, (a, b) = swarm("a", "b")
    a.has(0)
    b.take(2)
    world.do(RemoveTask(task=a.task, reason=Reason.TASK_DELETED))
    with pytest.raises(NotFound) as gone:
        b.pull()
    assert gone.value.reason is Reason.TASK_DELETED
    assert "operator" in str(gone.value)
    assert not world.tracker.peer(PeerId("b-10.0.0.1-15001")).downloads


def test_a_task_may_be_cleared_of_its_swarm_and_keep_the_supernodes_copy() -> None:
    world, (a, b) = swarm("a", "b")
    a.has(0, 1, 2, 3)
    world.finish(a.task)
    b.take(2)
    world.do(RemoveTask(task=a.task, reason=Reason.TASK_DELETED, keep_copy=True))
    assert status(a) is DownloadStatus.SUCCESS
    assert status(b) is DownloadStatus.FAILED
    c = world.client("c")
    assert {holder for _, holder in c.take(4)} == {"seed"}


def test_there_is_no_copy_to_keep_of_a_file_that_is_still_being_fetched() -> None:
    world, (a,) = swarm("a")
    world.do(RemoveTask(task=a.task, reason=Reason.TASK_DELETED, keep_copy=True))
    with pytest.raises(NotFound):
        a.pull()


def test_why_tasks_are_gone_is_remembered_of_the_last_ones() -> None:
    world = World(Limits(most_tasks=1))
    tasks = []
    for n in range(MOST_GONE + 1):
        tasks.append(world.client("a", url=f"http://o/{n}").task)
        world.do(RemoveTask(task=tasks[-1], reason=Reason.TASK_DELETED))
    reasons = []
    for task in (tasks[0], tasks[1], tasks[-1]):
        with pytest.raises(NotFound) as gone:
            world.tracker.task(task)
        reasons.append(gone.value.reason)
    assert reasons == [None, Reason.TASK_DELETED, Reason.TASK_DELETED]


def test_a_file_that_is_being_verified_is_kept_when_its_swarm_is_cleared() -> None:
    world = World()
    identity = task_id(URL)
    adopt = AdoptTask(task=identity, spec=spec(), length=5, piece_size=SIZE, last_used=1.0)
    world.do(adopt)
    assert [task.id for task in world.tracker.idle_tasks()] == [identity], "it may be evicted"
    world.do(RemoveTask(task=identity, reason=Reason.TASK_DELETED, keep_copy=True))
    assert world.tracker.task(identity).adopted


def test_a_removed_task_can_be_asked_for_again() -> None:
    world, (a,) = swarm("a")
    world.do(RemoveTask(task=a.task, reason=Reason.TASK_DELETED))
    assert ask(world, spec()) == a.task
    assert world.tracker.next_to_fetch() == a.task


def test_what_the_fetch_of_a_removed_task_says_does_not_reach_its_successor() -> None:
    world, (a,) = swarm("a")
    before = world.fetch(a.task)
    world.do(RemoveTask(task=a.task, reason=Reason.TASK_DELETED))
    ask(world, spec())
    world.do(StartFetch(task=a.task))
    late = FailFetch(task=a.task, generation=before, reason=Reason.ORIGIN_BROKEN, detail="")
    world.refused(late, TaskConflict)
    assert world.tracker.task(a.task).status is CdnStatus.RUNNING


def test_an_unknown_task_cannot_be_removed() -> None:
    world = World()
    world.refused(RemoveTask(task=TaskId("0" * 64), reason=Reason.TASK_DELETED), NotFound)


def test_idle_tasks_come_least_recently_used_first_and_none_in_use() -> None:
    world = World()
    names = ["http://o/1", "http://o/2", "http://o/3"]
    first, second, third = (world.client(url[-1], url=url) for url in names)
    for client in (first, second, third):
        world.now += 1
        world.cache(client.task, 0, 1, 2, 3)
        world.finish(client.task)
        client.has(0, 1, 2, 3)
    assert [t.id for t in world.tracker.idle_tasks()] == [first.task, second.task, third.task]
    again = world.client("again", url="http://o/1")
    assert [t.id for t in world.tracker.idle_tasks()] == [second.task, third.task]
    again.has(0, 1, 2, 3)
    assert [t.id for t in world.tracker.idle_tasks()] == [second.task, third.task, first.task]


# pausing


def test_a_paused_task_hands_out_nothing_until_it_is_resumed() -> None:
    world, (a,) = swarm("a")
    world.do(PauseTask(task=a.task, paused=True))
    pulled = a.pull(4)
    assert pulled.paused
    assert not pulled.assignments
    world.do(PauseTask(task=a.task, paused=False))
    assert len(a.take(4)) == 4


def test_reports_count_while_a_task_is_paused() -> None:
    world, (a,) = swarm("a")
    ((piece, _),) = a.take()
    world.do(PauseTask(task=a.task, paused=True))
    a.has(piece)
    assert a.download.have == 1 << piece


def test_pausing_twice_is_pausing_once() -> None:
    world, (a,) = swarm("a")
    for paused in (True, True, False, False):
        world.do(PauseTask(task=a.task, paused=paused))
    assert world.count(TaskPaused) == world.count(TaskResumed) == 1


def test_a_paused_task_is_paused_until_an_operator_says_otherwise() -> None:
    world, (a,) = swarm("a")
    world.do(PauseTask(task=a.task, paused=True))
    world.fail(a.task, Reason.ORIGIN_BROKEN)
    for _ in range(10):
        world.pass_time(1_000)
    again = world.client("b")
    assert world.tracker.task(again.task).paused


def test_a_paused_task_is_not_evicted() -> None:
    world, (a,) = swarm("a")
    a.has(0, 1, 2, 3)
    world.finish(a.task)
    world.do(PauseTask(task=a.task, paused=True))
    assert not list(world.tracker.idle_tasks())


def test_a_pinned_task_is_not_evicted_until_it_is_unpinned() -> None:
    world, (a,) = swarm("a")
    world.finish(a.task)
    a.leave()
    for pinned in (True, True, False, False):
        world.do(PinTask(task=a.task, pinned=pinned))
        assert [task.id for task in world.tracker.idle_tasks()] == [a.task] * (not pinned)
    assert world.count(TaskPinned) == world.count(TaskUnpinned) == 1


def test_a_pinned_task_that_fails_and_is_asked_for_again_stays_pinned() -> None:
    world, (a,) = swarm("a")
    world.do(PinTask(task=a.task, pinned=True))
    world.fail(a.task, Reason.ORIGIN_BROKEN)
    world.now += 60
    again = world.client("a")
    assert world.tracker.task(again.task).pinned


def test_the_fetch_of_a_paused_task_does_not_begin() -> None:
    world = World()
    first = world.client("a", url="http://o/1")
    second = world.client("b", url="http://o/2")
    world.do(PauseTask(task=first.task, paused=True))
    assert world.tracker.next_to_fetch() == second.task


# holding


def test_a_peer_that_has_the_whole_file_is_a_holder_of_all_of_it() -> None:
    world, (a, b) = swarm("a", "b")
    world.finish(a.task)
    world.do(HoldTask(task=a.task, peer=PeerId("a-10.0.0.1-15001")))
    assert status(a) is DownloadStatus.SUCCESS
    assert sorted(b.take(4)) == [(0, "a"), (1, "a"), (2, "a"), (3, "a")]


def test_of_several_downloads_of_a_peer_the_one_that_runs_becomes_whole() -> None:
    world, (a,) = swarm("a")
    world.finish(a.task)
    peer = world.peer("a")
    b = world.client("b", of="a")
    a.leave()
    c = world.client("c", of="a")
    c.has(0, 1, 2, 3)
    world.do(HoldTask(task=a.task, peer=peer))
    assert (status(a), status(b)) == (DownloadStatus.FAILED, DownloadStatus.SUCCESS)


def test_a_peer_whose_download_failed_says_where_it_has_the_file() -> None:
    world, (a,) = swarm("a")
    world.finish(a.task)
    a.pull(status=PullStatus.FINISHED)
    assert status(a) is DownloadStatus.FAILED
    world.refused(HoldTask(task=a.task, peer=world.peer("a")), BadField)


def test_a_whole_file_is_one_download_more() -> None:
    world, (a,) = swarm("a", most_downloads=1)
    world.finish(a.task)
    world.refused(HoldTask(task=a.task, peer=world.peer("b"), path="/b"), Full)


def test_a_peer_may_hold_what_it_never_asked_for_if_it_says_where() -> None:
    world, (a,) = swarm("a")
    world.finish(a.task)
    peer = world.peer("c")
    world.refused(HoldTask(task=a.task, peer=peer), BadField)
    world.do(HoldTask(task=a.task, peer=peer, path="/there"))
    assert {name for _, name in a.take(4)} == {"c"}
    assert world.tracker.task(a.task).downloads[ClientId(peer)].path == "/there"


def test_what_a_client_was_fetching_is_taken_back_when_its_peer_has_it_all() -> None:
    world, (a,) = swarm("a")
    world.finish(a.task)
    a.take(3)
    world.do(HoldTask(task=a.task, peer=PeerId("a-10.0.0.1-15001")))
    assert not a.download.leases
    assert world.tracker.task(a.task).slots_used == 0


def test_nobody_holds_the_whole_of_a_file_that_is_not_there_yet() -> None:
    world, (a,) = swarm("a", cached=2)
    world.refused(HoldTask(task=a.task, peer=PeerId("a-10.0.0.1-15001")), TaskConflict)


# adopting


def test_a_file_found_on_disk_is_known_and_never_waits_for_a_fetch() -> None:
    world = World()
    length = 4 * content_size(SIZE)
    identity = task_id(URL)
    adopt = AdoptTask(task=identity, spec=spec(), length=length, piece_size=SIZE, last_used=7.0)
    world.do(adopt)
    assert world.tracker.next_to_fetch() is None
    a = world.client("a")
    assert a.task == identity
    world.cache(identity, 0)
    assert a.take() == [(0, "seed")]
    world.refused(adopt, TaskConflict)
    assert world.tracker.task(identity).last_used == world.now


# the same ID, not the same file


@pytest.mark.parametrize(
    ("known", "asked", "complaint"),
    [
        ({"md5": "ab" * 16}, {"identifier": "ab" * 16}, "MD5"),
        ({"identifier": "ab" * 16}, {"md5": "ab" * 16}, "without checking an MD5"),
        ({"identifier": "ab" * 16}, {"md5": "ab" * 16, "identifier": "ab" * 16}, "MD5"),
    ],
)
def test_a_client_that_asks_for_more_than_there_is_is_told_so(
    known: dict[str, object], asked: dict[str, object], complaint: str
) -> None:
    world = World()
    ask(world, spec(**known))
    with pytest.raises(TaskConflict, match=complaint):
        ask(world, spec(**asked))


def test_what_was_fetched_on_somebodys_trust_is_shared_with_those_who_trust_the_same() -> None:
    world = World()
    kinds: list[dict[str, object]] = [
        {},
        {"insecure": True},
        {"root_cas": ("PEM",)},
        {"root_cas": ("PEM", "OTHER")},
    ]
    tasks = [ask(world, spec(**kind)) for kind in kinds]
    assert len(set(tasks)) == len(kinds)
    assert tasks == [ask(world, spec(**kind, path="/q"), "y") for kind in kinds]
    assert tasks[3] == ask(world, spec(root_cas=("OTHER", "PEM", "PEM")), "x")


# what came from whom


def test_a_download_counts_what_it_got_from_the_seed_and_from_peers() -> None:
    _, (a, b) = swarm("a", "b", cached=2)
    a.take(2)
    a.has(0, 1)
    b.take(2)
    b.has(0)
    piece = content_size(SIZE)
    assert (a.download.from_seed, a.download.from_peers) == (2 * piece, 0)
    assert (b.download.from_seed, b.download.from_peers) == (0, piece)


# what is there only for the fetch


SECRET = Secrets({"Authorization": "Bearer s3cr3t"})


@pytest.mark.parametrize("ends", ["finishes", "fails"])
def test_when_there_is_nothing_left_to_fetch_with_them_secrets_are_forgotten(ends: str) -> None:
    world = World()
    task = ask(world, spec(headers=SECRET, root_cas=("PEM",)))
    assert world.tracker.task(task).spec.headers.reveal() == SECRET.reveal()
    world.cache(task, 0, 1, 2, 3)
    if ends == "finishes":
        world.finish(task)
    else:
        world.fail(task, Reason.ORIGIN_BROKEN)
    known = world.tracker.task(task).spec
    assert known.headers.reveal() == {"Authorization": ""}
    assert known.root_cas == ()


def test_what_clients_say_for_fetches_is_bounded_and_comes_free_again() -> None:
    world = World(Limits(most_spec_bytes=20))
    first = ask(world, spec(headers=SECRET))
    other = RegisterTask(
        spec=msgspec.structs.replace(spec(headers=SECRET), task_url="http://o/y"),
        client=ClientId("z"),
        peer=None,
        path="",
    )
    world.refused(other, Full)
    world.cache(first, 0, 1, 2, 3)
    world.finish(first)
    world.do(other)
