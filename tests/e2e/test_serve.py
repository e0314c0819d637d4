"""``supernode serve`` as an operator runs it: sockets, signals, exit statuses."""

import http.client
import json
import socket
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest

from supernode.journal.journal import Journal
from supernode.journal.schema import MIGRATIONS
from tests.e2e.neighbours import SUPERNODE, Daemon, Origin, daemon, listening_socket
from tests.faults import Group, Seen, StaysDown, fault


def request(
    node: Daemon, method: str, path: str, body: object = None, **headers: str
) -> tuple[int, object]:
    """Return status and JSON of one request to the control port."""
    connection = http.client.HTTPConnection("127.0.0.1", node.control, timeout=20)
    connection.request(method, path, json.dumps(body) if body else None, headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, json.loads(text) if text else None


def create_task(node: Daemon, url: str, client: str = "c1") -> str:
    """Register a download; return the task's ID once the origin has answered."""
    asked = {"rawURL": url, "cID": client}
    status, created = request(node, "POST", "/tasks", asked, Prefer="wait=10")
    assert status == 201
    assert isinstance(created, dict)
    return str(created["ID"])


def test_sigterm_drains_and_exits_with_0(supernode: Daemon) -> None:
    assert request(supernode, "GET", "/_ping", Accept="application/json") == (200, "OK")
    assert supernode.stop() == 0


def test_a_transfer_in_flight_is_finished_before_the_end(supernode: Daemon, origin: Origin) -> None:
    task = create_task(supernode, origin.file("f", 40 << 20))
    status, _ = request(supernode, "GET", f"/tasks/{task}/pieces?clientID=c1", Prefer="wait=10")
    assert status == 200
    while supernode.get(f"/tasks/{task}")["cdnStatus"] != "SUCCESS":  # type: ignore[index]
        request(supernode, "GET", f"/tasks/{task}/pieces?clientID=c1&num=1", Prefer="wait=1")
    with socket.create_connection(("127.0.0.1", supernode.data), 10) as connection:
        connection.sendall(f"GET /download/{task[:3]}/{task} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        received = len(connection.recv(1000))
        supernode.process.terminate()
        while chunk := connection.recv(1 << 16):
            received += len(chunk)
    assert received > 40 << 20
    assert supernode.process.wait(20) == 0


def test_sockets_held_by_a_parent_outlive_the_process(tmp_path: Path) -> None:
    with daemon(tmp_path / "state") as node:
        assert request(node, "GET", "/_ping", Accept="application/json") == (200, "OK")
        assert node.stop() == 0
        socket.create_connection(("127.0.0.1", node.control), 5).close()
        socket.create_connection(("127.0.0.1", node.data), 5).close()


def test_it_opens_its_own_ports(tmp_path: Path, origin: Origin) -> None:
    with listening_socket() as control, listening_socket() as data:
        ports = control.getsockname()[1], data.getsockname()[1]
    command = [*SUPERNODE, "serve", "--host", "127.0.0.1", "--port", str(ports[0])]
    command += ["--data-port", str(ports[1]), "--state-dir", str(tmp_path / "state")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        started = json.loads(process.stderr.readline())
        assert (started["control_port"], started["data_port"]) == ports
        process.terminate()
        assert process.wait(20) == 0


def test_an_inherited_socket_must_have_a_name(tmp_path: Path) -> None:
    with listening_socket() as passed:
        command = f'exec 3<&{passed.fileno()}; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
        ended = subprocess.run(
            ["bash", "-c", command, "bash", *SUPERNODE, "serve", "--state-dir", str(tmp_path)],
            pass_fds=(passed.fileno(),),
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    assert ended.returncode == 78
    assert "not control or data" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--port", "{taken}"], 69, "in use"),
        (["--allow-origin", "10.0.0.0/99"], 78, "--allow-origin: '10.0.0.0/99'"),
        (["--data-port", "0"], 78, "--advertise-data-port"),
        (["--port", "eight"], 2, "--port"),
        (["--advertise-ip", "here"], 78, "--advertise-ip"),
    ],
)
def test_what_cannot_be_served_is_said_at_once(
    tmp_path: Path, arguments: list[str], status: int, message: str
) -> None:
    with listening_socket() as taken:
        port = str(taken.getsockname()[1])
        command = [*SUPERNODE, "serve", "--host", "127.0.0.1", "--state-dir", str(tmp_path)]
        command += [argument.replace("{taken}", port) for argument in arguments]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == status
    assert message in ended.stderr


def down(group: Group, what: str, says: str) -> pytest.MarkDecorator:
    return fault(group, what, StaysDown(status=69, says=f"supernode: {says}"))


@contextmanager
def of_a_newer_supernode(state: Path) -> Iterator[None]:
    Journal(state / "supernode.db").close()
    with closing(sqlite3.connect(state / "supernode.db")) as connection:
        connection.execute("PRAGMA user_version = 99")
    yield


@contextmanager
def in_use(state: Path) -> Iterator[None]:
    with closing(Journal(state / "supernode.db")):
        yield


@contextmanager
def not_a_file(state: Path) -> Iterator[None]:
    (state / "supernode.db").mkdir()
    yield


@contextmanager
def no_directory(state: Path) -> Iterator[None]:
    (state / "repo").write_text("a file where the directory should be")
    yield


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(
            of_a_newer_supernode,
            marks=down(
                Group.JOURNAL,
                "was written by a newer supernode",
                f"…/supernode.db: it has version 99, and {len(MIGRATIONS)} is the newest known",
            ),
        ),
        pytest.param(
            in_use,
            marks=down(
                Group.JOURNAL, "is another process's", "…/supernode.db is in use by another process"
            ),
        ),
        pytest.param(
            not_a_file,
            marks=down(Group.JOURNAL, "cannot be opened", "…/supernode.db: Is a directory"),
        ),
        pytest.param(
            no_directory,
            marks=down(
                Group.DISK,
                "the directory of the cache cannot be made",
                "[Errno 17] File exists: '…/repo'",
            ),
        ),
    ],
)
def test_a_state_that_cannot_be_used_is_said_at_once(
    tmp_path: Path, seen: Seen, trouble: Callable[[Path], AbstractContextManager[None]]
) -> None:
    command = [*SUPERNODE, "serve", "--host", "127.0.0.1", "--state-dir", str(tmp_path)]
    command += ["--port", "0", "--data-port", "0", "--advertise-data-port", "8001"]
    with trouble(tmp_path):
        ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    *_, said = ended.stderr.splitlines()
    assert str(tmp_path) in said
    seen(StaysDown(ended.returncode, said.replace(str(tmp_path), "…")))


def test_loopback_origins_are_denied_unless_allowed(tmp_path: Path, origin: Origin) -> None:
    url = origin.file("secret", 1000)
    with daemon(tmp_path / "state", "--deny-origin", "127.0.0.1/32") as node:
        task = create_task(node, url)
        status, answer = request(node, "GET", f"/tasks/{task}/pieces?clientID=c1")
    assert status == 403
    assert isinstance(answer, dict)
    assert answer["reason"] == "url_forbidden"
    assert origin.bytes_sent() == 0
