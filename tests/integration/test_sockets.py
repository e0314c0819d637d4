"""What this machine is called."""

import socket

import pytest
import trio

from supernode.wire import sockets


async def test_the_host_name_is_one_of_our_names() -> None:
    with trio.fail_after(10):
        assert socket.gethostname() in await sockets.own_names()


async def test_a_name_server_that_is_silent_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def silent(*_: object, **__: object) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(trio.socket, "getaddrinfo", silent)
    monkeypatch.setattr(sockets, "NAME_SECONDS", 0.01)
    with trio.fail_after(10):
        assert await sockets.own_names() == {socket.gethostname()}


async def test_the_full_name_is_one_of_our_names(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolved(host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, f"{host}.example", ("192.0.2.1", 0)),
            (socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("192.0.2.1", 0)),
        ]

    monkeypatch.setattr(trio.socket, "getaddrinfo", resolved)
    with trio.fail_after(10):
        name = socket.gethostname()
        assert await sockets.own_names() == {name, f"{name}.example"}
