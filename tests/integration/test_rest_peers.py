"""``/peers`` over the real web app, core and feed."""

import re
from datetime import datetime, timedelta

import httpx2
import msgspec
import pytest
import trio
from trio.testing import MockClock

from supernode.api.models import (
    PeerCreateRequest,
    PiecePullQuery,
    PiecePullRequest,
    PieceUpdateRequest,
    PreheatCreateRequest,
    TaskCreateRequest,
    TaskUpdateRequest,
)
from supernode.core.commands import Expire, JudgePeer, TakeAccusation
from supernode.core.identity import SEED_PREFIX, ClientId
from supernode.core.model import Finding
from tests.integration.rest_caller import PEER, Caller, done, refusal


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
        ({"IP": "0.0.0.0"}, "IP"),
        ({"IP": "ff02::1"}, "IP"),
        ({"hostName": ""}, "hostName"),
        ({"hostName": "bad host!"}, "hostName"),
        ({"port": None}, "port"),
        ({"port": 14999}, "port"),
        ({"port": 65001}, "port"),
        ({"port": "15001"}, "port"),
        ({"port": 10**30}, "port"),
        ({"version": []}, "version"),
        ({"version": "v" * 129}, "version"),
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


# GET /peers/{id}


async def test_a_peer_as_it_introduced_itself(autojump_clock: MockClock, call: Caller) -> None:
    peer = await call.peer()
    answer = await call("GET", f"/peers/{peer}")
    said = answer.json()
    created = datetime.fromisoformat(said.pop("created"))
    assert datetime.fromisoformat(said.pop("lastSeen")) >= created
    assert (answer.status_code, said) == (200, {"ID": peer, **PEER})
    assert created.utcoffset() == timedelta(0)
    assert created.timestamp() == pytest.approx(call.node.clock.now(), abs=0.001)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", answer.json()["created"])


async def test_a_peer_that_asks_for_itself_lives(autojump_clock: MockClock, call: Caller) -> None:
    peer = await call.peer()
    await trio.sleep(200)
    await call.look(f"/peers/{peer}")
    await trio.sleep(200)
    call.node.dispatch(Expire())
    await call.look(f"/peers/{peer}")
    await trio.sleep(400)
    call.node.dispatch(Expire())
    refusal(await call("GET", f"/peers/{peer}"), 404, peer)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("::FFFF:10.0.0.1", "10.0.0.1"),
        ("::1", "::1"),
        ("10.0.0.1", "10.0.0.1"),
    ],
)
async def test_an_address_of_either_version(
    autojump_clock: MockClock, call: Caller, given: str, shown: str
) -> None:
    peer = await call.peer(IP=given)
    assert peer == await call.peer(IP=shown)
    assert (await call.look(f"/peers/{peer}"))["IP"] == shown


# GET /peers


async def three(call: Caller) -> None:
    """Register three peers whose fields are in different orders."""
    await call.peer(hostName="b", IP="10.0.0.1", port=15003, version="2")
    await trio.sleep(1)
    await call.peer(hostName="c", IP="10.0.0.2", port=15001, version="2")
    await trio.sleep(1)
    await call.peer(hostName="a", IP="10.0.0.2", port=15002, version="1")


def hosts(answer: httpx2.Response) -> str:
    """Return the names of the hosts that are listed, all of one letter."""
    assert answer.status_code == 201, answer.text
    return "".join(peer["hostName"] for peer in answer.json())


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "abc"),
        ("&sortKey=ID", "abc"),
        ("&sortDirect=ASC", "abc"),
        ("&sortDirect=DESC", "cba"),
        ("&sortKey=hostName", "abc"),
        ("&sortKey=port", "cab"),
        ("&sortKey=port&sortDirect=DESC", "bac"),
        ("&sortKey=created", "bca"),
        ("&sortKey=IP", "bac"),
        ("&sortKey=IP&sortDirect=DESC", "acb"),  # ties in order of ID all the same
        ("&sortKey=version", "abc"),
        ("&sortKey=IP&sortKey=port", "bca"),
        ("&sortKey=IP,port", "bca"),
        ("&sortKey=IP,port&sortKey=ID", "bca"),
        ("&sortKey=version,port", "acb"),
        ("&sortKey=ip,PORT", "bca"),
    ],
)
async def test_peers_in_order(
    autojump_clock: MockClock, call: Caller, query: str, expected: str
) -> None:
    await three(call)
    assert hosts(await call("GET", f"/peers?pageSize=9{query}")) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("pageSize=3", "abc"),
        ("pageSize=2", "ab"),
        ("pageSize=2&pageNum=0", "ab"),
        ("pageSize=2&pageNum=1", "c"),
        ("pageSize=2&pageNum=2", ""),
        ("pageSize=1&pageNum=2", "c"),
        ("pageNum=1&pageSize=1&sortDirect=DESC", "b"),
        (f"pageSize={2**63 - 1}", "abc"),
        (f"pageSize={2**63 - 1}&pageNum={2**63 - 1}", ""),
        ("pagesize=1", "a"),
        ("pageSize=1&pageSize=2", "a"),
        ("pageSize=3&whatever=7", "abc"),
    ],
)
async def test_peers_by_the_page(
    autojump_clock: MockClock, call: Caller, query: str, expected: str
) -> None:
    await three(call)
    assert hosts(await call("GET", f"/peers?{query}")) == expected


async def test_no_peers_are_an_empty_list(autojump_clock: MockClock, call: Caller) -> None:
    assert (await call("GET", "/peers?pageSize=9")).json() == []


@pytest.mark.parametrize(
    ("query", "mentioned"),
    [
        ("", "pageSize: is required"),
        ("pageNum=1", "pageSize: is required"),
        ("pageSize=", "pageSize"),
        ("pageSize=0", "pageSize"),
        ("pageSize=-1", "pageSize"),
        ("pageSize=x", "pageSize"),
        ("pageSize=1.5", "pageSize"),
        (f"pageSize={2**63}", "pageSize"),
        ("pageSize=" + "9" * 5000, "pageSize"),
        ("pageSize=1&pageNum=-1", "pageNum"),
        ("pageSize=1&pageNum=one", "pageNum"),
        (f"pageSize=1&pageNum={2**63}", "pageNum"),
        ("pageSize=1&sortDirect=UP", "sortDirect"),
        ("pageSize=1&sortDirect=", "sortDirect"),
        ("pageSize=1&sortKey=nope", "sortKey: 'nope' is not one of ID, IP, hostName"),
        ("pageSize=1&sortKey=ID,nope", "'nope'"),
        ("pageSize=1&sortKey=ID&sortKey=nope", "'nope'"),
        ("pageSize=1&sortKey=", "sortKey"),
        ("pageSize=1&sortKey=%00", "sortKey"),
        ("pageSize=1&sortKey=%F0%9F%90%89", "sortKey"),
        ("pageSize=1&sortKey=__class__", "sortKey"),
        ("pageSize=1&sortKey=" + ",".join(["ID"] * 9), "sortKey"),
        ("pageSize=1&" + "&".join(f"f{n}=" for n in range(64)), "query"),
    ],
)
async def test_a_page_that_cannot_be(
    autojump_clock: MockClock, call: Caller, query: str, mentioned: str
) -> None:
    await three(call)
    refusal(await call("GET", f"/peers?{query}"), 400, mentioned)


@pytest.mark.parametrize("query", ["", "?pageSize=0", "?pageSize=3", "?pageSize=0&pageNum=7"])
async def test_a_page_under_v1_needs_no_size(
    autojump_clock: MockClock, call: Caller, query: str
) -> None:
    await three(call)
    answer = await call("GET", f"/api/v1/peers{query}")
    assert (answer.status_code, len(answer.json())) == (200, 3)


async def test_a_peer_in_quarantine_says_why_and_how_long(
    autojump_clock: MockClock, call: Caller
) -> None:
    do = call.node.dispatch
    peer, task = await call.holder("bad", "10.0.0.7")
    call.node.size(task, 1)
    call.node.cache(task)
    await call.pull(task, "bad", body={"reports": [done(0)]})
    assert not {"quarantinedUntil", "evidence"} & (await call.look(f"/peers/{peer}")).keys()
    await call.task("victim")
    (piece,) = await call.pull(task, "victim")
    assert piece["pID"] == peer
    await call.pull(task, "victim", body={"reports": [done(0, peer, "FAILED")]})
    inspection = do(TakeAccusation())
    assert inspection is not None
    do(JudgePeer(inspection=inspection, finding=Finding.WRONG, seen="f" * 32 + ":6"))
    shown = await call.look(f"/peers/{peer}")
    until = datetime.fromisoformat(shown["quarantinedUntil"])
    assert until > datetime.fromisoformat(shown["created"])
    assert shown["evidence"] == f"piece 0 of task {task}: {'f' * 32}:6, not {piece['pieceMD5']}"
    await call.task("next")
    (piece,) = await call.pull(task, "next")
    assert piece["pID"].startswith(SEED_PREFIX)
    await trio.sleep(60)
    do(Expire())
    assert "quarantinedUntil" not in await call.look(f"/peers/{peer}")


async def test_nobody_elses_clock_counts(autojump_clock: MockClock, call: Caller) -> None:
    """No request says what time it is; whoever tries is not heard."""
    wrong = "1970-01-01T00:00:00Z"
    before = call.node.clock.now()
    answer = await call("POST", "/peers", PEER | {"created": wrong, "lastSeen": 0}, Date=wrong)
    task = await call.task(peerID=answer.json()["ID"], path="/f", created=wrong, expires=0)
    await call.pull(task, body={"reports": [], "time": wrong, "deadline": 0})
    peer = call.node.tracker.peer(answer.json()["ID"])
    download = call.node.tracker.task(task).downloads[ClientId("c1")]
    for moment in (peer.created, peer.last_seen, download.created, download.last_seen):
        assert before <= moment <= call.node.clock.now()
    requests = (
        *(PeerCreateRequest, TaskCreateRequest, TaskUpdateRequest, PreheatCreateRequest),
        *(PiecePullRequest, PiecePullQuery, PieceUpdateRequest),
    )
    _, described = msgspec.json.schema_components(requests)
    assert "date-time" not in str(described)
