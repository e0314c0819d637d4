"""Recorded exchanges of dfget with a Dragonfly v1 supernode, held against our answers.

IDs, sizes, ranges, digests and served bytes must be v1's; `data/README.md` says what was recorded.
"""

import json
from pathlib import Path
from typing import Any

import httptools
import pytest
import trio
from trio.testing import MockClock, open_stream_to_socket_listener

from supernode.core.identity import TaskId, download_path, seed_id, task_id
from supernode.core.pieces import (
    TRAILER,
    PieceDigest,
    content_size,
    digest_length,
    digest_of,
    frame_header,
    framed_length,
    framed_piece_length,
    parse_piece_range,
    piece_count,
    piece_range,
    piece_size_for,
)
from supernode.storage.piece_files import PieceStore
from supernode.wire.data_port import DataPort
from tests.inprocess import SEED, InProcess, through_both

Recorded = dict[str, Any]


def recorded(name: str) -> list[Recorded]:
    entries: list[Recorded] = json.loads((Path(__file__).parent / "data" / name).read_text())
    assert entries
    return entries


REGISTRATIONS = recorded("registrations.json")
FILES = recorded("files.json")


def header_map(lines: list[str]) -> dict[str, str]:
    """Return what v1 makes of its header list."""
    split = (line.partition(":") for line in lines)
    return {name.strip(): value.strip() for name, _, value in split}


def asked_url(entry: Recorded) -> str:
    """Return the URL that names the task."""
    return str(entry["taskUrl"] if "taskUrl" in entry else entry["rawUrl"])


def filters(entry: Recorded) -> list[str] | None:
    """Return the filters that make the recorded task URL; None: it is no filtered raw URL."""
    raw, filtered = str(entry["rawUrl"]), asked_url(entry)
    names = [part.partition("=")[0] for part in raw.partition("?")[2].split("&")]
    kept = [part.partition("=")[0] for part in filtered.partition("?")[2].split("&")]
    return [name for name in names if name not in kept] if raw.startswith(filtered) else None


def is_md5(entry: Recorded) -> bool:
    """Tell whether the specification's operation takes the entry's MD5; v1 takes any text."""
    return len(entry.get("md5", "")) in (0, 32)


def is_host(entry: Recorded) -> bool:
    """Tell whether the host name is one; v1 takes any here, though not at ``/peers``."""
    return " " not in entry["hostName"]


@pytest.mark.parametrize("entry", REGISTRATIONS, ids=lambda entry: entry["scenario"])
def test_task_ids(entry: Recorded) -> None:
    found = task_id(
        asked_url(entry),
        md5=entry.get("md5", ""),
        identifier=entry.get("identifier", ""),
        byte_range=header_map(entry.get("headers", [])).get("Range"),
    )
    assert found == entry["answer"]["taskId"]
    assert piece_size_for(entry["answer"]["fileLength"]) == entry["answer"]["pieceSize"]


@through_both
@pytest.mark.parametrize(
    "entry",
    [
        entry
        for entry in REGISTRATIONS
        if filters(entry) is not None and is_host(entry) and is_md5(entry)
    ],
    ids=lambda entry: entry["scenario"],
)
async def test_registrations(autojump_clock: MockClock, entry: Recorded, front: bool) -> None:
    """The same wish through the specification's operations meets in the same task."""
    node = InProcess()
    async with node.browse(front=front) as client:
        peer = await client.post(
            "/peers", json={name: entry[name] for name in ("ip", "hostName", "port")}
        )
        assert peer.status_code == 201
        wish = {
            "rawUrl": entry["rawUrl"],
            "cid": entry["cid"],
            "path": entry["path"],
            "peerID": peer.json()["ID"],
            "filter": filters(entry),
            "headers": header_map(entry.get("headers", [])),
            "md5": entry.get("md5", ""),
            "identifier": entry.get("identifier", ""),
        }
        created = await client.post("/tasks", json=wish)
        task = TaskId(created.json()["ID"])
        node.size(task, entry["answer"]["fileLength"])
        seen = (await client.get(f"/tasks/{task}")).json()
    assert created.status_code == 201
    assert task == entry["answer"]["taskId"]
    assert seen["taskURL"] == asked_url(entry)
    assert seen["httpFileLength"] == entry["answer"]["fileLength"]
    assert seen["pieceSize"] == entry["answer"]["pieceSize"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file["url"])
def test_sizes_and_ranges(file: Recorded) -> None:
    length, size = file["httpFileLength"], file["pieceSize"]
    assert framed_length(length, size) == file["fileLength"]
    assert piece_count(length, size) == len(file["pieces"])
    for piece in file["pieces"]:
        number, digest = piece["number"], PieceDigest(piece["pieceMd5"])
        assert piece_range(number, size) == piece["range"]
        assert parse_piece_range(piece["range"], size) == number
        framed = framed_piece_length(number, length, size)
        assert framed == digest_length(digest) == piece["bodyLength"]
        assert frame_header(framed - 5, size).hex() == piece["first4"]
        assert TRAILER.hex() == piece["last"]


@pytest.mark.parametrize(
    "file", [file for file in FILES if "contentHex" in file], ids=lambda file: file["url"]
)
def test_digests(file: Recorded) -> None:
    content = bytes.fromhex(file["contentHex"])
    framed = frame_header(len(content), file["pieceSize"]) + content + TRAILER
    assert [digest_of(framed)] == [piece["pieceMd5"] for piece in file["pieces"]]


@through_both
@pytest.mark.parametrize("file", FILES, ids=lambda file: file["url"])
async def test_pieces_of_the_seed(autojump_clock: MockClock, file: Recorded, front: bool) -> None:
    """What ``/peer/task`` said of a piece is what our answer to a pull says."""
    node = InProcess()
    task = TaskId(file["taskId"])
    wish = {"rawURL": file["url"], "cID": "c"}
    if file["scenario"] == "s08":
        wish["md5"] = file["md5"]
    async with node.browse(front=front) as client:
        assert (await client.post("/tasks", json=wish)).json() == {"ID": task}
        node.size(task, file["httpFileLength"])
        for piece in file["pieces"]:
            node.cache_piece(task, piece["number"], PieceDigest(piece["pieceMd5"]))
        sized = (await client.post("/tasks", json=wish)).json()
        pieces: list[Recorded] = []
        while len(pieces) < len(file["pieces"]):
            reports = [{"pieceRange": p["pieceRange"], "pieceResult": "SUCCESS"} for p in pieces]
            answer = await client.request(
                "GET", f"/tasks/{task}/pieces?clientID=c", json={"reports": reports}
            )
            pieces += answer.json()
            assert answer.json()
    assert sized == {"ID": task, "fileLength": file["fileLength"], "pieceSize": file["pieceSize"]}
    pieces.sort(key=lambda piece: int(piece["pieceRange"].partition("-")[0]))
    for ours, theirs in zip(pieces, file["pieces"], strict=True):
        assert ours["pieceRange"] == theirs["range"]
        assert ours["pieceMD5"] == theirs["pieceMd5"]
        assert ours["pieceSize"] == file["pieceSize"]
        assert ours["path"] == file["path"] == download_path(task)
        assert ours["pID"] == seed_id(SEED.ip, task)
    assert file["cid"] == seed_id("127.0.0.1", task)


class Answer:
    """Collects one HTTP answer, as httptools parses it."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode().lower()] = value.decode()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True


@pytest.mark.parametrize("file", FILES, ids=lambda file: file["url"])
async def test_pieces_as_they_are_served(tmp_path: Path, file: Recorded) -> None:
    """dfget's requests to the download port, answered with as many bytes, framed alike."""
    store = PieceStore(tmp_path)
    task = TaskId(file["taskId"])
    content = bytes.fromhex(file.get("contentHex", "00" * content_size(file["pieceSize"])))
    with trio.fail_after(10):
        stored = await store.create(task, file["pieceSize"])
        stored.end_known(file["fileLength"])
        for piece in file["pieces"]:
            await stored.write(piece["number"], [content[: piece["bodyLength"] - 5]])
            stored.seal(piece["number"], piece["bodyLength"])
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = DataPort(
            [listener],
            store.find,
            max_connections=4,
            stall_timeout=5,
            idle_timeout=5,
            drain_timeout=5,
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(port.run)
            async with await open_stream_to_socket_listener(listener) as stream:
                for piece in file["pieces"]:
                    head = (
                        f"GET {file['path']} HTTP/1.1\r\nHost: 127.0.0.1:8001\r\n"
                        f"User-Agent: dfget/1.0.6\r\nPiecenum: {piece['number']}\r\n"
                        f"Piecesize: {file['pieceSize']}\r\nRange: {piece['askedFor']}\r\n\r\n"
                    )
                    await stream.send_all(head.encode())
                    answer = Answer()
                    parser = httptools.HttpResponseParser(answer)
                    while not answer.complete:
                        parser.feed_data(await stream.receive_some())
                    assert parser.get_status_code() == 206
                    # After the slash stands how long the file was by then, at v1 while it grew.
                    served, _, total = answer.headers["content-range"].partition("/")
                    assert served == piece["contentRange"].partition("/")[0]
                    assert int(total) == file["fileLength"]
                    assert answer.headers["content-length"] == str(piece["bodyLength"])
                    assert answer.body[:4].hex() == piece["first4"]
                    assert answer.body[-1:].hex() == piece["last"]
                    if "contentHex" in file:
                        assert digest_of(answer.body) == piece["pieceMd5"]
            port.shut()


@through_both
@pytest.mark.parametrize("entry", recorded("peers.json"), ids=lambda entry: entry["body"])
async def test_peers(autojump_clock: MockClock, entry: Recorded, front: bool) -> None:
    """v1 takes the same bodies; what it calls 500 is the specification's 400."""
    async with InProcess().browse(front=front) as client:
        answer = await client.post("/peers", content=entry["body"])
    nameless = '"hostName":""' in entry["body"]  # which v1 takes, and nobody could tell apart
    if entry["status"] == 201 and not nameless:
        assert answer.status_code == 201
        assert answer.json().keys() == entry["answer"].keys()
    else:
        assert answer.status_code == 400
        assert answer.json().keys() == {"code", "message"}
