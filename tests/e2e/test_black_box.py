"""What Dragonfly v1's own black-box tests assert of a supernode, in the set-up that they make.

There the harness itself owns the data port: a static file server with the supernode's ``repo`` as
its root, which is the origin, too. Test files are put into ``repo`` as soon as the control port
answers.
"""

import re
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.dfget_1_0.client import REGISTER_FAILED, Dfget, Release, WentToOrigin
from tests.e2e.neighbours import SUPERNODE, listening_socket, listens, until
from tests.integration.http_stub import StubAnswer, StubRequest, stub_on

RELEASES = ("1.0.0", "1.0.6")
NORMAL = b"hello Dragonfly"


class Harness:
    """A supernode as v1's harness starts it; nobody but the test has called it.

    Args:
        home: its directory.
    """

    def __init__(self, home: Path) -> None:
        self.repo = home / "repo"
        with listening_socket() as control, listening_socket() as data:
            self.port: int = control.getsockname()[1]
            self.data: int = data.getsockname()[1]
        self.process = subprocess.Popen(
            [
                *(*SUPERNODE, "serve", f"--home-dir={home}", f"--port={self.port}"),
                *("--advertise-ip=127.0.0.1", f"--download-port={self.data}", "--debug"),
                *("--external-data-port", f"--allow-origin=127.0.0.1:{self.data}"),
            ],
            stderr=subprocess.DEVNULL,
        )

    def get(self, path: str) -> tuple[int, str, bytes]:
        """Return status, content type and body, of a request as v1's client library sends them."""
        try:
            answer = urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v1.24{path}", timeout=10)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            return answer.status, answer.headers.get("Content-Type", ""), answer.read()

    def metric(self, series: str) -> float:
        """Return the value in the first line with this text, found as v1's tests find it."""
        status, _, text = self.get("/metrics")
        assert status == 200
        line = next(line for line in text.decode().splitlines() if series in line)
        _, value = line.split(" ")
        return float(value)

    @asynccontextmanager
    async def files(self) -> AsyncIterator[str]:
        """Serve ``repo`` on the data port; yield its URL."""
        (listener,) = await trio.open_tcp_listeners(self.data, host="127.0.0.1")
        async with stub_on(listener, self._file):
            yield f"http://127.0.0.1:{self.data}"

    async def _file(self, request: StubRequest) -> StubAnswer:
        path = self.repo / request.target.lstrip("/")
        if not path.is_file():
            return 404, b"404 page not found\n"
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("range", ""))
        content = path.read_bytes()
        if wanted is None:
            return 200, content
        return 206, content[int(wanted[1]) : int(wanted[2]) + 1]


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    harness = Harness(tmp_path / "home")
    try:
        until(partial(listens, harness.port))
        yield harness
    finally:
        harness.process.kill()
        harness.process.wait(10)


def test_there_is_room_for_files_before_the_port_answers(harness: Harness) -> None:
    (harness.repo / "normal.txt").write_bytes(NORMAL)
    assert harness.get("/_ping")[0] == 200


def test_a_ping_is_answered_with_two_bytes(harness: Harness) -> None:
    status, kind, body = harness.get("/_ping")
    assert (status, kind.partition(";")[0], body) == (200, "text/plain", b"OK")


def test_requests_count_exactly(harness: Harness) -> None:
    harness.get("/_ping")
    prefix = "dragonfly_supernode_http_"
    assert harness.metric(f'{prefix}requests_total{{code="200",handler="/_ping"}}') == 1
    assert harness.metric(f'{prefix}response_size_bytes_sum{{handler="/_ping"}}') == 2
    assert harness.metric(f'{prefix}response_size_bytes_count{{handler="/_ping"}}') == 1
    assert harness.metric(f'{prefix}request_size_bytes_count{{handler="/_ping"}}') == 1
    for _ in range(4):
        harness.get("/_ping")
    assert harness.metric(f'{prefix}requests_total{{code="200",handler="/_ping"}}') == 5
    assert harness.metric(f'{prefix}requests_total{{code="200",handler="/metrics"}}') == 5


def test_it_says_what_it_is(harness: Harness) -> None:
    assert harness.metric("dragonfly_supernode_build_info{") == 1


def test_an_interrupt_ends_it(harness: Harness) -> None:
    harness.process.send_signal(signal.SIGINT)
    assert harness.process.wait(20) == 0


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize(("name", "content"), [("normal.txt", NORMAL), ("empty.txt", b"")])
async def test_a_file_is_downloaded_as_it_is(
    harness: Harness, tmp_path: Path, release: str, name: str, content: bytes
) -> None:
    (harness.repo / name).write_bytes(content)
    with trio.fail_after(30):
        async with harness.files() as url:
            node = ("127.0.0.1", harness.port)
            for run in range(2):
                home = tmp_path / f"run {run}"
                dfget = Dfget(f"{url}/{name}", node, home, release=Release(release))
                assert await dfget.run() == content
                assert dfget.sources.keys() == {f"cdnnode:127.0.0.1~{dfget.task}"}


async def test_a_file_that_is_not_there_cannot_be_downloaded(
    harness: Harness, tmp_path: Path
) -> None:
    with trio.fail_after(30):
        async with harness.files() as url:
            dfget = Dfget(f"{url}/notExist.txt", ("127.0.0.1", harness.port), tmp_path)
            with pytest.raises(WentToOrigin) as caught:  # which --notbs forbids it
                await dfget.run()
    assert caught.value.reason == REGISTER_FAILED
