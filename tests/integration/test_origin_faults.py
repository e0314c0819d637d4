"""The fault list: what an origin may do, and what that means to those who want its file.

Real sockets, the real client and the real CDN. The origin is ``file.test`` at 127.0.0.1. Once it
has failed, the name moves to 127.0.0.2, where a healthy origin has the same port.
"""

import datetime
import hashlib
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trio
import trustme

from supernode.core.commands import Pull, RegisterTask
from supernode.core.errors import TaskEnded
from supernode.core.identity import ClientId, TaskId, task_url
from supernode.core.model import CdnStatus, Limits, Task, TaskSpec
from supernode.core.reasons import Reason
from supernode.origin.http import OriginClient
from supernode.origin.policy import OriginPolicy, Rule
from supernode.services.cdn import Cdn
from supernode.services.retries import RetryPolicy
from supernode.storage.piece_files import PieceStore
from tests.inprocess import InProcess
from tests.integration.scripted_origin import (
    Script,
    ScriptedOrigin,
    answer,
    deaf_port,
    names,
    redirect,
    send,
    send_and_reset,
    send_and_wait,
)

CONTENT = hashlib.sha256(b"supernode").digest() * 1000
MD5 = hashlib.md5(CONTENT).hexdigest()
POLICY = OriginPolicy(allow=[Rule.parse("127.0.0.1"), Rule.parse("127.0.0.2")])
WAITING = [ClientId(f"c{n}") for n in range(5)]
SHORT = {"connect_timeout": 0.3, "head_timeout": 0.6, "stall_timeout": 0.3}
RETRIES = RetryPolicy(first_pause=0)
LASTS, MAY_PASS = 1, RETRIES.attempts
"""How often an origin is asked: once if that will not help, several times if it may."""


class Fault(NamedTuple):
    """One way to fail.

    Args:
        status: what the task ends with.
        reason: and why.
        tried: how often the origin is asked.
        origin: answers so.
        timeouts: of the client, as far as they matter.
    """

    status: CdnStatus
    reason: Reason
    tried: int
    origin: bytes | Script
    timeouts: dict[str, float]


def lasting(reason: Reason, origin: bytes | Script) -> Fault:
    return Fault(CdnStatus.SOURCE_ERROR, reason, LASTS, origin, {})


def passing(reason: Reason, origin: bytes | Script, **timeouts: float) -> Fault:
    return Fault(CdnStatus.SOURCE_ERROR, reason, MAY_PASS, origin, timeouts)


def failed(reason: Reason, origin: bytes | Script) -> Fault:
    return Fault(CdnStatus.FAILED, reason, LASTS, origin, {})


async def trickle(stream: trio.abc.Stream) -> None:
    """Send a byte at a time, too soon to have paused."""
    await stream.send_all(answer(200, Content_Length=ANNOUNCED))
    for byte in CONTENT:
        await stream.send_all(bytes([byte]))
        await trio.sleep(0.01)


ANNOUNCED = str(len(CONTENT))
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ANSWERS = {
    "404": lasting(Reason.ORIGIN_NOT_FOUND, answer(404)),
    "410": lasting(Reason.ORIGIN_NOT_FOUND, answer(410)),
    "401": lasting(Reason.ORIGIN_AUTH, answer(401)),
    "403": lasting(Reason.ORIGIN_AUTH, answer(403)),
    "407": lasting(Reason.ORIGIN_AUTH, answer(407)),
    "204": lasting(Reason.ORIGIN_STATUS, answer(204)),
    "206 unasked": lasting(Reason.ORIGIN_STATUS, answer(206, CONTENT)),
    "304": lasting(Reason.ORIGIN_STATUS, answer(304)),
    "400": lasting(Reason.ORIGIN_STATUS, answer(400)),
    "408": passing(Reason.ORIGIN_STATUS, answer(408)),
    "416": lasting(Reason.ORIGIN_STATUS, answer(416)),
    "429": passing(Reason.ORIGIN_STATUS, answer(429)),
    "500": passing(Reason.ORIGIN_STATUS, answer(500)),
    "502": passing(Reason.ORIGIN_STATUS, answer(502)),
    "503": passing(Reason.ORIGIN_STATUS, answer(503)),
    "503, come back in a minute": lasting(Reason.ORIGIN_STATUS, answer(503, Retry_After="60")),
    "no head": passing(Reason.ORIGIN_TIMEOUT, send_and_wait(b""), **SHORT),
    "half a head": passing(Reason.ORIGIN_TIMEOUT, send_and_wait(b"HTTP/1.1 200"), **SHORT),
    "no body": passing(
        Reason.ORIGIN_STALLED, send_and_wait(answer(200, Content_Length=ANNOUNCED)), **SHORT
    ),
    "half a body": passing(
        Reason.ORIGIN_STALLED,
        send_and_wait(answer(200, CONTENT[:999], Content_Length=ANNOUNCED)),
        **SHORT,
    ),
    "trickle": passing(Reason.ORIGIN_STALLED, trickle, stall_timeout=0.2, floor_window=0.4),
    "hang-up": passing(Reason.ORIGIN_BROKEN, send()),
    "no HTTP": passing(Reason.ORIGIN_BROKEN, send(b"SSH-2.0-OpenSSH_9.2\r\n")),
    "endless head": passing(Reason.ORIGIN_BROKEN, send(b"HTTP/1.1 200 OK\r\nX: " + CONTENT * 9)),
    "endless preliminaries": lasting(
        Reason.ORIGIN_BROKEN, send(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 99)
    ),
    "more framing than content": lasting(
        Reason.ORIGIN_BROKEN, send(CHUNKED, b"1\r\nx\r\n" * 200_000)
    ),
    "reset": passing(
        Reason.ORIGIN_BROKEN, send_and_reset(answer(200, CONTENT[:999], Content_Length=ANNOUNCED))
    ),
    "broken chunk": passing(Reason.ORIGIN_BROKEN, send(CHUNKED, b"9\r\nabc")),
    "no last chunk": passing(Reason.ORIGIN_BROKEN, send(CHUNKED, b"3\r\nabc\r\n")),
    "short": passing(
        Reason.ORIGIN_LENGTH, send(answer(200, CONTENT[:999], Content_Length=ANNOUNCED))
    ),
    "long": lasting(
        Reason.ORIGIN_LENGTH, send(answer(200, CONTENT + b"x", Content_Length=ANNOUNCED))
    ),
    "beyond count": lasting(Reason.ORIGIN_LENGTH, answer(200, Content_Length="9" * 19)),
    "gzip": lasting(Reason.ORIGIN_ENCODING, answer(200, CONTENT, Content_Encoding="gzip")),
    "redirect loop": lasting(Reason.ORIGIN_REDIRECTS, redirect("/f")),
    "redirect nowhere": lasting(Reason.ORIGIN_STATUS, answer(302)),
    "redirect to no name": lasting(Reason.ORIGIN_DNS, redirect("http://nowhere.test/")),
    "redirect to what is forbidden": failed(Reason.URL_FORBIDDEN, redirect("http://127.0.0.3/")),
    "redirect to no URL": failed(Reason.URL_INVALID, redirect("ftp://file.test/")),
    "other content": failed(Reason.DIGEST_MISMATCH, answer(200, CONTENT[::-1])),
    "less content": failed(Reason.DIGEST_MISMATCH, answer(200, CONTENT[1:])),
    "no content": failed(Reason.DIGEST_MISMATCH, answer(200)),
}


class World:
    """A supernode with a real CDN and a real origin client, and somebody to ask it."""

    def __init__(self, state: Path, client: OriginClient) -> None:
        self.node = InProcess(Limits(failed_origin_pause=0))
        self.store = PieceStore(state / "repo")
        self.cdn = Cdn(self.node.dispatch, self.store, client, retries=RETRIES)
        self.told: list[Reason] = []

    def ask(self, url: str, client: ClientId) -> TaskId:
        spec = TaskSpec(raw_url=url, task_url=task_url(url, ()), md5=MD5)
        return self.node.dispatch(RegisterTask(spec=spec, client=client, peer=None, path=""))

    async def wait(self, task: TaskId, client: ClientId) -> None:
        """Wait for pieces as a downloader does, until told that there will be none."""
        try:
            while True:
                self.node.dispatch(Pull(task=task, client=client, count=1))
                await self.node.feed.wait(task, trio.current_time() + 60)
        except TaskEnded as ended:
            self.told.append(ended.reason)

    async def end_of(self, task: TaskId) -> Task:
        while (known := self.node.tracker.task(task)).status in (
            CdnStatus.WAITING,
            CdnStatus.RUNNING,
        ):
            await self.node.feed.wait(task, trio.current_time() + 60)
        return known


async def check(
    state: Path,
    url: str,
    status: CdnStatus,
    reason: Reason,
    tried: int,
    mend: Callable[[], object],
    **settings: Any,  # noqa: ANN401
) -> str:
    """Have the file fetched, with the fault and without; return the detail of the fault."""
    with trio.fail_after(10):
        async with OriginClient(POLICY, **settings) as client:
            world = World(state, client)
            async with trio.open_nursery() as nursery:
                await nursery.start(world.cdn.run)
                tasks = {world.ask(url, waiting) for waiting in WAITING}
                (task,) = tasks
                async with trio.open_nursery() as downloads:
                    for waiting in WAITING:
                        downloads.start_soon(world.wait, task, waiting)
                assert world.told == [reason] * len(WAITING)
                ended = await world.end_of(task)
                assert (ended.status, ended.reason) == (status, reason)
                detail = ended.detail
                mend()
                assert world.ask(url, WAITING[0]) == task
                again = await world.end_of(task)
                assert (again.status, again.reason) == (CdnStatus.SUCCESS, None), again.detail
                nursery.cancel_scope.cancel()
    file = world.store.find(task)
    assert file is not None
    assert file.path.read_bytes()[4 : 4 + len(CONTENT)] == CONTENT
    assert detail
    assert detail.endswith(f" (tried {tried} times)") == (tried > 1)
    return detail


def moved() -> None:
    """Have the name lead to the healthy origin."""
    names(file_test=[["127.0.0.2"]])


async def healthy(nursery: trio.Nursery, port: int, tls: ssl.SSLContext | None = None) -> None:
    """Start the healthy origin."""
    origin = ScriptedOrigin()
    origin.answers["/f"] = answer(200, CONTENT)
    await nursery.start(partial(origin.run, "127.0.0.2", tls, port))


@contextmanager
def silent_port() -> Iterator[int]:
    """A port of 127.0.0.1 on which nobody listens, and nobody will; it is free on 127.0.0.2."""
    while True:
        with socket.socket() as bound, socket.socket() as other:
            bound.bind(("127.0.0.1", 0))
            port = bound.getsockname()[1]
            if other.connect_ex(("127.0.0.2", port)) == 0:
                continue
            yield port
            return


@pytest.mark.parametrize("name", ANSWERS)
async def test_an_answer_that_is_no_file(tmp_path: Path, nursery: trio.Nursery, name: str) -> None:
    fault = ANSWERS[name]
    names(file_test=[["127.0.0.1"]])
    origin = ScriptedOrigin()
    origin.answers["/f"] = fault.origin
    await nursery.start(origin.run, "127.0.0.1")
    await healthy(nursery, origin.port)
    url = origin.url("/f", host="file.test")
    await check(tmp_path, url, fault.status, fault.reason, fault.tried, moved, **fault.timeouts)


@pytest.mark.parametrize(
    ("addresses", "tried"),
    [(None, LASTS), ([], MAY_PASS), (OSError(socket.EAI_AGAIN, "try again"), MAY_PASS)],
    ids=["unknown", "no answer", "trouble"],
)
async def test_a_name_that_does_not_resolve(
    tmp_path: Path, nursery: trio.Nursery, addresses: list[str] | OSError | None, tried: int
) -> None:
    names(**({} if addresses is None else {"file_test": [addresses]}))
    with silent_port() as port:
        await healthy(nursery, port)
        url = f"http://file.test:{port}/f"
        fault = CdnStatus.SOURCE_ERROR, Reason.ORIGIN_DNS, tried
        await check(tmp_path, url, *fault, moved, connect_timeout=0.3)


async def test_a_connection_that_is_refused(tmp_path: Path, nursery: trio.Nursery) -> None:
    names(file_test=[["127.0.0.1"]])
    with silent_port() as port:
        await healthy(nursery, port)
        url = f"http://file.test:{port}/f"
        fault = CdnStatus.SOURCE_ERROR, Reason.ORIGIN_REFUSED, MAY_PASS
        await check(tmp_path, url, *fault, moved)


async def test_a_connection_that_is_not_answered(tmp_path: Path, nursery: trio.Nursery) -> None:
    names(file_test=[["127.0.0.1"]])
    with deaf_port() as port:
        await healthy(nursery, port)
        url = f"http://file.test:{port}/f"
        fault = CdnStatus.SOURCE_ERROR, Reason.ORIGIN_TIMEOUT, MAY_PASS
        await check(tmp_path, url, *fault, moved, connect_timeout=0.3)


@pytest.mark.parametrize("address", ["127.0.0.3", "169.254.169.254", "::1", "::ffff:127.0.0.4"])
async def test_an_address_that_is_forbidden(
    tmp_path: Path, nursery: trio.Nursery, address: str
) -> None:
    names(file_test=[[address]])
    with silent_port() as port:
        await healthy(nursery, port)
        url = f"http://file.test:{port}/f"
        await check(tmp_path, url, CdnStatus.FAILED, Reason.URL_FORBIDDEN, LASTS, moved)


TLS_FAILED = (CdnStatus.SOURCE_ERROR, Reason.ORIGIN_TLS, LASTS)


class Authorities:
    """One that we trust, and one that we do not."""

    def __init__(self) -> None:
        self.trusted, self.other = trustme.CA(), trustme.CA()
        self.context = ssl.create_default_context()
        self.trusted.configure_trust(self.context)

    def untrusted(self) -> ssl.SSLContext:
        return _server(self.other.issue_cert("file.test"))

    def expired(self) -> ssl.SSLContext:
        then = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
        return _server(self.trusted.issue_cert("file.test", not_after=then))

    def wrong_name(self) -> ssl.SSLContext:
        return _server(self.trusted.issue_cert("other.test"))

    def healthy(self) -> ssl.SSLContext:
        return _server(self.trusted.issue_cert("file.test"))


def _server(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("untrusted", "unable to get local issuer certificate"),
        ("expired", "certificate has expired"),
        ("wrong_name", "not valid for 'file.test'"),
    ],
)
async def test_tls_that_is_not_to_be_trusted(
    tmp_path: Path, nursery: trio.Nursery, kind: str, why: str
) -> None:
    names(file_test=[["127.0.0.1"]])
    authorities = Authorities()
    origin = ScriptedOrigin()
    await nursery.start(partial(origin.run, "127.0.0.1", getattr(authorities, kind)()))
    await healthy(nursery, origin.port, authorities.healthy())
    url = origin.url("/f", host="file.test", scheme="https")
    detail = await check(tmp_path, url, *TLS_FAILED, moved, ssl_context=authorities.context)
    assert why in detail
    assert origin.asked == []


async def test_an_origin_that_does_not_speak_tls(tmp_path: Path, nursery: trio.Nursery) -> None:
    names(file_test=[["127.0.0.1"]])
    authorities = Authorities()
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, send(b"HTTP/1.1 400 Bad Request\r\n\r\n"), [listener])
    port = listener.socket.getsockname()[1]
    await healthy(nursery, port, authorities.healthy())
    url = f"https://file.test:{port}/f"
    detail = await check(tmp_path, url, *TLS_FAILED, moved, ssl_context=authorities.context)
    assert "WRONG_VERSION_NUMBER" in detail


async def test_an_origin_that_hangs_up_during_the_handshake(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    names(file_test=[["127.0.0.1"]])
    authorities = Authorities()
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, send(), [listener])
    port = listener.socket.getsockname()[1]
    await healthy(nursery, port, authorities.healthy())
    url = f"https://file.test:{port}/f"
    fault = CdnStatus.SOURCE_ERROR, Reason.ORIGIN_TLS, MAY_PASS
    detail = await check(tmp_path, url, *fault, moved, ssl_context=authorities.context)
    assert "connection lost" in detail or "EOF" in detail
