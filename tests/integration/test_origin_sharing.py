"""Limits of connections and bandwidth, as the client keeps them."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from supernode.core.reasons import Reason
from supernode.origin.http import OriginClient
from tests.integration.scripted_origin import (
    LOOPBACK,
    ScriptedOrigin,
    answer,
    failure,
    fetch,
    redirect,
    send,
)


@pytest.fixture
async def origin(nursery: trio.Nursery) -> ScriptedOrigin:
    scripted = ScriptedOrigin()
    await nursery.start(scripted.run, "127.0.0.1")
    return scripted


async def test_waiting_for_a_connection_is_not_waiting_for_the_origin(
    origin: ScriptedOrigin,
) -> None:
    """The second fetch waits longer than an origin may."""
    origin.answers |= {"/f": answer(200, bytes(1 << 20)), "/g": answer(200, b"x")}
    fetched: list[bytes] = []
    head_timeout = 0.5

    async def second(client: OriginClient) -> None:
        fetched.append(await fetch(client, origin.url("/g")))

    client = OriginClient(LOOPBACK, head_timeout=head_timeout, max_connections_per_origin=1)
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery, client.open(origin.url("/f"), {}):
            nursery.start_soon(second, client)
            await trio.sleep(1.2 * head_timeout)
            assert (origin.connections, fetched) == (1, [])
    assert fetched == [b"x"]


@pytest.mark.parametrize("limit", ["max_connections", "max_connections_per_origin"])
async def test_never_more_connections_than_allowed(origin: ScriptedOrigin, limit: str) -> None:
    now = most = 0

    async def script(stream: trio.abc.Stream) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await wait_all_tasks_blocked()
        await stream.send_all(answer(200, b"x"))
        now -= 1

    origin.answers["/f"] = script
    allowed: dict[str, int] = {limit: 2}
    with trio.fail_after(10):
        async with OriginClient(LOOPBACK, **allowed) as client, trio.open_nursery() as fetches:  # type: ignore[arg-type]  # one of several
            for _ in range(7):
                fetches.start_soon(fetch, client, origin.url("/f"))
    assert (origin.connections, most) == (7, 2)


async def test_a_redirect_needs_no_second_connection(origin: ScriptedOrigin) -> None:
    origin.answers |= {"/f": redirect("/g"), "/g": answer(200, b"x")}
    async with OriginClient(LOOPBACK, max_connections=1) as client:
        assert await fetch(client, origin.url("/f")) == b"x"


async def test_a_failure_gives_its_connection_back(origin: ScriptedOrigin) -> None:
    origin.answers |= {"/bad": answer(404), "/short": send(answer(200, Content_Length="9"))}
    origin.answers |= {"/loop": redirect("/loop"), "/f": answer(200, b"x")}
    async with OriginClient(LOOPBACK, max_connections=1, connect_timeout=0.05) as client:
        for path in ("/bad", "/short", "/loop"):
            await failure(client, origin.url(path))
        await failure(client, f"https://127.0.0.1:{origin.port}/")
        await failure(client, "http://[::1]/")
        assert await fetch(client, origin.url("/f")) == b"x"


@pytest.mark.parametrize("limit", ["rate", "rate_per_origin"])
async def test_content_passes_at_the_rate(origin: ScriptedOrigin, limit: str) -> None:
    origin.answers["/f"] = answer(200, bytes(300_000))
    start = trio.current_time()
    rate: dict[str, float] = {limit: 1_000_000}
    async with OriginClient(LOOPBACK, **rate) as client:  # type: ignore[arg-type]  # one of several
        assert len(await fetch(client, origin.url("/f"))) == 300_000
    assert trio.current_time() - start > 0.19  # a tenth of a second's worth passes at once


async def test_a_stall_under_a_limit_is_noticed(origin: ScriptedOrigin) -> None:
    async def script(stream: trio.abc.Stream) -> None:
        await stream.send_all(answer(200, bytes(10_000), Content_Length="20000"))
        await stream.receive_some()

    origin.answers["/f"] = script
    async with OriginClient(LOOPBACK, rate_per_origin=1e6, stall_timeout=0.05) as client:
        error = await failure(client, origin.url("/f"))
    assert error.reason is Reason.ORIGIN_STALLED
    assert "10000 of 20000 bytes" in error.detail
