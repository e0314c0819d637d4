"""What is found in the cache directory: complete files, leftovers, and what is none of ours."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from supernode.core.identity import TaskId
from supernode.core.pieces import MIB
from supernode.storage import sidecars
from supernode.storage.inventory import Inventory, take
from supernode.storage.piece_files import PieceStore
from supernode.storage.sidecars import Provenance

TASK = TaskId("abc" + "0" * 61)
OTHER = TaskId("abc" + "1" * 61)
HELLO = b"hello Dragonfly"


async def complete(root: Path, task: TaskId) -> Path:
    """Make a complete file and return its path."""
    file = await PieceStore(root).create(task, 4 * MIB)
    await file.write(0, [HELLO])
    file.seal(0, len(HELLO) + 5)
    await file.complete(
        Provenance(
            url="http://origin/hello",
            identifier="",
            md5="",
            real_md5="a6692a2fcad80f04a0250410d311917a",
            http_length=len(HELLO),
            last_modified_ms=0,
            etag="",
            accessed_ms=0,
        )
    )
    return file.path


def beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def names_below(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def test_no_directory(tmp_path: Path) -> None:
    assert take(tmp_path / "download", ()) == Inventory()


async def test_complete_files_are_found(tmp_path: Path) -> None:
    paths = [await complete(tmp_path, task) for task in (TASK, OTHER, TaskId("0" * 64))]
    before = names_below(tmp_path)
    found = take(tmp_path / "download", ())
    assert {cached.path for cached in found.cached} == set(paths)
    assert {cached.task for cached in found.cached} == {path.name for path in paths}
    assert (found.removed, found.strange) == ({}, [])
    assert names_below(tmp_path) == before


async def test_files_in_use_are_left_alone(tmp_path: Path) -> None:
    path = await complete(tmp_path, TASK)
    beside(path, ".md5").unlink()  # as while it is being written
    await complete(tmp_path, OTHER)
    before = names_below(tmp_path)
    assert [cached.task for cached in take(tmp_path / "download", {TASK}).cached] == [OTHER]
    assert names_below(tmp_path) == before


@pytest.mark.parametrize(
    "suffixes",
    [
        [""],
        [".meta"],
        [".md5"],
        ["", ".meta"],
        ["", ".md5"],
        [".meta", ".md5"],
        [".meta.new"],
        ["", ".meta", ".md5.new"],
        ["", ".meta.new", ".md5.new", ".meta", ".md5"],  # all there, but empty
    ],
)
def test_leftovers_are_removed(tmp_path: Path, suffixes: list[str]) -> None:
    shard = tmp_path / "download/abc"
    shard.mkdir(parents=True)
    for suffix in suffixes:
        (shard / (TASK + suffix)).touch()
    found = take(tmp_path / "download", ())
    assert found.cached == []
    assert list(found.removed) == [TASK]
    assert found.strange == []
    assert names_below(tmp_path) == ["download"]


async def test_a_sidecar_that_was_not_finished_does_not_spoil_the_file(tmp_path: Path) -> None:
    path = await complete(tmp_path, TASK)
    before = names_below(tmp_path)
    beside(path, ".meta.new").write_text("{")
    found = take(tmp_path / "download", ())
    assert [cached.task for cached in found.cached] == [TASK]
    assert names_below(tmp_path) == before


def is_link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def is_directory(path: Path) -> None:
    path.mkdir()


def is_fifo(path: Path) -> None:
    os.mkfifo(path)  # whoever opens it waits for ever


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("notes.txt", Path.touch),
        ("abcd", is_directory),
        ("ABC", is_directory),
        ("xyz", is_directory),
        ("ab", is_directory),
        ("fff", Path.touch),
        ("fff", is_link),
        ("fff", is_fifo),
        (f"abc/{TASK}.txt", Path.touch),
        (f"abc/{TASK}.meta.new.new", Path.touch),
        (f"abc/{TASK[:63]}", Path.touch),
        (f"abc/{TASK}0", Path.touch),
        (f"abc/{TASK.upper()}", Path.touch),
        (f"abc/abd{TASK[3:]}", Path.touch),
        (f"abc/{OTHER}", is_directory),
        (f"abc/{OTHER}", is_link),
        (f"abc/{OTHER}", is_fifo),
        (f"abc/{OTHER}.meta", is_directory),
        (f"abc/{OTHER}.meta", is_link),
        (f"abc/{OTHER}.md5.new", is_fifo),
        (f"abc/{OTHER}.md5\n", Path.touch),
        (os.fsdecode(b"abc/\xff\xfe"), Path.touch),
    ],
    ids=repr,
)
async def test_what_is_not_ours_is_left_alone(
    tmp_path: Path, name: str, make: Callable[[Path], None]
) -> None:
    await complete(tmp_path, TASK)
    make(tmp_path / "download" / name)
    before = names_below(tmp_path)
    found = take(tmp_path / "download", ())
    assert [cached.task for cached in found.cached] == [TASK]
    assert found.strange == [name]
    assert names_below(tmp_path) == before


async def test_links_are_not_followed(tmp_path: Path) -> None:
    elsewhere = await complete(tmp_path / "elsewhere", TASK)
    shard = tmp_path / "download/abc"
    shard.mkdir(parents=True)
    for suffix in ("", ".meta", ".md5"):
        beside(shard / TASK, suffix).symlink_to(beside(elsewhere, suffix))
    (tmp_path / "download/abd").symlink_to(elsewhere.parent)
    before = names_below(tmp_path)
    found = take(tmp_path / "download", ())
    assert found.cached == []
    assert len(found.strange) == 4
    assert names_below(tmp_path) == before


async def test_a_directory_named_like_a_file_costs_that_file_its_sidecars(tmp_path: Path) -> None:
    path = await complete(tmp_path, TASK)
    path.unlink()
    path.mkdir()
    found = take(tmp_path / "download", ())
    assert (found.cached, found.strange) == ([], [f"abc/{TASK}"])
    assert names_below(tmp_path) == ["download", "download/abc", f"download/abc/{TASK}"]


async def test_a_directory_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await complete(tmp_path, TASK)
    await complete(tmp_path, TaskId("0" * 64))
    real = os.scandir

    def refuses(path: Path) -> object:
        if path.name == "abc":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refuses)
    found = take(tmp_path / "download", ())
    assert [cached.task for cached in found.cached] == ["0" * 64]
    assert found.strange == ["abc"]


async def test_sidecars_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await complete(tmp_path, TASK)

    def refuses(path: Path) -> tuple[bytes, bytes]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(sidecars, "read", refuses)
    before = names_below(tmp_path)
    found = take(tmp_path / "download", ())
    assert found.strange == [f"abc/{TASK}: Permission denied"]
    assert not found.cached
    assert not found.removed
    assert names_below(tmp_path) == before, "another time it can be read"


async def test_what_cannot_be_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = await complete(tmp_path, TASK)
    beside(path, ".md5").unlink()

    def refuses(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "unlink", refuses)
    found = take(tmp_path / "download", ())
    assert list(found.removed) == [TASK]
    assert sorted(found.strange) == [f"abc/{TASK}", f"abc/{TASK}.meta"]


async def test_a_sidecar_without_end_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await complete(tmp_path, TASK)
    os.truncate(beside(path, ".meta"), 1 << 40)
    found = take(tmp_path / "download", ())
    assert found.removed == {TASK: ".meta is longer than it can be"}
    assert names_below(tmp_path) == ["download"]
