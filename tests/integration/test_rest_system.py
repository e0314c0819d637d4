"""``/_ping`` and ``/version``."""

import platform
import sys

import pytest
from trio.testing import MockClock

from supernode.version import REVISION, VERSION
from tests.integration.rest_caller import Caller


@pytest.mark.parametrize(
    ("accept", "kind", "body"),
    [
        ("", "text/plain", b"OK"),
        ("*/*", "text/plain", b"OK"),
        ("text/plain", "text/plain", b"OK"),
        ("application/json", "application/json", b'"OK"'),
        ("text/plain, application/json", "application/json", b'"OK"'),
    ],
)
async def test_ping(
    autojump_clock: MockClock, call: Caller, accept: str, kind: str, body: bytes
) -> None:
    answer = await call("GET", "/_ping", Accept=accept)
    assert (answer.status_code, answer.content) == (200, body)
    assert answer.headers["Content-Type"].partition(";")[0] == kind


async def test_the_version_in_v1s_keys(autojump_clock: MockClock, call: Caller) -> None:
    said = await call.look("/version")
    assert said["Version"] == VERSION
    assert said["OS"] == sys.platform
    assert said["Arch"] == platform.machine()
    assert said["PythonVersion"] == platform.python_version()
    assert said.get("Revision", "") == REVISION
