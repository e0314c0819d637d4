"""How a supernode's status is shown."""

import io

import msgspec
from rich.console import Console

from supernode.status.looking import Amounts, Disk, Failure, Overview, Peers, Running, Status
from supernode.status.looking import Version as StatusVersion
from supernode.status.screen import rows, show

GIB = 1 << 30
OVERVIEW = Overview(
    started="2026-01-01T00:00:00.000Z",
    time="2026-01-03T05:00:00.000Z",
    peers=Peers(known=3, silent=1, quarantined=0),
    tasks={"SUCCESS": 2, "FAILED": 1},
    running=2,
    leases=8,
    bytes_from=Amounts(origin=GIB, seed=GIB, peers=3 * GIB),
    disk=Disk(total=100 * GIB, free=40 * GIB, cached=5 * GIB),
)
STATUS = Status(
    node="127.0.0.1:8002",
    ready=True,
    trouble="",
    checks={"sockets": "opened by this process"},
    version=StatusVersion("1.2", "abc"),
    overview=OVERVIEW,
    running=(
        Running(
            id="1",
            url="http://origin/big",
            pieces_cached=3,
            piece_total=None,
            clients=2,
            cause="origin",
            waits_for="the pieces have not come",
        ),
    ),
    failures=(
        Failure(
            what="task",
            asked_at="2026-01-02T00:00:00.000Z",
            url="http://origin/\x1b]0;owned\x07",
            why="origin_not_found: status 404",
        ),
    ),
)


def shown(status: Status, *, terminal: bool, width: int = 60) -> str:
    out = io.StringIO()
    show(status, Console(file=out, force_terminal=terminal, width=width, _environ={}))
    return out.getvalue()


def test_what_an_operator_wants_to_know_is_there() -> None:
    said = {row.name: row.text for row in rows(STATUS)}
    assert said["supernode"] == "1.2 abc at 127.0.0.1:8002"
    assert said["ready"] == "yes"
    assert said["up"] == "2 d 5 h, opened by this process"
    assert said["disk"] == "5.0 GiB of pieces, 40.0 GiB of 100.0 GiB free"
    assert said["bytes"] == (
        "1.0 GiB from origins, 1.0 GiB from the seed, 3.0 GiB from peers (75 % of what was given)"
    )
    assert said["tasks"] == "1 FAILED, 2 SUCCESS"
    assert said["preheats"] == "none"
    assert "3 of ? pieces here, 2 downloading; the pieces have not come" in said["running"]
    assert said["failed"].endswith("origin_not_found: status 404")


def test_one_that_is_not_ready_says_why() -> None:
    sick = msgspec.structs.replace(STATUS, ready=False, trouble="disk: Read-only file system")
    assert {row.name: row.text for row in rows(sick)}["ready"] == "no: disk: Read-only file system"


def test_in_a_pipe_each_row_is_a_whole_line() -> None:
    said = shown(STATUS, terminal=False, width=20)
    assert len(said.splitlines()) == len(list(rows(STATUS)))
    assert "\x1b" not in said


def test_on_a_terminal_nothing_commands_it() -> None:
    said = shown(STATUS, terminal=True)
    assert "\x1b]0;" not in said
    assert "\x07" not in said
    assert "owned" in said
