"""Real peers among bad ones: every file is right, the bad are found out, the slandered are not."""

import json
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.e2e.machines import peers
from tests.e2e.neighbours import MIB, Daemon, Origin, daemon, until

PIECE = 4 * MIB


class Machine:
    """Somebody who talks to a supernode by hand, as a peer named ``name``."""

    def __init__(self, node: str, name: str, port: int) -> None:
        self._node = node
        self._name = name
        about = {"IP": "127.0.0.1", "hostName": name, "port": port}
        self.peer: str = self.ask("POST", "/peers", about)["ID"]

    def ask(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        request = urllib.request.Request(
            f"http://{self._node}{path}", json.dumps(body).encode(), method=method
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            said = answer.read()
            return json.loads(said) if said else None

    def join(self, url: str) -> str:
        """Ask for a file; return its task."""
        asked = {"rawURL": url, "cID": self._name, "peerID": self.peer, "path": "/peer/file/x"}
        return str(self.ask("POST", "/tasks", asked)["ID"])

    def offer(self, task: str) -> None:
        """Say that it has the whole file."""
        until(lambda: self.ask("GET", f"/tasks/{task}")["cdnStatus"] == "SUCCESS")
        self.ask("PUT", f"/tasks/{task}", {"peerID": self.peer})

    def slander(self, task: str) -> set[str]:
        """Say of everybody that it gave nothing; return of whom."""
        pieces = f"/tasks/{task}/pieces"
        given = self.ask("GET", f"{pieces}?clientID={self._name}&num=32", {})
        for piece in given:
            blame = {"clientID": self._name, "dstPID": piece["pID"], "pieceStatus": "FAILED"}
            self.ask("PUT", f"{pieces}/{piece['pieceRange']}", blame)
        return {piece["pID"] for piece in given}


class WrongBytes(BaseHTTPRequestHandler):
    """Serves pieces of the right length with the wrong content."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = bytes(PIECE)
        self.send_response(206)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def corrupt_uploader() -> Iterator[int]:
    """Serve wrong bytes on the port that is yielded."""
    with ThreadingHTTPServer(("127.0.0.1", 0), WrongBytes) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def logged(supernode: Daemon, event: str) -> list[dict[str, Any]]:
    """Return the events of a type as they are in the log."""
    lines = (json.loads(line) for line in supernode.log.read_text().splitlines())
    return [line for line in lines if line["event"] == event]


def test_two_of_ten_peers_are_bad(origin: Origin, tmp_path: Path) -> None:
    size = 8 * PIECE
    url = origin.file("f", size)
    with (
        daemon(tmp_path / "supernode", "--log-level", "debug") as supernode,
        corrupt_uploader() as port,
    ):
        corrupt = Machine(supernode.node, "corrupt", port)
        corrupt.offer(task := corrupt.join(url))
        with peers(tmp_path, url, supernode.node, 8, "--notbs") as honest:
            ends = [peer.finish() for peer in honest]
            assert all(end["ok"] for end in ends)
            assert all(peer.right(origin.digests["f"]) for peer in honest)
            until(lambda: bool(logged(supernode, "peer.quarantined")))
            slanderer = Machine(supernode.node, "slanderer", port)
            slanderer.join(url)
            slandered = slanderer.slander(task)
            assert slandered
            assert corrupt.peer not in slandered
            until(lambda: bool(logged(supernode, "peer.cleared")))
            (found,) = logged(supernode, "peer.quarantined")
            innocent = logged(supernode, "peer.cleared")[-1]
            shown = corrupt.ask("GET", f"/peers/{innocent['peer']}")
    assert origin.bytes_sent() == size
    assert any(end["bytes"]["peers"] for end in ends)  # type: ignore[index]
    assert (found["peer"], found["task"], found["finding"]) == (corrupt.peer, task, "wrong")
    assert found["seen"] != found["expected"]
    assert found["seen"].endswith(f":{PIECE}")
    assert (innocent["peer"] in slandered, innocent["client"]) == (True, "slanderer")
    assert "quarantinedUntil" not in shown
