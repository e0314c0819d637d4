"""The supernode as an operator lives with it: restarts, preheats, a full disk, HTTPS, the feed."""

import hashlib
import json
import os
import re
import sqlite3
import subprocess
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path

import pytest
import trio
import trustme
from trio_websocket import WebSocketConnection, open_websocket_url

from supernode.core.pieces import content_size
from supernode.demo.processes import end_uploaders
from tests.e2e.neighbours import MIB, SUPERNODE, Daemon, Origin, daemon, nginx, until

DEADLINE = 60
GRACE = 10.0
SEQ = "Supernode-Seq"
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")

Message = dict[str, object]


@pytest.fixture(autouse=True)
def no_uploader_stays(tmp_path: Path) -> Iterator[None]:
    """See to it that none outlives a test that failed; else it leaves with its download."""
    yield
    trio.run(end_uploaders, tmp_path, GRACE)


def dfget(
    node: str, url: str, directory: Path, *arguments: str, authority: Path | None = None
) -> str:
    """Download from the swarm alone, by a peer that has nothing yet; return the file's SHA-256.

    Args:
        node: where the supernode is.
        url: of what.
        directory: for the peer's home; must not exist.
        arguments: further options.
        authority: whom the peer trusts to vouch for supernodes.
    """
    output = directory / "output"
    directory.mkdir()
    ended = subprocess.run(
        [
            *(*SUPERNODE, "dfget", f"--node={node}", f"--url={url}", f"--output={output}"),
            *(f"--home={directory / 'home'}", "--ip=127.0.0.1", "--json"),
            *("--notbs", "--alivetime=0s", *arguments),
        ],
        env=os.environ | ({"SSL_CERT_FILE": str(authority)} if authority else {}),
        capture_output=True,
        timeout=DEADLINE,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout.splitlines()[-1:] + ended.stderr.splitlines()[-1:]
    return hashlib.sha256(output.read_bytes()).hexdigest()


def ask(node: Daemon, method: str, path: str, body: object = None) -> tuple[int, Message]:
    """Return status and JSON of one request."""
    request = urllib.request.Request(
        f"http://{node.node}{path}", json.dumps(body).encode() if body else None, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.loads(answer.read() or b"{}")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def tasks(node: Daemon) -> tuple[int, list[Message]]:
    """Return all tasks, and the number of the last event they are true at."""
    with urllib.request.urlopen(f"http://{node.node}/tasks?pageSize=100", timeout=20) as answer:
        return int(answer.headers[SEQ]), json.load(answer)


def only_task(node: Daemon) -> Message:
    _, (task,) = tasks(node)
    return task


def is_known(node: Daemon, task: str) -> bool:
    status, _ = ask(node, "GET", f"/tasks/{task}")
    return status == 200


def cached(node: Daemon, task: str) -> Path:
    """Where the pieces lie."""
    return node.directory / "repo/download" / task[:3] / task


def sidecar(node: Daemon, task: str, suffix: str) -> Path:
    return cached(node, task).with_name(task + suffix)


def is_noted(node: Daemon, task: str) -> bool:
    """Tell whether the next process will know that the file is complete."""
    return sidecar(node, task, ".md5").exists()  # the last to be written


def files(directory: Path) -> dict[str, str]:
    """Return the content of every file below a directory, by its path from there."""
    return {
        str(path.relative_to(directory)): path.read_bytes().decode("latin-1")
        for path in directory.rglob("*")
        if path.is_file()
    }


# what is cached


@pytest.mark.parametrize("end", [Daemon.stop, Daemon.kill], ids=["SIGTERM", "SIGKILL"])
def test_a_cached_file_is_served_after_a_restart_without_the_origin(
    supernode: Daemon, origin: Origin, tmp_path: Path, end: Callable[[Daemon], object]
) -> None:
    url = origin.file("f", 12 * MIB)
    assert dfget(supernode.node, url, tmp_path / "before") == origin.digests["f"]
    before = only_task(supernode)
    until(lambda: is_noted(supernode, str(before["ID"])))
    end(supernode)
    supernode.start()
    after = only_task(supernode)
    assert after["cdnStatus"] == "SUCCESS"
    assert after["sha256"] == before["sha256"] == origin.digests["f"]
    assert after["ID"] == before["ID"]
    assert dfget(supernode.node, url, tmp_path / "after") == origin.digests["f"]
    assert origin.bytes_sent() == 12 * MIB
    assert supernode.stop() == 0


def test_a_file_that_was_altered_meanwhile_is_fetched_again(
    supernode: Daemon, origin: Origin, tmp_path: Path
) -> None:
    url = origin.file("f", 12 * MIB)
    dfget(supernode.node, url, tmp_path / "before")
    task = str(only_task(supernode)["ID"])
    until(lambda: is_noted(supernode, task))
    assert supernode.stop() == 0
    with cached(supernode, task).open("r+b") as file:
        file.seek(6 * MIB)
        (byte,) = file.read(1)
        file.seek(6 * MIB)
        file.write(bytes([byte ^ 1]))
    # In the boot that has written it, it would be trusted.
    with closing(sqlite3.connect(supernode.directory / "supernode.db")) as journal, journal:
        journal.execute("UPDATE tasks SET boot = 'another one'")
    supernode.start()
    assert dfget(supernode.node, url, tmp_path / "after") == origin.digests["f"]
    assert origin.bytes_sent() == 12 * MIB + content_size(4 * MIB), "the piece that was altered"


def test_a_deleted_file_leaves_the_disk_and_can_be_had_again(
    supernode: Daemon, origin: Origin, tmp_path: Path
) -> None:
    url = origin.file("f", 8 * MIB)
    dfget(supernode.node, url, tmp_path / "before")
    task = str(only_task(supernode)["ID"])
    assert cached(supernode, task).stat().st_size > 8 * MIB
    assert ask(supernode, "DELETE", f"/tasks/{task}") == (204, {})
    status, answer = ask(supernode, "GET", f"/tasks/{task}")
    assert (status, answer["reason"]) == (404, "task_deleted")
    until(lambda: not list((supernode.directory / "repo").rglob(f"{task}*")))
    assert dfget(supernode.node, url, tmp_path / "after") == origin.digests["f"]
    assert origin.bytes_sent() == 2 * 8 * MIB


def test_a_preheated_file_needs_no_origin_any_more(supernode: Daemon, tmp_path: Path) -> None:
    with nginx(tmp_path / "origin") as origin:
        url = origin.file("f", 12 * MIB)
        asked = {"type": "file", "url": url}
        status, created = ask(supernode, "POST", "/preheats", asked)
        assert status == 200
        place = f"/preheats/{created['ID']}"
        until(lambda: ask(supernode, "GET", place)[1]["status"] not in ("WAITING", "RUNNING"))
        status, preheat = ask(supernode, "GET", place)
        assert (status, preheat["status"], preheat["url"]) == (200, "SUCCESS", url)
        assert preheat["startTime"] <= preheat["finishTime"]  # type: ignore[operator]  # texts
    assert dfget(supernode.node, url, tmp_path / "peer") == origin.digests["f"]
    assert origin.bytes_sent() == 12 * MIB


def test_a_full_disk_loses_what_was_not_used_for_longest_and_is_not_in_use(
    origin: Origin, tmp_path: Path
) -> None:
    config = tmp_path / "supernode.toml"
    config.write_text('[disk]\nhigh = "28MiB"\nlow = "25MiB"\n')  # four files are one too many
    held, used, unused, new = (origin.file(f"file{n}", 8 * MIB) for n in range(4))
    with daemon(tmp_path / "supernode", f"--config={config}") as node:
        # By a client that is still at it.
        ask(node, "POST", "/tasks", {"rawURL": held, "cID": "slow"})
        until(lambda: only_task(node)["cdnStatus"] == "SUCCESS")
        for number, url in enumerate((used, unused, used)):
            dfget(node.node, url, tmp_path / str(number))
        ids = {task["rawURL"]: str(task["ID"]) for task in tasks(node)[1]}
        assert all(cached(node, task).exists() for task in ids.values())
        assert dfget(node.node, new, tmp_path / "last") == origin.digests["file3"]
        until(lambda: not is_known(node, ids[unused]))
        until(lambda: not cached(node, ids[unused]).exists())
        assert ask(node, "GET", f"/tasks/{ids[unused]}")[1]["reason"] == "task_evicted"
        _, left = tasks(node)
        assert {task["rawURL"] for task in left} == {held, used, new}
        assert all(cached(node, str(task["ID"])).exists() for task in left)
    assert origin.bytes_sent() == 4 * 8 * MIB


# the control port


def test_over_https(origin: Origin, tmp_path: Path) -> None:
    authority, trusted = trustme.CA(), tmp_path / "authority.pem"
    certificate = authority.issue_cert("127.0.0.1")
    chain, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    authority.cert_pem.write_to_path(trusted)
    certificate.private_key_pem.write_to_path(key)
    for part in certificate.cert_chain_pems:
        part.write_to_path(chain, append=True)
    url = origin.file("f", 12 * MIB)
    with daemon(tmp_path / "node", f"--tls-cert={chain}", f"--tls-key={key}") as node:
        curl = ["curl", "-sS", "--max-time", "20", f"https://{node.node}/_ping"]
        assert subprocess.check_output([*curl, "--cacert", trusted]) == b"OK"
        said = dfget(f"https://{node.node}", url, tmp_path / "peer", authority=trusted)
        assert said == origin.digests["f"]
        assert node.stop() == 0
    assert origin.bytes_sent() == 12 * MIB


# what an operator sees


class Reader:
    """Somebody who reads along.

    Attributes:
        seen: every message so far.
    """

    def __init__(self, connection: WebSocketConnection) -> None:
        self.seen: list[Message] = []
        self._connection = connection

    async def read_until(self, holds: Callable[[Message], bool]) -> None:
        """Read up to a message of which something holds; it may have been read already."""
        while not any(map(holds, self.seen)):
            self.seen.append(json.loads(await self._connection.get_message()))

    def place(self, kind: str, *, last: bool = False) -> int:
        """Return where the first, or the last, message of a type stands."""
        places = [n for n, message in enumerate(self.seen) if message["type"] == kind]
        return places[-1 if last else 0]


@asynccontextmanager
async def reading(node: Daemon) -> AsyncGenerator[Reader]:
    async with open_websocket_url(f"ws://{node.node}/events") as connection:
        yield Reader(connection)


def has_left(message: Message) -> bool:
    """Tell whether it is the last that a peer lets hear of itself."""
    return message["type"] == "peer.left"


async def download(node: Daemon, url: str, directory: Path, *arguments: str) -> str:
    """See ``dfget``; meanwhile others can do something."""
    return await trio.to_thread.run_sync(partial(dfget, node.node, url, directory, *arguments))


async def test_the_feed_tells_a_download_from_beginning_to_end(
    supernode: Daemon, origin: Origin, tmp_path: Path
) -> None:
    with trio.fail_after(DEADLINE):
        async with reading(supernode) as reader:
            await download(supernode, origin.file("f", 12 * MIB), tmp_path / "peer")
            seq, (task,) = await trio.to_thread.run_sync(tasks, supernode)
            await reader.read_until(has_left)
            await reader.read_until(lambda message: message["seq"] == seq)
    seen = reader.seen
    first = int(str(seen[0]["seq"]))
    assert [message["seq"] for message in seen] == list(range(first, first + len(seen)))
    assert all(MOMENT.fullmatch(str(message["time"])) for message in seen)
    order = [
        *("peer.registered", "task.registered", "download.started", "task.started", "task.sized"),
        *("piece.cached", "piece.assigned", "piece.finished", "download.finished", "peer.left"),
    ]
    places = [reader.place(kind) for kind in order]
    assert places == sorted(places)
    assert reader.place("piece.finished", last=True) < reader.place("download.finished")
    assert reader.place("piece.cached", last=True) < reader.place("task.finished")
    # What was answered is what happened up to that event.
    assert seen[reader.place("task.finished")]["seq"] <= seq  # type: ignore[operator]  # a number
    assert task["cdnStatus"] == "SUCCESS"
    about = [message for message in seen if str(message["type"]).startswith(("task.", "piece."))]
    assert {message["task"] for message in about} == {task["ID"]}
    pieces = [message for message in seen if message["type"] == "piece.finished"]
    assert sum(int(str(message["bytes"])) for message in pieces) == 12 * MIB


async def test_what_was_told_in_confidence_is_told_to_the_origin_only(
    origin: Origin, tmp_path: Path
) -> None:
    url = origin.file("f", 5 * MIB)
    header, user, password = "header-value-5r9k", "user-name-8c2x", "pass-word-7q4m"
    secrets = header, user, password, b64encode(f"{user}:{password}".encode()).decode()
    private = url.replace("://", f"://{user}:{password}@")
    headers = {"Authorization": f"Bearer {header}"}
    with daemon(tmp_path / "node", "--log-level=debug") as node:
        with trio.fail_after(DEADLINE):
            async with reading(node) as reader:
                bearer = f"--header=Authorization: Bearer {header}"
                await download(node, url, tmp_path / "1", bearer)
                await download(node, f"{private}?2", tmp_path / "2")
                missing = {"rawURL": f"{private}/nothing", "cID": "3", "headers": headers}
                preheat = {"type": "file", "url": f"{private}?4", "headers": headers}
                assert ask(node, "POST", "/tasks", missing)[0] == 201
                assert ask(node, "POST", "/preheats", preheat)[0] == 200
                await reader.read_until(lambda message: message["type"] == "task.failed")
                await reader.read_until(lambda message: message["type"] == "preheat.finished")
                answers = {path: node.get(path) for path in ("/tasks?pageSize=9", "/preheats")}
        until(lambda: len(list(node.directory.rglob("*.md5"))) == 3)
        assert node.stop() == 0
    told = {"the feed": json.dumps(reader.seen), **files(tmp_path)}  # the peers' as well
    told |= {path: json.dumps(answer) for path, answer in answers.items()}
    assert "task.registered" in told["the feed"]
    assert "task.registered" in told["node/log"]
    assert '"Authorization": "***"' in told["/tasks?pageSize=9"]
    assert [(where, secret) for where in told for secret in secrets if secret in told[where]] == []


def test_the_log_tells_who_asked_for_what_in_which_request(
    supernode: Daemon, origin: Origin, tmp_path: Path
) -> None:
    dfget(supernode.node, origin.file("f", MIB), tmp_path / "peer")
    task = only_task(supernode)
    assert supernode.stop() == 0
    lines: list[Message] = [json.loads(line) for line in supernode.log.read_text().splitlines()]
    (registered,) = (line for line in lines if line["event"] == "task.registered")
    assert (registered["task"], registered["remote"]) == (task["ID"], "127.0.0.1")
    assert registered["request"]
    assert {"serving", "peer.registered", "task.finished", "stopped"} <= {
        str(line["event"]) for line in lines
    }
    assert all(line["task"] == task["ID"] for line in lines if "task" in line)
