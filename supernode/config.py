"""What can be configured: one typed tree with a default for everything."""

import ipaddress
import os
import socket
from collections.abc import Mapping
from pathlib import Path

import msgspec

from supernode.core.model import Limits


class ConfigError(Exception):
    """A setting cannot be used. The message names it."""


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of ``supernode serve``; one that is left out has a useful default.

    Times are seconds.
    """

    host: str = "0.0.0.0"
    """Address to listen on, for both ports."""
    port: int = 8002
    """Control port; 0: any free one."""
    data_port: int = 8001
    """Data port; 0: do not serve pieces, something else does at ``advertise_data_port``."""
    advertise_ip: str | None = None
    """Address under which clients reach the data port; by default the one this machine uses."""
    advertise_data_port: int | None = None
    """Port under which clients reach the data port; by default ``data_port``."""
    state_dir: Path | None = None
    """Where pieces are kept."""
    allow_origin: tuple[str, ...] = ()
    """Networks that origins may be in although the built-in rule forbids them."""
    deny_origin: tuple[str, ...] = ()
    """Networks that origins must not be in; beats ``allow_origin``."""
    log_level: str = "info"
    max_connections: int = 4096
    """Connections per port."""
    write_timeout: float = 30.0
    """How long a client may stop reading."""
    idle_timeout: float = 75.0
    """How long a connection may wait for its next request."""
    drain_timeout: float = 10.0
    """How long requests in flight may take after SIGTERM."""
    seed_slots: int = Limits().seed_slots
    """Uploads of one file that the supernode itself makes at once."""

    def __post_init__(self) -> None:
        """Raise ConfigError if settings contradict each other."""
        if not self.data_port and not self.advertise_data_port:
            raise ConfigError("--data-port 0 serves no pieces: say who does, --advertise-data-port")
        try:
            ipaddress.ip_address(self.advertise_ip or "0.0.0.0")
        except ValueError:
            raise ConfigError(f"--advertise-ip: {self.advertise_ip!r} is no IP address") from None


def networks(
    setting: str, texts: tuple[str, ...]
) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """Return networks written as addresses or in CIDR notation. Raises ConfigError."""
    found = []
    for text in texts:
        try:
            found.append(ipaddress.ip_network(text, strict=False))
        except ValueError:
            raise ConfigError(f"{setting}: {text!r} is not a network such as 10.0.0.0/8") from None
    return found


def default_state_dir(environment: Mapping[str, str]) -> Path:
    """Return where state goes unless configured: systemd's directory, or the user's own."""
    if directory := environment.get("STATE_DIRECTORY"):
        return Path(directory.partition(":")[0])
    home = environment.get("XDG_STATE_HOME") or Path(environment.get("HOME", "/")) / ".local/state"
    return Path(home) / "supernode"


def own_address() -> str:
    """Return the address that this machine uses towards others; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def state_dir(config: Config) -> Path:
    """Return where state goes."""
    return config.state_dir or default_state_dir(os.environ)
