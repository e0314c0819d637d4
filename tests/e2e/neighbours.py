"""The installed program against real neighbours: a daemon, an nginx as origin, on loopback."""

import hashlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

SUPERNODE = [sys.executable, "-m", "supernode"]
MIB = 1 << 20


def listening_socket() -> socket.socket:
    """Return a socket that listens on a free loopback port."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    listener.listen(256)
    return listener


@dataclass
class Daemon:
    """A running ``supernode serve``, on sockets that its parent holds."""

    process: subprocess.Popen[bytes]
    control: int
    data: int
    log: Path

    @property
    def node(self) -> str:
        """``host:port`` as dfget takes it."""
        return f"127.0.0.1:{self.control}"

    def get(self, path: str) -> object:
        """Return the JSON answer to a GET."""
        with urllib.request.urlopen(f"http://{self.node}{path}", timeout=10) as answer:
            return json.load(answer)

    def stop(self) -> int:
        """Send SIGTERM and return the exit status."""
        self.process.terminate()
        return self.process.wait(20)


@contextmanager
def daemon(directory: Path, *arguments: str) -> Iterator[Daemon]:
    """Run ``supernode serve`` with its state in ``directory``, until the context ends."""
    control, data = listening_socket(), listening_socket()
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / "log"
    with control, data, log.open("wb") as stderr:
        # The sockets come as systemd passes them: from descriptor 3 on, for this very process.
        command = (
            f"exec 3<&{control.fileno()} 4<&{data.fileno()}; LISTEN_PID=$$ LISTEN_FDS=2 "
            'LISTEN_FDNAMES=control:data exec "$@"'
        )
        process = subprocess.Popen(
            [
                *("bash", "-c", command, "bash", *SUPERNODE, "serve"),
                *("--state-dir", str(directory), "--advertise-ip", "127.0.0.1"),
                *("--allow-origin", "127.0.0.0/8", *arguments),
            ],
            pass_fds=(control.fileno(), data.fileno()),
            stderr=stderr,
        )
        running = Daemon(process, control.getsockname()[1], data.getsockname()[1], log)
        try:
            yield running
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(10)


@dataclass
class Origin:
    """A real nginx serving files, and its own account of the bytes it sent."""

    port: int
    root: Path
    access_log: Path
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


NGINX = """
worker_processes 1; daemon off; pid {dir}/nginx.pid; error_log {dir}/error.log;
events {{ worker_connections 256; }}
http {{
  log_format bytes "$body_bytes_sent"; access_log {dir}/access.log bytes;
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
    # The workers must be able to read what the tests, often root, write.
    user = ["-g", "user root;"] if os.geteuid() == 0 else []
    process = subprocess.Popen(
        [program, "-c", str(config), "-e", str(directory / "error.log"), *user]
    )
    try:
        wait_for_port(port)
        yield Origin(port, directory / "files", directory / "access.log")
    finally:
        process.terminate()
        process.wait(10)


def wait_for_port(port: int) -> None:
    """Return when something listens; fail after 10 s."""
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 0.05).close()
        except OSError:
            # A refused connect returns at once: give the server's start some time.
            subprocess.run(["sleep", "0.05"], check=True)
        else:
            return
    raise TimeoutError(f"nothing listens on port {port}")
