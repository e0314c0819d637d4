"""dfget's HTTP client and a supernode under TLS."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trustme

from supernode.dfget.http import HttpClient, HttpError
from supernode.dfget.options import Node
from supernode.dfget.supernode import Supernode, Unreachable
from tests.integration.http_stub import StubRequest, http_stub
from tests.integration.tls_terminator import tls_in_front_of


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """An authority that this process trusts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return authority


async def answer(request: StubRequest) -> tuple[int, bytes]:
    return 200, f"{request.headers['host']}{request.target} {len(request.body)}".encode()


@asynccontextmanager
async def asking(connect_timeout: float = 5.0) -> AsyncIterator[HttpClient]:
    http = HttpClient(connect_timeout=connect_timeout)
    try:
        with trio.fail_after(10):
            yield http
    finally:
        http.close()


async def test_requests_under_tls(authority: trustme.CA) -> None:
    async with (
        asking() as http,
        http_stub(answer) as plain,
        tls_in_front_of(plain, authority) as port,
    ):
        here = ("127.0.0.1", port)
        assert await http.local_address(here, tls=True) == "127.0.0.1"
        for size in (0, 10, 500_000):
            told = await http.request(here, "POST", "/tasks", body=bytes(size), timeout=5, tls=True)
            assert told.body == f"127.0.0.1:{port}/tasks {size}".encode()


async def test_plain_connections_are_never_used_for_tls(authority: trustme.CA) -> None:
    async with asking() as http, http_stub(answer) as plain:
        here = ("127.0.0.1", plain)
        assert (await http.request(here, "GET", "/", timeout=5)).status == 200
        with pytest.raises(HttpError, match="no TLS with 127"):
            await http.request(here, "GET", "/", timeout=5, tls=True)


async def test_a_supernode_that_nobody_vouches_for(authority: trustme.CA) -> None:
    async with (
        asking() as http,
        http_stub(answer) as plain,
        tls_in_front_of(plain, trustme.CA()) as port,
    ):
        supernode = Supernode(Node("127.0.0.1", port, tls=True), http)
        with pytest.raises(Unreachable, match=r"https://127.*certificate verify failed"):
            await supernode.knows_peer("p")


async def test_a_certificate_of_another_host(authority: trustme.CA) -> None:
    async with (
        asking() as http,
        http_stub(answer) as plain,
        tls_in_front_of(plain, authority) as port,
    ):
        with pytest.raises(HttpError, match="certificate is not valid for 'localhost'"):
            await http.request(("localhost", port), "GET", "/", timeout=5, tls=True)


async def test_a_handshake_that_stalls(authority: trustme.CA) -> None:
    async with (
        asking(connect_timeout=0.1) as http,
        (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0] as silent,
    ):
        here = ("127.0.0.1", silent.socket.getsockname()[1])
        with pytest.raises(HttpError, match="in time"):
            await http.request(here, "GET", "/", timeout=5, tls=True)


async def test_a_connection_that_ended_while_idle_is_replaced(authority: trustme.CA) -> None:
    async with asking() as http, http_stub(answer) as plain:
        async with tls_in_front_of(plain, authority) as port:
            here = ("127.0.0.1", port)
            assert (await http.request(here, "GET", "/", timeout=5, tls=True)).status == 200
        with pytest.raises(HttpError, match="cannot connect"):  # what was kept is not used again
            await http.request(here, "GET", "/", timeout=5, tls=True)
