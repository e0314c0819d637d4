"""Listening sockets, inherited from whoever started us or opened here, and our own names.

Inherited ones follow systemd's protocol (sd_listen_fds(3)), told apart by the names ``control``
and ``data``; they outlive the process, so that a restart refuses no connection.
"""

import os
import socket
from collections.abc import Mapping, MutableMapping
from contextlib import suppress

import trio

from supernode.wire.browsers import is_host_name

FIRST_FD = 3
BACKLOG = 1024
NAME_SECONDS = 2.0
"""How long to look for this machine's full name: a name server that is down takes much longer."""


def inherited(environment: MutableMapping[str, str]) -> Mapping[str, list[trio.SocketListener]]:
    """Return the sockets passed to this process, by name; and forget about them.

    Must be called once, inside ``trio.run``.

    Raises:
        ValueError: a socket has no name that we know, or does not listen.
    """
    pid = environment.pop("LISTEN_PID", "")
    count = environment.pop("LISTEN_FDS", "")
    names = environment.pop("LISTEN_FDNAMES", "").split(":")
    found: dict[str, list[trio.SocketListener]] = {"control": [], "data": []}
    if pid != str(os.getpid()) or not count.isdigit():
        return found
    for offset in range(int(count)):
        name = names[offset] if offset < len(names) else ""
        if name not in found:
            raise ValueError(f"inherited socket {offset} is named {name!r}, not control or data")
        raw = socket.socket(fileno=FIRST_FD + offset)
        os.set_inheritable(raw.fileno(), False)
        if not raw.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise ValueError(f"inherited socket {name!r} does not listen")
        found[name].append(trio.SocketListener(trio.socket.from_stdlib_socket(raw)))
    return found


async def opened(host: str, port: int) -> list[trio.SocketListener]:
    """Return sockets that listen on ``host``, one per address it stands for.

    ``::`` stands for every address, IPv4's as well, unless any port will do: then they would get
    different ones.

    Raises:
        OSError: the port is taken, or the host is none of ours.
    """
    everywhere = host == "::" and port != 0
    return await trio.open_tcp_listeners(port, host=None if everywhere else host, backlog=BACKLOG)


def port_of(listeners: list[trio.SocketListener]) -> int:
    """Return the port that the first of ``listeners`` is bound to."""
    return int(listeners[0].socket.getsockname()[1])


def address_of(listener: trio.SocketListener) -> tuple[str, int]:
    """Return the address and port that a listener is bound to."""
    host, port, *_ = listener.socket.getsockname()
    return str(host), int(port)


async def own_names() -> frozenset[str]:
    """Return this machine's names: its host name and, if that can be found out, the full one."""
    host = socket.gethostname()
    names = {host}
    with trio.move_on_after(NAME_SECONDS), suppress(OSError, UnicodeError):
        found = await trio.socket.getaddrinfo(host, None, flags=socket.AI_CANONNAME)
        names.update(canonical for *_, canonical, _ in found)
    return frozenset(filter(is_host_name, names))
