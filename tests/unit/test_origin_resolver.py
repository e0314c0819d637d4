"""Look-ups that take their time, and who has to wait for them."""

import socket
from collections.abc import AsyncIterator
from threading import Event, Lock
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from supernode.origin import resolver
from supernode.origin.resolver import AT_ONCE_PER_DOMAIN, FAILURE_SECONDS, Resolver, bound_look_ups

FOUND = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))]


class NameServer:
    """Answers at once, but for names with "slow" in them, when it is told to.

    Args:
        answer: what it answers.
    """

    def __init__(self, answer: list[Any] | Exception = FOUND) -> None:
        self.answer = answer
        self.asked: list[str] = []
        self.most = 0
        self._now = 0
        self._lock = Lock()
        self._answering = Event()
        self._slow = trio.Semaphore(0)
        self._token = trio.lowlevel.current_trio_token()

    async def busy_with(self, slow: int) -> None:
        """Wait until so many more slow names have been asked for."""
        with trio.fail_after(10):
            for _ in range(slow):
                await self._slow.acquire()

    def answer_all(self) -> None:
        self._answering.set()

    def __call__(self, host: bytes, *_: object) -> list[Any]:
        with self._lock:
            self.asked.append(host.decode())
            self._now += 1
            self.most = max(self.most, self._now)
        if b"slow" in host:
            self._token.run_sync_soon(self._slow.release)
            self._answering.wait(10)
        with self._lock:
            self._now -= 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
async def server() -> AsyncIterator[NameServer]:
    """A name server, all of whose threads end with the test."""
    running = NameServer()
    yield running
    running.answer_all()


async def look_up(through: Resolver, host: str) -> list[Any]:
    with trio.fail_after(10):
        return await through.getaddrinfo(host.encode(), None)


async def give_up_on(through: Resolver, *hosts: str) -> None:
    """Ask for all of these and leave when all wait."""
    async with trio.open_nursery() as nursery:
        for host in hosts:
            nursery.start_soon(look_up, through, host)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


async def test_slow_names_hold_up_no_others(server: NameServer) -> None:
    through = Resolver(server)
    for _ in range(3):
        await give_up_on(through, *[f"slow{n}.evil.test" for n in range(50)])
    assert await look_up(through, "good.test") == FOUND
    assert await look_up(through, "evil.good.test") == FOUND
    assert trio.to_thread.current_default_thread_limiter().borrowed_tokens == 0
    assert server.most <= AT_ONCE_PER_DOMAIN + 1


async def test_names_of_one_domain_wait_for_each_other(server: NameServer) -> None:
    through = Resolver(server)
    found: list[Any] = []

    async def find(host: str) -> None:
        found.append(await look_up(through, host))

    async with trio.open_nursery() as nursery:
        for n in range(3 * AT_ONCE_PER_DOMAIN):
            nursery.start_soon(find, f"slow{n}.good.test")
        await server.busy_with(AT_ONCE_PER_DOMAIN)
        server.answer_all()
    assert found == [FOUND] * (3 * AT_ONCE_PER_DOMAIN)
    assert server.most == AT_ONCE_PER_DOMAIN


async def test_there_is_a_bound_to_all(server: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "AT_ONCE", 5)
    through = Resolver(server)
    async with trio.open_nursery() as nursery:
        for n in range(20):
            nursery.start_soon(look_up, through, f"slow.domain{n}.test")
        await server.busy_with(5)
        server.answer_all()
    assert (server.most, len(server.asked)) == (5, 20)


@pytest.mark.parametrize(
    ("slow", "other"),
    [
        ("slow{}.evil.co.uk", "good.co.uk"),
        ("slow{}.evil.test", "EVIL.example"),
        ("slow{}", "good"),
    ],
)
async def test_whose_name_it_is(server: NameServer, slow: str, other: str) -> None:
    through = Resolver(server)
    await give_up_on(through, *[slow.format(n) for n in range(9)])
    assert await look_up(through, other) == FOUND


async def test_who_asks_for_the_same_joins(server: NameServer) -> None:
    through = Resolver(server)
    async with trio.open_nursery() as nursery:
        await give_up_on(through, "slow.test")  # the first one leaves
        for _ in range(9):
            nursery.start_soon(look_up, through, "slow.test")
        await wait_all_tasks_blocked()
        server.answer_all()
    assert server.asked == ["slow.test"]
    await look_up(through, "slow.test")
    assert server.asked == ["slow.test"] * 2  # what was found is not kept


@pytest.mark.parametrize(
    "error", [socket.gaierror(socket.EAI_AGAIN, "not now"), UnicodeError("not a name")]
)
async def test_a_failure_is_remembered_for_a_moment(
    server: NameServer, mock_clock: MockClock, error: Exception
) -> None:
    server.answer = error
    through = Resolver(server)
    for _ in range(3):
        with pytest.raises(type(error), match="not"):
            await look_up(through, "origin.test")
    assert server.asked == ["origin.test"]
    mock_clock.jump(FAILURE_SECONDS)
    server.answer = FOUND
    assert await look_up(through, "origin.test") == FOUND


async def test_not_all_failures_are_remembered(
    server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "MOST_FAILURES", 2)
    server.answer = socket.gaierror(socket.EAI_NONAME, "unknown")
    through = Resolver(server)
    for host in ("a.test", "b.test", "c.test", "c.test", "b.test", "a.test"):
        with pytest.raises(socket.gaierror):
            await look_up(through, host)
    assert server.asked == ["a.test", "b.test", "c.test", "a.test"]


async def test_a_run_has_one_resolver() -> None:
    bound_look_ups()
    first = trio.socket.set_custom_hostname_resolver(None)
    assert isinstance(first, Resolver)
    trio.socket.set_custom_hostname_resolver(first)
    bound_look_ups()
    assert trio.socket.set_custom_hostname_resolver(None) is first
