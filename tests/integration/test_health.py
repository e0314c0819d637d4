"""What load balancers and watchdogs are told, and how a disk that takes nothing is found out."""

import os
import threading
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from supernode.api.health import Finding, working
from supernode.services import disk_probing
from supernode.services.disk_probing import DiskProbing
from tests.faults import GoesOn, Group, Seen, fault
from tests.inprocess import InProcess
from tests.integration.rest_caller import Caller, refusal


async def test_who_answers_is_alive_whatever_else_is_wrong(autojump_clock: MockClock) -> None:
    node = InProcess(checks={"disk": lambda: Finding("Read-only file system", is_fine=False)})
    answer = await Caller(node)("GET", "/livez")
    assert (answer.status_code, answer.text) == (200, "OK")


async def test_ready_tells_what_there_is_to_say_of_every_check(autojump_clock: MockClock) -> None:
    node = InProcess(checks={"disk": lambda: Finding("ok"), "sockets": lambda: Finding("ours")})
    assert await Caller(node).look("/readyz") == {"checks": {"disk": "ok", "sockets": "ours"}}


async def test_not_ready_names_all_that_is_wrong_and_only_that(autojump_clock: MockClock) -> None:
    node = InProcess(
        checks={
            "disk": lambda: Finding("Read-only file system", is_fine=False),
            "journal": lambda: Finding("disk I/O error", is_fine=False),
            "sockets": lambda: Finding("ours"),
        }
    )
    for path in ("/readyz", "/api/v1/readyz"):
        answer = await Caller(node)("GET", path)
        assert answer.status_code == 503
        said = answer.json()
        assert said == {
            "code": 503,
            "message": "disk: Read-only file system; journal: disk I/O error",
            "checks": {
                "disk": "Read-only file system",
                "journal": "disk I/O error",
                "sockets": "ours",
            },
        }


async def test_one_that_is_about_to_stop_is_not_ready_but_alive(autojump_clock: MockClock) -> None:
    stopping = "it is about to stop"
    node = InProcess(
        checks={"serving": lambda: working(stopping if node.responder.is_closing else "")}
    )
    call = Caller(node)
    assert (await call("GET", "/readyz")).status_code == 200
    node.responder.close()
    answer = await call("GET", "/readyz")
    assert (answer.status_code, answer.json()["message"]) == (503, f"serving: {stopping}")
    assert (await call("GET", "/livez")).status_code == 200


async def test_only_looking_is_possible(autojump_clock: MockClock) -> None:
    refusal(await Caller(InProcess())("POST", "/readyz"), 405)


@fault(
    Group.DISK,
    "takes nothing any more, though nobody is fetching: read-only, failing or hanging",
    GoesOn(says="nothing can be written", does="`/readyz` answers 503 until it does"),
)
async def test_a_disk_that_takes_nothing_is_found_out_and_so_is_its_recovery(
    tmp_path: Path, seen: Seen
) -> None:
    directory = tmp_path / "repo"
    probing = DiskProbing(directory)
    call = Caller(InProcess(checks={"disk": lambda: working(probing.trouble)}))
    with trio.fail_after(10), capture_logs() as logs:
        for _ in range(2):
            await probing._probe()
            answer = await call("GET", "/readyz")
            assert answer.status_code == 503
            assert answer.json()["message"] == "disk: No such file or directory"
        directory.mkdir()
        await probing._probe()
        assert await call.look("/readyz") == {"checks": {"disk": "ok"}}
    said = [line["event"] for line in logs if line["log_level"] != "debug"]
    complaint, recovery = said  # each once
    assert recovery == "it can be written again"
    assert os.listdir(directory) == []
    seen(GoesOn(says=complaint, does="`/readyz` answers 503 until it does"))


async def test_a_disk_that_hangs_is_found_out_and_blocks_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go = threading.Event()
    monkeypatch.setattr(disk_probing, "_write_a_block", lambda _: let_go.wait(10))
    monkeypatch.setattr(disk_probing, "HANGING_SECONDS", 0.01)
    probing = DiskProbing(tmp_path)
    try:
        with trio.fail_after(5):
            for _ in range(2):  # the second waits for the first one's thread
                await probing._probe()
                assert probing.trouble.startswith("it has not answered")
    finally:
        let_go.set()
