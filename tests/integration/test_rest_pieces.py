"""``/tasks/{id}/pieces`` over the real web app, core and feed, in virtual time."""

import httpx2
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from supernode.api.app import create_app
from supernode.api.rest import Rest, SeedAddress
from supernode.api.routes import routes
from supernode.core.commands import Pull
from supernode.core.identity import ClientId
from supernode.core.pieces import content_size
from supernode.core.reasons import Reason
from tests.inprocess import SEED
from tests.integration.rest_caller import (
    FOUR_PIECES,
    SIZE,
    UNKNOWN,
    URL,
    Caller,
    done,
    nth,
    refusal,
)


async def test_a_piece_from_the_seed(autojump_clock: MockClock, call: Caller) -> None:
    task = await call.task()
    call.node.size(task, FOUR_PIECES + 1)
    call.node.cache(task, 4)
    assert await call.pull(task) == [
        {
            "pID": f"cdnnode:{SEED.ip}~{task}",
            "path": f"/download/{task[:3]}/{task}",
            "peerIP": SEED.ip,
            "peerPort": SEED.port,
            "pieceMD5": f"{4:032x}:6",
            "pieceRange": "16777216-20971519",
            "pieceSize": SIZE,
        }
    ]


async def test_a_piece_from_a_peer(autojump_clock: MockClock, call: Caller) -> None:
    peer, task = await call.holder("h1", "10.0.0.1", "/peer/file/x")
    call.node.size(task, 1)
    call.node.cache(task)
    assert len(await call.pull(task, "h1")) == 1
    await call(
        "PUT", f"/tasks/{task}/pieces/{nth(0)}", {"clientID": "h1", "pieceStatus": "SUCCESS"}
    )
    await call.task("c2")
    (piece,) = await call.pull(task, "c2")
    assert (piece["pID"], piece["path"]) == (peer, "/peer/file/x")
    assert (piece["peerIP"], piece["peerPort"]) == ("10.0.0.1", 15001)


@pytest.mark.parametrize(
    ("query", "count"), [("", 4), ("&num=1", 1), ("&num=5", 5), ("&num=99", 6)]
)
async def test_how_many_pieces(
    autojump_clock: MockClock, call: Caller, query: str, count: int
) -> None:
    task = await call.task()
    call.node.size(task, 6 * content_size(SIZE))
    call.node.cache(task)
    answer = await call("GET", f"/tasks/{task}/pieces?clientID=c1{query}")
    assert len(answer.json()) == count


async def test_at_most_so_many_in_flight(autojump_clock: MockClock, call: Caller) -> None:
    task = await call.task()
    call.node.size(task, 40 * content_size(SIZE))
    call.node.cache(task)
    assert len(await call.pull(task, num=2**63 - 1)) == 32
    assert await call.pull(task, num=5) == []


@pytest.mark.parametrize(
    "num",
    ["0", "-1", "x", "", "1.5", "+1", "%D9%A1", str(2**63), "0" * 19 + "1" + "9" * 5000],
)
async def test_a_number_that_cannot_be(autojump_clock: MockClock, call: Caller, num: str) -> None:
    task = await call.task()
    refusal(await call("GET", f"/tasks/{task}/pieces?clientID=c1&num={num}"), 400, "num")


async def test_who_pulls_must_be_said_and_known(autojump_clock: MockClock, call: Caller) -> None:
    task = await call.task()
    refusal(await call("GET", f"/tasks/{task}/pieces"), 400, "clientID")
    refusal(await call("GET", f"/tasks/{task}/pieces?clientID="), 400, "clientID")
    refusal(await call("GET", f"/tasks/{task}/pieces?clientID=c9"), 404, "client", "c9")
    refusal(await call("GET", f"/tasks/{UNKNOWN}/pieces?clientID=c1"), 404, "task", UNKNOWN)


async def test_nothing_ready_is_an_empty_list(autojump_clock: MockClock, call: Caller) -> None:
    task = await call.task()
    before = trio.current_time()
    assert await call.pull(task) == []
    assert trio.current_time() == before


async def test_a_pull_waits_until_there_is_something(
    autojump_clock: MockClock, call: Caller
) -> None:
    task = await call.task()
    answers: list[httpx2.Response] = []

    async def pull() -> None:
        path = f"/tasks/{task}/pieces?clientID=c1"
        answers.append(await call("GET", path, Prefer="wait=25"))

    before = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pull)
        await trio.sleep(4)
        call.node.size(task, 1)
        await wait_all_tasks_blocked()
        assert answers == [], "a length is no piece"
        await trio.sleep(4)
        call.node.cache(task)
    assert len(answers[0].json()) == 1
    assert answers[0].headers["Preference-Applied"] == "wait=25"
    assert trio.current_time() == before + 8


async def test_a_pull_does_not_wait_for_ever(autojump_clock: MockClock, call: Caller) -> None:
    task = await call.task()
    before = trio.current_time()
    answer = await call("GET", f"/tasks/{task}/pieces?clientID=c1", Prefer="wait=999")
    assert (answer.status_code, answer.json()) == (200, [])
    assert answer.headers["Preference-Applied"] == "wait=30"
    assert trio.current_time() - before == pytest.approx(30)


async def test_a_pull_that_waits_counts_its_reports_at_once(
    autojump_clock: MockClock, call: Caller
) -> None:
    _, task = await call.holder("h1", "10.0.0.1")
    await call.task("c2")
    call.node.size(task, FOUR_PIECES)
    call.node.cache(task, 0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(call.pull, task, "h1", 1, {"reports": [done(0)]})
        await wait_all_tasks_blocked()
        (piece,) = await call.pull(task, "c2")
        assert piece["peerIP"] == "10.0.0.1"


async def test_a_pull_that_waited_drops_nothing_given_meanwhile(
    autojump_clock: MockClock, call: Caller
) -> None:
    """STARTED drops what the client was fetching when it was said, not when it is answered."""
    task = await call.task()
    call.node.size(task, FOUR_PIECES)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(call.pull, task, "c1", 1, {"dfgetTaskStatus": "STARTED"}, 30)
        await wait_all_tasks_blocked()
        call.node.cache(task)
        call.node.dispatch(Pull(task=task, client=ClientId("c1"), count=1))
    assert len(call.node.tracker.task(task).downloads[ClientId("c1")].leases) == 2


async def test_a_client_that_hangs_up_while_waiting_gets_no_lease(
    autojump_clock: MockClock, call: Caller
) -> None:
    task = await call.task()
    with trio.move_on_after(5):
        await call.pull(task, wait=30)
    call.node.size(task, 1)
    call.node.cache(task)
    assert call.node.tracker.task(task).serving == set()
    assert call.node.feed._topics == {}


async def test_the_last_piece_reported_alone_ends_the_pull_that_waits(
    autojump_clock: MockClock, call: Caller
) -> None:
    task = await call.task()
    call.node.size(task, 1)
    call.node.cache(task)
    call.node.finish(task)
    await call.pull(task)
    before = trio.current_time()

    async def pull_more() -> None:
        assert await call.pull(task, num=2, wait=30) == []

    async with trio.open_nursery() as nursery:
        nursery.start_soon(pull_more)
        await wait_all_tasks_blocked()
        report = {"clientID": "c1", "pieceStatus": "SUCCESS"}
        await call("PUT", f"/tasks/{task}/pieces/{nth(0)}", report)
    assert trio.current_time() == before


async def test_the_same_pull_again_gets_the_same_pieces(
    autojump_clock: MockClock, call: Caller
) -> None:
    task = await call.task()
    call.node.size(task, FOUR_PIECES)
    call.node.cache(task)
    assert await call.pull(task, num=2) == await call.pull(task, num=2)


async def test_a_pull_reports_one_piece_by_itself(autojump_clock: MockClock, call: Caller) -> None:
    task = await call.task()
    call.node.size(task, FOUR_PIECES)
    call.node.cache(task)
    body = {"dfgetTaskStatus": "RUNNING", **done(2)}
    pieces = await call.pull(task, body=body)
    assert sorted(piece["pieceRange"] for piece in pieces) == sorted(map(nth, (0, 1, 3)))


async def test_a_pulls_fields_may_stand_in_the_query(
    autojump_clock: MockClock, call: Caller
) -> None:
    task = await call.task()
    call.node.size(task, FOUR_PIECES)
    call.node.cache(task)
    said = f"dfgetTaskStatus=RUNNING&pieceRange={nth(2)}&pieceResult=SUCCESS&dstPID=cdnnode:x~y"
    answer = await call("GET", f"/tasks/{task}/pieces?clientID=c1&{said}")
    assert sorted(p["pieceRange"] for p in answer.json()) == sorted(map(nth, (0, 1, 3)))


async def test_many_reports_ride_on_one_pull(autojump_clock: MockClock, call: Caller) -> None:
    task = await call.task()
    call.node.size(task, FOUR_PIECES)
    call.node.cache(task)
    seed = f"cdnnode:{SEED.ip}~{task}"
    reports = [done(0, seed), done(1, seed, "SEMISUC"), done(3, seed, "INVALID")]
    pieces = await call.pull(task, body={"reports": reports})
    assert sorted(piece["pieceRange"] for piece in pieces) == [nth(3), nth(2)]


@pytest.mark.parametrize("result", ["INVALID", None])
async def test_a_pull_without_a_report(
    autojump_clock: MockClock, call: Caller, result: str | None
) -> None:
    task = await call.task()
    assert await call.pull(task, body={"pieceResult": result, "pieceRange": "", "dstPID": ""}) == []
    assert await call.pull(task, body={"reports": [{"pieceResult": "INVALID"}]}) == []


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"pieceRange": "0-1"}, "pieceRange"),
        ({"pieceRange": ""}, "pieceRange"),
        ({"pieceRange": nth(1)}, "pieceRange"),  # not cached yet
        ({"pieceRange": nth(400)}, "pieceRange"),
        ({"pieceRange": 7}, "pieceRange"),
        ({"pieceResult": None}, "pieceResult"),
        ({"pieceResult": "GOOD"}, "pieceResult"),
        ({"dstPID": 7}, "dstPID"),
    ],
)
async def test_one_bad_report_spoils_the_whole_pull(
    autojump_clock: MockClock, call: Caller, bad: dict[str, object], field: str
) -> None:
    task = await call.task()
    call.node.size(task, FOUR_PIECES)
    call.node.cache(task, 0)
    reports = [done(0), {**done(0), **bad}]
    before = call.node.feed.seq
    path = f"/tasks/{task}/pieces?clientID=c1"
    refusal(await call("GET", path, {"reports": reports}), 400, f"reports[1].{field}")
    assert call.node.feed.seq == before
    assert call.node.tracker.task(task).downloads[ClientId("c1")].have == 0


async def test_a_bad_report_of_the_pull_itself_is_named_so(
    autojump_clock: MockClock, call: Caller
) -> None:
    task = await call.task()
    call.node.size(task, 1)
    path = f"/tasks/{task}/pieces?clientID=c1"
    refusal(await call("GET", path, {"pieceRange": nth(0)}), 400, "pieceResult:")
    refusal(await call("GET", path, {"pieceResult": "SUCCESS"}), 400, "pieceRange:")
    refusal(await call("GET", path, done(0)), 400, "pieceRange:", nth(0))
    refusal(await call("GET", path + "&pieceResult=SUCCESS&pieceRange=1-2"), 400, "pieceRange:")


async def test_more_reports_than_may_be(autojump_clock: MockClock, call: Caller) -> None:
    task = await call.task()
    call.node.size(task, 1)
    call.node.cache(task)
    path = f"/tasks/{task}/pieces?clientID=c1"
    refusal(await call("GET", path, {"reports": [done(0)] * 257}), 400, "reports")
    assert (await call("GET", path, {"reports": [done(0)] * 256})).status_code == 200


async def test_a_failed_holder_is_avoided(autojump_clock: MockClock, call: Caller) -> None:
    peer, task = await call.holder("h1", "10.0.0.1")
    await call.task("c2")
    call.node.size(task, 1)
    call.node.cache(task)
    await call.pull(task, "h1", body={"reports": [done(0)]})
    (from_peer,) = await call.pull(task, "c2")
    assert from_peer["pID"] == peer
    (from_seed,) = await call.pull(task, "c2", body={"reports": [done(0, peer, "FAILED")]})
    assert from_seed["pID"] == f"cdnnode:{SEED.ip}~{task}"


async def test_who_has_everything_gets_nothing_and_waits_for_nothing(
    autojump_clock: MockClock, call: Caller
) -> None:
    task = await call.task()
    call.node.size(task, 1)
    call.node.cache(task)
    call.node.finish(task)
    await call.pull(task)
    before = trio.current_time()
    assert await call.pull(task, body=done(0), wait=30) == []
    assert await call.pull(task, wait=30) == []
    assert trio.current_time() == before


@pytest.mark.parametrize("result", [None, "SUCCESS", "FAILED"])
async def test_a_download_is_finished_by_saying_so(
    autojump_clock: MockClock, call: Caller, result: str | None
) -> None:
    task = await call.task()
    call.node.size(task, FOUR_PIECES)
    call.node.cache(task)
    body = {"dfgetTaskStatus": "FINISHED", "pieceResult": result}
    for _ in range(2):
        assert await call.pull(task, body=body, wait=30) == []
    refusal(await call("GET", f"/tasks/{task}/pieces?clientID=c1"), 409)


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (Reason.ORIGIN_NOT_FOUND, 502),
        (Reason.ORIGIN_STALLED, 502),
        (Reason.URL_FORBIDDEN, 403),
        (Reason.DIGEST_MISMATCH, 409),
        (Reason.DISK_FULL, 409),
    ],
)
async def test_a_failed_task_says_why(
    autojump_clock: MockClock, call: Caller, reason: Reason, status: int
) -> None:
    task = await call.task()
    answers: list[httpx2.Response] = []

    async def wait() -> None:
        path = f"/tasks/{task}/pieces?clientID=c1"
        answers.append(await call("GET", path, Prefer="wait=30"))

    before = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.sleep(1)
        call.node.fail(task, reason, "what was seen")
    answers.append(await call("GET", f"/tasks/{task}/pieces?clientID=c1"))
    for answer in answers:
        refusal(answer, status, reason.text, "what was seen")
        assert answer.json()["reason"] == reason.code
    assert trio.current_time() == before + 1, "who waits is told at once"


async def test_a_task_that_failed_can_be_asked_for_again(
    autojump_clock: MockClock, call: Caller
) -> None:
    task = await call.task()
    call.node.fail(task, Reason.ORIGIN_STATUS, "500 from o")
    refused = await call("POST", "/tasks", {"rawURL": URL, "cID": "c9"})
    refusal(refused, 502, "500 from o (not asked again for 5 s)")
    assert refused.json()["reason"] == "origin_status"
    await trio.sleep(5)
    assert await call.task() == task
    assert await call.pull(task) == []
    assert (await call("GET", f"/tasks/{task}")).json()["cdnStatus"] == "WAITING"


async def test_a_piece_is_reported_alone(autojump_clock: MockClock, call: Caller) -> None:
    task = await call.task()
    call.node.size(task, FOUR_PIECES)
    call.node.cache(task)
    body = {"clientId": "c1", "dstPID": "", "pieceStatus": "SUCCESS"}
    answer = await call("PUT", f"/tasks/{task}/pieces/{nth(1)}", body)
    assert (answer.status_code, answer.content) == (200, b"")
    assert call.node.tracker.task(task).downloads[ClientId("c1")].have == 2


@pytest.mark.parametrize(
    ("piece_range", "change", "field"),
    [
        ("0-1", {}, "pieceRange"),
        ("x", {}, "pieceRange"),
        ("9" * 30 + "-" + "9" * 31, {}, "pieceRange"),
        (nth(4), {}, "pieceRange"),
        (nth(0), {"clientID": ""}, "clientID"),
        (nth(0), {"clientID": None}, "clientID"),
        (nth(0), {"pieceStatus": None}, "pieceStatus"),
        (nth(0), {"pieceStatus": "GOOD"}, "pieceStatus"),
    ],
)
async def test_a_report_that_cannot_be(
    autojump_clock: MockClock, call: Caller, piece_range: str, change: dict[str, object], field: str
) -> None:
    task = await call.task()
    call.node.size(task, FOUR_PIECES)
    call.node.cache(task)
    body = {"clientID": "c1", "pieceStatus": "SUCCESS"} | change
    refusal(await call("PUT", f"/tasks/{task}/pieces/{piece_range}", body), 400, field)


async def test_a_report_for_somebody_unknown(autojump_clock: MockClock, call: Caller) -> None:
    task = await call.task()
    call.node.size(task, 1)
    body = {"clientID": "c1", "pieceStatus": "SUCCESS"}
    path = f"pieces/{nth(0)}"
    refusal(await call("PUT", f"/tasks/{UNKNOWN}/{path}", body), 404, "task", UNKNOWN)
    unknown = body | {"clientID": "c9"}
    refusal(await call("PUT", f"/tasks/{task}/{path}", unknown), 404, "client", "c9")


async def test_a_preference_is_confirmed_also_when_there_is_something_at_once(
    autojump_clock: MockClock, call: Caller
) -> None:
    task = await call.task()
    call.node.size(task, 1)
    call.node.cache(task)
    answer = await call("GET", f"/tasks/{task}/pieces?clientID=c1", Prefer="wait=5")
    assert len(answer.json()) == 1
    assert answer.headers["Preference-Applied"] == "wait=5"


async def test_a_header_may_come_in_several_lines(autojump_clock: MockClock, call: Caller) -> None:
    task = await call.task()
    lines = [
        ("Prefer", "wait=7"),
        ("Prefer", "respond-async"),
        ("Accept", "text/plain"),
        ("Accept", "application/json;q=0.1"),
    ]
    async with call.node.browse() as client:
        answer = await client.get(f"/tasks/{task}/pieces?clientID=c1", headers=lines)
    assert answer.headers["Preference-Applied"] == "wait=7"
    assert answer.headers["Content-Type"].partition(";")[0] == "text/plain"


# a task that is paused


async def test_a_paused_task_gives_nothing_and_says_why(
    autojump_clock: MockClock, call: Caller
) -> None:
    task = await call.file()
    path = f"/tasks/{task}/pieces?clientID=c1"
    await call("PUT", f"/tasks/{task}", {"paused": True})
    before = trio.current_time()
    at_once = await call("GET", path)
    assert trio.current_time() == before
    patient = await call("GET", path, Prefer="wait=20")
    assert trio.current_time() == before + 20
    assert patient.headers["Preference-Applied"] == "wait=20"
    for answer in (at_once, patient):
        assert (answer.status_code, answer.json()) == (200, [])
        assert answer.headers["Supernode-Reason"] == "paused"
    await call("PUT", f"/tasks/{task}", {"paused": False})
    resumed = await call("GET", path)
    assert len(resumed.json()) == 1
    assert "Supernode-Reason" not in resumed.headers


async def test_who_waits_for_a_paused_task_is_served_when_it_is_resumed(
    autojump_clock: MockClock, call: Caller
) -> None:
    task = await call.file()
    await call("PUT", f"/tasks/{task}", {"paused": True})
    answers: list[httpx2.Response] = []

    async def wait() -> None:
        path = f"/tasks/{task}/pieces?clientID=c1"
        answers.append(await call("GET", path, Prefer="wait=30"))

    before = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.sleep(3)
        await call("PUT", f"/tasks/{task}", {"paused": False})
    assert trio.current_time() == before + 3
    assert len(answers[0].json()) == 1
    assert "Supernode-Reason" not in answers[0].headers


async def test_nothing_ready_is_not_paused(autojump_clock: MockClock, call: Caller) -> None:
    task = await call.task()
    answer = await call("GET", f"/tasks/{task}/pieces?clientID=c1")
    assert (answer.json(), "Supernode-Reason" in answer.headers) == ([], False)


# IPv6


async def test_a_piece_from_a_peer_with_an_ipv6_address(
    autojump_clock: MockClock, call: Caller
) -> None:
    peer, task = await call.holder("h1", "2001:DB8::7", "/f")
    call.node.size(task, 1)
    call.node.cache(task)
    await call.pull(task, "h1", body={"reports": [done(0)]})
    await call.task("c2")
    (piece,) = await call.pull(task, "c2")
    assert (piece["pID"], piece["peerIP"]) == (peer, "2001:db8::7")
    (again,) = await call.pull(task, "c2", body={"reports": [done(0, peer, "FAILED")]})
    assert again["peerIP"] == SEED.ip, "the report did not name the holder"


async def test_a_piece_from_a_seed_with_an_ipv6_address(
    autojump_clock: MockClock, call: Caller
) -> None:
    node = call.node
    seed = SeedAddress(ip="2001:db8::9", port=8001)
    node.app = create_app(routes(Rest(node.dispatch, seed)), node.responder)
    task = await call.file(2 * content_size(SIZE))
    (piece,) = await call.pull(task, num=1)
    assert (piece["peerIP"], piece["peerPort"]) == (seed.ip, seed.port)
    assert piece["pID"] == f"cdnnode:2001:db8::9~{task}"
    report = {**piece, "dstPID": piece["pID"], "pieceResult": "SUCCESS"}
    (other,) = await call.pull(task, num=1, body={"reports": [report]})
    assert other["pieceRange"] != piece["pieceRange"]


# said twice


async def test_a_report_repeated_changes_nothing(autojump_clock: MockClock, call: Caller) -> None:
    task = await call.file(FOUR_PIECES)
    await call.pull(task)
    body = {"clientID": "c1", "pieceStatus": "SUCCESS"}
    for _ in range(3):
        answer = await call("PUT", f"/tasks/{task}/pieces/{nth(1)}", body)
        assert answer.status_code == 200
    (client,) = await call.look(f"/tasks/{task}/clients")
    assert client["piecesDone"] == 1
    assert client["bytesFrom"] == {"seed": content_size(SIZE), "peers": 0}


async def test_a_pull_with_reports_repeated_gets_the_same_pieces(
    autojump_clock: MockClock, call: Caller
) -> None:
    task = await call.file(FOUR_PIECES)
    await call.pull(task, num=2)
    body = {"reports": [done(0)]}
    first = await call.pull(task, num=2, body=body)
    assert await call.pull(task, num=2, body=body) == first
    (client,) = await call.look(f"/tasks/{task}/clients")
    assert client["piecesDone"] == 1


async def test_a_body_beats_the_query(autojump_clock: MockClock, call: Caller) -> None:
    task = await call.file(FOUR_PIECES)
    path = f"/tasks/{task}/pieces?clientID=c1&pieceRange={nth(2)}&pieceResult=SUCCESS"
    pieces = (await call("GET", path, done(1))).json()
    assert sorted(piece["pieceRange"] for piece in pieces) == sorted(map(nth, (0, 2, 3)))


@pytest.mark.parametrize(
    ("query", "mentioned"),
    [
        ("", "clientID: is required"),
        ("&num=4", "clientID: is required"),
        ("&clientID=%20", "clientID"),
        ("&clientID=a%00b", "clientID"),
        ("&clientID=" + "x" * 513, "clientID"),
        ("&clientID=c1&dfgetTaskStatus=running", "dfgetTaskStatus"),
        ("&clientID=c1&pieceResult=GOOD&pieceRange=0-1", "pieceResult"),
        ("&clientID=c1&pieceRange=0-1", "pieceResult: is required"),
        ("&clientID=c1&pieceResult=SUCCESS", "pieceRange: is required"),
    ],
)
async def test_a_pull_that_cannot_be(
    autojump_clock: MockClock, call: Caller, query: str, mentioned: str
) -> None:
    task = await call.file()
    before = call.node.feed.seq
    refusal(await call("GET", f"/tasks/{task}/pieces?{query}"), 400, mentioned)
    assert call.node.feed.seq == before
