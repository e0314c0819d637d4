"""What schemathesis' own process does to every request before it is sent. Loaded by name."""

import os
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import schemathesis

ORIGIN_FILE = os.environ["ORIGIN_FILE"]
"""URL of a file on an origin that may be asked."""

USEFUL: Mapping[str, str] = {
    "rawURL": ORIGIN_FILE,
    "url": ORIGIN_FILE,
    "type": "file",
    "cID": "client",
    "peerID": "",
    "clientID": "client",
    "IP": "127.0.0.1",
    "hostName": "host",
    "path": "/path",
    "md5": "",
    "pieceRange": "0-4194303",
}

NEEDED: Mapping[str, Sequence[str]] = {
    "/peers": ("IP", "hostName"),
    "/tasks": ("rawURL", "cID"),
    "/preheats": ("type", "url"),
}
"""What the document calls optional, and nothing works without."""


@schemathesis.hook
def before_call(
    _context: schemathesis.HookContext, case: schemathesis.Case[Any], _kwargs: dict[str, Any]
) -> None:
    """Let every other text mean something, drop nulls, and let nothing leave loopback or wait long.

    Random texts alone would hardly ever make a task, or name a client of it. A null is as good as
    left out: without it the request may be a good one, and schemathesis judges it anew.
    """
    case.path_parameters = _useful(case.path_parameters)
    case.query = _useful(case.query)
    if isinstance(case.body, bytes) and not case.body.strip():
        case.body = {}  # which no body means
    if isinstance(case.body, dict):
        needed = {name: USEFUL[name] for name in NEEDED.get(case.path, ())}
        case.body = needed | _useful(_without_nulls(case.body))
        if isinstance(reports := case.body.get("reports"), list):
            case.body["reports"] = [
                _useful(report) if isinstance(report, dict) else report for report in reports
            ]
    if case.headers and "wait=" in case.headers.get("Prefer", ""):
        case.headers["Prefer"] = "wait=1"


def _without_nulls(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, list):
        return [_without_nulls(entry) for entry in value]
    if isinstance(value, dict):
        return {name: _without_nulls(each) for name, each in value.items() if each is not None}
    return value


def _useful(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: USEFUL[name] if name in USEFUL and _is_to_be_useful(value) else value
        for name, value in fields.items()
    }


def _is_to_be_useful(value: object) -> bool:
    if not isinstance(value, str) or not value:
        return False
    return value.lower().startswith("http") or zlib.crc32(value.encode(errors="replace")) % 2 == 0
