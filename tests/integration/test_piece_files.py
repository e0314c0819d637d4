"""Piece files on a real disk: v1's bytes, what is sealed and verified, failures, descriptors."""

import errno
import hashlib
import json
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import trio

from supernode.core.identity import TaskId
from supernode.core.pieces import MIB, digest_length, frame_header
from supernode.core.reasons import Reason
from supernode.storage import page_cache, piece_files
from supernode.storage.errors import Damaged, Discarded, StoreError
from supernode.storage.piece_files import PieceFile, PieceStore
from supernode.storage.sidecars import Provenance

TASK = TaskId("abc" + "0" * 61)
SIZE = 4 * MIB
HELLO = b"hello Dragonfly"
HELLO_FRAMED = b"\x04\x00\x00\x0f" + HELLO + b"\x7f"
HELLO_DIGEST = "8f95b369fc1f8d38262bb1b42d1ac87c:20"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def provenance(real_md5: str = "a6692a2fcad80f04a0250410d311917a") -> Provenance:
    return Provenance(
        url="http://origin/hello",
        identifier="v2",
        md5="",
        real_md5=real_md5,
        sha256="2" * 64,
        http_length=len(HELLO),
        last_modified_ms=1_700_000_000_000,
        etag='"x"',
        accessed_ms=1_700_000_001_000,
    )


async def hello(store: PieceStore, task: TaskId = TASK) -> PieceFile:
    file = await store.create(task, SIZE)
    await file.write(0, [HELLO])
    file.seal(0, len(HELLO_FRAMED))
    return file


def open_below(root: Path) -> list[str]:
    """Return the files below ``root`` that this process has open, deleted ones included."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = str(entry.readlink())
        except FileNotFoundError:
            continue
        if target.startswith(str(root)):
            found.append(target)
    return found


async def test_a_piece_is_framed_and_digested_as_v1_does(tmp_path: Path) -> None:
    file = await PieceStore(tmp_path / "repo").create(TASK, SIZE)
    assert (
        await file.write(0, [b"hello ", bytearray(b"Dragon"), memoryview(b"fly")]) == HELLO_DIGEST
    )
    assert (tmp_path / "repo/download/abc" / TASK).read_bytes() == HELLO_FRAMED


async def test_an_empty_file_is_one_empty_piece(tmp_path: Path) -> None:
    file = await PieceStore(tmp_path).create(TASK, SIZE)
    assert await file.write(0, []) == "d6991051769098273e82477afd2bb93e:5"
    file.seal(0, 5)
    assert file.framed_length == 5
    assert file.is_complete
    assert file.path.read_bytes() == b"\x04\x00\x00\x00\x7f"


async def test_short_writes_and_many_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pwritev

    def takes_little(fd: int, buffers: Sequence[memoryview], offset: int) -> int:
        assert len(buffers) <= 1024
        return real(fd, [b"".join(buffers)[:777]], offset)

    monkeypatch.setattr(os, "pwritev", takes_little)
    chunks = [bytes([n % 251]) * (n % 60) for n in range(3000)]  # some of them empty
    content = b"".join(chunks)
    file = await PieceStore(tmp_path).create(TASK, SIZE)
    digest = await file.write(1, chunks)
    framed = frame_header(len(content), SIZE) + content + b"\x7f"
    assert file.path.read_bytes()[SIZE:] == framed
    assert digest == f"{hashlib.md5(framed).hexdigest()}:{len(framed)}"


async def test_more_than_a_piece_is_refused(tmp_path: Path) -> None:
    file = await PieceStore(tmp_path).create(TASK, MIB)
    with pytest.raises(ValueError, match="do not fit"):
        await file.write(0, [bytes(MIB - 5), b"x"])
    assert file.path.read_bytes() == b""


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.ENOSPC, Reason.DISK_FULL),
        (errno.EDQUOT, Reason.DISK_FULL),
        (errno.EIO, Reason.DISK_ERROR),
    ],
)
async def test_a_failing_disk_has_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, reason: Reason
) -> None:
    def fails(fd: int, buffers: Sequence[memoryview], offset: int) -> int:
        raise OSError(code, os.strerror(code))

    file = await PieceStore(tmp_path).create(TASK, SIZE)
    monkeypatch.setattr(os, "pwritev", fails)
    with pytest.raises(StoreError) as caught:
        await file.write(7, [HELLO])
    assert caught.value.reason is reason
    assert caught.value.detail == f"writing piece 7: {os.strerror(code)}"
    assert str(tmp_path) not in str(caught.value)


async def test_a_root_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "repo").write_text("in the way")
    store = PieceStore(tmp_path / "repo")
    with pytest.raises(StoreError) as caught:
        await store.create(TASK, SIZE)
    assert caught.value.reason is Reason.DISK_ERROR
    assert store.find(TASK) is None


async def test_covers_only_what_is_sealed(tmp_path: Path) -> None:
    file = await PieceStore(tmp_path).create(TASK, 100)
    assert not file.covers(0, 1)
    file.seal(0, 100)
    file.seal(2, 100)
    assert file.covers(0, 100)
    assert file.covers(210, 290)
    assert not file.covers(0, 101)
    assert not file.covers(99, 201)
    assert not file.covers(250, 301)
    assert not file.covers(50, 50)
    assert not file.covers(-1, 50)
    assert not file.covers(0, 1 << 63)
    assert not file.covers(1 << 63, (1 << 63) + 1)
    file.seal(1, 100)
    assert file.covers(0, 300)
    assert not file.is_complete  # nobody knows yet whether more follows
    file.seal(3, 30)
    assert file.framed_length == 330
    assert file.is_complete
    assert file.covers(299, 330)
    assert not file.covers(299, 331)


async def test_a_known_end_bounds_the_pieces(tmp_path: Path) -> None:
    file = await PieceStore(tmp_path).create(TASK, 100)
    file.end_known(130)
    with pytest.raises(ValueError, match="cannot have 29 bytes"):
        file.seal(1, 29)
    with pytest.raises(ValueError, match="cannot have 30 bytes"):
        file.seal(0, 30)
    assert file.sealed == 0
    file.seal(1, 30)
    assert file.covers(100, 130)
    assert not file.is_complete
    file.seal(0, 100)
    assert file.is_complete


async def test_create_replaces_and_leaves_readers_alone(tmp_path: Path) -> None:
    store = PieceStore(tmp_path)
    old = await hello(store)
    await old.complete(provenance())
    async with old.opened() as fd:
        new = await store.create(TASK, SIZE)
        assert store.find(TASK) is new
        assert os.pread(fd, 100, 0) == HELLO_FRAMED
    assert [path.name for path in new.path.parent.iterdir()] == [TASK]
    assert new.path.read_bytes() == b""
    assert new.sealed == 0
    with pytest.raises(Discarded):
        await old.write(1, [b"late"])
    assert new.path.read_bytes() == b""


async def test_create_replaces_what_another_process_left(tmp_path: Path) -> None:
    left = tmp_path / "download/abc" / TASK
    left.parent.mkdir(parents=True)
    for suffix in ("", ".meta", ".md5", ".meta.new"):
        left.with_name(TASK + suffix).write_text("old")
    store = PieceStore(tmp_path)
    assert store.find(TASK) is None
    file = await store.create(TASK, SIZE)
    assert [path.name for path in left.parent.iterdir()] == [TASK]
    assert file.path.read_bytes() == b""


async def test_discard(tmp_path: Path) -> None:
    store = PieceStore(tmp_path)
    file = await hello(store)
    await file.complete(provenance())
    async with file.opened() as fd:
        await store.discard(file)
        assert store.find(TASK) is None
        assert list(file.path.parent.iterdir()) == []
        assert os.pread(fd, 100, 0) == HELLO_FRAMED
        with pytest.raises(Discarded):
            async with file.opened():
                pass
    assert open_below(tmp_path) == []
    with pytest.raises(Discarded):
        await file.complete(provenance())
    assert list(file.path.parent.iterdir()) == []
    await store.discard(file)


async def test_a_late_discard_spares_the_successor(tmp_path: Path) -> None:
    store = PieceStore(tmp_path)
    old = await hello(store)
    new = await hello(store)
    await store.discard(old)
    assert store.find(TASK) is new
    assert new.path.read_bytes() == HELLO_FRAMED


async def test_a_discard_cannot_be_cancelled_half_way(tmp_path: Path) -> None:
    store = PieceStore(tmp_path)
    file = await hello(store)
    with trio.CancelScope() as scope:
        scope.cancel()
        await store.discard(file)
    assert not file.path.exists()
    assert open_below(tmp_path) == []


async def test_a_cancelled_write_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = await PieceStore(tmp_path).create(TASK, SIZE)
    writing, go_on = trio.Event(), threading.Event()
    real = os.pwritev

    def slow(fd: int, buffers: Sequence[memoryview], offset: int) -> int:
        trio.from_thread.run_sync(writing.set)
        assert go_on.wait(10)
        return real(fd, buffers, offset)

    monkeypatch.setattr(os, "pwritev", slow)
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(file.write, 0, [HELLO])
            await writing.wait()
            nursery.cancel_scope.cancel()
            go_on.set()
        assert file.path.read_bytes() == HELLO_FRAMED


async def test_sidecars(tmp_path: Path) -> None:
    file = await hello(PieceStore(tmp_path))
    await file.complete(provenance())
    assert sorted(path.name for path in file.path.parent.iterdir()) == [
        TASK,
        f"{TASK}.md5",
        f"{TASK}.meta",
    ]
    assert file.path.with_name(f"{TASK}.md5").read_text() == (
        f"{HELLO_DIGEST}\na6692a2fcad80f04a0250410d311917a\nc1102165b9d524e1accc850ae02b0490e8f8f6de"
    )
    meta = json.loads(file.path.with_name(f"{TASK}.meta").read_text())
    assert list(meta.items()) == [
        ("taskID", TASK),
        ("url", "http://origin/hello"),
        ("pieceSize", SIZE),
        ("httpFileLen", 15),
        ("bizId", "v2"),
        ("accessTime", 1_700_000_001_000),
        ("interval", 0),
        ("fileLength", 20),
        ("md5", ""),
        ("realMd5", "a6692a2fcad80f04a0250410d311917a"),
        ("lastModified", 1_700_000_000_000),
        ("eTag", '"x"'),
        ("finish", True),
        ("success", True),
        ("sha256", "2" * 64),
        ("bootId", BOOT_ID),
        ("callSystem", ""),
        ("dfdaemon", False),
        ("withheld", True),  # the ID of these tests is made up
    ]


async def test_the_digests_are_in_the_order_of_the_pieces(tmp_path: Path) -> None:
    file = await PieceStore(tmp_path).create(TASK, MIB)
    last = await file.write(1, [b"end"])
    first = await file.write(0, [bytes(MIB - 5)])
    file.seal(1, 8)
    file.seal(0, MIB)
    await file.complete(provenance())
    assert file.path.with_name(f"{TASK}.md5").read_text().splitlines()[:2] == [first, last]


async def test_an_incomplete_file_gets_no_sidecars(tmp_path: Path) -> None:
    file = await PieceStore(tmp_path).create(TASK, SIZE)
    await file.write(0, [bytes(SIZE - 5)])
    file.seal(0, SIZE)
    with pytest.raises(ValueError, match="not every piece"):
        await file.complete(provenance())
    assert [path.name for path in file.path.parent.iterdir()] == [TASK]


async def test_a_sidecar_is_whole_or_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = await hello(PieceStore(tmp_path))

    def fails_half_way(path: Path, text: bytes) -> int:
        with path.open("wb") as half:
            half.write(text[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", fails_half_way)
    with pytest.raises(StoreError) as caught:
        await file.complete(provenance())
    assert caught.value.reason is Reason.DISK_FULL
    assert [path.name for path in file.path.parent.iterdir()] == [TASK]


async def test_how_much_is_there_and_how_much_will_come(tmp_path: Path) -> None:
    store = PieceStore(tmp_path)
    file = await store.create(TASK, MIB)
    assert (file.stored, file.expected) == (0, 0)
    file.end_known(2 * MIB + 20)
    assert (file.stored, file.expected) == (0, 2 * MIB + 20)
    for _ in range(2):  # once more does not make it more
        await file.write(0, [bytes(MIB - 5)])
    assert (file.stored, file.expected) == (MIB, MIB + 20)
    await hello(store, TaskId("b" * 64))
    use = await store.disk_use()
    assert (use.cached, use.expected) == (MIB + 20, MIB + 20)
    assert 0 < use.free < use.total
    await store.discard(file)
    assert (await store.disk_use()).cached == 20


async def test_a_file_system_that_does_not_tell(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        await PieceStore(tmp_path / "gone").disk_use()
    assert caught.value.reason is Reason.DISK_ERROR


async def two_pieces(store: PieceStore) -> PieceFile:
    """Return a complete file of two pieces."""
    file = await store.create(TASK, SIZE)
    for number, content in enumerate((os.urandom(SIZE - 5), b"end")):
        file.seal(number, digest_length(await file.write(number, [content])))
    await file.complete(replace(provenance(), http_length=SIZE - 2))
    return file


async def reopened(root: Path) -> PieceFile:
    """Return the one file there is, as the next process sees it."""
    store = PieceStore(root)
    (cached,) = (await store.take_inventory()).cached
    return store.reopen(cached)


async def test_nothing_of_a_reopened_file_is_served_unseen(tmp_path: Path) -> None:
    written = await two_pieces(PieceStore(tmp_path))
    file = await reopened(tmp_path)
    assert (file.task, file.piece_size, file.path) == (TASK, SIZE, written.path)
    assert (file.framed_length, file.stored, file.expected) == (SIZE + 8, SIZE + 8, 0)
    assert file.sealed == 0
    with pytest.raises(ValueError, match="sealed"):
        await file.note_access(1)  # it would vouch for what nobody has looked at
    await file.verify(1)
    assert file.sealed == 0b10
    assert not file.is_complete
    await file.verify(0)
    assert file.is_complete


async def test_verifying_reads_the_content(tmp_path: Path) -> None:
    written = await two_pieces(PieceStore(tmp_path))
    file, whole = await reopened(tmp_path), hashlib.sha256()
    await file.verify(0, whole)
    await file.verify(1, whole)
    framed = written.path.read_bytes()
    assert whole.digest() == hashlib.sha256(framed[4 : SIZE - 1] + b"end").digest()


async def test_frames_seal_the_whole_file_at_once(tmp_path: Path) -> None:
    await two_pieces(PieceStore(tmp_path))
    file = await reopened(tmp_path)
    await file.verify_frames()
    assert file.is_complete
    assert file.sealed == 0b11


@pytest.mark.parametrize(
    ("offset", "frames_tell"),
    [
        (0, True),
        (3, True),
        (4, False),
        (SIZE // 2, False),
        (SIZE - 2, False),
        (SIZE - 1, True),
        (SIZE, True),
        (SIZE + 3, True),
        (SIZE + 4, False),
        (SIZE + 7, True),
    ],
)
async def test_every_byte_counts(tmp_path: Path, offset: int, frames_tell: bool) -> None:
    path = (await two_pieces(PieceStore(tmp_path))).path
    with path.open("r+b") as altered:
        altered.seek(offset)
        byte = altered.read(1)[0]
        altered.seek(offset)
        altered.write(bytes([byte ^ 1]))
    number = offset // SIZE
    file = await reopened(tmp_path)
    await file.verify(1 - number)
    with pytest.raises(Damaged, match=f"piece {number}"):
        await file.verify(number)
    assert file.sealed == 1 << 1 - number
    file = await reopened(tmp_path)
    if frames_tell:
        with pytest.raises(Damaged):
            await file.verify_frames()
        assert file.sealed == 0
    else:
        await file.verify_frames()


@pytest.mark.parametrize("length", [0, 3, SIZE - 1, SIZE, SIZE + 7, SIZE + 9, 2 * SIZE])
async def test_a_file_that_changes_its_length_after_it_was_found(
    tmp_path: Path, length: int
) -> None:
    path = (await two_pieces(PieceStore(tmp_path))).path
    file = await reopened(tmp_path)
    os.truncate(path, length)
    with pytest.raises(Damaged, match=f"the file has {length} bytes"):
        await file.verify_frames()
    if length < SIZE + 8:
        with pytest.raises(Damaged, match="piece 1"):
            await file.verify(1)
    assert file.sealed == 0


async def test_a_disk_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await two_pieces(PieceStore(tmp_path))
    file = await reopened(tmp_path)

    def fails(fd: int, count: int, offset: int) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "pread", fails)
    with pytest.raises(StoreError, match="verifying piece 0"):
        await file.verify(0)
    with pytest.raises(StoreError, match="verifying a cached file"):
        await file.verify_frames()
    assert file.sealed == 0


async def test_a_file_that_is_discarded_while_it_is_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await two_pieces(PieceStore(tmp_path))
    store = PieceStore(tmp_path)
    (cached,) = (await store.take_inventory()).cached
    file = store.reopen(cached)
    opening, go_on = trio.Event(), threading.Event()
    real = os.open

    def slow(path: Path, flags: int) -> int:
        trio.from_thread.run_sync(opening.set)
        assert go_on.wait(10)
        return real(path, flags)

    async def verify() -> None:
        with pytest.raises(Discarded):
            await file.verify(0)

    monkeypatch.setattr(os, "open", slow)
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(verify)
            await opening.wait()
            await store.discard(file)
            go_on.set()
    assert not file.sealed


async def test_a_task_has_one_file(tmp_path: Path) -> None:
    await hello(PieceStore(tmp_path))
    await two_pieces(PieceStore(tmp_path))
    store = PieceStore(tmp_path)
    (cached,) = (await store.take_inventory()).cached
    file = store.reopen(cached)
    with pytest.raises(ValueError, match="has a file"):
        store.reopen(cached)
    assert (await store.take_inventory()).cached == []  # it is in use
    assert file.path.exists()


async def test_whose_boot_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await two_pieces(PieceStore(tmp_path / "repo"))
    store = PieceStore(tmp_path / "repo")
    (cached,) = (await store.take_inventory()).cached
    assert store.boot_id
    assert cached.sidecars.boot_id == store.boot_id
    (tmp_path / "boot").write_text("another one\n")
    for name, boot_id in (("boot", "another one"), ("none", "")):
        monkeypatch.setattr(piece_files, "_BOOT_ID", tmp_path / name)
        assert PieceStore(tmp_path / "repo").boot_id == boot_id


async def test_the_last_access_is_noted(tmp_path: Path) -> None:
    file = await two_pieces(PieceStore(tmp_path))
    before = file.path.with_name(f"{TASK}.md5").read_text()
    await file.note_access(1_800_000_000_000)
    again = await reopened(tmp_path)
    assert again.origin == replace(
        provenance(), http_length=SIZE - 2, accessed_ms=1_800_000_000_000
    )
    assert file.path.with_name(f"{TASK}.md5").read_text() == before


async def test_idle_descriptors_are_bounded(tmp_path: Path) -> None:
    store = PieceStore(tmp_path, idle_descriptors=2)
    tasks = [TaskId(f"{n:064x}") for n in range(5)]
    files = [await hello(store, task) for task in tasks]
    assert len(open_below(tmp_path)) == 2

    async with files[0].opened() as first, files[1].opened() as second, files[2].opened() as third:
        await hello(store, TASK)
        for fd in (first, second, third):  # in use, so not one of them was closed
            assert os.pread(fd, 100, 0) == HELLO_FRAMED
    assert len(open_below(tmp_path)) == 2

    async with files[3].opened() as one, files[3].opened() as other:
        assert one == other
    for file in list(store.files()):
        await store.discard(file)
    assert open_below(tmp_path) == []


async def test_many_openers_share_one_descriptor(tmp_path: Path) -> None:
    store = PieceStore(tmp_path, idle_descriptors=0)
    file = await hello(store)
    together: list[int] = []
    all_there = trio.Event()

    async def use() -> None:
        async with file.opened() as fd:
            together.append(fd)
            if len(together) == 10:
                all_there.set()
            await all_there.wait()
            assert os.pread(fd, 100, 0) == HELLO_FRAMED

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(use)
    assert len(set(together)) == 1
    assert open_below(tmp_path) == []

    async with file.opened() as fd:
        async with file.opened():
            pass
        assert os.pread(fd, 100, 0) == HELLO_FRAMED
    assert open_below(tmp_path) == []


async def test_a_file_that_is_replaced_while_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = PieceStore(tmp_path, idle_descriptors=0)
    old = await hello(store)
    opening, go_on = trio.Event(), threading.Event()
    real = os.open

    def slow(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags == os.O_RDWR:
            trio.from_thread.run_sync(opening.set)
            assert go_on.wait(10)
        return real(path, flags, mode)

    async def use_old() -> None:
        with pytest.raises(Discarded):
            async with old.opened():
                pass

    monkeypatch.setattr(os, "open", slow)
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(use_old)
            await opening.wait()
            await store.create(TASK, SIZE)
            go_on.set()  # what is opened now is another file of the same name
    assert open_below(tmp_path) == []


@pytest.fixture
def on_disk() -> Iterator[Path]:
    """A directory on a disk; ``tmp_path`` may lie in memory, where nothing is ever cold."""
    with TemporaryDirectory(dir="/var/tmp") as directory:
        yield Path(directory)


async def test_cold_bytes_are_seen_and_fetched(on_disk: Path) -> None:
    file = await PieceStore(on_disk).create(TASK, SIZE)
    await file.write(0, [os.urandom(SIZE - 5)])
    async with file.opened() as fd:
        assert page_cache.is_resident(fd, 0, SIZE)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, SIZE, os.POSIX_FADV_DONTNEED)
        assert not page_cache.is_resident(fd, 0, SIZE)
        await file.read_ahead(fd, 0, SIZE)
        assert page_cache.is_resident(fd, 0, SIZE)
        assert page_cache.is_resident(fd, SIZE - 1, SIZE)


async def test_a_file_system_that_cannot_tell_counts_as_cold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = await hello(PieceStore(tmp_path))
    real = os.preadv

    def unsupported(fd: int, buffers: Sequence[bytearray], offset: int, flags: int = 0) -> int:
        if flags:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return real(fd, buffers, offset)

    monkeypatch.setattr(os, "preadv", unsupported)
    async with file.opened() as fd:
        assert not page_cache.is_resident(fd, 0, 10)
        await file.read_ahead(fd, 0, 1000)  # beyond the end, too
