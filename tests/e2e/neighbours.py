"""The installed program against real neighbours: a daemon, an nginx as origin, on loopback."""

import hashlib
import json
import os
import random
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

SUPERNODE = [sys.executable, "-m", "supernode"]
MIB = 1 << 20


def listening_socket() -> socket.socket:
    """Return a socket that listens on a free loopback port."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    listener.listen(256)
    return listener


class Daemon:
    """A ``supernode serve`` on sockets that its parent holds, so that they outlive the process.

    Neither the configuration of this machine nor that of its user has a say.

    Args:
        directory: for its state and its log.
        arguments: further ones of ``serve``.
        control: the control port's socket; if it is closed, the daemon opens that port itself.
        data: the data port's; likewise.
    """

    process: subprocess.Popen[bytes]

    def __init__(
        self,
        directory: Path,
        arguments: Sequence[str],
        control: socket.socket,
        data: socket.socket,
    ) -> None:
        self.directory = directory
        self.log = directory / "log"
        self.control: int = control.getsockname()[1]
        self.data: int = data.getsockname()[1]
        self._sockets = control, data
        self._arguments = arguments

    @property
    def node(self) -> str:
        """``host:port`` as dfget takes it."""
        return f"127.0.0.1:{self.control}"

    def get(self, path: str) -> object:
        """Return the JSON answer to a GET."""
        with urllib.request.urlopen(f"http://{self.node}{path}", timeout=10) as answer:
            return json.load(answer)

    def start(self) -> None:
        """Begin, or begin again. Who connects meanwhile is answered when it serves.

        That is, if its sockets are held; else nobody is there before.
        """
        with self.log.open("ab") as stderr:
            self.process = subprocess.Popen(
                [
                    *(*self._launcher(), *SUPERNODE, "serve", "--config=/dev/null"),
                    *("--state-dir", str(self.directory), "--advertise-ip", "127.0.0.1"),
                    *("--allow-origin", "127.0.0.0/8", *self._ports(), *self._arguments),
                ],
                env={n: v for n, v in os.environ.items() if not n.startswith("SUPERNODE_")},
                pass_fds=self._descriptors(),
                stderr=stderr,
            )

    def _descriptors(self) -> list[int]:
        return [held.fileno() for held in self._sockets if held.fileno() >= 0]

    def _launcher(self) -> list[str]:
        """Return what comes before the command: sockets are passed as systemd does.

        From descriptor 3 on, for this very process.
        """
        if not self._descriptors():
            return []
        control, data = self._descriptors()
        command = (
            f"exec 3<&{control} 4<&{data}; LISTEN_PID=$$ LISTEN_FDS=2 "
            'LISTEN_FDNAMES=control:data exec "$@"'
        )
        return ["bash", "-c", command, "bash"]

    def _ports(self) -> list[str]:
        if self._descriptors():
            return []
        return ["--host=127.0.0.1", f"--port={self.control}", f"--data-port={self.data}"]

    def stop(self) -> int:
        """Send SIGTERM and return the exit status."""
        self.process.terminate()
        return self.process.wait(20)

    def kill(self) -> None:
        """Send SIGKILL and see it gone."""
        self.process.kill()
        self.process.wait(10)


@contextmanager
def daemon(directory: Path, *arguments: str, held: bool = True) -> Iterator[Daemon]:
    """Run ``supernode serve`` with its state in ``directory``, until the context ends.

    Its sockets outlive it if they are ``held``; otherwise it opens its own, on ports that are free.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with listening_socket() as control, listening_socket() as data:
        running = Daemon(directory, arguments, control, data)
        if not held:
            control.close()
            data.close()
        running.start()
        try:
            yield running
        finally:
            running.kill()


class Served(NamedTuple):
    """One request that the origin has answered, or as far as it came.

    Args:
        began: seconds since the epoch.
        target: path and query.
        first: offset of the first byte that was sent.
        size: how many bytes of content were sent.
        agent: who asked.
    """

    began: float
    target: str
    first: int
    size: int
    agent: str


@dataclass
class Origin:
    """A real nginx serving files, and its own account of the bytes it sent."""

    port: int
    root: Path
    access_log: Path
    requests_log: Path
    digests: dict[str, str] = field(default_factory=dict)

    def file(self, name: str, size: int) -> str:
        """Put ``size`` random bytes there; return the URL."""
        chance, sha256 = random.Random(name), hashlib.sha256()
        with (self.root / name).open("wb") as file:
            for start in range(0, size, MIB):
                block = chance.randbytes(min(MIB, size - start))
                sha256.update(block)
                file.write(block)
        self.digests[name] = sha256.hexdigest()
        return f"http://127.0.0.1:{self.port}/{name}"

    def bytes_sent(self) -> int:
        """Return how many bytes of content were sent in all."""
        return sum(int(line) for line in self.access_log.read_text().split())

    def served(self) -> list[Served]:
        """Return the requests that have ended, in the order they began."""
        served = []
        for line in self.requests_log.read_text().splitlines():
            ended, seconds, target, status, size, ranges, agent = shlex.split(line)
            first = re.match(r"bytes=(\d+)-", ranges if status == "206" else "")
            served.append(
                Served(
                    float(ended) - float(seconds),
                    target,
                    int(first[1]) if first else 0,
                    int(size),
                    agent,
                )
            )
        return sorted(served)


NGINX = """
worker_processes 1; daemon off; pid {dir}/nginx.pid; error_log {dir}/error.log;
events {{ worker_connections 256; }}
http {{
  log_format bytes "$body_bytes_sent"; access_log {dir}/access.log bytes;
  log_format requests '$msec $request_time $request_uri $status $body_bytes_sent '
                      '"$http_range" "$http_user_agent"';
  access_log {dir}/requests.log requests;
  client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3;
  uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
  server {{ listen 127.0.0.1:{port}; root {dir}/files; sendfile on;
    location /slow/ {{ alias {dir}/files/; limit_rate 8m; }}
  }}
}}
"""


@contextmanager
def nginx(directory: Path) -> Iterator[Origin]:
    """An nginx; below ``/slow/`` it sends 8 MiB/s."""
    program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    assert program, "nginx is missing: ./packaging/test installs it"
    (directory / "files").mkdir(parents=True)
    with listening_socket() as free:
        port = free.getsockname()[1]
    config = directory / "nginx.conf"
    config.write_text(NGINX.format(dir=directory, port=port))
    (directory / "access.log").touch()
    (directory / "requests.log").touch()
    # The workers must be able to read what the tests, often root, write.
    user = ["-g", "user root;"] if os.geteuid() == 0 else []
    process = subprocess.Popen(
        [program, "-c", str(config), "-e", str(directory / "error.log"), *user]
    )
    try:
        until(partial(listens, port))
        logs = directory / "access.log", directory / "requests.log"
        yield Origin(port, directory / "files", *logs)
    finally:
        process.terminate()
        process.wait(10)


def listens(port: int) -> bool:
    """Tell whether somebody listens on a loopback port."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def until(holds: Callable[[], bool]) -> None:
    """Return when something holds; fail after 20 s."""
    deadline = time.monotonic() + 20
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError("it does not come true")
        threading.Event().wait(0.05)
