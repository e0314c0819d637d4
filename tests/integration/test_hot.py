"""Hot requests mean the same and are answered alike, whether by the front or by the web app."""

import json
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.lowlevel
import trustme

from supernode.core.identity import task_id
from supernode.core.model import Limits
from tests.inprocess import InProcess
from tests.integration.rest_caller import FOUR_PIECES, URL, nth
from tests.integration.served_front import connect, read_to_the_end, serving

TASK = task_id(URL)
LARGE = 70 * 1024
"""A body that the front leaves to the web app."""


def request(method: str, target: str, body: object = b"", *headers: str) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"{method} {target} HTTP/1.1", "Host: a", "X-Request-ID: me", *headers]
    if content:
        lines.append(f"Content-Length: {len(content)}")
    return "\r\n".join((*lines, "", "")).encode() + content


def last(method: str, target: str, body: object = b"", *headers: str) -> bytes:
    return request(method, target, body, "Connection: close", *headers)


def chunked(body: bytes) -> bytes:
    head = "POST /peers HTTP/1.1\r\nHost: a\r\nX-Request-ID: me\r\nTransfer-Encoding: chunked\r\n"
    return f"{head}Connection: close\r\n\r\n{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"


PEER = {"IP": "10.0.0.1", "hostName": "h", "port": 15001}
WISH = {"rawURL": URL, "cID": "c"}
REGISTRATION = {
    "rawUrl": URL,
    "taskUrl": URL,
    "cid": "10.0.0.1-h-1.1",
    "ip": "10.0.0.1",
    "hostName": "h",
    "port": 15001,
    "path": "/f",
}
PULL = f"/peer/task?srcCid=10.0.0.1-h-1.1&dstCid=&taskId={TASK}"
SUC = f"/peer/piece/suc?taskId={TASK}&cid=10.0.0.1-h-1.1&dstCid=cdnnode:x&pieceRange={nth(0)}"
PIECES = f"/tasks/{TASK}/pieces"
REPORT = f"{PIECES}/{nth(0)}"
JSON = json.dumps(PEER).encode()

ASKED = {
    # operations, right and wrong
    "ping": last("GET", "/_ping"),
    "ping of an engine": last("GET", "/v1.24/_ping"),
    "ping as JSON": last("GET", "/_ping", b"", "Accept: application/json"),
    "peer": last("POST", "/peers", PEER),
    "peer of v1": last("POST", "/api/v1/peers", PEER),
    "no peer": last("POST", "/peers", {"IP": "x"}),
    "no JSON": last("POST", "/peers", b"{"),
    "problem as text": last("POST", "/peers", {"IP": "x"}, "Accept: text/plain"),
    "peer leaves": request("POST", "/peers", PEER) + last("DELETE", "/peers/h-10.0.0.1-15001"),
    "unknown peer leaves": last("DELETE", "/peers/nobody"),
    "peer of v1 leaves": request("POST", "/peers", PEER)
    + last("DELETE", "/api/v1/peers/h-10.0.0.1-15001"),
    "task": last("POST", "/tasks", WISH),
    "a pull": last("GET", f"{PIECES}?clientID=c&num=2"),
    "a pull with a body": last("GET", PIECES, {"clientID": "c", "num": 1}),
    "a pull of nobody": last("GET", f"{PIECES}?clientID=nobody"),
    "a strange pull": last("GET", f"{PIECES}?clientID=c&num=%31&num=x&dfgetTaskStatus=+&%zz"),
    "a report": last("PUT", REPORT, {"clientID": "c", "pieceResult": "SUCCESS"}),
    "a report of no piece": last("PUT", f"{PIECES}/7-8", {"clientID": "c"}),
    "an escaped report": last("PUT", REPORT.replace("-", "%2D"), {"clientID": "c"}),
    "registry": last("POST", "/peer/registry", REGISTRATION | {"cid": "another"}),
    "registry by form": last(
        "POST",
        "/peer/registry",
        b"rawUrl=http%3A%2F%2Forigin%2Ffile&cid=c&ip=10.0.0.1&hostName=h&port=0&path=%2Ff",
        "Content-Type: application/x-www-form-urlencoded",
    ),
    "first pull of dfget": last("GET", f"{PULL}&range=&result=502&status=700"),
    "a pull of dfget": request("GET", f"{PULL}&range=&result=502&status=700")
    + last("GET", f"{PULL}&range={nth(0)}&result=503&status=701"),
    "a bad pull of dfget": last("GET", "/peer/task?status=7"),
    "success": last("GET", SUC),
    "success of nobody": last("GET", "/peer/piece/suc"),
    "accusation": last("GET", f"/peer/piece/error?taskId={TASK}&srcCid=x&dstCid=y"),
    "goodbye": last("GET", f"/peer/service/down?taskId={TASK}&cid=10.0.0.1-h-1.1"),
    "metrics of a client": last("POST", "/task/metrics", {"success": True}),
    "network": last("POST", "/peer/network", {}),
    # what is not hot
    "another operation": last("GET", f"/tasks/{TASK}/clients"),
    "nothing": last("GET", "/nothing"),
    "another method": last("PATCH", "/peers"),
    "HEAD": last("HEAD", "/_ping"),
    "OPTIONS": last("OPTIONS", "/peers"),
    "two slashes": last("GET", "//_ping"),
    "an empty part": last("GET", "/tasks//pieces"),
    # HTTP
    "several": request("GET", "/_ping") * 3 + last("GET", "/_ping"),
    "hot, then not": request("GET", "/_ping") + last("GET", "/nothing"),
    "not hot, then hot": request("GET", "/nothing") + last("GET", "/_ping"),
    "a body, then more": request("POST", "/peers", PEER) * 2 + last("GET", "/_ping"),
    "chunked": chunked(JSON),
    "chunked and long": chunked(JSON + b" " * LARGE),
    "long": last("POST", "/peers", JSON + b" " * LARGE),
    "too long": last("POST", "/peers", JSON + b" " * (1 << 20)),
    "asked before the body": last("POST", "/peers", PEER, "Expect: 100-continue"),
    "HTTP/1.0": b"GET /_ping HTTP/1.0\r\nX-Request-ID: me\r\n\r\n",
    "HTTP/1.0, kept": b"GET /_ping HTTP/1.0\r\nX-Request-ID: me\r\nConnection: keep-alive\r\n\r\n",
    "no host": b"GET /_ping HTTP/1.1\r\nConnection: close\r\n\r\n",
    "two hosts": last("GET", "/_ping", b"", "Host: b"),
    "two lengths": last("POST", "/peers", PEER, "Content-Length: 1"),
    "no length": last("POST", "/peers", b"", "Content-Length: x"),
    "both": last("POST", "/peers", b"0\r\n\r\n", "Transfer-Encoding: chunked"),
    "a folded header": last("GET", "/_ping", b"", "A: b\r\n c"),
    "no header": last("GET", "/_ping", b"", "nonsense"),
    "space before the colon": last("GET", "/_ping", b"", "A : b"),
    "a control character": last("GET", "/_ping", b"", "A: \x01"),
    "line feeds only": b"GET /_ping HTTP/1.1\nHost: a\nX-Request-ID: me\nConnection: close\n\n",
    "an empty line first": b"\r\n" + last("GET", "/_ping"),
    "absolute": last("GET", "http://a/_ping"),
    "with a fragment": last("GET", "/_ping#x"),
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
    "a long target": last("GET", "/_ping?" + "x" * 40_000),
    "long headers": last("GET", "/_ping", b"", *(f"A{n}: {'x' * 1000}" for n in range(40))),
    "an upgrade": last("GET", "/_ping", b"", "Upgrade: websocket"),
    "a page of another site": last("GET", "/_ping", b"", "Origin: http://b"),
    "a rebound name": last("GET", "/_ping", b"", "Accept-Language: en"),
    "connection options": request("GET", "/_ping", b"", "Connection: Keep-Alive, x")
    + last("GET", "/_ping"),
}


@asynccontextmanager
async def served(*, hot: bool) -> AsyncGenerator[tuple[InProcess, int]]:
    """Serve a supernode that has half a file, of which two clients know."""
    node = InProcess(Limits(seed_slots=99))
    async with node.browse() as client:
        await client.post("/tasks", json=WISH)
        node.size(TASK, FOUR_PIECES)
        await client.post("/peer/registry", json=REGISTRATION)
    node.cache(TASK, 0, 1)
    async with serving(node.app, hot=node.hot if hot else None) as (_, port):
        yield node, port


def comparable(answer: bytes) -> list[bytes]:
    """Return an answer's lines but the date."""
    return [line for line in answer.split(b"\r\n") if not line.startswith(b"date: ")]


async def say(port: int, sent: bytes, parts: int = 1) -> bytes:
    """Send it in so many parts; return all that comes back."""
    async with await connect(port) as stream:
        size = -(-len(sent) // parts)
        try:
            for start in range(0, len(sent), size):
                await stream.send_all(sent[start : start + size])
                await trio.lowlevel.checkpoint()
            return await read_to_the_end(stream)
        except trio.BrokenResourceError:  # it does not want to read all that
            return b"broken"


@pytest.mark.parametrize("parts", [1, 7])
@pytest.mark.parametrize("name", ASKED)
async def test_both_answer_alike(name: str, parts: int) -> None:
    answers, states = [], []
    for hot in (False, True):
        async with served(hot=hot) as (node, port):
            answers.append(comparable(await say(port, ASKED[name], parts)))
            clients = node.tracker.task(TASK).downloads.values()
            states.append([(d.client, d.have, sorted(d.leases), d.status) for d in clients])
    assert answers[1] == answers[0]
    assert states[1] == states[0]


async def test_a_hot_request_never_reaches_the_web_app() -> None:
    async with served(hot=True) as (node, port):

        async def app(*_: object) -> None:
            raise AssertionError

        node.app.asgi_app = app  # type: ignore[method-assign, assignment]
        answer = await say(port, request("GET", "/_ping") + last("GET", SUC))
    assert answer.count(b"HTTP/1.1 200 ") == 2


async def test_under_tls() -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    node = InProcess()
    async with serving(node.app, hot=node.hot, ssl_context=context) as (_, port):
        plain = await connect(port)
        async with trio.SSLStream(
            plain, trusting, server_hostname="127.0.0.1", https_compatible=True
        ) as stream:
            await stream.send_all(request("GET", "/_ping") + last("GET", "/version"))
            answer = await read_to_the_end(stream)
    assert answer.count(b"HTTP/1.1 200 ") == 2


async def test_http_2_without_tls() -> None:
    async with served(hot=True) as (_, port), await connect(port) as stream:
        await stream.send_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
        settings = 4
        assert (await stream.receive_some())[3] == settings


async def test_a_slow_body_is_waited_for() -> None:
    async with served(hot=True) as (_, port), await connect(port) as stream:
        sent = last("POST", "/peers", PEER)
        await stream.send_all(sent[:-5])
        await trio.testing.wait_all_tasks_blocked()
        await trio.sleep(1.1)  # longer than the front itself waits
        await stream.send_all(sent[-5:])
        assert b"HTTP/1.1 201 " in await read_to_the_end(stream)


async def test_a_client_that_says_no_more_is_answered() -> None:
    async with served(hot=True) as (_, port), await connect(port) as stream:
        await stream.send_all(request("GET", "/_ping"))
        await stream.send_eof()
        assert (await read_to_the_end(stream)).endswith(b"OK")


async def waiting(node: InProcess) -> None:
    """Return when somebody waits for a piece."""
    with trio.fail_after(5):
        while not node.feed._topics.get(TASK):
            await trio.testing.wait_all_tasks_blocked()
            await trio.lowlevel.checkpoint()


LONG_PULL = request("GET", f"{PIECES}?clientID=c", b"", "Prefer: wait=20")


async def test_who_hangs_up_waits_no_more() -> None:
    async with served(hot=True) as (node, port), await connect(port) as stream:
        await stream.send_all(request("GET", f"{PIECES}?clientID=c&num=2") + LONG_PULL)
        await stream.receive_some()
        await waiting(node)
        leases = dict(node.tracker.state.leases)
        await stream.aclose()
        while node.feed._topics.get(TASK):
            await trio.lowlevel.checkpoint()
        node.cache(TASK, 2)
        assert node.tracker.state.leases == leases


async def test_what_is_sent_while_waiting_is_answered_afterwards() -> None:
    async with served(hot=True) as (node, port), await connect(port) as stream:
        await stream.send_all(request("GET", f"{PIECES}?clientID=c&num=2") + LONG_PULL)
        await stream.receive_some()
        await waiting(node)
        await stream.send_all(last("GET", "/_ping"))
        await trio.testing.wait_all_tasks_blocked()
        node.cache(TASK, 2)
        answer = await read_to_the_end(stream)
    assert nth(2).encode() in answer
    assert answer.endswith(b"OK")


async def test_a_drain_ends_idle_connections_and_lets_others_finish() -> None:
    node = InProcess(Limits(seed_slots=99))
    async with node.browse() as client:
        await client.post("/tasks", json=WISH)
    async with (
        serving(node.app, hot=node.hot) as (front, port),
        await connect(port) as idle,
        await connect(port) as busy,
    ):
        await idle.send_all(request("GET", "/_ping"))
        assert (await idle.receive_some()).endswith(b"OK")
        await busy.send_all(LONG_PULL)
        await waiting(node)
        front.shut()
        assert await idle.receive_some() == b""
        node.responder.close()
        answer = await read_to_the_end(busy)
    assert b"Connection: close" in answer
    assert answer.endswith(b"[]")
