"""Every setting: its section and key, type and unit, default, what it is for, and its flag."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import msgspec

from supernode.config.kinds import (
    Address,
    Count,
    DayOrLonger,
    Directory,
    Duration,
    File,
    Host,
    HostName,
    Level,
    Mark,
    OriginRule,
    Port,
    PortOrNone,
    ProxyUrl,
    Rate,
    RegistryName,
    Resort,
    Secret,
    Size,
    Switch,
    Word,
)
from supernode.core.model import Limits
from supernode.storage.disk_space import WaterMark

_LIMITS = Limits()
_KIB = 1 << 10
_MIB = 1 << 20


@dataclass(frozen=True)
class About:
    """What a setting is for.

    Args:
        text: for the operator; a sentence.
        flags: of ``serve``, the usual one first, then Dragonfly v1's.
        default: what is done without a value, where the default does not say it.
    """

    text: str
    flags: tuple[str, ...] = ()
    default: str = ""


class Http(msgspec.Struct, frozen=True, kw_only=True):
    """The control port; its limits hold for the data port, too."""

    host: Annotated[Host, About("Address to listen on, for both ports.", ("--host",))] = "0.0.0.0"
    port: Annotated[PortOrNone, About("Control port; 0: any free one.", ("--port",))] = 8002
    hosts: Annotated[
        tuple[HostName, ...],
        About("Names besides this machine's own under which browsers may use the control port."),
    ] = ()
    tls_cert: Annotated[
        File | None,
        About(
            "Certificate chain, in PEM: HTTPS on the control port.",
            ("--tls-cert",),
            "plain HTTP",
        ),
    ] = None
    tls_key: Annotated[
        File | None,
        About("Private key of the certificate, in PEM.", ("--tls-key",), "plain HTTP"),
    ] = None
    max_connections: Annotated[Count, About("Connections per port.")] = 4096
    max_connections_per_client: Annotated[
        Count, About("Connections per port from one address.")
    ] = 1024
    max_header: Annotated[Size, About("Size of a request's head.")] = 32 * _KIB
    max_body: Annotated[Size, About("Size of a request's body.")] = _MIB
    idle_timeout: Annotated[
        Duration, About("How long a connection may wait for its next request.")
    ] = 75.0
    write_timeout: Annotated[Duration, About("How long a client may stop reading.")] = 30.0
    drain_timeout: Annotated[
        Duration, About("How long requests in flight may take after SIGTERM.")
    ] = 10.0


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """The data port, which serves pieces. It stays plain HTTP: digests protect the pieces."""

    port: Annotated[
        PortOrNone,
        About(
            "Data port; 0: another server serves the pieces, at the advertised port.",
            ("--data-port", "--download-port"),
        ),
    ] = 8001
    advertise_ip: Annotated[
        Address,
        About(
            "Address under which clients reach the data port.",
            ("--advertise-ip",),
            "the one listened on, or this machine's own",
        ),
    ]
    advertise_port: Annotated[
        Port | None,
        About(
            "Port under which clients reach the data port.",
            ("--advertise-data-port",),
            "the data port",
        ),
    ] = None


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Whom files are fetched from, and how."""

    allow: Annotated[
        tuple[OriginRule, ...],
        About(
            "Fetch from this network, too, though it is loopback or link-local.",
            ("--allow-origin",),
        ),
    ] = ()
    deny: Annotated[
        tuple[OriginRule, ...],
        About("Never fetch from this network, even if it is allowed.", ("--deny-origin",)),
    ] = ()
    ports: Annotated[tuple[Port, ...], About("Ports that origins may have.", default="any")] = ()
    proxy: Annotated[
        ProxyUrl | None,
        About("Proxy that leads to every origin; proxies in the environment are ignored."),
    ] = None
    connect_timeout: Annotated[Duration, About("How long a connection may take.")] = 3.0
    head_timeout: Annotated[Duration, About("How long an answer may take to begin.")] = 10.0
    stall_timeout: Annotated[Duration, About("How long no byte may come.")] = 30.0
    slowest_rate: Annotated[
        Rate, About("Bandwidth of a file that comes too slowly, averaged over a minute.")
    ] = _KIB
    max_connections: Annotated[Count, About("Files fetched at once …")] = 16
    max_connections_per_origin: Annotated[
        Count, About("… from one origin, so that a slow one holds up no other.")
    ] = 8
    rate: Annotated[
        Rate | None, About("Bandwidth from all origins together.", default="unlimited")
    ] = None
    rate_per_origin: Annotated[
        Rate | None, About("Bandwidth from one origin.", default="unlimited")
    ] = None


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """Where files are kept, and how many."""

    state_dir: Annotated[
        Directory,
        About(
            "Where pieces are kept.",
            ("--state-dir", "--home-dir"),
            "$STATE_DIRECTORY or ~/.local/state/supernode",
        ),
    ]
    high: Annotated[
        Mark, About("Files not in use are removed from here on, least recently used first …")
    ] = WaterMark(share=0.9)
    low: Annotated[Mark, About("… down to here.")] = WaterMark(share=0.8)


class Scheduler(msgspec.Struct, frozen=True, kw_only=True):
    """Who gets pieces from whom."""

    seed_slots: Annotated[
        Count,
        About("Uploads of one file that the supernode itself makes at once.", ("--seed-slots",)),
    ] = _LIMITS.seed_slots
    peer_slots: Annotated[
        Count,
        About("Uploads that a peer makes at once.", ("--peer-slots", "--up-limit")),
    ] = _LIMITS.peer_slots


class Peers(msgspec.Struct, frozen=True, kw_only=True):
    """The machines that download."""

    ttl: Annotated[Duration, About("A peer that was not heard of for so long is forgotten.")] = (
        _LIMITS.peer_ttl
    )


class Clients(msgspec.Struct, frozen=True, kw_only=True):
    """Who may download."""

    allow_call_systems: Annotated[
        tuple[Word, ...], About("Only these callSystems may ask for files.", default="all")
    ] = ()
    deny_call_systems: Annotated[
        tuple[Word, ...], About("These callSystems may not, even if they are allowed.")
    ] = ()
    without_credentials: Annotated[
        Resort,
        About(
            "What dfget 1.0 does if the origin wants other credentials: ask it itself, or give up."
        ),
    ] = "origin"


class Preheat(msgspec.Struct, frozen=True, kw_only=True):
    """Files that are fetched before anyone asks for them."""

    keep: Annotated[DayOrLonger, About("How long the outcome of a preheat is remembered.")] = (
        _LIMITS.preheat_keep
    )


class Registry(msgspec.Struct, frozen=True, kw_only=True):
    """One registry that images are preheated from. Files are read again when they change."""

    username: Annotated[Word | None, About("Who we are to it …")] = None
    password: Annotated[Secret | None, About("… with this password …")] = None
    password_file: Annotated[File | None, About("… or the one in this file.")] = None
    identity_token: Annotated[
        Secret | None, About("Instead of a user: a token that its token service takes …")
    ] = None
    identity_token_file: Annotated[File | None, About("… or the one in this file.")] = None
    ca: Annotated[
        File | None,
        About("Authorities, in PEM, that may vouch for it.", default="the system's alone"),
    ] = None
    insecure: Annotated[Switch, About("Do not verify its certificate.")] = False
    client_cert: Annotated[
        File | None, About("Our certificate chain, in PEM, if it wants to see one.")
    ] = None
    client_key: Annotated[File | None, About("Private key of that certificate, in PEM.")] = None
    plain_http: Annotated[
        Switch, About("It has no TLS. Nothing on the way to it is kept secret.")
    ] = False


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """What is logged, on stderr."""

    level: Annotated[Level, About("From which level on.", ("--log-level",))] = "info"


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of ``supernode serve``; ``load.load`` makes one."""

    http: Http
    data: Data
    origin: Origin
    disk: Disk
    scheduler: Scheduler
    peers: Peers
    clients: Clients
    preheat: Preheat
    registries: Mapping[RegistryName, Registry]
    log: Log
