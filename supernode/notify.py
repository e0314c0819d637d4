"""Tells the service manager how we are, as systemd's ``sd_notify`` does; without one, nothing.

In our executable it is not the main process that tells: a unit needs ``NotifyAccess=all``.
"""

import os
import socket
from collections.abc import Mapping

import structlog
import trio

SEND_SECONDS = 5.0
"""How long to try; the manager's queue may be full."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


async def ready(status: str) -> None:
    """Tell that we serve.

    Args:
        status: one line for people, as ``systemctl status`` shows it.
    """
    await _send("READY=1", f"STATUS={status}")


async def stopping(status: str) -> None:
    """Tell that we are about to end. ``status`` as in ``ready``."""
    await _send("STOPPING=1", f"STATUS={status}")


async def alive() -> None:
    """Tell that we are well; see ``watchdog_seconds``."""
    await _send("WATCHDOG=1")


def watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    """Return within what time the manager wants to hear that we are well; None: it does not."""
    microseconds = environment.get("WATCHDOG_USEC", "")
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None  # of a process that we were started by
    if not microseconds.isdecimal() or not int(microseconds):
        return None
    return int(microseconds) / 1_000_000


async def _send(*assignments: str) -> None:
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):  # Linux's abstract names
        address = "\0" + address[1:]
    message = "\n".join(assignments).encode()
    try:
        with trio.socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            with trio.fail_after(SEND_SECONDS):
                await manager.connect(address)
                await manager.send(message)
    except (OSError, trio.TooSlowError) as error:
        # Not worth ending for: the manager will do what it thinks right.
        log.warning("service manager not told", message=assignments[0], error=repr(error))
