"""What an operator can look at: everything at once, a swarm, what it waits for, a peer."""

import base64

import trio
from trio.testing import MockClock

from supernode.core.model import Limits
from tests.inprocess import InProcess
from tests.integration.rest_caller import FOUR_PIECES, UNKNOWN, Caller, done, refusal


def pieces(bitset: str) -> set[int]:
    packed = int.from_bytes(base64.b64decode(bitset), "little")
    return {piece for piece in range(packed.bit_length()) if packed >> piece & 1}


async def test_a_swarm_is_shown_piece_by_piece(autojump_clock: MockClock, call: Caller) -> None:
    _, task = await call.holder("h1", "10.0.0.1")
    other, _ = await call.holder("h2", "10.0.0.2")
    call.node.size(task, FOUR_PIECES)
    call.node.cache(task, 0, 2)
    (given,) = await call.pull(task, "h2", 1)
    number = int(given["pieceRange"].partition("-")[0]) // given["pieceSize"]
    await call.pull(task, "h2", 1, {"reports": [done(number, given["pID"])]})
    (lent,) = await call.pull(task, "h1", 1, {})
    answer = await call("GET", f"/tasks/{task}/swarm")
    assert answer.headers["Supernode-Seq"] == str(call.node.feed.seq)
    seen = answer.json()
    assert (seen["pieceTotal"], seen["httpFileLength"]) == (4, FOUR_PIECES)
    assert pieces(seen["pieces"]) == {0, 2}
    assert seen["copies"][number] == 1
    clients = {one["cID"]: one for one in seen["clients"]}
    assert {name: pieces(one["pieces"]) for name, one in clients.items()} == {
        "h1": set(),
        "h2": {number},
    }
    assert clients["h2"]["peerID"] == other
    assert clients["h2"]["fromSeed"] > 0
    assert {one["cID"]: one["holder"] for one in seen["leases"]} == {
        "h1": "seed" if lent["pID"].startswith("cdnnode:") else other,
        "h2": "seed",
    }


async def test_it_is_said_what_a_swarm_waits_for(autojump_clock: MockClock) -> None:
    call = Caller(InProcess(Limits(seed_slots=1)))

    async def waits_for() -> str:
        answer = await call.look(f"/tasks/{task}/progress")
        assert sum(answer["waiting"]["clients"].values()) == answer["running"]
        return str(answer["waiting"]["cause"])

    task = await call.task("c1")
    await call.task("c2")
    assert await waits_for() == "queue"
    call.node.size(task, FOUR_PIECES)
    assert await waits_for() == "origin"
    call.node.cache(task)
    assert len(await call.pull(task, "c1", 1)) == 1
    assert await waits_for() == "seed_slots"
    await call("PUT", f"/tasks/{task}", {"paused": True})
    assert await waits_for() == "paused"
    await call("PUT", f"/tasks/{task}", {"paused": False})
    await call.pull(task, "c1", body={"dfgetTaskStatus": "FINISHED"})
    await call.pull(task, "c2", body={"dfgetTaskStatus": "FINISHED"})
    assert await waits_for() == "idle"


async def test_progress_against_the_lower_bound(autojump_clock: MockClock, call: Caller) -> None:
    _, task = await call.holder("h1", "10.0.0.1")
    call.node.size(task, FOUR_PIECES)
    call.node.cache(task)
    (given,) = await call.pull(task, "h1", 1)
    number = int(given["pieceRange"].partition("-")[0]) // given["pieceSize"]
    await trio.sleep(2)
    await call(
        "PUT",
        f"/tasks/{task}/pieces/{given['pieceRange']}",
        {"clientID": "h1", "dstPID": given["pID"], "pieceStatus": "SUCCESS"},
    )
    await trio.sleep(2)
    assert 0 <= number < 4
    seen = await call.look(f"/tasks/{task}/progress")
    piece = FOUR_PIECES // 4
    assert seen["bytesFrom"] == {"origin": FOUR_PIECES, "seed": piece, "peers": 0}
    assert seen["bytesLeft"] == 3 * piece
    assert round(seen["seconds"]) == 4
    # Two seconds for a piece: eight for all, and two of the four were spent on a quarter.
    assert round(seen["rates"]["seed"] * 2 / piece, 2) == 1
    assert round(seen["lowerBound"]) == 8
    assert round(seen["efficiency"], 2) == 0.5


async def test_what_a_peer_does(autojump_clock: MockClock, call: Caller) -> None:
    peer, task = await call.holder("h1", "10.0.0.1")
    call.node.size(task, FOUR_PIECES)
    call.node.cache(task)
    before = call.node.tracker.peer(peer).last_seen  # type: ignore[arg-type]  # as it travels
    seen = await call.look(f"/peers/{peer}/activity")
    assert call.node.tracker.peer(peer).last_seen == before  # type: ignore[arg-type]
    assert seen["peer"]["ID"] == peer
    assert [(one["taskID"], one["piecesDone"]) for one in seen["holds"]] == [(task, 0)]
    assert seen["serves"] == []
    refusal(await call("GET", "/peers/nobody/activity"), 404, "no such peer")


async def test_everything_at_once(autojump_clock: MockClock, call: Caller) -> None:
    await call.peer()
    task = await call.task()
    call.node.size(task, FOUR_PIECES)
    call.node.cache(task)
    seen = await call.look("/overview")
    assert seen["peers"] == {"known": 1, "silent": 0, "quarantined": 0}
    assert seen["tasks"] == {"RUNNING": 1}
    assert seen["bytesFrom"] == {"origin": FOUR_PIECES, "seed": 0, "peers": 0}
    assert len(seen["traffic"]["origin"]) == 600
    assert "disk" not in seen


async def test_a_swarm_that_is_not_there(autojump_clock: MockClock, call: Caller) -> None:
    refusal(await call("GET", f"/tasks/{UNKNOWN}/swarm"), 404, UNKNOWN)
    refusal(await call("GET", f"/tasks/{UNKNOWN}/progress"), 404, UNKNOWN)
