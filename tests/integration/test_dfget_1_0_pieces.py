"""A dfget 1.0 pulls and reports: the rules without which its kind hangs or goes to the origin."""

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from supernode.core.commands import TakeAccusation
from supernode.core.events import PieceFailed, PieceFinished
from supernode.core.identity import seed_id
from supernode.core.model import DownloadStatus
from supernode.core.reasons import Reason
from supernode.feed import Published
from supernode.services.expiry import Expiry
from tests.inprocess import SEED, InProcess
from tests.integration.dfget_1_0_caller import Dfget, Said, holders, numbers
from tests.integration.rest_caller import FOUR_PIECES, SIZE, UNKNOWN, Caller, nth

HELD = 2.0
"""How long an answer that there is nothing yet is put off."""
HELD_WHILE_FETCHING = 1.0


async def begun(
    node: InProcess, *names: str, pieces: int | None = None, length: int = FOUR_PIECES
) -> list[Dfget]:
    """Let runs register; the first so many pieces of the file are there, or all."""
    runs = [Dfget(node, name) for name in names]
    for run in runs:
        await run.register()
    node.size(runs[0].task, length)
    if pieces != 0:
        node.cache(runs[0].task, *range(pieces or 0))
    return runs


async def whole(node: InProcess, *names: str, length: int = FOUR_PIECES) -> list[Dfget]:
    runs = await begun(node, *names, length=length)
    node.finish(runs[0].task)
    return runs


# 601


async def test_what_is_said_of_a_piece(autojump_clock: MockClock) -> None:
    node = InProcess()
    (a,) = await begun(node, "a", pieces=1)
    assert await a.pull() == {
        "code": 601,
        "data": [
            {
                "range": "0-4194303",
                "pieceNum": 0,
                "pieceSize": SIZE,
                "pieceMd5": f"{0:032x}:{SIZE}",
                "cid": seed_id(SEED.ip, a.task),
                "peerIp": "supernode",
                "peerPort": SEED.port,
                "path": f"/download/{a.task[:3]}/{a.task}",
                "downLink": 0,
            }
        ],
    }


async def test_a_piece_of_a_peer(autojump_clock: MockClock) -> None:
    node = InProcess()
    a, b = await begun(node, "a", "b", pieces=1)
    await a.suc(0)
    (piece,) = (await b.pull())["data"]
    assert piece["cid"] == a.cid
    assert (piece["peerIp"], piece["peerPort"], piece["path"]) == (
        "10.0.0.1",
        15001,
        "/peer/file/a",
    )


async def test_a_few_pieces_at_a_time(autojump_clock: MockClock) -> None:
    node = InProcess()
    (a,) = await begun(node, "a", length=2 * FOUR_PIECES)
    first = numbers(await a.pull())
    assert len(first) == 4
    assert len(numbers(await a.pull(first[0]))) == 1


async def test_in_place_of_one_that_failed_one(autojump_clock: MockClock) -> None:
    """The others are still in flight, and it has no limit of its own."""
    node = InProcess()
    (a,) = await begun(node, "a", length=2 * FOUR_PIECES)
    failed = numbers(await a.pull())[0]
    assert len(numbers(await a.pull(failed, result=500, dst="somebody that left"))) == 1


async def test_an_answer_that_got_lost_is_given_again(autojump_clock: MockClock) -> None:
    node = InProcess()
    (a,) = await begun(node, "a", length=2 * FOUR_PIECES)
    first = await a.pull()
    assert await a.pull() == first
    piece = numbers(first)[0]
    second = await a.pull(piece)
    assert await a.pull(piece) == second


async def test_never_without_pieces(autojump_clock: MockClock) -> None:
    """A client that has none in flight would never ask again."""
    node = InProcess()
    (a,) = await begun(node, "a", pieces=3)
    given = numbers(await a.pull())
    for piece in given:
        said = await a.pull(piece)
        assert said["code"] == 602
        assert "data" not in said
        assert said["msg"]


# 602


async def test_nothing_to_fetch_is_said_late(autojump_clock: MockClock) -> None:
    node = InProcess()
    (a,) = await begun(node, "a", pieces=1)
    await a.pull()
    for _ in range(2):
        began = trio.current_time()
        assert (await a.pull(0))["code"] == 602
        assert trio.current_time() - began == HELD


async def test_sooner_to_one_that_may_have_a_failure_to_tell(autojump_clock: MockClock) -> None:
    node = InProcess()
    (a,) = await begun(node, "a", pieces=2)
    await a.pull()
    began = trio.current_time()
    assert (await a.pull(0))["code"] == 602
    assert trio.current_time() - began == HELD_WHILE_FETCHING


@pytest.mark.parametrize("of", ["the origin", "a peer"])
async def test_a_piece_that_comes_meanwhile_is_given_at_once(
    autojump_clock: MockClock, of: str
) -> None:
    node = InProcess()
    a, b = await begun(node, "a", "b", pieces=1)
    await a.pull()
    began = trio.current_time()
    async with trio.open_nursery() as nursery:

        async def pull() -> None:
            assert len(numbers(await b.pull())) == 1
            assert trio.current_time() - began == 0.5

        nursery.start_soon(pull)
        await trio.sleep(0.5)
        if of == "a peer":
            await a.suc(0)
        else:
            node.cache(b.task, 1)


@pytest.mark.parametrize("why", ["paused", "in doubt"])
async def test_what_is_held_back_is_waited_for(autojump_clock: MockClock, why: str) -> None:
    node = InProcess()
    (a,) = await whole(node, "a")
    b = Dfget(node, "b")
    if why == "paused":
        await b.register()
        await Caller(node)("PUT", f"/tasks/{a.task}", {"paused": True})
    else:
        await a.pull(0, result=500, status=702)
        await trio.sleep(60)
        await b.register()
        assert node.tracker.task(a.task).doubted
    said = await b.pull()
    assert said["code"] == 602
    assert ("paused" in said["msg"]) == (why == "paused")


async def test_a_client_that_hangs_up_leaves_no_trace(autojump_clock: MockClock) -> None:
    node = InProcess()
    (a,) = await begun(node, "a", pieces=1)
    await a.pull()
    with trio.move_on_after(0.5) as scope:
        await a.pull(0)
    assert scope.cancelled_caught
    node.cache(a.task, 1)
    assert not a.download.leased >> 1 & 1
    assert numbers(await a.pull(0)) == [1]


# 600


async def test_the_end(autojump_clock: MockClock) -> None:
    node = InProcess()
    (a,) = await whole(node, "a")
    for piece in numbers(await a.pull()):
        await a.suc(piece)
    said = await a.pull(3)
    assert said == {"code": 600, "data": {"fileLength": 4 * SIZE, "md5": "1" * 32}}
    assert await a.pull(3) == await a.pull() == said, "however often it asks"
    assert a.download.status is DownloadStatus.SUCCESS


async def test_the_end_is_told_as_soon_as_the_last_piece_is_written(
    autojump_clock: MockClock,
) -> None:
    node = InProcess()
    (a,) = await whole(node, "a", length=1)
    await a.pull()
    async with trio.open_nursery() as nursery:

        async def pull() -> None:
            assert (await a.pull(0))["code"] == 600
            assert trio.current_time() - began == 0.25

        began = trio.current_time()
        nursery.start_soon(pull)
        await trio.sleep(0.25)
        await a.suc(0)


async def test_not_before_the_file_is_known_to_be_right(autojump_clock: MockClock) -> None:
    node = InProcess()
    (a,) = await begun(node, "a")
    for piece in numbers(await a.pull()):
        await a.suc(piece)
    assert (await a.pull(3))["code"] == 602
    node.finish(a.task)
    assert (await a.pull(3))["code"] == 600


async def test_an_end_that_the_client_declares_has_its_measures_too(
    autojump_clock: MockClock,
) -> None:
    node = InProcess()
    (a,) = await begun(node, "a")
    said = await a.pull(0, result=500, status=702)
    assert said == {"code": 600, "data": {"fileLength": 4 * SIZE, "md5": ""}}
    (b,) = [Dfget(node, "b")]
    await b.register()
    assert (await b.pull(0, result=501, status=702))["data"]["md5"] == ""


async def test_an_empty_file_ends_for_everybody(autojump_clock: MockClock) -> None:
    node = InProcess()
    for run in await whole(node, "a", "b", length=0):
        assert numbers(await run.pull()) == [0]
        await run.suc(0)
        assert await run.pull(0) == {"code": 600, "data": {"fileLength": 5, "md5": "1" * 32}}
    again = Dfget(node, "c")
    assert (await again.register())["data"]["fileLength"] == 0
    assert numbers(await again.pull()) == [0]


# the address of the supernode


async def test_the_supernode_is_where_the_client_said(autojump_clock: MockClock) -> None:
    node = InProcess()
    a, b = Dfget(node, "a", superNodeIp="7.7.7.7"), Dfget(node, "b", superNodeIp="9.9.9.9")
    await a.register()
    await b.register()
    node.size(a.task, 2 * FOUR_PIECES)
    node.cache(a.task)
    for run, address in ((a, "7.7.7.7"), (b, "9.9.9.9")):
        said = await run.pull()
        assert {piece["peerIp"] for piece in said["data"]} == {address}


def query(run: Dfget, piece: int, result: int) -> dict[str, object]:
    return {
        "srcCid": run.cid,
        "dstCid": seed_id(SEED.ip, run.task),
        "range": nth(piece),
        "result": result,
        "status": 701,
        "taskId": run.task,
    }


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("10.1.2.3:8002", "10.1.2.3"),
        ("sn.example", "sn.example"),
        ("[fd00::1]:8002", "[fd00::1]"),
        ("", SEED.ip),
    ],
)
async def test_one_that_is_forgotten_is_told_the_host_that_it_asks(
    autojump_clock: MockClock, host: str, address: str
) -> None:
    """So it is after a restart."""
    node = InProcess()
    asked = Caller(node)
    task = await asked.task("c1")  # nobody said anything
    node.size(task, FOUR_PIECES)
    node.cache(task)
    answer = await asked(
        "GET", f"/peer/task?srcCid=c1&taskId={task}&status=700&result=502", host=host
    )
    assert {piece["peerIp"] for piece in answer.json()["data"]} == {address}


# reports


@pytest.mark.parametrize("order", ["pull, suc", "suc, pull"])
async def test_both_reports_count_in_any_order_and_once(
    autojump_clock: MockClock, order: str
) -> None:
    node = InProcess()
    seen: list[Published] = []
    node.feed.listen(seen.append)
    (a,) = await begun(node, "a", pieces=2)
    given = numbers(await a.pull())
    for word in order.split(", ") * 2:
        if word == "suc":
            assert await a.suc(0) == {"code": 611}
        else:
            await a.pull(0)
    finished = [p.event for p in seen if isinstance(p.event, PieceFinished)]
    assert [event.piece for event in finished] == [0]
    assert given == [0, 1]
    assert a.download.have == 1


@pytest.mark.parametrize("word", ["pull", "suc"])
async def test_either_of_them_is_enough(autojump_clock: MockClock, word: str) -> None:
    node = InProcess()
    (a,) = await whole(node, "a")
    async with trio.open_nursery() as nursery:
        await nursery.start(Expiry(node.dispatch).run)
        for piece in numbers(await a.pull()):
            if word == "suc":
                await a.suc(piece)
            else:
                await a.pull(piece)
        said: Said = {"code": 602}
        while said["code"] == 602:
            said = await a.pull(3)
        assert said["code"] == 600
        nursery.cancel_scope.cancel()


async def test_a_client_is_asked_again_for_what_it_has_not_said_that_it_has(
    autojump_clock: MockClock,
) -> None:
    """Of several pieces that it has already it reports one, and none of them as written."""
    node = InProcess()
    (a,) = await whole(node, "a")
    async with trio.open_nursery() as nursery:
        await nursery.start(Expiry(node.dispatch).run)
        began = trio.current_time()
        said = await a.pull()
        while said["code"] != 600:
            said = await a.pull(numbers(said)[-1])
            while said["code"] == 602:
                said = await a.pull(3)
        assert trio.current_time() - began < 30
        nursery.cancel_scope.cancel()


async def test_not_while_there_is_something_else_that_it_lacks(autojump_clock: MockClock) -> None:
    """It would wait for what it was asked for again, if that is still to come."""
    node = InProcess()
    (a,) = await begun(node, "a", pieces=3)
    async with trio.open_nursery() as nursery:
        await nursery.start(Expiry(node.dispatch).run)
        assert numbers(await a.pull()) == [0, 1, 2]
        for _ in range(12):
            assert (await a.pull(0))["code"] == 602
        assert trio.current_time() > 12
        nursery.cancel_scope.cancel()


async def test_nobody_is_sent_for_a_piece_before_it_is_written(autojump_clock: MockClock) -> None:
    node = InProcess()
    a, b = await begun(node, "a", "b", pieces=1)
    await a.pull()
    await a.pull(0)
    assert (await b.pull())["code"] == 602
    await a.suc(0)
    assert holders(await b.pull()) == {a.cid}


async def test_a_word_after_the_end_does_no_harm(autojump_clock: MockClock) -> None:
    node = InProcess()
    (a,) = await whole(node, "a", length=1)
    await a.suc(0)
    assert (await a.pull(0))["code"] == 600
    assert await a.suc(0) == {"code": 611}
    assert (await a.pull(0))["code"] == 600


@pytest.mark.parametrize("result", [500, 501, 503])
async def test_a_piece_that_is_not_known_yet_is_no_error(
    autojump_clock: MockClock, result: int
) -> None:
    """A client that came from another supernode speaks of what it got there."""
    node = InProcess()
    (a,) = await begun(node, "a", pieces=1)
    assert numbers(await a.pull(3, result=result)) == [0]
    assert await a.suc(3) == {"code": 611}
    assert await a.suc(400) == {"code": 611}
    assert not a.download.have


async def test_a_holder_that_nobody_knows_does_not_make_a_piece_unsaid(
    autojump_clock: MockClock,
) -> None:
    node = InProcess()
    (a,) = await begun(node, "a", pieces=1)
    for dst in ("nope", ""):
        assert await a.suc(0, dst=dst) == {"code": 611}
    assert a.download.have == 1


# holders that fail


async def test_after_a_failure_somebody_else_is_named(autojump_clock: MockClock) -> None:
    node = InProcess()
    a, b = await begun(node, "a", "b", pieces=1)
    await a.suc(0)
    assert holders(await b.pull()) == {a.cid}
    assert holders(await b.pull(0, result=500, dst=a.cid)) == {seed_id(SEED.ip, a.task)}


@pytest.mark.parametrize("piece", [None, 0])
async def test_an_accused_holder_is_not_named_again(
    autojump_clock: MockClock, piece: int | None
) -> None:
    node = InProcess()
    a, b = await begun(node, "a", "b", pieces=2)
    await a.suc(0)
    await a.suc(1)
    seen: list[Published] = []
    node.feed.listen(seen.append)
    assert numbers(await b.pull()) == [0, 1]
    assert (await b.error(a.cid, piece))["code"] == 200
    failed = {p.event.piece for p in seen if isinstance(p.event, PieceFailed)}
    assert failed == ({0, 1} if piece is None else {0})
    assert holders(await b.pull()) == {seed_id(SEED.ip, a.task)}


@pytest.mark.parametrize("piece", [None, 0])
async def test_an_accused_holder_is_looked_into(
    autojump_clock: MockClock, piece: int | None
) -> None:
    node = InProcess()
    a, b = await begun(node, "a", "b", pieces=1)
    await a.suc(0)
    assert holders(await b.pull()) == {a.cid}
    await b.error(a.cid, piece)
    inspection = node.dispatch(TakeAccusation())
    assert inspection is not None
    assert (inspection.holder.client, inspection.accusation.client) == (a.cid, b.cid)


async def test_only_who_was_sent_to_a_holder_can_accuse_it(autojump_clock: MockClock) -> None:
    node = InProcess()
    a, b, liar = await begun(node, "a", "b", "liar", pieces=1)
    await a.suc(0)
    seen: list[Published] = []
    node.feed.listen(seen.append)
    assert holders(await b.pull()) == {a.cid}
    await liar.error(a.cid)
    await liar.error(a.cid, 0)
    await b.error(seed_id(SEED.ip, a.task))
    await b.error(liar.cid, 0)
    assert not [p for p in seen if isinstance(p.event, PieceFailed)]
    assert b.download.leased == 1


async def test_the_supernode_can_be_accused_too(autojump_clock: MockClock) -> None:
    node = InProcess()
    a, b = await begun(node, "a", "b", pieces=1)
    assert numbers(await a.pull()) == [0]
    assert (await a.error(seed_id(SEED.ip, a.task), 0))["code"] == 200
    assert not a.download.leased
    assert numbers(await b.pull()) == [0], "for others it is as it was"


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("prefix", ["", "/api/v1", "/v1.24/api/v1"])
async def test_an_accusation_by_peer_id(
    autojump_clock: MockClock, method: str, prefix: str
) -> None:
    node = InProcess()
    call = Caller(node)
    a, b = await begun(node, "a", "b", pieces=1)
    await a.suc(0)
    assert holders(await b.pull()) == {a.cid}
    wrong = {"srcCid": b.cid, "dstPid": a.download.peer, "errorType": "FILE_MD5_NOT_MATCH"}
    path = f"{prefix}/tasks/{a.task}/pieces/{nth(0)}/error"
    for missing in ("srcCid", "dstPid", "errorType"):
        answer = await call(method, path, {**wrong, missing: None})
        assert answer.status_code == 400
        assert missing in answer.json()["message"]
    assert (await call(method, path, {**wrong, "errorType": "X"})).status_code == 400
    assert b.download.leased
    answer = await call(method, path, wrong)
    assert (answer.status_code, answer.content) == (200, b"")
    assert not b.download.leased


# holders


async def test_every_holder_has_a_name_of_some_length(autojump_clock: MockClock) -> None:
    """Clients up to 1.0.6 crash on a shorter one."""
    node = InProcess()
    call = Caller(node)
    _, task = await call.holder("c1", "10.0.0.7")
    (a,) = await begun(node, "a", pieces=1)
    done = {"clientID": "c1", "pieceStatus": "SUCCESS"}
    await call("PUT", f"/tasks/{task}/pieces/{nth(0)}", done)
    (piece,) = (await a.pull())["data"]
    assert (piece["peerIp"], piece["path"]) == ("10.0.0.7", "/f")
    assert len(piece["cid"]) >= 25
    seen: list[Published] = []
    node.feed.listen(seen.append)
    await a.pull(0, result=500, dst=piece["cid"])
    assert [p for p in seen if isinstance(p.event, PieceFailed)], "it is known by that name"


async def test_an_ipv6_holder_is_named_so_that_a_port_can_follow(
    autojump_clock: MockClock,
) -> None:
    node = InProcess()
    call = Caller(node)
    _, task = await call.holder("c1", "fd00::7")
    (a,) = await begun(node, "a", pieces=1)
    done = {"clientID": "c1", "pieceStatus": "SUCCESS"}
    await call("PUT", f"/tasks/{task}/pieces/{nth(0)}", done)
    (piece,) = (await a.pull())["data"]
    assert piece["peerIp"] == "[fd00::7]"


async def test_one_without_an_uploader_is_never_named(autojump_clock: MockClock) -> None:
    node = InProcess()
    a = Dfget(node, "a", pattern="cdn", port=0)
    await a.register()
    (b,) = await begun(node, "b", pieces=1)
    await a.suc(0)
    assert holders(await b.pull()) == {seed_id(SEED.ip, b.task)}


async def test_dfget_1_0_and_rest_clients_feed_each_other(autojump_clock: MockClock) -> None:
    node = InProcess()
    call = Caller(node)
    _, task = await call.holder("c1", "10.0.0.7")
    (a,) = await begun(node, "a", pieces=2)
    assert a.task == task
    await a.suc(0)
    done = {"clientID": "c1", "pieceStatus": "SUCCESS"}
    await call("PUT", f"/tasks/{task}/pieces/{nth(1)}", done)
    (theirs,) = await call.pull(task, "c1")
    assert theirs["pID"] == a.download.peer
    assert theirs["path"] == "/peer/file/a"
    (ours,) = (await a.pull())["data"]
    assert ours["peerIp"] == "10.0.0.7"


# what is wrong


@pytest.mark.parametrize(
    ("change", "code", "named"),
    [
        ({"status": ""}, 501, "status"),
        ({"status": "999"}, 501, "status"),
        ({"status": "RUNNING"}, 501, "status"),
        ({"srcCid": ""}, 501, "srcCid"),
        ({"taskId": ""}, 501, "taskId"),
        ({"srcCid": "nope"}, 502, "nope"),
        ({"srcCid": "nope", "status": "700"}, 502, "nope"),
        ({"srcCid": "nope", "status": "702"}, 502, "nope"),
        ({"taskId": UNKNOWN}, 502, UNKNOWN),
        ({"result": "502"}, 501, "result"),
        ({"result": ""}, 501, "result"),
        ({"range": ""}, 501, "range"),
        ({"range": "junk"}, 501, "range"),
        ({"range": "0-1"}, 501, "range"),
    ],
)
async def test_a_pull_that_cannot_be(
    autojump_clock: MockClock, change: dict[str, str], code: int, named: str
) -> None:
    node = InProcess()
    (a,) = await begun(node, "a", pieces=1)
    said = await a.get("/peer/task", **(query(a, 0, 503) | change))
    assert said["code"] == code
    assert named in said["msg"]


@pytest.mark.parametrize(
    ("reason", "code"),
    [(Reason.ORIGIN_STATUS, 604), (Reason.DIGEST_MISMATCH, 500), (Reason.URL_FORBIDDEN, 501)],
)
async def test_a_file_that_cannot_be_had_ends_the_wait(
    autojump_clock: MockClock, reason: Reason, code: int
) -> None:
    node = InProcess()
    (a,) = await begun(node, "a", pieces=0)
    async with trio.open_nursery() as nursery:

        async def pull() -> None:
            said = await a.pull()
            assert said["code"] == code
            assert reason.text in said["msg"]

        nursery.start_soon(pull)
        await trio.sleep(0.5)
        node.fail(a.task, reason)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/peer/piece/suc", {"cid": "c"}),
        ("/peer/piece/suc", {"taskId": UNKNOWN}),
        ("/peer/piece/error", {"srcCid": "c", "taskId": UNKNOWN}),
        ("/peer/piece/error", {"srcCid": "c", "taskId": UNKNOWN, "dstCid": "d"}),
        ("/peer/service/down", {"cid": "c"}),
        ("/peer/service/down", {"taskId": UNKNOWN}),
    ],
)
async def test_a_word_that_lacks_something(
    autojump_clock: MockClock, path: str, said: dict[str, str]
) -> None:
    answer = await Dfget(InProcess()).get(path, **said)
    assert answer["code"] == 501


@pytest.mark.parametrize(
    ("path", "client"),
    [("/peer/piece/suc", "cid"), ("/peer/piece/error", "srcCid"), ("/peer/service/down", "cid")],
)
async def test_a_word_of_somebody_unknown(
    autojump_clock: MockClock, path: str, client: str
) -> None:
    node = InProcess()
    (a,) = await begun(node, "a", pieces=1)
    about = {"dstCid": "d", "pieceRange": nth(0), "errorType": "FILE_NOT_EXIST"}
    for task in (a.task, UNKNOWN):
        answer = await a.get(path, **{client: "nope"}, taskId=task, **about)
        assert answer["code"] == 502


# goodbye


async def test_what_an_uploader_gives_up_is_offered_no_longer(autojump_clock: MockClock) -> None:
    node = InProcess()
    a, b = await whole(node, "a", "b")
    for piece in range(4):
        await a.suc(piece)
    assert await a.down() == {"code": 612}
    assert holders(await b.pull()) == {seed_id(SEED.ip, a.task)}
    assert await a.down() == {"code": 612}, "said twice"
    assert a.download.status is DownloadStatus.SUCCESS


async def test_a_file_that_one_run_gives_up_others_of_its_machine_still_offer(
    autojump_clock: MockClock,
) -> None:
    node = InProcess()
    a, again, b = await whole(node, "a", "again", "b")
    await again.register(hostName="a")
    for piece in range(4):
        await a.suc(piece)
        await again.suc(piece)
    await a.down()
    assert holders(await b.pull()) == {again.cid, seed_id(SEED.ip, b.task)}


async def test_a_client_whose_uploader_ends_goes_on(autojump_clock: MockClock) -> None:
    node = InProcess()
    a, b = await begun(node, "a", "b", pieces=2)
    await a.pull()
    await a.suc(0)
    assert await a.down() == {"code": 612}
    assert a.download.status is DownloadStatus.RUNNING
    assert holders(await b.pull()) == {seed_id(SEED.ip, a.task)}
    assert await a.suc(1) == {"code": 611}
    assert a.download.have == 3


# the rest


@pytest.mark.parametrize("success", [True, False])
async def test_an_outcome_is_taken_note_of_at_once(
    autojump_clock: MockClock, success: bool
) -> None:
    """With another answer the client would say it again."""
    body = {"IP": "10.0.0.1", "cID": "c", "taskId": "t", "duration": 1.5, "port": 1}
    body |= {"success": success, "backsourceReason": "0" if success else "3"}
    with capture_logs() as logs:
        answer = await Caller(InProcess())("POST", "/task/metrics", body)
    assert (answer.status_code, answer.json()) == (200, {"code": 1})
    (line,) = [line for line in logs if line["event"] == "a client has ended its download"]
    assert line["log_level"] == ("debug" if success else "info")
    assert line["went_to_origin_for"] == (None if success else "3")


async def test_an_outcome_that_cannot_be_read(autojump_clock: MockClock) -> None:
    call = Caller(InProcess())
    assert (await call("POST", "/task/metrics", raw=b"{bad")).status_code == 400
    assert (await call("POST", "/task/metrics", {"cID": "a\nb"})).json()["code"] == 501


@pytest.mark.parametrize(
    ("path", "answer"),
    [("/peer/network", {"nodes": None}), ("/peer/heartbeat", {"seedTaskIDs": None})],
)
async def test_what_no_client_asks(
    autojump_clock: MockClock, path: str, answer: dict[str, object]
) -> None:
    said = await Caller(InProcess())("POST", path)
    assert (said.status_code, said.json()) == (200, answer)


@pytest.mark.parametrize("prefix", ["/v1.24", "/v1.0"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/peer/registry"),
        ("GET", "/peer/task"),
        ("GET", "/peer/piece/suc"),
        ("GET", "/peer/piece/error"),
        ("GET", "/peer/service/down"),
        ("POST", "/task/metrics"),
        ("POST", "/peer/network"),
        ("POST", "/peer/heartbeat"),
        ("POST", "/api/v1/peer/network"),
        ("POST", "/api/v1/peer/heartbeat"),
    ],
)
async def test_where_it_is(autojump_clock: MockClock, prefix: str, method: str, path: str) -> None:
    call = Caller(InProcess())
    here, there = await call(method, path), await call(method, prefix + path)
    assert (here.status_code, here.content) == (200, there.content)
    other = "GET" if method == "POST" else "POST"
    assert (await call(other, path)).status_code == 405


async def test_a_client_that_was_suspended_for_long_goes_on(autojump_clock: MockClock) -> None:
    node = InProcess()
    a, b = await begun(node, "a", "b", pieces=2)
    await a.suc(0)
    async with trio.open_nursery() as nursery:
        await nursery.start(Expiry(node.dispatch).run)
        await trio.sleep(400)
        nursery.cancel_scope.cancel("long enough")
    assert a.download.reason is Reason.CLIENT_SILENT
    assert numbers(await a.pull(0)) == [1]
    assert a.download.status is DownloadStatus.RUNNING
    assert (await b.pull(0, status=702))["code"] == 600
