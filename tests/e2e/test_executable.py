"""dist/supernode, as ``packaging/build`` makes it from this checkout, with no Python in sight."""

import functools
import hashlib
import json
import os
import select
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import tomllib
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trio
import trustme

from supernode.demo.processes import end_uploaders
from tests.e2e import neighbours
from tests.e2e.neighbours import MIB, Origin, daemon

ROOT = Path(__file__).parents[2]
TOOLS = ("bash", "sh", "grep", "sleep", "rm")
"""What these tests and the demo's guard start; nothing else can be found."""
ACTIVATE = shutil.which("systemd-socket-activate") or "systemd-socket-activate"
"""Found before only the tools are."""
SECONDS = 60
GRACE = 10.0


@pytest.fixture(scope="session")
def commit() -> str:
    """What is checked out."""
    command = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    return subprocess.check_output(command, text=True).strip()


@pytest.fixture(autouse=True)
def unpacked(
    commit: str, executable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """See to it that no Python is found; yield the folder where the executable unpacks itself."""
    tools, unpacked = tmp_path / "tools", tmp_path / "unpacked"
    tools.mkdir()
    unpacked.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found
        (tools / tool).symlink_to(found)
    for name in list(os.environ):
        if name.startswith(("PYTHON", "LD_", "VIRTUAL_ENV")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", str(tools))
    monkeypatch.setenv("TMPDIR", str(unpacked))
    monkeypatch.setattr(neighbours, "SUPERNODE", [executable])
    yield unpacked
    trio.run(end_uploaders, tmp_path, GRACE)


@contextmanager
def tls_origin(directory: Path) -> Iterator[tuple[str, Path]]:
    """Serve ``directory`` over TLS; yield the URL, and a file with the authority to trust."""
    authority, trusted = trustme.CA(), directory / "authority.pem"
    authority.cert_pem.write_to_path(trusted)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    handler = functools.partial(SimpleHTTPRequestHandler, directory=directory)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.server_port}", trusted
        finally:
            server.shutdown()
            thread.join()


@dataclass
class Server:
    """A running ``supernode serve``, leader of a process group of its own."""

    process: subprocess.Popen[bytes]
    control: int
    data: int

    @property
    def child(self) -> int:
        """The process that serves; the first one only unpacked it."""
        pid = self.process.pid
        (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(child)

    def path_of(self, url: str) -> str:
        """Return the path of a file on the data port."""
        asked = json.dumps({"rawURL": url, "cID": "test"}).encode()
        place = f"http://127.0.0.1:{self.control}/tasks"
        with urllib.request.urlopen(place, asked, timeout=SECONDS) as answer:
            task = json.load(answer)["ID"]
        return f"/download/{task[:3]}/{task}"


@pytest.fixture
def server(executable: str, tmp_path: Path) -> Iterator[Server]:
    """A supernode as a shell starts it."""
    command = [executable, "serve", "--host=127.0.0.1", "--port=0", "--data-port=0"]
    with socket.socket() as free:  # 0 would mean that another program serves the pieces
        free.bind(("127.0.0.1", 0))
        command[-1] = f"--data-port={free.getsockname()[1]}"
    command += ["--advertise-ip=127.0.0.1", "--allow-origin=127.0.0.0/8"]
    command += [f"--state-dir={tmp_path / 'state'}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True) as process:
        assert process.stderr is not None
        try:
            said = (json.loads(line) for line in process.stderr)
            ports = next(line for line in said if line["event"] == "serving")
            yield Server(process, ports["control_port"], ports["data_port"])
        finally:
            if process.poll() is None:
                process.terminate()


def dfget(executable: str, port: int, url: str, directory: Path) -> dict[str, int]:
    """Download to ``directory/file``, with a home of its own; return the bytes by who gave them."""
    directory.mkdir()
    command = [executable, "dfget", f"--node=127.0.0.1:{port}", f"--url={url}", "--notbs"]
    command += [f"--output={directory / 'file'}", f"--home={directory / 'home'}"]
    ended = subprocess.run(
        [*command, "--ip=127.0.0.1", "--json"], check=True, capture_output=True, timeout=SECONDS
    )
    last = json.loads(ended.stdout.splitlines()[-1])
    assert last["ok"]
    received: dict[str, int] = last["bytes"]
    return received


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_it_tells_its_version_and_commit(executable: str, commit: str) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    said = subprocess.check_output([executable, "version"], text=True).strip()
    assert said in (f"{version} {commit}", f"{version} {commit}-dirty")


def test_a_swarm_gets_a_file_from_an_origin_with_tls(
    executable: str, unpacked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, homes = tmp_path / "files", tmp_path / "peers"
    files.mkdir()
    homes.mkdir()
    size = 10 * MIB + 17
    (files / "file").write_bytes(os.urandom(size))
    with tls_origin(files) as (origin, trusted):
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        with daemon(tmp_path / "state") as node:
            url = f"{origin}/file"
            first = dfget(executable, node.control, url, homes / "first")
            # Its uploader has outlived it.
            second = dfget(executable, node.control, url, homes / "second")
            # The supernode and two uploaders: none needs what somebody else will remove.
            assert len(list(unpacked.iterdir())) == 3
            trio.run(end_uploaders, homes, GRACE)
            assert node.stop() == 0
    assert first == {"seed": size, "peers": 0, "origin": 0}
    assert second == {"seed": 0, "peers": size, "origin": 0}
    assert sha256(homes / "first/file") == sha256(homes / "second/file") == sha256(files / "file")
    assert list(unpacked.iterdir()) == []


def test_it_serves_the_console(server: Server) -> None:
    files = ROOT / "supernode/api/console/files"
    served = {path.relative_to(files).as_posix(): path for path in files.rglob("*.*")}
    served[""] = served.pop("index.html")
    for name, path in served.items():
        url = f"http://127.0.0.1:{server.control}/console/{name}".rstrip("/")
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:
            assert answer.read() == path.read_bytes(), name


def test_of_this_machine_it_needs_the_c_library_only(server: Server, unpacked: Path) -> None:
    lines = Path(f"/proc/{server.child}/maps").read_text().splitlines()
    libraries = {Path(line.split(maxsplit=5)[-1]) for line in lines if ".so" in line}
    own = {path for path in libraries if path.is_relative_to(unpacked)}
    assert own
    names = {path.name.partition(".")[0] for path in libraries - own}
    assert names <= {"ld-linux-x86-64", "ld-linux-aarch64", "libc", "libm", "libdl", "libpthread"}


@pytest.mark.parametrize("interrupted", [False, True], ids=["SIGTERM", "Ctrl-C"])
def test_told_to_stop_it_finishes_what_is_under_way(
    executable: str, server: Server, origin: Origin, tmp_path: Path, interrupted: bool
) -> None:
    url = origin.file("f", 40 * MIB)
    dfget(executable, server.control, url, tmp_path / "peer")
    with socket.create_connection(("127.0.0.1", server.data), SECONDS) as connection:
        request = f"GET {server.path_of(url)} HTTP/1.1\r\nHost: x\r\n\r\n"
        connection.sendall(request.encode())
        received = len(connection.recv(1000))
        if interrupted:
            # The terminal tells the whole group. The first process is to be so late in passing it
            # on that the second would take that for another Ctrl-C, had it heard of this one.
            server.process.send_signal(signal.SIGSTOP)
            os.killpg(server.process.pid, signal.SIGINT)
            while received < 20 * MIB:
                received += len(connection.recv(1 << 16))
            server.process.send_signal(signal.SIGCONT)
        else:
            server.process.terminate()
        while chunk := connection.recv(1 << 16):
            received += len(chunk)
    assert received > 40 * MIB
    assert server.process.wait(SECONDS) == 0


def test_it_does_not_serve_on_when_its_first_process_is_killed(server: Server) -> None:
    child = os.pidfd_open(server.child)
    try:
        server.process.kill()
        ended, _, _ = select.select([child], [], [], SECONDS)
        if not ended:
            signal.pidfd_send_signal(child, signal.SIGKILL)
    finally:
        os.close(child)
    assert ended


def test_it_serves_on_the_sockets_that_a_manager_holds(executable: str, tmp_path: Path) -> None:
    with socket.socket() as control, socket.socket() as data:
        control.bind(("127.0.0.1", 0))
        data.bind(("127.0.0.1", 0))
        ports = control.getsockname()[1], data.getsockname()[1]
    # It starts the program with the first connection, and under its own process ID.
    command = [ACTIVATE, *(f"--listen=127.0.0.1:{port}" for port in ports)]
    command += ["--fdname=control:data", executable, "serve", f"--state-dir={tmp_path / 'state'}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as manager:
        assert manager.stderr is not None
        try:
            listening = [manager.stderr.readline() for _ in ports]
            assert all(b"Listening on 127.0.0.1" in line for line in listening)
            ping = f"http://127.0.0.1:{ports[0]}/_ping"
            with urllib.request.urlopen(ping, timeout=SECONDS) as answer:
                assert answer.status == 200
            said = (json.loads(line) for line in manager.stderr if line.startswith(b"{"))
            serving = next(line for line in said if line["event"] == "serving")
            assert (serving["control_port"], serving["data_port"]) == ports
        finally:
            manager.terminate()
        assert manager.wait(SECONDS) == 0


def test_aborted_by_a_watchdog_it_says_where_it_was(server: Server) -> None:
    server.process.send_signal(signal.SIGABRT)
    assert server.process.stderr is not None
    said = server.process.stderr.read()
    assert b"Fatal Python error: Aborted" in said
    assert b"daemon.py" in said or b"_run.py" in said
    assert server.process.wait(SECONDS) != 0


def test_its_demo_passes_and_leaves_nothing(executable: str, unpacked: Path) -> None:
    command = [executable, "demo", "--peers=3", "--size=20MiB", "--json"]
    ended = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["ok"] is True
    assert list(unpacked.iterdir()) == []
