"""Logs on a terminal."""

import os
import pty
import subprocess
import sys

PROGRAM = """
import structlog
from supernode import logs

logs.set_up("info")

def fetch(headers):
    raise RuntimeError("broken")

try:
    fetch({"Authorization": "Bearer s3cr3t"})
except RuntimeError:
    structlog.get_logger("supernode").exception("a fetch failed")
"""


def test_a_traceback_on_a_terminal_shows_no_secrets() -> None:
    ours, terminal = pty.openpty()
    subprocess.run([sys.executable, "-c", PROGRAM], stderr=terminal, check=True, timeout=30)
    os.close(terminal)
    shown = b""
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:
        pass  # how a terminal says that its other end is closed
    os.close(ours)
    assert b"RuntimeError" in shown
    assert b"s3cr3t" not in shown
