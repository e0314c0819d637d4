"""The sidecars of a cached file: written as v1 does, believed only if they agree."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from supernode.core.identity import TaskId, task_id
from supernode.core.pieces import MIB, PieceDigest
from supernode.storage.errors import Damaged
from supernode.storage.sidecars import Provenance, Sidecars, md5_text, meta_json, parse

URL = "http://origin/file?version=3"
TASK = task_id(URL)
SIZE = 4 * MIB
LENGTH = 2 * (SIZE - 5) + 15
FRAMED = 2 * SIZE + 20
FULL, LAST = f"{'a' * 32}:{SIZE}", f"{'b' * 32}:20"
REAL_MD5 = "c" * 32


def meta(**changes: object) -> bytes:
    """Return what v1 writes, with some keys changed."""
    keys: dict[str, object] = {
        "taskID": TASK,
        "url": URL,
        "pieceSize": SIZE,
        "httpFileLen": LENGTH,
        "bizId": "",
        "accessTime": 1_700_000_001_000,
        "interval": 0,
        "fileLength": FRAMED,
        "md5": "",
        "realMd5": REAL_MD5,
        "lastModified": 1_700_000_000_000,
        "eTag": '"x"',
        "finish": True,
        "success": True,
    }
    return json.dumps(keys | changes).encode()


def md5(*lines: str) -> bytes:
    """Return what v1 writes."""
    return "\n".join([*lines, hashlib.sha1("".join(lines).encode()).hexdigest()]).encode()


GOOD_MD5 = md5(FULL, FULL, LAST, REAL_MD5)


def test_what_v1_wrote_is_understood() -> None:
    assert parse(TASK, meta(), GOOD_MD5) == Sidecars(
        piece_size=SIZE,
        framed_length=FRAMED,
        digests=(PieceDigest(FULL), PieceDigest(FULL), PieceDigest(LAST)),
        origin=Provenance(
            url=URL,
            identifier="",
            md5="",
            real_md5=REAL_MD5,
            http_length=LENGTH,
            last_modified_ms=1_700_000_000_000,
            etag='"x"',
            accessed_ms=1_700_000_001_000,
        ),
        boot_id="",
    )


def test_what_supernode_wrote_is_understood() -> None:
    origin = Provenance(
        url=URL,
        identifier="",
        md5="",
        real_md5=REAL_MD5,
        sha256="d" * 64,
        http_length=LENGTH,
        last_modified_ms=0,
        etag="",
        accessed_ms=7,
        call_system="imagebuilder",
        dfdaemon=True,
    )
    digests = [PieceDigest(FULL), PieceDigest(FULL), PieceDigest(LAST)]
    said = parse(TASK, meta_json(TASK, SIZE, FRAMED, origin, "boot"), md5_text(digests, REAL_MD5))
    assert said.origin == origin
    assert said.boot_id == "boot"
    assert said.digests == tuple(digests)
    assert said.length == LENGTH


@pytest.mark.parametrize(
    "changes",
    [
        {"pieceSize": 0},  # v1: 4 MiB
        {"httpFileLen": -1},
        {"httpFileLen": 0},
        {"accessTime": -1},
        {"accessTime": 2**63 - 1},
        {"interval": 5, "unheard of": [1, {"of": None}]},
        {"eTag": 'W/"ü"'},
    ],
)
def test_what_v1_may_write(changes: dict[str, Any]) -> None:
    assert parse(TASK, meta(**changes), GOOD_MD5).piece_size == SIZE


@pytest.mark.parametrize(
    "identity", [{"md5": REAL_MD5}, {"identifier": "v2"}, {"md5": REAL_MD5, "identifier": "v2"}]
)
def test_a_version_is_part_of_the_identity(identity: dict[str, str]) -> None:
    task = task_id(URL, **identity)
    keys = {"taskID": task, "md5": identity.get("md5", ""), "bizId": identity.get("identifier", "")}
    said = parse(task, meta(**keys), GOOD_MD5)
    assert (said.origin.md5, said.origin.identifier) == (keys["md5"], keys["bizId"])
    with pytest.raises(Damaged, match="another task"):
        parse(task, meta(taskID=task), GOOD_MD5)


def test_credentials_are_not_told() -> None:
    url = "http://me:secret@origin/file"
    task = task_id(url)
    origin = Provenance(
        url=url,
        identifier="",
        md5="",
        real_md5=REAL_MD5,
        http_length=LENGTH,
        last_modified_ms=0,
        etag="",
        accessed_ms=0,
    )
    text = meta_json(task, SIZE, FRAMED, origin, "")
    assert b"secret" not in text
    assert parse(task, text, GOOD_MD5).origin.url == "http://origin/file"


@pytest.mark.parametrize(
    "changes",
    [
        {"finish": False},
        {"success": False},
        {"taskID": "0" * 64},
        {"url": "http://origin/other"},
        {"realMd5": "d" * 32},
        {"realMd5": ""},
        {"md5": "d" * 32},
        {"bizId": "v2"},
        {"pieceSize": 4 * MIB - 1},
        {"pieceSize": 15 * MIB + 1},
        {"pieceSize": 5 * MIB},
        {"pieceSize": -SIZE},
        {"pieceSize": 10**18},
        {"fileLength": FRAMED - 1},
        {"fileLength": FRAMED + 1},
        {"fileLength": 0},
        {"fileLength": 14},
        {"fileLength": -FRAMED},
        {"fileLength": 10**30},
        {"fileLength": float(FRAMED)},
        {"fileLength": str(FRAMED)},
        {"fileLength": None},
        {"httpFileLen": LENGTH + 1},
        {"accessTime": 10**400},
    ],
    ids=str,
)
def test_a_meta_that_cannot_be(changes: dict[str, Any]) -> None:
    with pytest.raises(Damaged):
        parse(TASK, meta(**changes), GOOD_MD5)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        meta()[:-1],
        meta()[:100],
        meta() + b"x",
        b"\xff" + meta(),
        meta().replace(b"origin", b"\xed\xa0\x80"),
        meta().replace(b"origin", b"\\ud800"),
        b"[" * 100_000,
        bytes(1000),
    ],
    ids=lambda text: repr(text[:20]),
)
def test_a_meta_that_is_none(text: bytes) -> None:
    with pytest.raises(Damaged):
        parse(TASK, text, GOOD_MD5)


def without_checksum(text: bytes) -> bytes:
    return text.rpartition(b"\n")[0]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n\n\n",
        bytes(200),
        b"\xff" * 200,
        GOOD_MD5[:-1],
        GOOD_MD5[1:],
        GOOD_MD5[:40],
        GOOD_MD5.replace(b"a", b"0", 1),
        without_checksum(GOOD_MD5),
        hashlib.sha1(b"").hexdigest().encode(),
        md5(),
        md5(REAL_MD5),
        md5(FULL, LAST, REAL_MD5),
        md5(FULL, FULL, FULL, LAST, REAL_MD5),
        md5(FULL, LAST, FULL, REAL_MD5),
        md5(FULL, FULL, f"{'b' * 32}:21", REAL_MD5),
        md5(FULL, FULL, f"{'b' * 32}:{'9' * 5000}", REAL_MD5),
        md5(FULL, FULL, f"{'b' * 32}:-20", REAL_MD5),
        md5(FULL, FULL, f"{'b' * 32}:", REAL_MD5),
        md5(FULL, FULL, "b" * 32, REAL_MD5),
        md5(FULL, FULL, f"{'B' * 32}:20", REAL_MD5),
        md5(FULL, FULL, f"{'b' * 31}:20", REAL_MD5),
        md5(FULL, "", FULL, LAST, REAL_MD5),
        md5(FULL, FULL, LAST, "d" * 32),
        md5(FULL, FULL, LAST),
    ],
    ids=lambda text: repr(text[-60:]),
)
def test_digests_that_cannot_be(text: bytes) -> None:
    with pytest.raises(Damaged):
        parse(TASK, meta(), text)


@pytest.mark.parametrize("change", [lambda text: text + b"\n", lambda text: b" " + text + b"\n\n"])
def test_white_space_around_the_digests_is_v1s(change: Callable[[bytes], bytes]) -> None:
    assert len(parse(TASK, meta(), change(GOOD_MD5)).digests) == 3


def test_an_empty_file_is_one_empty_piece() -> None:
    text = md5(f"{'e' * 32}:5", REAL_MD5)
    said = parse(TASK, meta(fileLength=5, httpFileLen=0), text)
    assert said.length == 0
    with pytest.raises(Damaged):
        parse(TaskId("0" * 64), meta(fileLength=5, httpFileLen=0), text)
