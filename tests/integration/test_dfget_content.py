"""The downloaded file on a real disk."""

import errno
import hashlib
import os
from pathlib import Path

import pytest
import trio

from supernode.core.pieces import TRAILER, content_size, digest_of, frame_header
from supernode.dfget.content import BadPiece, ContentFile, check_output, sweep
from supernode.dfget.errors import CannotWrite

SIZE = 4096
CONTENT = bytes(range(256)) * 40


def framed(number: int) -> bytes:
    content = CONTENT[number * content_size(SIZE) : (number + 1) * content_size(SIZE)]
    return frame_header(len(content), SIZE) + content + TRAILER


async def store(file: ContentFile, number: int) -> int:
    piece = framed(number)
    return await file.store(number, memoryview(piece), digest_of(piece), SIZE)


def content_file(folder: Path) -> ContentFile:
    return ContentFile(folder / "home" / "data" / "f", "sha256")


async def test_pieces_in_any_order_make_the_file(tmp_path: Path) -> None:
    with content_file(tmp_path) as file:
        lengths = [await store(file, number) for number in (2, 0, 1)]
        assert sum(lengths) == len(CONTENT)
        await file.digest_upto(5000)
        for algorithm in ("sha256", "md5"):
            expected = hashlib.new(algorithm, CONTENT).hexdigest()
            assert await file.digest(algorithm, len(CONTENT)) == expected
        await file.place(tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == CONTENT
    assert sorted(os.listdir(tmp_path)) == ["home", "out"]
    assert os.listdir(tmp_path / "home" / "data") == []


@pytest.mark.parametrize("place", [0, 100, -1])
async def test_a_piece_with_a_wrong_byte_is_not_written(place: int, tmp_path: Path) -> None:
    bad = bytearray(framed(0))
    bad[place] ^= 1
    with content_file(tmp_path) as file:
        with pytest.raises(BadPiece, match="digest is"):
            await file.store(0, memoryview(bad), digest_of(framed(0)), SIZE)
        if place != 100:
            with pytest.raises(BadPiece, match=r"header|trailer"):
                await file.store(0, memoryview(bad), digest_of(bad), SIZE)
        assert file.path.read_bytes() == b""


async def test_what_was_there_is_replaced_at_once(tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.write_bytes(b"old")
    with output.open("rb") as old, content_file(tmp_path) as file:
        await file.write(CONTENT, 0)
        await file.place(output)
        assert old.read() == b"old"
        assert output.samefile(file.path)
    assert output.read_bytes() == CONTENT


def another_file_system(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Let no file of the home have a name elsewhere."""
    link = os.link

    def checked(source: Path | str, target: Path, **more: int) -> None:
        if Path(source).is_relative_to(home):
            raise OSError(errno.EXDEV, "another device")
        link(source, target, src_dir_fd=more.get("src_dir_fd"))

    monkeypatch.setattr(os, "link", checked)


@pytest.mark.parametrize("nameless", [True, False])
async def test_on_another_file_system_it_is_copied(
    nameless: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    another_file_system(monkeypatch, tmp_path / "home")
    monkeypatch.setattr("supernode.dfget.content._COPY_HOP_BYTES", 1000)
    if not nameless:
        monkeypatch.setattr(os, "O_TMPFILE", os.O_TMPFILE | os.O_CREAT)  # which no kernel allows
    beside: set[str] = set()
    sendfile = os.sendfile

    def observed(*args: int) -> int:
        beside.update(os.listdir(tmp_path))
        return sendfile(*args)

    monkeypatch.setattr(os, "sendfile", observed)
    output = tmp_path / "out"
    with content_file(tmp_path) as file:
        await file.write(CONTENT, 0)
        file.path.chmod(0o640)
        await file.place(output)
        assert not output.samefile(file.path)
    assert output.read_bytes() == CONTENT
    assert output.stat().st_mode & 0o777 == 0o640
    assert (beside == {"home"}) is nameless  # killed while it copies, it leaves nothing
    assert sorted(os.listdir(tmp_path)) == ["home", "out"]


async def test_a_copy_that_is_cancelled_leaves_the_output_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    another_file_system(monkeypatch, tmp_path / "home")
    output = tmp_path / "out"
    output.write_bytes(b"old")
    with content_file(tmp_path) as file:
        await file.write(CONTENT, 0)
        with trio.CancelScope() as scope:
            scope.cancel()
            await file.place(output)
        assert scope.cancelled_caught
    assert output.read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == ["home", "out"]


async def test_an_output_that_cannot_be(tmp_path: Path) -> None:
    with content_file(tmp_path) as file:
        await file.write(CONTENT, 0)
        with pytest.raises(CannotWrite):
            await file.place(tmp_path / "no" / "out")
    assert os.listdir(tmp_path) == ["home"]


def test_only_what_nobody_writes_is_swept(tmp_path: Path) -> None:
    folder = tmp_path / "home" / "data"
    with content_file(tmp_path) as file:
        (folder / "orphan").write_bytes(b"x")
        sweep(folder)
        assert os.listdir(folder) == ["f"]
        file.keep()
    sweep(folder)
    assert os.listdir(folder) == []


def test_whether_an_output_can_be_is_known_before(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    check_output(tmp_path / "new")
    check_output(tmp_path / "file")
    for name, problem in [
        ("no/out", "No such"),
        ("file/out", "Not a directory"),
        ("x" * 300, "too long"),
    ]:
        with pytest.raises(CannotWrite, match=problem):
            check_output(tmp_path / name)
    assert os.listdir(tmp_path) == ["file"]
