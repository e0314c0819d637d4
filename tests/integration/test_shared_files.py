"""One content under two names in the cache: how it comes about, what it counts, what is left."""

import os
from pathlib import Path

import pytest
import trio

from supernode.core.identity import TaskId
from supernode.core.pieces import MIB
from supernode.storage import sharing
from supernode.storage.errors import Discarded, StoreError
from supernode.storage.piece_files import PieceFile, PieceStore

SIZE = 4 * MIB
ONE, TWO, THREE = (TaskId(f"{digit}" * 64) for digit in "123")


def inode(path: Path) -> int | None:
    """Return by what to tell one content on disk from another; None: there is no such file."""
    return path.stat().st_ino if path.exists() else None


async def complete(store: PieceStore, task: TaskId, content: bytes = b"hello") -> PieceFile:
    file = await store.create(task, SIZE)
    await file.write(0, [content])
    file.seal(0, len(content) + 5)
    return file


async def shared(store: PieceStore, source: PieceFile, task: TaskId) -> PieceFile:
    file = await store.link(source, task)
    await file.verify_frames()
    store.add(file)
    return file


async def test_a_linked_file_is_the_same_bytes(tmp_path: Path) -> None:
    store = PieceStore(tmp_path)
    source = await complete(store, ONE)
    file = await shared(store, source, TWO)
    assert file.is_complete
    assert inode(file.path) == inode(source.path)
    assert store.find(TWO) is file


async def test_it_counts_once(tmp_path: Path) -> None:
    store = PieceStore(tmp_path)
    source = await complete(store, ONE)
    await complete(store, THREE, b"other")
    for task in (TWO,):
        await shared(store, source, task)
    assert (await store.disk_use()).cached == 2 * 10
    await store.discard(source)
    assert (await store.disk_use()).cached == 2 * 10


async def test_it_is_served_when_the_other_name_has_gone(tmp_path: Path) -> None:
    store = PieceStore(tmp_path)
    source = await complete(store, ONE)
    file = await shared(store, source, TWO)
    await store.discard(source)
    async with file.opened() as fd:
        assert os.pread(fd, 10, 0)[4:-1] == b"hello"


async def test_a_new_file_under_one_name_leaves_the_other_alone(tmp_path: Path) -> None:
    store = PieceStore(tmp_path)
    source = await complete(store, ONE)
    file = await shared(store, source, TWO)
    again = await complete(store, ONE, b"other")
    assert again is not source
    assert inode(file.path) != inode(again.path)
    async with file.opened() as fd:
        assert os.pread(fd, 10, 0)[4:-1] == b"hello"


async def test_what_is_not_added_is_dropped(tmp_path: Path) -> None:
    store = PieceStore(tmp_path)
    file = await store.link(await complete(store, ONE), TWO)
    assert store.find(TWO) is None
    await store.drop(file)
    assert inode(file.path) is None


async def test_what_has_come_in_its_place_is_not_dropped(tmp_path: Path) -> None:
    store = PieceStore(tmp_path)
    file = await store.link(await complete(store, ONE), TWO)
    other = await complete(store, TWO, b"other")
    await store.drop(file)
    assert inode(other.path)
    with pytest.raises(ValueError, match="has a file"):
        store.add(file)


async def test_only_a_complete_file_is_shared(tmp_path: Path) -> None:
    store = PieceStore(tmp_path)
    unfinished = await store.create(ONE, SIZE)
    with pytest.raises(ValueError, match="cannot have a copy"):
        await store.link(unfinished, TWO)
    source = await complete(store, ONE)
    await complete(store, TWO)
    with pytest.raises(ValueError, match="cannot have a copy"):
        await store.link(source, TWO)
    await store.discard(source)
    with pytest.raises(Discarded):
        await store.link(source, THREE)


async def test_a_file_system_that_cannot_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = PieceStore(tmp_path)
    source = await complete(store, ONE)

    def link(*_: object) -> None:
        raise OSError(31, "Too many links")

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(StoreError):
        await store.link(source, TWO)


async def test_another_process_finds_out_what_shares(tmp_path: Path) -> None:
    store = PieceStore(tmp_path)
    source = await complete(store, ONE)
    await shared(store, source, TWO)
    digests = [source._digests[0]]
    later = PieceStore(tmp_path)
    for task in (ONE, TWO):
        file = later.reopen_known(task, SIZE, digests, 10)
        await file.verify(0)
    assert (await later.disk_use()).cached == 10


async def test_cancelled_it_leaves_nothing_behind(tmp_path: Path) -> None:
    """What was linked, and not yet dropped, is known to its maker, who drops it."""
    store = PieceStore(tmp_path)
    source = await complete(store, ONE)
    with trio.CancelScope() as scope:
        scope.cancel()
        await store.link(source, TWO)
    assert scope.cancelled_caught
    assert sharing.shared_inode(source.path) is None
