"""A supernode that loses its memory under a running swarm is told by the swarm what it needs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.e2e.machines import peers
from tests.e2e.neighbours import MIB, Daemon, Origin, until

SIZE = 64 * MIB + 17
LIMITS = ("--notbs", "--locallimit", "5M", "--totallimit", "20M")
"""Slow enough that all of them are in the middle of it when it happens."""


def lose_memory(supernode: Daemon) -> None:
    """Kill it and delete what it has noted about the swarm; who connects meanwhile waits."""
    supernode.kill()
    for journal in supernode.directory.glob("supernode.db*"):
        journal.unlink()


def clients(supernode: Daemon) -> list[Mapping[str, Any]]:
    (task,) = asked(supernode, "/tasks?pageSize=9")
    return asked(supernode, f"/tasks/{task['ID']}/clients")


def asked(supernode: Daemon, path: str) -> list[Mapping[str, Any]]:
    answer = supernode.get(path)
    assert isinstance(answer, list)
    return answer


def said(supernode: Daemon, event: str) -> list[Mapping[str, Any]]:
    """Return what the log has of one type of event."""
    lines = map(json.loads, supernode.log.read_text().splitlines())
    return [line for line in lines if line["event"] == event]


def total(ends: list[dict[str, Any]], source: str) -> int:
    return sum(end["bytes"][source] for end in ends)


def test_the_origin_sends_nothing_twice_and_every_download_finishes(
    supernode: Daemon, origin: Origin, tmp_path: Path
) -> None:
    url = origin.file("f", SIZE)
    with peers(tmp_path / "swarm", url, supernode.node, 5, *LIMITS) as swarm:
        for peer in swarm:
            peer.first_piece()
        until(lambda: any(supernode.directory.rglob("*.md5")))  # the file is here, and noted
        until(lambda: all(client["piecesDone"] >= 4 for client in clients(supernode)))
        before = {client["cID"]: client for client in clients(supernode)}
        assert {client["status"] for client in before.values()} == {"RUNNING"}
        lose_memory(supernode)
        supernode.start()
        ends: list[dict[str, Any]] = [peer.finish() for peer in swarm]
        assert all(end["ok"] for end in ends)
        assert all(peer.right(origin.digests["f"]) for peer in swarm)
        after = clients(supernode)
        # Everybody came back under the name it had, was not given again what it had, and was
        # found to have it.
        assert {client["cID"] for client in after} == before.keys()
        given = sum(sum(client["bytesFrom"].values()) for client in after)
        had = sum(client["piecesDone"] for client in before.values()) * 4 * MIB
        assert given + had <= 5 * SIZE + 5 * 4 * MIB  # a last piece is shorter
        confirmed = said(supernode, "claim.confirmed")
        assert {claim["client"] for claim in confirmed} == before.keys()
        assert not said(supernode, "claim.rejected")
        with peers(tmp_path / "late", url, supernode.node, 1, "--notbs") as (late,):
            end: dict[str, Any] = late.finish()
            assert end["ok"]
            assert end["bytes"] == {"seed": 0, "peers": SIZE, "origin": 0}
    print(
        f"the origin sent {origin.bytes_sent()} of {SIZE} bytes; before, {len(before)} peers had "
        f"{sum(client['piecesDone'] for client in before.values())} pieces; afterwards they were "
        f"given {given} bytes; in all {total(ends, 'peers')} came from peers, "
        f"{total(ends, 'seed')} from the supernode"
    )
    assert origin.bytes_sent() == SIZE


def test_a_fetch_that_is_forgotten_begins_anew_and_downloads_keep_what_they_have(
    supernode: Daemon, origin: Origin, tmp_path: Path
) -> None:
    url = origin.file("f", SIZE).replace("/f", "/slow/f")
    with peers(tmp_path / "swarm", url, supernode.node, 3, "--notbs") as swarm:
        for peer in swarm:
            peer.first_piece()
        until(lambda: all(client["piecesDone"] >= 4 for client in clients(supernode)))
        before = {client["cID"]: client["piecesDone"] for client in clients(supernode)}
        lose_memory(supernode)
        supernode.start()
        ends: list[dict[str, Any]] = [peer.finish() for peer in swarm]
        assert all(end["ok"] for end in ends)
        assert all(peer.right(origin.digests["f"]) for peer in swarm)
        after = clients(supernode)
        assert {client["cID"] for client in after} == before.keys()
        for client in after:
            given = sum(client["bytesFrom"].values())
            assert given + before[client["cID"]] * 4 * MIB <= SIZE + 4 * MIB
    print(f"the origin sent {origin.bytes_sent()} bytes of a file of {SIZE}")
    assert origin.bytes_sent() < 2 * SIZE
