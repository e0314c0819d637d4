"""``supernode status`` and what it is answered, or is not."""

import json
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import trio

import supernode
from supernode.dfget.http import HttpClient
from supernode.dfget.options import Node
from supernode.remote import Rejected, Remote, Unreachable
from supernode.status.looking import Status, look
from tests.integration.http_stub import StubAnswer, StubRequest, http_stub

ROOT = Path(supernode.__file__).parents[1]
OVERVIEW = {
    "started": "2026-01-01T00:00:00.000Z",
    "time": "2026-01-01T00:00:10.000Z",
    "peers": {"known": 1, "silent": 0, "quarantined": 0},
    "bytesFrom": {"origin": 1, "seed": 2, "peers": 3},
    "ofTheFuture": True,
}


def task(number: int, status: str, **more: object) -> dict[str, object]:
    about = {"ID": str(number), "cdnStatus": status, "taskURL": f"http://o/{number}"}
    return about | {"created": f"2026-01-01T00:00:{number:02}.000Z"} | more


ANSWERS: dict[str, tuple[int, object]] = {
    "/readyz": (200, {"checks": {"disk": "ok"}}),
    "/version": (200, {"Version": "1"}),
    "/overview": (200, OVERVIEW),
    "/preheats": (200, []),
    "/tasks": (200, []),
}


async def looked(answers: Mapping[str, tuple[int, object]]) -> Status:
    async def answer(request: StubRequest) -> StubAnswer:
        status, body = answers.get(request.target.partition("?")[0], (404, {"message": "none"}))
        return status, body if isinstance(body, bytes) else json.dumps(body).encode()

    http = HttpClient(user_agent="test")
    outcome: Status | Rejected | Unreachable
    with trio.fail_after(10):
        async with http_stub(answer) as port:
            try:
                outcome = await look(Remote(Node("127.0.0.1", port), http))
            except (Rejected, Unreachable) as error:
                outcome = error
            finally:
                http.close()
    if isinstance(outcome, Exception):
        raise outcome  # outside of the stub's nursery, which would put it into a group
    return outcome


async def test_what_runs_is_shown_once_with_what_it_waits_for() -> None:
    tasks = [task(1, "SUCCESS", running=2), task(2, "RUNNING"), task(3, "SUCCESS")]
    waiting = {"waiting": {"cause": "seed_slots", "text": "slots are taken", "clients": {}}}
    status = await looked(ANSWERS | {"/tasks": (200, tasks), "/tasks/1/progress": (200, waiting)})
    assert [(one.id, one.waits_for) for one in status.running] == [
        ("1", "slots are taken"),
        ("2", ""),  # it was removed before it could be asked about
    ]


async def test_the_failures_asked_for_last_come_first() -> None:
    tasks = [task(number, "FAILED", reason="origin_dns", detail="no") for number in range(9)]
    preheat = {"ID": "p", "status": "FAILED", "startTime": "2026-01-01T00:00:07.500Z"}
    preheat |= {"url": "http://o/image", "errorMsg": "denied"}
    status = await looked(ANSWERS | {"/tasks": (200, tasks), "/preheats": (200, [preheat])})
    assert [(failure.url, failure.why) for failure in status.failures] == [
        ("http://o/8", "origin_dns: no"),
        ("http://o/image", "denied"),
        ("http://o/7", "origin_dns: no"),
        ("http://o/6", "origin_dns: no"),
        ("http://o/5", "origin_dns: no"),
    ]


async def test_one_that_is_not_ready_is_looked_at_all_the_same() -> None:
    refusal = {"code": 503, "message": "disk: full", "checks": {"disk": "full"}}
    status = await looked(ANSWERS | {"/readyz": (503, refusal)})
    assert (status.ready, status.trouble, status.checks) == (False, "disk: full", {"disk": "full"})


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        ({}, "it is no supernode, or an older one"),
        (ANSWERS | {"/overview": (403, {"message": "who are you?"})}, "who are you"),
    ],
)
async def test_who_is_none_or_refuses_is_told_of(
    answers: Mapping[str, tuple[int, object]], problem: str
) -> None:
    with pytest.raises(Rejected, match=problem):
        await looked(answers)


async def test_who_talks_nonsense_is_told_of() -> None:
    with pytest.raises(Unreachable):
        await looked({"/readyz": (200, b"<html>")})


def test_where_nobody_is_the_command_says_so_in_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        node = f"127.0.0.1:{taken.getsockname()[1]}"
        command = [sys.executable, "-m", "supernode", "status", f"--node={node}"]
        ended = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
        )
    assert (ended.returncode, ended.stdout) == (69, "")
    (said,) = ended.stderr.splitlines()
    assert said.startswith(f"supernode: supernode {node}: ")
