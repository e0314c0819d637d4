"""What a machine itself says about settings that are left out."""

import ipaddress
import socket
from collections.abc import Mapping
from pathlib import Path

_ELSEWHERE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
"""Addresses reserved for documentation: only the way to them is looked up, nothing is sent."""


def state_directory(environment: Mapping[str, str]) -> Path:
    """Return where state goes: systemd's directory, or the user's own."""
    if directory := environment.get("STATE_DIRECTORY"):
        return Path(directory.partition(":")[0])
    home = environment.get("XDG_STATE_HOME") or Path(environment.get("HOME", "/")) / ".local/state"
    return Path(home) / "supernode"


def own_address(host: str) -> str:
    """Return an address under which others reach what listens on ``host``.

    That is ``host`` itself if it is one address. Otherwise the address that this machine uses
    towards others, of the family of ``host`` if it has such a one.
    """
    families = [socket.AF_INET, socket.AF_INET6]
    try:
        listening = ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        if not listening.is_unspecified:
            return str(listening)
        if listening.version == 6:
            families.reverse()
    for family in families:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((_ELSEWHERE[family], 9))
                return str(probe.getsockname()[0])
        except OSError:
            continue  # no way there, or no such family on this machine
    return "127.0.0.1" if families[0] == socket.AF_INET else "::1"
