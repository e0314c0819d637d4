"""Registries, token services and object stores on loopback that say what a test has them say."""

import json
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NamedTuple

import httptools
import trio
import trustme

from tests.images import Content, digest_of
from tests.integration.http_stub import StubRequest


class Reply(NamedTuple):
    """What is answered."""

    status: int
    body: bytes = b""
    headers: Sequence[tuple[str, str]] = ()


Handler = Callable[[StubRequest], Reply | None]
"""Decides what is answered; None: nothing, ever."""


class ScriptedRegistry:
    """Gives away what it was given, unless ``guard`` has something to say before.

    Attributes:
        url: what it is called.
        asked: every request.
        guard: answers instead of it, unless that is None.
    """

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[StubRequest] = []
        self.guard: Handler = lambda _: None
        self.replies: dict[str, Reply] = {}

    def manifest(self, name: str, what: str, content: Content, *, said: str | None = None) -> str:
        """Offer a manifest by tag or digest, saying that it has this digest; return its URL."""
        headers = [("Content-Type", content.media_type)]
        headers.append(("Docker-Content-Digest", said or content.digest))
        path = f"/v2/{name}/manifests/{what}"
        self.replies[path] = Reply(200, content.data, headers if said != "" else headers[:1])
        return f"{self.url}{path}"

    def blob(self, name: str, content: Content) -> str:
        """Offer a blob; return its URL."""
        path = f"/v2/{name}/blobs/{content.digest}"
        self.replies[path] = Reply(200, content.data)
        return f"{self.url}{path}"

    def answer(self, request: StubRequest) -> Reply | None:
        """Return what is answered."""
        self.asked.append(request)
        missing = Reply(404, json.dumps({"errors": [{"code": "MANIFEST_UNKNOWN"}]}).encode())
        return self.guard(request) or self.replies.get(request.target, missing)

    @property
    def authorizations(self) -> list[str | None]:
        """The header Authorization of every request."""
        return [request.headers.get("authorization") for request in self.asked]


class ScriptedTokens:
    """A token service: each token is another one, and is what ``granted`` keeps.

    Attributes:
        url: the realm.
        asked: every request.
        more: what else an answer says, besides the token.
        called: what an answer calls the token.
        wants: the Authorization that it wants to see; None: any, or none.
    """

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[StubRequest] = []
        self.granted: list[str] = []
        self.more: dict[str, Any] = {"expires_in": 300}
        self.called = "token"
        self.wants: str | None = None

    def answer(self, request: StubRequest) -> Reply:
        """Return what is answered."""
        self.asked.append(request)
        if self.wants not in (None, request.headers.get("authorization")):
            return Reply(401)
        self.granted.append(f"token-{len(self.granted)}")
        return Reply(200, json.dumps({self.called: self.granted[-1], **self.more}).encode())

    def challenge(self, scope: str = "") -> str:
        """Return what sends people here."""
        more = f',scope="{scope}"' if scope else ""
        return f'Bearer realm="{self.url}",service="a, b"{more}'

    def guards(self, request: StubRequest) -> Reply | None:
        """Refuse who has not got the last token; for ``ScriptedRegistry.guard``."""
        last = f"Bearer {self.granted[-1]}" if self.granted else None
        if last and request.headers.get("authorization") == last:
            return None
        return refusal(self.challenge())


def refusal(*challenges: str, status: int = 401) -> Reply:
    """Return what is answered to who has to show something."""
    body = json.dumps({"errors": [{"code": "UNAUTHORIZED", "message": "s3cret"}]}).encode()
    return Reply(status, body, [("WWW-Authenticate", each) for each in challenges])


def leading(to: str) -> Reply:
    """Return what leads elsewhere."""
    return Reply(307, b"", [("Location", to)])


def tampered(content: Content) -> Content:
    """Return something else of the same kind."""
    other = Content(content.data + b" ", content.media_type)
    assert digest_of(other.data) != content.digest
    return other


@asynccontextmanager
async def served(handler: Handler, authority: trustme.CA | None = None) -> AsyncIterator[str]:
    """Serve, under TLS if an authority is given; yield the URL of the host."""

    async def serve(stream: trio.abc.Stream) -> None:
        try:
            async with stream:
                while (request := await _request(stream)) is not None:
                    reply = handler(request)
                    if reply is None:
                        await trio.sleep_forever()
                    else:
                        await stream.send_all(_bytes(reply, is_head=request.method == "HEAD"))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client left

    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    listeners: list[trio.abc.Listener[Any]] = [listener]
    if authority is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        listeners = [trio.SSLListener(listener, context, https_compatible=True)]
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(trio.serve_listeners, serve, listeners))
        yield f"{'https' if authority else 'http'}://127.0.0.1:{port}"
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def scripted_registry(authority: trustme.CA | None = None) -> AsyncIterator[ScriptedRegistry]:
    """Serve a registry."""
    registry = ScriptedRegistry()
    async with served(registry.answer, authority) as registry.url:
        yield registry


@asynccontextmanager
async def scripted_tokens(authority: trustme.CA | None = None) -> AsyncIterator[ScriptedTokens]:
    """Serve a token service."""
    tokens = ScriptedTokens()
    async with served(tokens.answer, authority) as host:
        tokens.url = f"{host}/token"
        yield tokens


async def _request(stream: trio.abc.Stream) -> StubRequest | None:
    request = StubRequest()
    parser = httptools.HttpRequestParser(request)
    while not request.complete:
        data = await stream.receive_some()
        if not data:
            return None
        parser.feed_data(data)
    request.method = parser.get_method().decode()
    return request


def _bytes(reply: Reply, *, is_head: bool) -> bytes:
    headers = [("Content-Length", str(len(reply.body))), *reply.headers]
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    head = f"HTTP/1.1 {reply.status} Because\r\n{lines}\r\n".encode()
    return head if is_head else head + reply.body
