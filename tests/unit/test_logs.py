"""Logs on a terminal and elsewhere."""

import json
import os
import pty
import re
import subprocess
import sys

FAILING = """
import structlog
from supernode import logs

logs.set_up("info")

def fetch(headers):
    raise RuntimeError("broken")

try:
    fetch({"Authorization": "Bearer " + "s3cr3t"[::-1]})  # its line may be shown, not its value
except RuntimeError:
    structlog.get_logger("supernode").exception("a fetch failed")
"""


def on_a_terminal(program: str) -> str:
    """Return what a terminal is sent when the program logs to it."""
    ours, terminal = pty.openpty()
    subprocess.run([sys.executable, "-c", program], stderr=terminal, check=True, timeout=30)
    os.close(terminal)
    shown = b""
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:
        pass  # how a terminal says that its other end is closed
    os.close(ours)
    return shown.decode()


def test_a_traceback_on_a_terminal_shows_no_secrets() -> None:
    shown = on_a_terminal(FAILING)
    assert "RuntimeError" in shown
    assert "s3cr3t"[::-1] not in shown


HOSTILE = r"""
import logging
import structlog
from supernode import logs

logs.set_up("info")
said = "\x1b]0;title\x07\x9b2J\x7f\r\n\u202e\u2066dragon"
log = structlog.get_logger("supernode")
log.info(said, version=said, headers=[said], quoted=f"a {said}")
logging.getLogger("library").warning("%s", said)
try:
    raise RuntimeError(f"first\n{said}")
except RuntimeError:
    log.exception("a defect")
"""


def test_a_terminal_is_shown_what_clients_say_and_does_not_obey() -> None:
    shown = on_a_terminal(HOSTILE)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", shown)  # the colours, which are ours
    assert shown.count("dragon") == 6
    assert r"version=\x1b]0;title\x07\x9b2J\x7f\r\n\u202e\u2066dragon" in shown
    assert not re.findall(r"[\0-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\u202e\u2066]", shown)
    lines = shown.splitlines()
    assert "RuntimeError: first" in lines, "a traceback keeps its lines"
    assert sum(line.startswith("[") for line in lines) == 3, "and nothing else makes any"


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
