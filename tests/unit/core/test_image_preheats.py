"""Preheats of images as the core knows them: one test a rule."""

import pytest

from supernode.core.commands import (
    BeginPart,
    CopyTask,
    CreateBatch,
    CreatePreheat,
    FailPreheat,
    FinishFetch,
    PauseTask,
    RemovePreheat,
    RemoveTask,
    ResolvePreheat,
    StartFetch,
    StartPreheat,
    VerifyPieces,
)
from supernode.core.errors import Full, NotFound, PreheatEnded, TaskConflict
from supernode.core.events import (
    PartFinished,
    PreheatFailed,
    PreheatRemoved,
    PreheatResolved,
    TaskRegistered,
    TaskRemoved,
)
from supernode.core.identity import PreheatId, TaskId, preheat_id, preheat_number, task_id
from supernode.core.model import (
    Blob,
    CdnStatus,
    Limits,
    Part,
    PartStatus,
    Preheat,
    PreheatKind,
    PreheatStatus,
    Source,
    TaskSpec,
)
from supernode.core.reasons import Reason
from supernode.core.restoring import Known, restore
from tests.world import World

CONTENT = "2" * 64
"""What a World's fetches bring."""
MANIFEST = f"sha256:{'a' * 64}"


def sha(digit: str) -> str:
    return f"sha256:{digit * 64}"


def blob_url(digit: str, registry: str = "r") -> str:
    return f"http://{registry}/v2/app/blobs/{sha(digit)}"


def blob(digit: str, registry: str = "r", **more: str) -> Blob:
    return Blob(url=blob_url(digit, registry), digest=sha(digit), size=5, **more)  # type: ignore[arg-type]


def wish(
    registry: str = "r", tag: str = "v1", manifest: str = "", identifier: str = "", *platforms: str
) -> CreatePreheat:
    url = f"http://{registry}/v2/app/manifests/{tag}"
    return CreatePreheat(
        spec=TaskSpec(raw_url=url, task_url=url, identifier=identifier),
        kind=PreheatKind.IMAGE,
        manifest=manifest,
        platforms=platforms,
    )


def begun(world: World, *blobs: Blob, registry: str = "r", manifest: str = MANIFEST) -> Preheat:
    """Return a preheat of an image whose files have been asked for."""
    preheat = world.do(wish(registry))
    world.do(StartPreheat(preheat=preheat))
    world.do(ResolvePreheat(preheat=preheat, manifest=manifest, blobs=blobs))
    known = world.tracker.preheat(preheat)
    for part in [part for part in known.parts.values() if part.may_begin]:
        world.do(BeginPart(part=part.id, may_copy=True))
    return known


def parts(preheat: Preheat) -> list[Part]:
    return list(preheat.parts.values())


def fetch(world: World, url: str) -> TaskId:
    """Bring a file, of the content that every fetch here brings."""
    task = task_id(url)
    world.cache(task, 0, 1, 2, 3)
    world.finish(task)
    return task


def test_a_blob_is_the_task_of_whoever_asks_for_its_url() -> None:
    world = World()
    preheat = begun(world, blob("2"))
    assert parts(preheat)[0].task == task_id(blob_url("2"))
    assert world.client("dfget", url=blob_url("2")).task == parts(preheat)[0].task
    spec = world.tracker.task(parts(preheat)[0].task).spec
    assert (spec.md5, spec.identifier, spec.headers.names()) == ("", "", [])


def test_it_ends_with_its_last_file() -> None:
    world = World()
    foreign = Blob(url="", digest=sha("4"), skipped="it is elsewhere")
    preheat = begun(world, blob("2"), blob("2", "s"), foreign)
    assert world.last(PreheatResolved).parts == 3
    fetch(world, blob_url("2"))
    assert preheat.status is PreheatStatus.RUNNING
    assert [part.status for part in parts(preheat)] == [
        PartStatus.SUCCESS,
        PartStatus.RUNNING,
        PartStatus.SKIPPED,
    ]
    world.do(BeginPart(part=parts(preheat)[1].id, may_copy=False))
    fetch(world, blob_url("2", "s"))
    assert world.tracker.preheat(preheat.id).status is PreheatStatus.SUCCESS
    assert parts(preheat)[0].came_from is Source.ORIGIN
    world.refused(FailPreheat(preheat=preheat.id, reason=Reason.INTERNAL), PreheatEnded)


def test_what_is_there_is_no_error() -> None:
    world = World()
    world.client("a", url=blob_url("2"))
    fetch(world, blob_url("2"))
    preheat = begun(world, blob("2"))
    assert preheat.status is PreheatStatus.SUCCESS
    assert parts(preheat)[0].came_from is Source.CACHE
    assert world.count(TaskRegistered) == 1


def test_an_image_without_files_of_its_own_is_there() -> None:
    world = World()
    preheat = begun(world, Blob(url="", digest=sha("4"), skipped="it is elsewhere"))
    assert preheat.status is PreheatStatus.SUCCESS


def test_what_has_another_digest_than_its_url_says_fails_and_is_dropped() -> None:
    world = World()
    preheat = begun(world, blob("3"))
    task = parts(preheat)[0].task
    world.cache(task, 0, 1, 2, 3)
    right = world.do(
        FinishFetch(task=task, generation=world.fetch(task), length=5, md5="1" * 32, sha256=CONTENT)
    )
    assert not right
    assert world.tracker.task(task).status is CdnStatus.FAILED
    assert preheat.reason is Reason.DIGEST_MISMATCH
    assert CONTENT in preheat.detail
    assert "1 of 1 files failed" in preheat.detail


def test_the_other_files_are_fetched_though_one_fails() -> None:
    world = World()
    preheat = begun(world, blob("1"), blob("2"))
    bad = parts(preheat)[0].task
    world.do(StartFetch(task=bad))
    world.fail(bad, Reason.ORIGIN_NOT_FOUND, "404")
    assert preheat.status is PreheatStatus.RUNNING
    fetch(world, blob_url("2"))
    failed = world.last(PreheatFailed)
    assert failed.reason is Reason.ORIGIN_NOT_FOUND
    assert failed.detail == f"{sha('1')}: 404 (1 of 2 files failed)"


def test_files_are_begun_a_few_at_a_time() -> None:
    world = World(Limits(parts_at_once=2))
    preheat = world.do(wish())
    world.do(StartPreheat(preheat=preheat))
    blobs = tuple(blob(digit) for digit in "23456")
    world.do(ResolvePreheat(preheat=preheat, manifest=MANIFEST, blobs=blobs))
    first, second = world.tracker.parts_to_begin()
    for part in (first, second):
        world.do(BeginPart(part=part.id))
    assert not world.tracker.parts_to_begin()
    fetch(world, blob_url("2"))
    (third,) = world.tracker.parts_to_begin()
    assert third.sha256 == "4" * 64


# one blob, one copy


def test_the_same_content_under_another_url_is_taken_over() -> None:
    world = World()
    source = fetch(world, blob_url("2")) if world.client("a", url=blob_url("2")) else None
    assert source
    preheat = world.do(wish("s"))
    world.do(StartPreheat(preheat=preheat))
    world.do(ResolvePreheat(preheat=preheat, manifest=MANIFEST, blobs=(blob("2", "s"),)))
    (part,) = world.tracker.parts_to_begin()
    assert world.do(BeginPart(part=part.id)) == source
    generation = world.do(CopyTask(part=part.id, source=source))
    copy, original = world.tracker.task(part.task), world.tracker.task(source)
    assert (copy.digests, copy.length) == (original.digests, original.length)
    world.do(VerifyPieces(task=copy.id, generation=generation, pieces=0b1111))
    world.finish(copy.id)
    assert world.last(PartFinished).came_from is Source.COPY
    assert world.tracker.preheat(preheat).status is PreheatStatus.SUCCESS
    assert world.tracker.next_to_fetch() is None


def test_what_is_coming_under_another_url_is_waited_for() -> None:
    world = World()
    here = begun(world, blob("2"))
    there = begun(world, blob("2", "s"), registry="s")
    assert [t.id for t in world.tracker.tasks()] == [parts(here)[0].task], "fetched once"
    source = fetch(world, blob_url("2"))
    (part,) = world.tracker.parts_to_begin()
    assert part is parts(there)[0]
    assert world.do(BeginPart(part=part.id)) == source


def test_when_the_other_fetch_fails_it_is_fetched_after_all() -> None:
    world = World()
    here = begun(world, blob("2"))
    there = begun(world, blob("2", "s"), registry="s")
    task = parts(here)[0].task
    world.do(StartFetch(task=task))
    world.fail(task, Reason.ORIGIN_BROKEN)
    assert (here.status, there.status) == (PreheatStatus.FAILED, PreheatStatus.RUNNING)
    (part,) = world.tracker.parts_to_begin()
    assert world.do(BeginPart(part=part.id)) is None
    assert world.tracker.next_to_fetch() == part.task


def test_nobody_waits_for_a_paused_fetch_of_the_same_content() -> None:
    world = World()
    here = begun(world, blob("2"))
    world.do(PauseTask(task=parts(here)[0].task, paused=True))
    there = begun(world, blob("2", "s"), registry="s")
    assert world.tracker.next_to_fetch() == parts(there)[0].task


def test_a_client_that_asks_for_a_blob_gets_no_copy() -> None:
    """It has not shown that the registry would give it away."""
    world = World()
    world.client("a", url=blob_url("2"))
    fetch(world, blob_url("2"))
    other = world.client("b", url=blob_url("2", "s"))
    assert world.tracker.next_to_fetch() == other.task


def test_only_a_right_copy_is_one() -> None:
    world = World()
    world.client("a", url="http://o/x")
    source = fetch(world, "http://o/x")
    preheat = world.do(wish())
    world.do(StartPreheat(preheat=preheat))
    world.do(ResolvePreheat(preheat=preheat, manifest=MANIFEST, blobs=(blob("3"),)))
    (part,) = world.tracker.parts_to_begin()
    world.refused(CopyTask(part=part.id, source=source), TaskConflict)


# what may go meanwhile


def test_nothing_of_it_is_evicted_before_all_of_it_is_there() -> None:
    world = World()
    preheat = begun(world, blob("2"), blob("3"))
    task = fetch(world, blob_url("2"))
    assert not list(world.tracker.idle_tasks())
    other = parts(preheat)[1].task
    world.do(StartFetch(task=other))
    world.fail(other, Reason.ORIGIN_BROKEN)
    assert preheat.finished is not None
    assert task in [idle.id for idle in world.tracker.idle_tasks()]


def test_what_turns_out_to_be_damaged_is_fetched_again() -> None:
    world = World()
    preheat = begun(world, blob("2"), blob("3"))
    task = fetch(world, blob_url("2"))
    world.do(RemoveTask(task=task, reason=Reason.CACHE_DAMAGED))
    (part,) = world.tracker.parts_to_begin()
    assert part is parts(preheat)[0]
    world.do(BeginPart(part=part.id))
    fetch(world, blob_url("2"))
    assert part.status is PartStatus.SUCCESS


def test_what_an_operator_deletes_fails() -> None:
    world = World()
    preheat = begun(world, blob("2"))
    world.do(RemoveTask(task=parts(preheat)[0].task, reason=Reason.TASK_DELETED))
    assert (preheat.status, preheat.reason) == (PreheatStatus.FAILED, Reason.TASK_DELETED)


def test_removing_it_ends_the_fetches_that_nobody_else_waits_for() -> None:
    world = World()
    preheat = begun(world, blob("2"), blob("3"))
    world.client("a", url=blob_url("3"))
    world.do(RemovePreheat(preheat=preheat.id))
    assert world.last(TaskRemoved).task == task_id(blob_url("2"))
    assert [task.id for task in world.tracker.tasks()] == [task_id(blob_url("3"))]


def test_removing_it_leaves_a_fetch_whose_content_another_one_waits_for() -> None:
    world = World()
    here = begun(world, blob("2"))
    begun(world, blob("2", "s"), registry="s")
    world.do(RemovePreheat(preheat=here.id))
    assert world.tracker.next_to_fetch() == task_id(blob_url("2"))


# who asks for the same


def resolved(world: World, asked: CreatePreheat) -> PreheatId:
    preheat = world.do(asked)
    world.do(StartPreheat(preheat=preheat))
    world.do(ResolvePreheat(preheat=preheat, manifest=MANIFEST, blobs=(blob("2"),)))
    return preheat


def test_by_digest_it_is_the_same_whatever_the_tag() -> None:
    world = World()
    preheat = resolved(world, wish(manifest=MANIFEST))
    assert world.do(wish(tag="v2", manifest=MANIFEST)) == preheat
    assert world.do(wish(tag=MANIFEST, manifest=MANIFEST)) == preheat


def test_once_resolved_it_is_what_its_tag_was() -> None:
    world = World()
    preheat = resolved(world, wish())
    assert world.do(wish(manifest=MANIFEST)) == preheat


@pytest.mark.parametrize(
    "other",
    [
        wish(manifest=sha("b")),
        wish("s", manifest=MANIFEST),
        wish("r", "v1", MANIFEST, "mine"),
        wish("r", "v1", MANIFEST, "", "linux/amd64"),
    ],
    ids=["manifest", "registry", "identifier", "platform"],
)
def test_other_content_is_another_preheat(other: CreatePreheat) -> None:
    world = World()
    preheat = resolved(world, wish(manifest=MANIFEST))
    assert world.do(other) != preheat


def test_a_tag_is_looked_up_again_for_it_may_have_been_pushed_again() -> None:
    world = World()
    preheat = world.do(wish())
    assert world.do(wish()) == preheat, "nobody has looked it up yet"
    world.do(StartPreheat(preheat=preheat))
    assert world.do(wish()) != preheat


def test_one_that_has_ended_well_is_returned_while_its_files_are_there() -> None:
    world = World()
    preheat = resolved(world, wish(manifest=MANIFEST))
    (part,) = world.tracker.parts_to_begin()
    world.do(BeginPart(part=part.id))
    task = fetch(world, blob_url("2"))
    assert world.do(wish(manifest=MANIFEST)) == preheat
    world.do(RemoveTask(task=task, reason=Reason.TASK_EVICTED))
    again = world.do(wish(manifest=MANIFEST))
    assert again != preheat
    assert world.tracker.preheat(preheat).status is PreheatStatus.SUCCESS
    assert world.do(wish(manifest=MANIFEST)) == again


def test_one_that_has_failed_is_not() -> None:
    world = World()
    preheat = world.do(wish(manifest=MANIFEST))
    world.do(StartPreheat(preheat=preheat))
    world.do(FailPreheat(preheat=preheat, reason=Reason.ORIGIN_AUTH, detail="401"))
    assert world.do(wish(manifest=MANIFEST)) != preheat


def test_an_id_is_an_integer_that_every_decoder_keeps() -> None:
    world = World()
    preheat = world.do(wish())
    assert preheat_number(preheat) < 1 << 53
    assert preheat_id(preheat_number(preheat)) == preheat


# batches


def test_a_batch_is_all_or_nothing() -> None:
    world = World(Limits(most_preheats=2))
    world.refused(CreateBatch(wishes=tuple(wish(tag=tag) for tag in "abc")), Full)
    assert not world.tracker.preheats()
    made = world.do(CreateBatch(wishes=(wish(tag="a"), wish(tag="b"), wish(tag="a"))))
    first, second, third = made.preheats
    assert first == third != second
    assert [preheat.id for preheat in world.tracker.batch(made.batch) or ()] == [*made.preheats]


def test_removing_a_batch_removes_its_preheats() -> None:
    world = World()
    made = world.do(CreateBatch(wishes=(wish(tag="a"), wish(tag="b"))))
    world.do(RemovePreheat(preheat=made.batch))
    assert world.count(PreheatRemoved) == 2
    world.refused(RemovePreheat(preheat=made.batch), NotFound)


def test_a_batch_is_known_as_long_as_one_of_its_preheats() -> None:
    world = World()
    made = world.do(CreateBatch(wishes=(wish(tag="a"), wish(tag="b"))))
    for preheat in made.preheats:
        world.pass_time(10)
        world.do(StartPreheat(preheat=preheat))
        world.do(FailPreheat(preheat=preheat, reason=Reason.ORIGIN_DNS))
    world.pass_time(86_399)
    assert world.tracker.batch(made.batch)
    world.pass_time(10)
    assert world.tracker.batch(made.batch) is None


def test_there_are_so_many_batches() -> None:
    world = World(Limits(most_batches=2))
    made = [world.do(CreateBatch(wishes=(wish(tag=tag),))).batch for tag in "abc"]
    assert [world.tracker.batch(batch) is not None for batch in made] == [False, True, True]


# bounds


def test_the_oldest_are_forgotten_when_there_are_too_many_files() -> None:
    world = World(Limits(most_parts=3))
    for tag in ("a", "b"):
        preheat = resolved(world, wish(tag=tag))
        for part in world.tracker.parts_to_begin():
            world.do(BeginPart(part=part.id))
        if tag == "a":
            fetch(world, blob_url("2"))
    last = world.do(wish(tag="c"))
    world.do(StartPreheat(preheat=last))
    blobs = (blob("5"), blob("6"))
    world.do(ResolvePreheat(preheat=last, manifest=sha("c"), blobs=blobs))
    assert [known.id for known in world.tracker.preheats()] == [preheat, last]
    more = world.do(wish(tag="d"))
    world.do(StartPreheat(preheat=more))
    many = tuple(blob(digit) for digit in "5678")
    world.refused(ResolvePreheat(preheat=more, manifest=sha("d"), blobs=many), Full)


def test_the_next_process_goes_on_with_what_had_been_begun() -> None:
    world = World()
    preheat = begun(world, blob("2"), blob("3"), blob("2", "s"))
    done = fetch(world, blob_url("2"))
    state = world.tracker.state
    for part in state.parts.values():
        part.awaits = None  # which is not written down
    for download in [d for t in state.tasks.values() for d in t.downloads.values()]:
        download.leases.clear()
    known = Known(tasks=list(state.tasks.values()), preheats=[preheat])
    restored = restore(Limits(), known, world.now)
    first, second, third = restored.preheats[preheat.id].parts.values()
    assert first.status is PartStatus.SUCCESS
    assert second.awaits == second.task
    assert third.may_begin
    assert done in restored.parts_held
