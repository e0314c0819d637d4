"""The specification's operations over the real web app, core and feed.

The test plays the origin. There is no socket and no thread, so what waits does so in virtual time.
"""

import json
from typing import Any

import httpx2
import pytest
import trio
from quart.testing import WebsocketResponseError
from structlog.testing import capture_logs
from trio.testing import MockClock, wait_all_tasks_blocked

from supernode.core.commands import Pull
from supernode.core.identity import ClientId, TaskId
from supernode.core.model import Limits
from supernode.core.pieces import MIB, content_size
from supernode.core.reasons import Reason
from tests.inprocess import SEED, InProcess

URL = "http://origin/file"
SIZE = 4 * MIB
FOUR_PIECES = 4 * content_size(SIZE)
UNKNOWN = "0" * 64
PEER = {"IP": "10.0.0.1", "hostName": "h1", "port": 15001, "version": "1"}


class Caller:
    """Somebody who talks HTTP to the supernode."""

    def __init__(self, node: InProcess) -> None:
        self.node = node

    async def __call__(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        raw: bytes = b"",
        **headers: str,
    ) -> httpx2.Response:
        content = raw or (b"" if body is None else json.dumps(body).encode())
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.node.browse() as client:
            return await client.request(method, path, content=content, headers=sent)

    async def task(self, client: str = "c1", **fields: object) -> TaskId:
        """Register a download; return the task."""
        answer = await self("POST", "/tasks", {"rawURL": URL, "cID": client, **fields})
        assert answer.status_code == 201
        return TaskId(answer.json()["ID"])

    async def holder(self, name: str, address: str, task_path: str = "/f") -> tuple[str, TaskId]:
        """Register a peer and its download; return its ID and the task."""
        asked = {"IP": address, "hostName": name, "port": 15001}
        peer = (await self("POST", "/peers", asked)).json()["ID"]
        return peer, await self.task(name, peerID=peer, path=task_path)

    async def pull(
        self, task: TaskId, client: str = "c1", num: int = 4, body: object = None, wait: int = 0
    ) -> list[dict[str, Any]]:
        answer = await self(
            "GET", f"/tasks/{task}/pieces?clientID={client}&num={num}", body, Prefer=f"wait={wait}"
        )
        assert answer.status_code == 200, answer.text
        pieces: list[dict[str, Any]] = answer.json()
        return pieces


@pytest.fixture
async def call() -> Caller:
    return Caller(InProcess(Limits(seed_slots=99)))


def refusal(answer: httpx2.Response, status: int, *mentioned: str) -> None:
    """Check status and shape of an error answer, and that it mentions what it is about."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    said = answer.json()
    assert said.keys() - {"reason"} == {"code", "message"}
    assert said["code"] == status
    for word in mentioned:
        assert word in said["message"]


def nth(number: int) -> str:
    return f"{number * SIZE}-{(number + 1) * SIZE - 1}"


def done(number: int, holder: str = "", result: str = "SUCCESS") -> dict[str, str]:
    return {"pieceRange": nth(number), "dstPID": holder, "pieceResult": result}


# GET /_ping


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


# what is no operation


async def test_an_unknown_path_is_404(autojump_clock: MockClock, call: Caller) -> None:
    for path in ("/", "/nope", "/_ping/", "/peers/", "/tasks/x/y", "/tasks/x/pieces/"):
        refusal(await call("GET", path), 404)


async def test_a_wrong_method_is_405_and_says_which_are_right(
    autojump_clock: MockClock, call: Caller
) -> None:
    answer = await call("DELETE", "/_ping")
    refusal(answer, 405)
    assert "GET" in answer.headers["Allow"]


# POST /peers, DELETE /peers/{id}


async def test_a_peer_registers(autojump_clock: MockClock, call: Caller) -> None:
    answer = await call("POST", "/peers", PEER)
    assert (answer.status_code, answer.json()) == (201, {"ID": "h1-10.0.0.1-15001"})
    assert answer.headers["Content-Type"] == "application/json"


async def test_the_same_host_again_is_the_same_peer(
    autojump_clock: MockClock, call: Caller
) -> None:
    first = await call("POST", "/peers", PEER)
    again = await call("POST", "/peers", PEER | {"version": "2"})
    assert (again.status_code, again.json()) == (201, first.json())
    assert call.node.tracker.peer(first.json()["ID"]).version == "2"
    other = await call("POST", "/peers", PEER | {"port": 15002})
    assert other.json() != first.json()


async def test_a_peers_keys_in_any_case_and_any_content_type(
    autojump_clock: MockClock, call: Caller
) -> None:
    body = {"ip": "10.0.0.1", "hostname": "h1", "PORT": 15001, "superNodeIp": "x"}
    answer = await call("POST", "/peers", body, Content_Type="application/x-www-form-urlencoded")
    assert (answer.status_code, answer.json()["ID"]) == (201, "h1-10.0.0.1-15001")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"IP": None}, "IP"),
        ({"IP": ""}, "IP"),
        ({"IP": "bad"}, "IP"),
        ({"IP": 7}, "IP"),
        ({"hostName": ""}, "hostName"),
        ({"hostName": "bad host!"}, "hostName"),
        ({"port": None}, "port"),
        ({"port": 14999}, "port"),
        ({"port": 65001}, "port"),
        ({"port": "15001"}, "port"),
        ({"port": 10**30}, "port"),
        ({"version": []}, "version"),
    ],
)
async def test_a_peer_that_cannot_be(
    autojump_clock: MockClock, call: Caller, change: dict[str, object], field: str
) -> None:
    refusal(await call("POST", "/peers", PEER | change), 400, field)
    without = {name: value for name, value in PEER.items() if name != field}
    if field != "version":
        refusal(await call("POST", "/peers", without), 400, field)


async def test_a_peer_leaves(autojump_clock: MockClock, call: Caller) -> None:
    peer = (await call("POST", "/peers", PEER)).json()["ID"]
    answer = await call("DELETE", f"/peers/{peer}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert "Content-Type" not in answer.headers
    refusal(await call("DELETE", f"/peers/{peer}"), 404, peer)


async def test_a_peer_of_any_address_can_be_named_in_a_path(
    autojump_clock: MockClock, call: Caller
) -> None:
    peer = (await call("POST", "/peers", PEER | {"IP": "2001:DB8::1"})).json()["ID"]
    assert (await call("DELETE", f"/peers/{peer}")).status_code == 204


@pytest.mark.parametrize("name", ["nope", "%FF", "%00", "%F0%9F%90%89", "a%20b", "x" * 3000])
async def test_an_unknown_peer_is_404(autojump_clock: MockClock, call: Caller, name: str) -> None:
    refusal(await call("DELETE", f"/peers/{name}"), 404, "no such peer")


# POST /tasks


async def test_a_task_is_created(autojump_clock: MockClock, call: Caller) -> None:
    answer = await call("POST", "/tasks", {"rawURL": URL, "cID": "c1"})
    assert answer.status_code == 201
    assert answer.json().keys() == {"ID"}, "lengths are left out while unknown"


async def test_a_task_of_known_length_says_so_at_once(
    autojump_clock: MockClock, call: Caller
) -> None:
    task = await call.task()
    call.node.size(task, 50 * MIB)
    answer = await call("POST", "/tasks", {"rawURL": URL, "cID": "c2"})
    assert answer.status_code == 201
    assert answer.json() == {"ID": task, "fileLength": 52428865, "pieceSize": SIZE}


async def test_a_task_of_unknown_length_says_how_it_is_cut(
    autojump_clock: MockClock, call: Caller
) -> None:
    task = await call.task()
    call.node.size(task, None)
    answer = await call("POST", "/tasks", {"rawURL": URL, "cID": "c2"}, Prefer="wait=5")
    assert answer.json() == {"ID": task, "pieceSize": SIZE}


async def test_a_task_waits_for_the_origins_head(autojump_clock: MockClock, call: Caller) -> None:
    node = call.node
    task = await call.task()
    answers: list[httpx2.Response] = []

    async def register() -> None:
        body = {"rawURL": URL, "cID": "c2"}
        answers.append(await call("POST", "/tasks", body, Prefer="wait=20"))

    before = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(register)
        await trio.sleep(3)
        assert answers == []
        node.size(task, 0)
    assert answers[0].json() == {"ID": task, "fileLength": 5, "pieceSize": SIZE}
    assert answers[0].headers["Preference-Applied"] == "wait=20"
    assert trio.current_time() == before + 3


async def test_a_task_does_not_wait_for_ever(autojump_clock: MockClock, call: Caller) -> None:
    before = trio.current_time()
    answer = await call("POST", "/tasks", {"rawURL": URL, "cID": "c1"}, Prefer="wait=3600")
    assert answer.status_code == 201
    assert answer.json().keys() == {"ID"}
    assert answer.headers["Preference-Applied"] == "wait=30"
    assert trio.current_time() - before == pytest.approx(30)


async def test_a_task_that_fails_ends_the_wait_for_its_head(
    autojump_clock: MockClock, call: Caller
) -> None:
    before = trio.current_time()

    async def fail() -> None:
        await trio.sleep(2)
        task = call.node.tracker.next_to_fetch()
        assert task is not None
        call.node.fail(task, Reason.ORIGIN_REFUSED)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fail)
        answer = await call("POST", "/tasks", {"rawURL": URL, "cID": "c1"}, Prefer="wait=20")
    assert answer.status_code == 201
    assert answer.json().keys() == {"ID"}
    assert trio.current_time() == before + 2


async def test_filters_and_identifier_make_the_task(
    autojump_clock: MockClock, call: Caller
) -> None:
    plain = await call.task("c1")
    assert await call.task("c2", rawURL=URL + "?auth=1", filter=["auth"]) == plain
    assert await call.task("c3", rawURL=URL + "?auth=1") != plain
    assert await call.task("c4", identifier="v1") not in (plain,)
    assert await call.task("c5", identifier="v1", md5="0" * 32) == await call.task(
        "c6", md5="0" * 32
    )


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"rawURL": ""}, "rawURL"),
        ({"rawURL": "o/x"}, "rawURL"),
        ({"rawURL": "ftp://o/x"}, "rawURL"),
        ({"rawURL": 7}, "rawURL"),
        ({"cID": ""}, "cID"),
        ({"cID": "two words"}, "cID"),
        ({"path": "no-slash"}, "path"),
        ({"filter": "a"}, "filter"),
        ({"filter": [None]}, "filter[0]"),
        ({"headers": {"A": 1}}, "headers"),
        ({"headers": {"A\r\nB": "x"}}, "headers"),
        ({"headers": {"A": "x\r\nB: y"}}, "headers.A"),
        ({"dfdaemon": 1}, "dfdaemon"),
        ({"identifier": {}}, "identifier"),
    ],
)
async def test_a_task_that_cannot_be(
    autojump_clock: MockClock, call: Caller, change: dict[str, object], field: str
) -> None:
    body = {"rawURL": URL, "cID": "c1"} | change
    refusal(await call("POST", "/tasks", body), 400, field)
    assert call.node.tracker.next_to_fetch() is None


async def test_what_a_task_cannot_do_without(autojump_clock: MockClock, call: Caller) -> None:
    refusal(await call("POST", "/tasks", {"cID": "c1"}), 400, "rawURL")
    refusal(await call("POST", "/tasks", {"rawURL": URL}), 400, "cID")
    peer = (await call("POST", "/peers", PEER)).json()["ID"]
    body = {"rawURL": URL, "cID": "c1", "peerID": peer}
    refusal(await call("POST", "/tasks", body), 400, "path")


async def test_a_task_for_an_unknown_peer_is_404(autojump_clock: MockClock, call: Caller) -> None:
    body = {"rawURL": URL, "cID": "c1", "peerID": "h9-10.0.0.9-15009", "path": "/f"}
    refusal(await call("POST", "/tasks", body), 404, "peer", "h9-10.0.0.9-15009")
    assert call.node.tracker.next_to_fetch() is None


async def test_two_files_under_one_id_are_a_conflict(
    autojump_clock: MockClock, call: Caller
) -> None:
    await call.task(rawURL="http://o/bc")
    body = {"rawURL": "http://o/b", "identifier": "c", "cID": "c2"}
    refusal(await call("POST", "/tasks", body), 409)


# GET /tasks/{id}


async def test_a_task_that_waits(autojump_clock: MockClock, call: Caller) -> None:
    task = await call.task(filter=["a"], rawURL=URL + "?a=1", callSystem="ci", identifier="v1")
    answer = await call("GET", f"/tasks/{task}")
    assert answer.status_code == 200
    assert answer.json() == {
        "ID": task,
        "cdnStatus": "WAITING",
        "rawURL": URL + "?a=1",
        "taskURL": URL,
        "callSystem": "ci",
        "identifier": "v1",
    }


async def test_a_task_through_its_life(autojump_clock: MockClock, call: Caller) -> None:
    task = await call.task(md5="1" * 32, dfdaemon=True)

    async def look() -> dict[str, Any]:
        seen: dict[str, Any] = (await call("GET", f"/tasks/{task}")).json()
        return seen

    call.node.size(task, FOUR_PIECES + 1)
    running = await look()
    assert running["cdnStatus"] == "RUNNING"
    assert running["httpFileLength"] == FOUR_PIECES + 1
    assert running["fileLength"] == FOUR_PIECES + 1 + 5 * 5
    assert (running["pieceSize"], running["pieceTotal"]) == (SIZE, 5)
    assert running["dfdaemon"] is True
    assert "realMd5" not in running
    call.node.cache(task)
    call.node.finish(task)
    whole = await look()
    assert whole["cdnStatus"] == "SUCCESS"
    assert whole["md5"] == whole["realMd5"] == "1" * 32
    assert whole["sha256"] == "2" * 64


@pytest.mark.parametrize(
    ("reason", "status"),
    [(Reason.ORIGIN_STATUS, "SOURCE_ERROR"), (Reason.DISK_FULL, "FAILED")],
)
async def test_a_task_that_failed(
    autojump_clock: MockClock, call: Caller, reason: Reason, status: str
) -> None:
    task = await call.task()
    call.node.fail(task, reason, "500 from http://origin/file")
    seen = (await call("GET", f"/tasks/{task}")).json()
    assert seen["cdnStatus"] == status
    assert seen["reason"] == reason.code
    assert seen["detail"] == "500 from http://origin/file"


@pytest.mark.parametrize("name", ["nope", UNKNOWN, "%FF", "..%2F..", "%00"])
async def test_an_unknown_task_is_404(autojump_clock: MockClock, call: Caller, name: str) -> None:
    refusal(await call("GET", f"/tasks/{name}"), 404)


async def test_an_unknown_task_is_named(autojump_clock: MockClock, call: Caller) -> None:
    refusal(await call("GET", f"/tasks/{UNKNOWN}"), 404, "task", UNKNOWN)


async def test_the_values_of_headers_are_in_no_answer(
    autojump_clock: MockClock, call: Caller
) -> None:
    headers = {"Authorization": "Bearer s3cr3t", "X-Token": "s3cr3t"}
    created = await call("POST", "/tasks", {"rawURL": URL, "cID": "c1", "headers": headers})
    task = created.json()["ID"]
    answers = [
        created,
        await call("GET", f"/tasks/{task}"),
        await call("GET", f"/tasks/{task}/pieces?clientID=c1"),
        await call("POST", "/tasks", {"rawURL": URL, "cID": "", "headers": headers}),
        await call("POST", "/tasks", {"cID": "c", "headers": headers | {"Bad Name": "s3cr3t"}}),
        await call("POST", "/tasks", {"cID": "c", "headers": {"X": ["s3cr3t"]}}),
        await call("POST", "/tasks", raw=b'{"headers": {"X": "s3cr3t"}, bad'),
        await call("POST", "/tasks", raw=b'{"headers": {"X": "s3cr3t\xff"}}'),
        await call("POST", "/tasks", {"rawURL": URL, "cID": "c", "headers": {"X": "s3cr3t\r\n"}}),
    ]
    call.node.fail(task, Reason.ORIGIN_AUTH)
    answers.append(await call("GET", f"/tasks/{task}"))
    assert [answer for answer in answers if "s3cr3t" in answer.text + str(answer.headers)] == []
    assert answers[-1].json()["headers"].keys() == headers.keys()


# GET /tasks/{id}/pieces


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
    assert len(await call.pull(task, num=2**31 - 1)) == 32
    assert await call.pull(task, num=5) == []


@pytest.mark.parametrize(
    "num",
    ["0", "-1", "x", "", "1.5", "1e3", "+1", "%D9%A1", str(2**31), "0" * 19 + "1" + "9" * 5000],
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
    call.node.fail(task, Reason.ORIGIN_STATUS)
    assert await call.task() == task
    assert await call.pull(task) == []
    assert (await call("GET", f"/tasks/{task}")).json()["cdnStatus"] == "WAITING"


# PUT /tasks/{id}/pieces/{pieceRange}


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


# bodies of any kind


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/peers"),
        ("POST", "/tasks"),
        ("GET", "/tasks/{task}/pieces?clientID=c1"),
        ("PUT", "/tasks/{task}/pieces/" + nth(0)),
    ],
)
async def test_nonsense_is_a_bad_request(
    autojump_clock: MockClock, call: Caller, method: str, path: str
) -> None:
    task = await call.task()
    before = call.node.feed.seq
    for body in (
        b"{bad",
        b"[]",
        b"7",
        b"null",
        b'"x"',
        b"\xff\xfe",
        b'{"a": "\xff"}',
        b'{"a": "\\ud800"}',
        b"\0",
        b"{}{}",
        b"[" * 1_000_000,
        b'{"reports":' * 80_000,
        b'{"reports":' + b"[" * 500 + b"]" * 500 + b', "IP": 7, "cID": 7, "clientID": 7}',
        b'{"port": ' + b"9" * 100_000 + b"}",
        b'{"port": 1e999}',
        b'{"port": 12345678901234567890123, "rawURL": 1, "clientID": 1, "reports": 1}',
    ):
        refusal(await call(method, path.format(task=task), raw=body), 400)
    assert call.node.feed.seq == before
    assert not call.node.dispatch.broken.is_set()


async def test_text_of_any_script_does_no_harm(autojump_clock: MockClock, call: Caller) -> None:
    dragon = "\N{DRAGON}\0\n\N{RIGHT-TO-LEFT OVERRIDE}"
    task = await call.task(identifier=dragon, callSystem=dragon, filter=[dragon])
    seen = (await call("GET", f"/tasks/{task}")).json()
    assert seen["identifier"] == seen["callSystem"] == dragon
    refusal(await call("GET", f"/tasks/{dragon!r}/pieces?clientID=c1"), 404)


async def test_a_body_that_is_too_large(autojump_clock: MockClock, call: Caller) -> None:
    large = b'{"identifier": "' + b"x" * MIB + b'"}'
    for method, path in (("POST", "/tasks"), ("POST", "/peers"), ("PUT", "/tasks/x/pieces/0-1")):
        refusal(await call(method, path, raw=large), 413)


async def test_a_body_as_large_as_may_be(autojump_clock: MockClock, call: Caller) -> None:
    body = json.dumps({"rawURL": URL, "cID": "c1", "unknown": "x" * (MIB - 200)}).encode()
    assert len(body) <= MIB
    assert (await call("POST", "/tasks", raw=body)).status_code == 201


# text/plain


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/peers", PEER, 201),
        ("POST", "/tasks", {"rawURL": URL, "cID": "c1"}, 201),
        ("GET", "/tasks/{task}", None, 200),
        ("GET", "/tasks/{task}/pieces?clientID=c1", None, 200),
        ("POST", "/peers", {}, 400),
        ("GET", f"/tasks/{UNKNOWN}", None, 404),
        ("GET", "/nope", None, 404),
    ],
)
async def test_the_same_text_as_text_plain_for_who_prefers_it(
    autojump_clock: MockClock, call: Caller, method: str, path: str, body: object, status: int
) -> None:
    where = path.format(task=await call.task())
    as_json = await call(method, where, body, Accept="*/*")
    as_text = await call(method, where, body, Accept="text/plain, application/json;q=0.5")
    assert as_json.status_code == as_text.status_code == status
    assert as_json.headers["Content-Type"] == "application/json"
    assert as_text.headers["Content-Type"].partition(";")[0] == "text/plain"
    assert as_text.content == as_json.content


async def test_nobody_is_refused_for_what_he_accepts(
    autojump_clock: MockClock, call: Caller
) -> None:
    answer = await call("POST", "/peers", PEER, Accept="image/png")
    assert answer.status_code == 201
    assert answer.headers["Content-Type"] == "application/json"


async def test_a_websocket_to_nowhere_is_told_so(autojump_clock: MockClock, call: Caller) -> None:
    with capture_logs() as logs:
        async with call.node.app.test_client().websocket("/nowhere") as websocket:
            with pytest.raises(WebsocketResponseError) as told:
                await websocket.receive()
    assert told.value.response.status_code == 404
    assert logs == []


async def test_a_full_supernode_says_so(autojump_clock: MockClock) -> None:
    call = Caller(InProcess(Limits(most_peers=0, most_tasks=0)))
    peer = {"IP": "10.0.0.1", "hostName": "h", "port": 15001}
    refusal(await call("POST", "/peers", peer), 503, "peers")
    refusal(await call("POST", "/tasks", {"rawURL": URL, "cID": "c1"}), 503, "tasks")


async def test_only_the_method_itself_will_do(autojump_clock: MockClock, call: Caller) -> None:
    task = await call.task()
    call.node.size(task, 1)
    call.node.cache(task)
    answer = await call("HEAD", f"/tasks/{task}/pieces?clientID=c1")
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "GET"
    assert not call.node.tracker.task(task).serving, "a HEAD that took leases"
    assert (await call("OPTIONS", "/_ping")).status_code == 405


async def test_a_preference_is_confirmed_also_when_there_is_something_at_once(
    autojump_clock: MockClock, call: Caller
) -> None:
    task = await call.task()
    call.node.size(task, 1)
    call.node.cache(task)
    answer = await call("GET", f"/tasks/{task}/pieces?clientID=c1", Prefer="wait=5")
    assert len(answer.json()) == 1
    assert answer.headers["Preference-Applied"] == "wait=5"


async def test_credentials_in_a_url_are_kept(autojump_clock: MockClock, call: Caller) -> None:
    url = "http://user:secret@o.example/x?y=a@b"
    task = await call.task(rawURL=url)
    answer = await call("GET", f"/tasks/{task}")
    assert answer.json()["rawURL"] == answer.json()["taskURL"] == "http://o.example/x?y=a@b"
    assert call.node.tracker.task(task).spec.raw_url == url, "the origin is asked with them"


async def test_an_md5_must_be_one(autojump_clock: MockClock, call: Caller) -> None:
    for wrong in ("beef", "x" * 32, " " * 32):
        refusal(await call("POST", "/tasks", {"rawURL": URL, "cID": "c", "md5": wrong}), 400, "md5")


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


# defects


async def test_a_defect_is_a_500_that_gives_nothing_away(
    autojump_clock: MockClock, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("s3cr3t")

    monkeypatch.setattr(call.node.tracker, "execute", broken)
    with capture_logs() as logs:
        answer = await call("POST", "/peers", PEER)
    refusal(answer, 500)
    assert "s3cr3t" not in answer.text
    assert isinstance(logs[0]["exc_info"].__cause__, ZeroDivisionError)
    assert call.node.dispatch.broken.is_set(), "the core is suspect from now on"
