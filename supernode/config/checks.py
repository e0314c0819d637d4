"""What makes well-formed settings unusable: each other, or what there is on this machine."""

import os
import socket
from pathlib import Path

from supernode.config import registries
from supernode.config.errors import Unusable
from supernode.config.settings import Config, Data, Disk, Http
from supernode.config.tls import server_context
from supernode.config.units import show_water_mark


def check(config: Config) -> None:
    """Raise Unusable if ``serve`` could not run with this."""
    _ports(config.http, config.data)
    _host(config.http.host)
    _state_dir(config.disk.state_dir)
    _water_marks(config.disk)
    server_context(config.http)
    registries.check(config.registries)


def _ports(http: Http, data: Data) -> None:
    if not data.port and data.advertise_port is None:
        problem = "0 serves no pieces: say who does, --advertise-data-port or [data] advertise_port"
        raise Unusable(problem, "data.port")
    if data.port and data.port == http.port:
        problem = f"control and data port are both {data.port}"
        raise Unusable(problem, "data.port", "http.port")


def _host(host: str) -> None:
    """See whether it is this machine. No port is taken: ``serve`` may be running."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        problem = error.strerror if isinstance(error, OSError) else "not a name"
        raise Unusable(f"{host}: {problem}", "http.host") from None
    for family, kind, protocol, _, address in found:
        try:
            probe = socket.socket(family, kind, protocol)
        except OSError:
            continue  # no IPv6 here: ``serve`` does without
        with probe:
            try:
                probe.bind(address)  # to any free port, which is free again right away
            except OSError as error:
                problem = f"{host}: {os.strerror(error.errno or 0)}"
                raise Unusable(problem, "http.host") from None


def _state_dir(path: Path) -> None:
    """Look at what there is of the path: the rest will be made."""
    try:
        existing = next(part for part in (path, *path.absolute().parents) if part.exists())
    except OSError as error:
        raise Unusable(f"{path}: {error.strerror}", "disk.state_dir") from None
    if not existing.is_dir():
        raise Unusable(f"{existing} is not a directory", "disk.state_dir")


def _water_marks(disk: Disk) -> None:
    high, low = disk.high, disk.low
    both = f"low = {show_water_mark(low)} and high = {show_water_mark(high)}"
    if (high.share is None) != (low.share is None):
        raise Unusable(f"{both}: shares or sizes, but not one of each", "disk.low", "disk.high")
    if (low.share or low.size or 0) >= (high.share or high.size or 0):
        raise Unusable(f"{both}: low must be below high", "disk.low", "disk.high")
