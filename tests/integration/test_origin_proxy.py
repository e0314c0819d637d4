"""The origin client through a real proxy: what goes to whom, and who is judged."""

import socket
import ssl
from functools import partial
from typing import Any

import pytest
import trio
import trustme

from supernode.core.reasons import Reason
from supernode.origin.http import OriginClient
from supernode.origin.policy import OriginPolicy, Rule
from supernode.origin.proxy import Proxy
from tests.integration.scripted_origin import (
    LOOPBACK,
    SECRET,
    Asked,
    ScriptedOrigin,
    answer,
    failure,
    fetch,
    names,
    redirect,
)

CREDENTIALS = "Basic dXNlcjpwQHNz"  # of user and p@ss


class ScriptedProxy:
    """Passes everything on to one port, whatever host was asked for.

    Args:
        to: the port, of 127.0.0.1.
        status: what it answers CONNECT with.
    """

    def __init__(self, to: int, status: bytes = b"HTTP/1.1 200 Connection established") -> None:
        self.to = to
        self.status = status
        self.port = 0
        self.asked: list[Asked] = []

    async def run(
        self,
        tls: ssl.SSLContext | None = None,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listener.socket.getsockname()[1]
        listeners: list[trio.abc.Listener[Any]]
        listeners = [listener if tls is None else trio.SSLListener(listener, tls)]
        await trio.serve_listeners(self._serve, listeners, task_status=task_status)  # type: ignore[arg-type]  # the listeners are not needed

    async def _serve(self, client: trio.abc.Stream) -> None:
        async with client, await trio.open_tcp_stream("127.0.0.1", self.to) as origin:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += await client.receive_some()
            request, *lines = head.decode()[:-4].split("\r\n")
            method, target, _ = request.split(" ")
            self.asked.append(Asked(target, dict(line.split(": ", 1) for line in lines)))
            if method == "CONNECT":
                await client.send_all(self.status + b"\r\nX-Proxy: y\r\n\r\n")
            else:
                path = target.split("/", 3)[3]
                await origin.send_all(head.replace(target.encode(), b"/" + path.encode()))
            async with trio.open_nursery() as ways:
                ways.start_soon(_pass_on, origin, client)
                await _pass_on(client, origin)
                ways.cancel_scope.cancel()


async def _pass_on(source: trio.abc.Stream, sink: trio.abc.Stream) -> None:
    try:
        async for block in source:
            await sink.send_all(block)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass


@pytest.fixture
async def origin(nursery: trio.Nursery) -> ScriptedOrigin:
    scripted = ScriptedOrigin()
    scripted.answers["/f"] = answer(200, b"x")
    await nursery.start(scripted.run, "127.0.0.1")
    return scripted


@pytest.fixture
async def proxy(nursery: trio.Nursery, origin: ScriptedOrigin) -> ScriptedProxy:
    scripted = ScriptedProxy(origin.port)
    await nursery.start(scripted.run)
    return scripted


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
async def secure_origin(nursery: trio.Nursery, authority: trustme.CA) -> ScriptedOrigin:
    scripted = ScriptedOrigin()
    scripted.answers["/f"] = answer(200, b"x")
    names = ("origin.test", "proxy.test", "2001:db8::1")
    await nursery.start(partial(scripted.run, "127.0.0.1", server(authority, *names)))
    return scripted


def server(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


async def test_a_plain_request_names_the_whole_url(
    origin: ScriptedOrigin, proxy: ScriptedProxy
) -> None:
    names()
    url = f"http://user:p%40ss@127.0.0.1:{proxy.port}"
    async with OriginClient(OriginPolicy(), proxy=url) as client:
        headers = {"Proxy-Authorization": "the caller's", "X-Kept": "1"}
        assert await fetch(client, "http://origin.test/f?a=b", headers) == b"x"
        assert await fetch(client, "http://[2001:db8::1]:8080/f") == b"x"
    assert [asked.target for asked in proxy.asked] == [
        "http://origin.test/f?a=b",
        "http://[2001:db8::1]:8080/f",
    ]
    first = proxy.asked[0].headers
    assert first["Host"] == "origin.test"
    assert first["X-Kept"] == "1"
    assert first["Proxy-Authorization"] == CREDENTIALS


@pytest.mark.parametrize("host", ["origin.test", "[2001:db8::1]"])
async def test_https_goes_through_a_tunnel(
    secure_origin: ScriptedOrigin,
    nursery: trio.Nursery,
    trusting: ssl.SSLContext,
    host: str,
) -> None:
    names()
    proxy = ScriptedProxy(secure_origin.port)
    await nursery.start(proxy.run)
    url = f"http://user:p%40ss@127.0.0.1:{proxy.port}"
    async with OriginClient(OriginPolicy(), proxy=url, ssl_context=trusting) as client:
        assert await fetch(client, f"https://{host}/f", {"X-Token": SECRET}) == b"x"
    (asked,) = proxy.asked
    target = f"{host}:443"
    expected = {"Host": target, "Proxy-Authorization": CREDENTIALS}
    assert asked == (target, expected)  # and nothing that is for the origin
    assert secure_origin.asked[0].headers["X-Token"] == SECRET
    assert "Proxy-Authorization" not in secure_origin.asked[0].headers


async def test_a_proxy_that_is_spoken_to_under_tls(
    secure_origin: ScriptedOrigin,
    nursery: trio.Nursery,
    authority: trustme.CA,
    trusting: ssl.SSLContext,
) -> None:
    names(proxy_test=[["127.0.0.1"]])
    proxy = ScriptedProxy(secure_origin.port)
    await nursery.start(proxy.run, server(authority, "proxy.test"))
    url = f"https://proxy.test:{proxy.port}"
    async with OriginClient(OriginPolicy(), proxy=url, ssl_context=trusting) as client:
        assert await fetch(client, "https://origin.test/f") == b"x"
    assert [asked.target for asked in proxy.asked] == ["origin.test:443"]


@pytest.mark.parametrize(
    ("status", "reason", "why"),
    [
        (b"HTTP/1.1 407 Who?", Reason.PROXY_REFUSED, "answers 407 for origin.test:443"),
        (b"HTTP/1.0 503 No", Reason.PROXY_REFUSED, "answers 503 for origin.test:443"),
        (b"SSH-2.0-x", Reason.ORIGIN_BROKEN, "no proper answer for origin.test:443"),
        (b"HTTP/1.1 200 " + bytes(20_000), Reason.ORIGIN_BROKEN, "no proper answer"),
    ],
)
async def test_a_proxy_that_opens_no_tunnel(
    proxy: ScriptedProxy, status: bytes, reason: Reason, why: str
) -> None:
    names()
    proxy.status = status
    url = f"http://{SECRET}:{SECRET}@127.0.0.1:{proxy.port}"
    async with OriginClient(OriginPolicy(), proxy=url) as client:
        error = await failure(client, "https://origin.test/f")
    assert error.reason is reason
    assert f"the proxy 127.0.0.1 port {proxy.port}" in error.detail
    assert why in error.detail
    assert error.may_pass == (b" 407 " not in status)
    assert SECRET not in str(error)


async def test_a_proxy_that_wants_other_credentials(
    origin: ScriptedOrigin, proxy: ScriptedProxy
) -> None:
    names()
    origin.answers["/f"] = answer(407)
    async with OriginClient(OriginPolicy(), proxy=f"http://127.0.0.1:{proxy.port}") as client:
        error = await failure(client, "http://origin.test/f")
    assert error.reason is Reason.PROXY_REFUSED
    assert error.detail == f"the proxy 127.0.0.1 port {proxy.port} wants other credentials"


async def test_a_proxy_that_says_nothing(nursery: trio.Nursery) -> None:
    names()
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
    async with listener, OriginClient(OriginPolicy(), proxy=url, connect_timeout=0.05) as client:
        assert (await failure(client, "https://origin.test/f")).reason is Reason.ORIGIN_TIMEOUT


async def test_the_policy_judges_what_it_can(origin: ScriptedOrigin, proxy: ScriptedProxy) -> None:
    resolver = names(
        inside_test=[["127.0.0.1"]],
        mixed_test=[["192.0.2.1", "127.0.0.1"]],
        outside_test=[["192.0.2.1"]],
    )
    origin.answers["/f"] = redirect("http://127.0.0.1/")
    policy = OriginPolicy(ports=[80])
    async with OriginClient(policy, proxy=f"http://127.0.0.1:{proxy.port}") as client:
        for url in (
            "http://127.0.0.1/",
            "http://0x7f.1/",
            "http://localhost/",
            "http://inside.test/",
            "http://mixed.test/",
            "http://unknown.test:22/",
            "https://inside.test:80/",
        ):
            assert (await failure(client, url)).reason is Reason.URL_FORBIDDEN, url
        assert proxy.asked == []
        error = await failure(client, "http://outside.test/f")
        assert (error.reason, error.detail) == (Reason.URL_FORBIDDEN, "127.0.0.1 is loopback")
    assert [asked.target for asked in proxy.asked] == ["http://outside.test/f"]
    assert "outside.test" in resolver.asked


@pytest.mark.parametrize("error", [socket.EAI_NONAME, socket.EAI_NODATA])
async def test_a_name_that_no_name_server_knows_is_the_proxys_to_judge(
    proxy: ScriptedProxy, error: int
) -> None:
    names(origin_test=[socket.gaierror(error, "no such name")])
    async with OriginClient(OriginPolicy(), proxy=f"http://127.0.0.1:{proxy.port}") as client:
        assert await fetch(client, "http://origin.test/f") == b"x"


@pytest.mark.parametrize("error", [socket.EAI_AGAIN, socket.EAI_FAIL, socket.EAI_MEMORY, None])
async def test_a_name_that_gets_no_answer_now_may_get_one_on_the_way(
    proxy: ScriptedProxy, error: int | None
) -> None:
    names(origin_test=[[] if error is None else socket.gaierror(error, "not now")])
    url = f"http://127.0.0.1:{proxy.port}"
    async with OriginClient(OriginPolicy(), proxy=url, connect_timeout=0.05) as client:
        assert (await failure(client, "http://origin.test/f")).reason is Reason.ORIGIN_DNS
    assert proxy.asked == []


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"])
async def test_the_environments_proxies_are_ignored(
    origin: ScriptedOrigin, proxy: ScriptedProxy, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    async with OriginClient(LOOPBACK) as client:
        assert await fetch(client, origin.url("/f")) == b"x"
    assert proxy.asked == []


async def test_the_environments_exceptions_are_ignored(
    proxy: ScriptedProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    names()
    monkeypatch.setenv("no_proxy", "*")
    async with OriginClient(OriginPolicy(), proxy=f"http://127.0.0.1:{proxy.port}") as client:
        assert await fetch(client, "http://origin.test/f") == b"x"
    assert len(proxy.asked) == 1


async def test_the_proxys_address_is_not_judged(proxy: ScriptedProxy) -> None:
    names(proxy_test=[["127.0.0.1"]])
    policy = OriginPolicy(deny=[Rule.parse("127.0.0.0/8")])
    async with OriginClient(policy, proxy=f"http://proxy.test:{proxy.port}") as client:
        assert await fetch(client, "http://origin.test/f") == b"x"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "proxy:3128",
        "socks5://proxy",
        "http://proxy/path",
        "http://proxy?x",
        "http://",
        "http://p:0",
        "http://p:3128#x",
        "http://p:3128/#x",
    ],
)
async def test_what_is_no_proxy(text: str) -> None:
    with pytest.raises(ValueError, match="expected a URL such as http://proxy:3128"):
        OriginClient(OriginPolicy(), proxy=text)


def test_a_proxys_password_is_not_shown() -> None:
    proxy = Proxy.parse(f"http://user:{SECRET}@proxy.test:3128")
    assert proxy.authorization
    assert SECRET not in f"{proxy} {proxy!r}"
    assert str(proxy.authorization) not in repr(proxy)
