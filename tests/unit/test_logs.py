"""Logs on a terminal and elsewhere."""

import json
import os
import pty
import subprocess
import sys

FAILING = """
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
    subprocess.run([sys.executable, "-c", FAILING], stderr=terminal, check=True, timeout=30)
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


ANSWERING = """
import logging
import structlog
from supernode import logs
from supernode.api.event_log import log_event
from supernode.core.events import PeerLeft, PeerSeen
from supernode.feed import Feed

logs.set_up("info")
feed = Feed()
feed.listen(log_event)
with structlog.contextvars.bound_contextvars(request="r1", remote="10.0.0.1"):
    structlog.get_logger("supernode").warning("ours", task="t")
    logging.getLogger("library").warning("theirs")
    feed.publish([PeerSeen(at=0, peer="p"), PeerLeft(at=0, peer="p")])
structlog.get_logger("supernode").info("afterwards")
"""


def test_lines_are_json_and_name_the_request_they_were_written_for() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", ANSWERING], stderr=subprocess.PIPE, check=True, timeout=30
    )
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert [(line["level"], line["event"], line.get("request")) for line in lines] == [
        ("warning", "ours", "r1"),
        ("warning", "theirs", "r1"),
        ("info", "peer.left", "r1"),
        ("info", "afterwards", None),
    ]
    assert lines[0]["task"] == "t"
    assert lines[2]["peer"] == "p"
    assert lines[2]["seq"] == 2
