"""Checks of the ports, and of the address that clients are told."""

import errno
import ipaddress
import os
import socket

import msgspec
import trio

from supernode.config.settings import Config
from supernode.dfget.http import HttpClient
from supernode.dfget.options import Node
from supernode.doctor.finding import Finding, broken, doubtful, fine
from supernode.remote import Rejected, Remote, Unreachable

CONNECT_SECONDS = 5.0


class _Version(msgspec.Struct, rename={"version": "Version"}):
    version: str


async def control_port(config: Config) -> Finding:
    """See whether the control port is free, or a supernode's."""
    host, port = config.http.host, config.http.port
    problem = await trio.to_thread.run_sync(_taken, host, port)
    if problem is None:
        return fine(f"{host} port {port} is free")
    if problem == errno.EADDRINUSE:
        if version := await _version(config):
            return fine(f"port {port} is served by supernode {version}")
        if config.http.tls_cert is not None:
            return doubtful(
                f"port {port} is taken, under TLS: by whom cannot be told",
                f"if no supernode runs, see who it is: ss -ltnp 'sport = :{port}'",
            )
    return _cannot_listen(host, port, problem, "[http] port")


async def data_port(config: Config) -> Finding:
    """See whether the data port is free, or taken while a supernode runs."""
    host, port = config.http.host, config.data.port
    if not port:
        return fine("another server serves the pieces")
    problem = await trio.to_thread.run_sync(_taken, host, port)
    if problem is None:
        return fine(f"{host} port {port} is free")
    if problem == errno.EADDRINUSE and await _version(config):
        return fine(f"port {port} is taken, and the supernode runs")
    return _cannot_listen(host, port, problem, "[data] port")


async def advertised(config: Config) -> Finding:
    """See whether clients can reach the address they are told, as far as this machine can see."""
    ip, port = config.data.advertise_ip, config.data.advertise_port or config.data.port
    mend = "set [data] advertise_ip to an address of this machine that clients reach"
    try:
        with trio.fail_after(CONNECT_SECONDS):
            stream = await trio.open_tcp_stream(ip, port)
            await stream.aclose()
        reached = True
    except (OSError, trio.TooSlowError):
        reached = False
    if ipaddress.ip_address(ip).is_loopback:
        return doubtful(f"clients are told {ip}, which only this machine reaches", mend)
    if reached:
        return fine(f"{ip} port {port} is reached from here; firewalls are between it and others")
    if await trio.to_thread.run_sync(_taken, ip, 0) is None:
        if await _version(config):
            return broken(
                f"a supernode runs, but {ip} port {port} cannot be reached",
                f"open port {port} in the firewall, or mend [data] advertise_ip, advertise_port",
            )
        return fine(f"{ip} is an address of this machine")
    return doubtful(
        f"{ip} is no address of this machine, and its port {port} cannot be reached",
        f"{mend}, or see that {ip} forwards port {port} to it",
    )


def _cannot_listen(host: str, port: int, problem: int, setting: str) -> Finding:
    seen = f"{host} port {port}: {os.strerror(problem)}"
    if problem == errno.EADDRINUSE:
        return broken(seen, f"see who it is (ss -ltnp 'sport = :{port}'), or set {setting}")
    if problem == errno.EACCES:
        return broken(seen, f"take a port from 1024 on for {setting}")
    return broken(seen, f"mend [http] host or {setting}")


def _taken(host: str, port: int) -> int | None:
    """Return why nobody can listen there, as an errno; None: one can. Blocks."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror:
        return errno.EADDRNOTAVAIL
    for family, kind, protocol, _, address in found:
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
                probe.listen(1)  # two may bind, but not listen
        except OSError as error:
            if error.errno == errno.EAFNOSUPPORT:
                continue  # no IPv6 here: ``serve`` does without
            return error.errno or errno.EIO
    return None


async def _version(config: Config) -> str:
    """Return the version of the supernode on the control port; empty: there is none."""
    host = config.http.host
    if host in ("0.0.0.0", "::", "localhost"):
        host = "::1" if host == "::" else "127.0.0.1"
    http = HttpClient(user_agent="supernode-doctor")
    node = Node(host, config.http.port, config.http.tls_cert is not None)
    try:
        with trio.fail_after(CONNECT_SECONDS):
            return (await Remote(node, http).ask("GET", "/version", _Version)).version
    except (Rejected, Unreachable, trio.TooSlowError):
        return ""
    finally:
        http.close()
