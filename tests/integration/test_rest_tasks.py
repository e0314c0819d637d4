"""``/tasks`` over the real web app, core and feed; the test plays the origin."""

from base64 import b64encode
from typing import Any

import httpx2
import pytest
import trio
import trustme
from trio.testing import MockClock, wait_all_tasks_blocked

from supernode.api.answers import moment
from supernode.api.app import create_app
from supernode.api.call_systems import CallSystems
from supernode.api.models import MOST_CLAIM_BYTES
from supernode.api.rest import Rest
from supernode.api.routes import routes
from supernode.core.commands import RemoveTask, StartPreheat
from supernode.core.pieces import MIB, content_size
from supernode.core.reasons import Reason
from tests.inprocess import SEED
from tests.integration.rest_caller import (
    FOUR_PIECES,
    PEER,
    SIZE,
    UNKNOWN,
    URL,
    Caller,
    done,
    nth,
    refusal,
)


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
        ({"pieces": "no base64"}, "pieces"),
        ({"pieces": "AQ"}, "pieces"),
        ({"pieces": 1}, "pieces"),
        ({"pieces": [1]}, "pieces"),
        ({"pieces": b64encode(bytes(MOST_CLAIM_BYTES + 1)).decode()}, "pieces"),
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


async def test_a_task_that_waits(autojump_clock: MockClock, call: Caller) -> None:
    task = await call.task(filter=["a"], rawURL=URL + "?a=1", callSystem="ci", identifier="v1")
    answer = await call("GET", f"/tasks/{task}")
    assert answer.status_code == 200
    assert answer.json() == {
        "ID": task,
        "created": moment(call.node.tracker.task(task).created),
        "running": 1,
        "cdnStatus": "WAITING",
        "rawURL": URL + "?a=***",
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


async def test_credentials_in_a_url_are_kept(autojump_clock: MockClock, call: Caller) -> None:
    url = "http://user:secret@o.example/x?y=a@b"
    task = await call.task(rawURL=url)
    answer = await call("GET", f"/tasks/{task}")
    assert answer.json()["rawURL"] == answer.json()["taskURL"] == "http://o.example/x?y=a@b"
    assert call.node.tracker.task(task).spec.raw_url == url, "the origin is asked with them"


@pytest.mark.parametrize(
    ("query", "names", "shown"),
    [
        ("?token=s3cr3t&v=1", ["token"], "?token=***&v=1"),
        ("?v=1&token=s3cr3t#s3cr3t", ["token"], "?v=1&token=***"),
        ("?token=s3cr3t&token=s3cr3t", ["token", "other"], "?token=***&token=***"),
        ("?token&v=", ["token"], "?token&v="),
        ("?v=1", ["token"], "?v=1"),
        ("?v=1?token=2", ["token"], "?v=1?token=2"),
        ("", ["token"], ""),
        ("?token=known", [], "?token=known"),
    ],
)
async def test_what_a_filter_names_is_not_shown(
    autojump_clock: MockClock, call: Caller, query: str, names: list[str], shown: str
) -> None:
    task = await call.task(rawURL=URL + query, filter=names)
    answer = await call("GET", f"/tasks/{task}")
    assert answer.json()["rawURL"] == URL + shown
    assert "s3cr3t" not in answer.text
    assert call.node.tracker.task(task).spec.raw_url == URL + query


async def test_an_md5_must_be_one(autojump_clock: MockClock, call: Caller) -> None:
    for wrong in ("beef", "x" * 32, " " * 32):
        refusal(await call("POST", "/tasks", {"rawURL": URL, "cID": "c", "md5": wrong}), 400, "md5")


# who may ask


def guarded(call: Caller, **lists: list[str]) -> None:
    """Let the caller's supernode allow and deny these call systems."""
    node = call.node
    rest = Rest(node.dispatch, SEED, call_systems=CallSystems(**lists))
    node.app = create_app(routes(rest), node.responder)


@pytest.mark.parametrize(
    ("lists", "name", "permitted"),
    [
        ({}, "ci", True),
        ({}, None, True),
        ({"allow": ["ci"]}, "ci", True),
        ({"allow": ["ci"]}, "CI", False),
        ({"allow": ["ci"]}, "other", False),
        ({"allow": ["ci"]}, None, False),
        ({"deny": ["ci"]}, "ci", False),
        ({"deny": ["ci"]}, "other", True),
        ({"deny": ["ci"]}, None, True),
        ({"allow": ["ci"], "deny": ["ci"]}, "ci", False),
    ],
)
async def test_who_may_ask_for_a_file(
    autojump_clock: MockClock,
    call: Caller,
    lists: dict[str, list[str]],
    name: str | None,
    permitted: bool,
) -> None:
    guarded(call, **lists)
    answer = await call("POST", "/tasks", {"rawURL": URL, "cID": "c1", "callSystem": name})
    if permitted:
        assert answer.status_code == 201
    else:
        refusal(answer, 403, "callSystem")
        assert call.node.feed.seq == 0


# extensions of POST /tasks


async def test_what_else_the_origin_needs(autojump_clock: MockClock, call: Caller) -> None:
    root_ca = trustme.CA().cert_pem.bytes().decode()
    task = await call.task(path="/f", insecure=True, rootCAs=["Comment" + root_ca, root_ca])
    spec = call.node.tracker.task(task).spec
    assert (spec.path, spec.insecure, spec.root_cas) == ("/f", True, (root_ca,))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"callSystem": ""}, "callSystem"),
        ({"callSystem": 7}, "callSystem"),
        ({"insecure": "yes"}, "insecure"),
        ({"rootCAs": "x"}, "rootCAs"),
        ({"rootCAs": [7]}, "rootCAs[0]"),
        ({"rootCAs": [""]}, "rootCAs[0]: holds no certificate"),
        ({"rootCAs": ["-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"]}, "rootCAs"),
        ({"rootCAs": ["\N{DRAGON}"]}, "rootCAs[0]"),
        ({"rootCAs": ["\0"]}, "rootCAs[0]"),
        ({"rootCAs": ["x"] * 65}, "rootCAs"),
        ({"rootCAs": ["x" * 65_537]}, "rootCAs"),
        ({"rootCAs": ["x" * 32_768] * 3}, "rootCAs: are more than 64 KiB"),
        ({"peerID": 7}, "peerID"),
        ({"path": "/a b", "peerID": "p"}, "path"),
        ({"headers": {"A": "x" * 8193}}, "headers.A"),
        ({"headers": {"A": "x" * 8000, "B": "x" * 8000, "C": "x" * 400}}, "headers: are more"),
        ({"headers": {f"H{n}": "x" for n in range(65)}}, "headers"),
        ({"filter": ["x"] * 65}, "filter"),
        ({"identifier": "x" * 513}, "identifier"),
        ({"rawURL": "http://o/" + "x" * 8192}, "rawURL"),
    ],
)
async def test_a_task_that_cannot_be_either(
    autojump_clock: MockClock, call: Caller, change: dict[str, object], field: str
) -> None:
    refusal(await call("POST", "/tasks", {"rawURL": URL, "cID": "c1"} | change), 400, field)
    assert call.node.feed.seq == 0


async def test_null_is_as_good_as_left_out(autojump_clock: MockClock, call: Caller) -> None:
    """Clients in Go send null for a map or a list without entries."""
    body = dict.fromkeys(("headers", "filter", "md5", "peerID", "callSystem", "rootCAs"))
    assert (await call("POST", "/tasks", {"rawURL": URL, "cID": "c1", **body})).status_code == 201


# GET /tasks/{id}, what it says besides


async def test_a_task_says_where_its_first_client_serves_it(
    autojump_clock: MockClock, call: Caller
) -> None:
    _, task = await call.holder("h1", "10.0.0.1", "/first")
    await call.holder("h2", "10.0.0.2", "/second")
    assert (await call.look(f"/tasks/{task}"))["path"] == "/first"


async def test_a_removed_task_says_why_it_is_gone(autojump_clock: MockClock, call: Caller) -> None:
    task = await call.file()
    call.node.dispatch(RemoveTask(task=task, reason=Reason.TASK_EVICTED))
    answer = await call("GET", f"/tasks/{task}")
    refusal(answer, 404, task)
    assert answer.json()["reason"] == "task_evicted"
    assert Reason.TASK_EVICTED.text in answer.json()["message"]


# GET /tasks


async def test_tasks_by_the_page_and_in_order(autojump_clock: MockClock, call: Caller) -> None:
    lengths: dict[str, int | None] = {}
    for name, length in (("a", 30), ("b", None), ("c", 10), ("d", 20)):
        task = await call.task(rawURL=f"http://origin/{name}")
        call.node.size(task, length)
        lengths[name] = length

    async def names(query: str) -> str:
        answer = await call("GET", f"/tasks?{query}")
        assert answer.status_code == 200, answer.text
        return "".join(task["rawURL"][-1] for task in answer.json())

    assert await names("pageSize=9&sortKey=rawURL") == "abcd"
    assert await names("pageSize=9&sortKey=rawURL&sortDirect=DESC") == "dcba"
    assert await names("pageSize=9&sortKey=httpFileLength,ID") == "bcda"
    assert await names("pageSize=9&sortKey=httpFileLength&sortDirect=DESC") == "adcb"
    assert await names("pageSize=3&sortKey=rawURL") == "abc"
    assert await names("pageSize=3&pageNum=1&sortKey=rawURL") == "d"
    assert await names("pageSize=3&pageNum=2") == ""
    ids = [task["ID"] for task in await call.look("/tasks?pageSize=9")]
    assert ids == sorted(ids)
    assert len(await call.look("/tasks?pageSize=1000")) == 4


async def test_a_listed_task_is_the_task(autojump_clock: MockClock, call: Caller) -> None:
    task = await call.file()
    assert await call.look("/tasks?pageSize=1") == [await call.look(f"/tasks/{task}")]


@pytest.mark.parametrize(
    ("query", "mentioned"),
    [
        ("", "pageSize: is required"),
        ("pageSize=0", "pageSize"),
        ("pageSize=1001", "pageSize"),
        ("pageSize=1&sortKey=headers", "sortKey: 'headers' is not one of"),
        ("pageSize=1&sortKey=hostName", "'hostName'"),
    ],
)
async def test_a_page_of_tasks_that_cannot_be(
    autojump_clock: MockClock, call: Caller, query: str, mentioned: str
) -> None:
    await call.task()
    refusal(await call("GET", f"/tasks?{query}"), 400, mentioned)


# PUT /tasks/{id}


async def test_a_peer_offers_the_whole_file(autojump_clock: MockClock, call: Caller) -> None:
    task = await call.file(FOUR_PIECES)
    peer = await call.peer()
    answer = await call("PUT", f"/tasks/{task}", {"peerID": peer, "path": "/mine"})
    assert (answer.status_code, answer.content) == (200, b"")
    await call.task("c2")
    pieces = await call.pull(task, "c2")
    assert len(pieces) == 4
    from_peer = [piece for piece in pieces if (piece["pID"], piece["path"]) == (peer, "/mine")]
    assert len(from_peer) == 3, "as many as it gives at a time"


async def test_a_peer_that_has_said_where_need_not_say_so_again(
    autojump_clock: MockClock, call: Caller
) -> None:
    peer, task = await call.holder("h1", "10.0.0.1", "/known")
    call.node.size(task, 1)
    call.node.cache(task)
    call.node.finish(task)
    assert (await call("PUT", f"/tasks/{task}", {"peerid": peer})).status_code == 200
    await call.task("c2")
    (piece,) = await call.pull(task, "c2")
    assert (piece["pID"], piece["path"]) == (peer, "/known")


async def test_a_task_is_paused_and_resumed(autojump_clock: MockClock, call: Caller) -> None:
    task = await call.file()
    assert "paused" not in await call.look(f"/tasks/{task}")
    for _ in range(2):
        assert (await call("PUT", f"/tasks/{task}", {"paused": True})).status_code == 200
    assert (await call.look(f"/tasks/{task}"))["paused"] is True
    assert await call.pull(task) == []
    assert (await call("PUT", f"/tasks/{task}", {"paused": False})).status_code == 200
    assert len(await call.pull(task)) == 1


async def test_a_task_is_pinned_and_unpinned(autojump_clock: MockClock, call: Caller) -> None:
    task = await call.file()
    for pinned in (True, False):
        assert (await call("PUT", f"/tasks/{task}", {"pinned": pinned})).status_code == 200
        assert (await call.look(f"/tasks/{task}")).get("pinned", False) is pinned


async def test_both_may_be_said_at_once(autojump_clock: MockClock, call: Caller) -> None:
    task, peer = await call.file(), await call.peer()
    body = {"peerID": peer, "path": "/f", "paused": True}
    assert (await call("PUT", f"/tasks/{task}", body)).status_code == 200
    assert (await call.look(f"/tasks/{task}"))["paused"] is True
    assert len(await call.look(f"/tasks/{task}/clients")) == 2


@pytest.mark.parametrize("body", [None, {}, {"peerID": None, "paused": None}, {"other": 7}])
async def test_nothing_said_is_nothing_changed(
    autojump_clock: MockClock, call: Caller, body: object
) -> None:
    task = await call.file()
    before = call.node.feed.seq
    assert (await call("PUT", f"/tasks/{task}", body)).status_code == 200
    assert call.node.feed.seq == before
    refusal(await call("PUT", f"/tasks/{UNKNOWN}", body), 404, "task", UNKNOWN)


@pytest.mark.parametrize(
    ("change", "status", "mentioned"),
    [
        ({"peerID": "nobody"}, 404, "nobody"),
        ({"peerID": ""}, 400, "peerID"),
        ({"peerID": 7}, 400, "peerID"),
        ({"path": "no-slash"}, 400, "path"),
        ({"path": ""}, 400, "path"),
        ({"path": "/a\r\nb"}, 400, "path"),
        ({"path": None}, 400, "path"),
        ({"peerID": None}, 400, "peerID"),
        ({"paused": "yes"}, 400, "paused"),
        ({"paused": 1}, 400, "paused"),
    ],
)
async def test_an_update_is_done_whole_or_not_at_all(
    autojump_clock: MockClock,
    call: Caller,
    change: dict[str, object],
    status: int,
    mentioned: str,
) -> None:
    task, peer = await call.file(), await call.peer()
    before = call.node.feed.seq
    body = {"peerID": peer, "path": "/f", "paused": True} | change
    refusal(await call("PUT", f"/tasks/{task}", body), status, mentioned)
    assert call.node.feed.seq == before


async def test_a_file_that_is_not_here_whole_cannot_be_offered(
    autojump_clock: MockClock, call: Caller
) -> None:
    peer, task = await call.peer(), await call.task()
    body = {"peerID": peer, "path": "/f", "paused": True}
    refusal(await call("PUT", f"/tasks/{task}", body), 409, task)
    assert "paused" not in await call.look(f"/tasks/{task}")


# DELETE /tasks/{id}


async def test_a_task_is_deleted(autojump_clock: MockClock, call: Caller) -> None:
    task = await call.file()
    answer = await call("DELETE", f"/tasks/{task}")
    assert (answer.status_code, answer.content) == (204, b"")
    for method, path in (("GET", ""), ("DELETE", ""), ("PUT", ""), ("GET", "/clients")):
        refusal(await call(method, f"/tasks/{task}{path}"), 404, task)
    refusal(await call("GET", f"/tasks/{task}/pieces?clientID=c1"), 404, task)


@pytest.mark.parametrize(
    ("full", "stays"),
    [
        ("", True),
        ("?full=false", True),
        ("?full=yes", True),
        ("?full=true", False),
        ("?full=T", False),
    ],
)
async def test_v1_keeps_the_bytes_unless_the_deletion_is_full(
    autojump_clock: MockClock, call: Caller, full: str, stays: bool
) -> None:
    task = await call.file()
    answer = await call("DELETE", f"/api/v1/tasks/{task}{full}")
    assert (answer.status_code, answer.content) == (200, b"")
    assert (await call("GET", f"/tasks/{task}")).status_code == (200 if stays else 404)
    refusal(await call("DELETE", "/api/v1/tasks/unknown"), 404, "unknown")


async def test_who_waits_for_a_task_that_is_deleted_is_told_at_once(
    autojump_clock: MockClock, call: Caller
) -> None:
    task = await call.task()
    answers: list[httpx2.Response] = []

    async def wait() -> None:
        path = f"/tasks/{task}/pieces?clientID=c1"
        answers.append(await call("GET", path, Prefer="wait=30"))

    before = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        await call("DELETE", f"/tasks/{task}")
    refusal(answers[0], 404, task)
    assert trio.current_time() == before


# POST /tasks of a client that has pieces from before


def packed(*numbers: int) -> str:
    """Spell out what the document says of ``pieces``."""
    bitset = bytearray(max(numbers) // 8 + 1)
    for number in numbers:
        bitset[number // 8] |= 1 << number % 8
    return b64encode(bitset).decode()


async def test_what_a_client_has_it_need_not_fetch_again(
    autojump_clock: MockClock, call: Caller
) -> None:
    task = await call.file(12 * content_size(SIZE))
    assert await call.task("c2", pieces=packed(0, 1, 2, 3, 4, 5, 6, 9, 10)) == task
    given = await call.pull(task, "c2", num=12)
    assert {piece["pieceRange"] for piece in given} == {nth(7), nth(8), nth(11)}
    (_, second) = await call.look(f"/tasks/{task}/clients")
    assert second["piecesDone"] == 9


async def test_what_was_said_of_a_file_yet_unknown_holds_when_it_is_known(
    autojump_clock: MockClock, call: Caller
) -> None:
    task = await call.task(pieces=packed(0, 2))
    call.node.size(task, FOUR_PIECES)
    call.node.cache(task)
    given = await call.pull(task, num=4)
    assert {piece["pieceRange"] for piece in given} == {nth(1), nth(3)}


@pytest.mark.parametrize("number", [4, 7, 8, 8 * MOST_CLAIM_BYTES - 1])
async def test_pieces_that_the_file_has_not_are_refused(
    autojump_clock: MockClock, call: Caller, number: int
) -> None:
    task = await call.file(FOUR_PIECES)
    await call.pull(task, num=1)
    before = call.node.feed.seq
    for client in ("c1", "c2"):
        body = {"rawURL": URL, "cID": client, "pieces": packed(1, number)}
        refusal(await call("POST", "/tasks", body), 400, "pieces", f"piece {number}")
    assert call.node.feed.seq == before


# GET /tasks/{id}/clients


async def test_the_clients_of_a_task(autojump_clock: MockClock, call: Caller) -> None:
    peer, task = await call.holder("h1", "10.0.0.1", "/f")
    waiting = {"taskId": task, "status": "WAITING", "piecesDone": 0}
    nothing = {"bytesFrom": {"seed": 0, "peers": 0}}
    first = {"cID": "h1", "peerID": peer, "path": "/f"}
    assert await call.look(f"/tasks/{task}/clients") == [first | waiting | nothing]

    call.node.size(task, 2 * content_size(SIZE))
    call.node.cache(task)
    call.node.finish(task)
    await call.pull(task, "h1", num=2)
    await call.pull(task, "h1", body={"reports": [done(0)]})
    await call.task("c2")
    given = await call.pull(task, "c2", num=1)
    assert given[0]["pID"] == peer
    await call.pull(task, "c2", num=1, body={"reports": [done(0)]})
    content = content_size(SIZE)
    assert await call.look(f"/tasks/{task}/clients") == [
        first
        | {"taskId": task, "status": "RUNNING", "pieceSize": SIZE, "piecesDone": 1}
        | {"bytesFrom": {"seed": content, "peers": 0}},
        {"cID": "c2", "taskId": task, "status": "RUNNING", "pieceSize": SIZE, "piecesDone": 1}
        | {"bytesFrom": {"seed": 0, "peers": content}},
    ]
    await call.pull(task, "h1", body={"reports": [done(1)]})
    await call.pull(task, "c2", body={"dfgetTaskStatus": "FINISHED"})
    statuses = [client["status"] for client in await call.look(f"/tasks/{task}/clients")]
    assert statuses == ["SUCCESS", "FAILED"]


async def test_the_clients_of_a_task_by_the_page(autojump_clock: MockClock, call: Caller) -> None:
    for number in range(3):
        task = await call.task(f"c{number}")

    async def listed(query: str) -> list[str]:
        return [client["cID"] for client in await call.look(f"/tasks/{task}/clients{query}")]

    assert await listed("?pageSize=2") == ["c0", "c1"]
    assert await listed("?pageSize=2&pageNum=1") == ["c2"]
    assert await listed(f"?pageNum={2**63 - 1}") == []
    refusal(await call("GET", f"/tasks/{task}/clients?pageSize=1001"), 400, "pageSize")


async def test_a_task_that_nobody_downloads_has_no_clients(
    autojump_clock: MockClock, call: Caller
) -> None:
    await call("POST", "/preheats", {"type": "file", "url": URL})
    (preheat,) = call.node.tracker.preheats()
    call.node.dispatch(StartPreheat(preheat=preheat.id))
    assert await call.look(f"/tasks/{preheat.task}/clients") == []


async def test_clients_of_an_unknown_task(autojump_clock: MockClock, call: Caller) -> None:
    refusal(await call("GET", f"/tasks/{UNKNOWN}/clients"), 404, UNKNOWN)


async def test_another_md5_than_is_being_fetched_is_a_conflict_that_says_so(
    autojump_clock: MockClock, call: Caller
) -> None:
    md5 = "1" * 32
    task = await call.task(md5=md5)
    before = call.node.feed.seq
    body = {"rawURL": URL, "cID": "c2", "identifier": md5}  # the same ID, for v1 computes it so
    refusal(await call("POST", "/tasks", body), 409, task, md5)
    assert call.node.feed.seq == before
