"""What all operations have in common: paths, bodies, media types, errors, the record."""

import json
import random
import re

import httpx2
import pytest
import structlog
import trio
from quart.testing import WebsocketResponseError
from structlog.testing import capture_logs
from trio.testing import MockClock

from supernode.api.app import create_app
from supernode.api.rest import Rest
from supernode.api.routes import routes
from supernode.clock import Clock
from supernode.core.identity import preheat_number
from supernode.core.model import Limits
from supernode.core.pieces import MIB
from supernode.core.tracker import Tracker
from supernode.dispatch import Dispatcher
from supernode.feed import Feed
from tests.inprocess import SEED, InProcess
from tests.integration.rest_caller import (
    PEER,
    UNKNOWN,
    URL,
    Caller,
    nth,
    refusal,
)

# where the operations are

DONE = {"clientID": "c1", "pieceStatus": "SUCCESS"}
OPERATIONS: list[tuple[str, str, object, int, int]] = [
    # method, path, body, status at the root, status under /api/v1
    ("GET", "/_ping", None, 200, 200),
    ("GET", "/version", None, 200, 200),
    ("GET", "/overview", None, 200, 200),
    ("GET", "/livez", None, 200, 200),
    ("GET", "/readyz", None, 200, 200),
    ("POST", "/peers", PEER, 201, 201),
    ("GET", "/peers?pageSize=9", None, 201, 200),
    ("GET", "/peers/{peer}", None, 200, 200),
    ("GET", "/peers/{peer}/activity", None, 200, 200),
    ("DELETE", "/peers/{peer}", None, 204, 200),
    ("POST", "/tasks", {"rawURL": URL, "cID": "c1"}, 201, 201),
    ("GET", "/tasks?pageSize=9", None, 200, 200),
    ("GET", "/tasks/{task}", None, 200, 200),
    ("PUT", "/tasks/{task}", {"paused": True}, 200, 200),
    ("DELETE", "/tasks/{task}", None, 204, 200),
    ("GET", "/tasks/{task}/clients", None, 200, 200),
    ("GET", "/tasks/{task}/swarm", None, 200, 200),
    ("GET", "/tasks/{task}/progress", None, 200, 200),
    ("GET", "/tasks/{task}/pieces?clientID=c1", None, 200, 200),
    ("PUT", "/tasks/{task}/pieces/" + nth(0), DONE, 200, 200),
    ("POST", "/preheats", {"type": "file", "url": URL}, 200, 201),
    ("GET", "/preheats", None, 200, 200),
    ("GET", "/preheats/{preheat}", None, 200, 200),
    ("DELETE", "/preheats/{preheat}", None, 204, 200),
    ("GET", "/healthy", None, 200, 200),
    ("POST", "/oapi/v1/jobs", {"type": "preheat", "args": {"url": URL}}, 200, 200),
    ("GET", "/oapi/v1/jobs/{job}", None, 200, 200),
    ("DELETE", "/oapi/v1/jobs/{job}", None, 200, 200),
    ("GET", "/health", None, 200, 200),
    ("POST", "/registry/notifications", {"events": []}, 200, 200),
]


async def names(call: Caller) -> dict[str, str]:
    """Make one of everything; return what each is called."""
    wish = {"type": "file", "url": "http://origin/other"}
    preheat = (await call("POST", "/preheats", wish)).json()["ID"]
    job = str(preheat_number(preheat))
    return {"peer": await call.peer(), "task": await call.file(), "preheat": preheat, "job": job}


def test_the_table_above_has_every_operation() -> None:
    rest = Rest(Dispatcher(Tracker(), Feed(), Clock(0, 0), random.Random(0)), SEED)
    served = {(operation.method, operation.path) for operation in routes(rest)}
    tried = {
        (method, re.sub(r"\{\w+\}", "{id}", path.partition("?")[0]).replace(nth(0), "{pieceRange}"))
        for method, path, *_ in OPERATIONS
    }
    assert tried == served


@pytest.mark.parametrize(
    ("prefix", "is_v1"),
    [("", False), ("/v1.24", False), ("/api/v1", True), ("/v1.24/api/v1", True)],
)
@pytest.mark.parametrize(("method", "path", "body", "status", "v1_status"), OPERATIONS)
async def test_where_the_operations_are(
    autojump_clock: MockClock,
    call: Caller,
    prefix: str,
    is_v1: bool,
    method: str,
    path: str,
    body: object,
    status: int,
    v1_status: int,
) -> None:
    answer = await call(method, prefix + path.format(**await names(call)), body)
    assert answer.status_code == (v1_status if is_v1 else status), answer.text


@pytest.mark.parametrize("prefix", ["", "/api/v1", "/v1.24", "/v1.24/api/v1"])
async def test_errors_are_the_same_everywhere(
    autojump_clock: MockClock, call: Caller, prefix: str
) -> None:
    refusal(await call("GET", f"{prefix}/tasks/{UNKNOWN}"), 404, UNKNOWN)
    refusal(await call("DELETE", f"{prefix}/tasks/{UNKNOWN}"), 404, UNKNOWN)
    refusal(await call("POST", f"{prefix}/peers", {}), 400, "port")
    refusal(await call("GET", f"{prefix}/peers?pageSize=x"), 400, "pageSize")
    refusal(await call("DELETE", f"{prefix}/_ping"), 405)
    refusal(await call("GET", f"{prefix}/nope"), 404)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/nope",
        "/_ping/",
        "/peers/",
        "//peers/x",
        "/peers//x",
        "/tasks/x/y",
        "/tasks/x/pieces/",
        "/tasks/%2e%2e/peers/x/y",
        "/api/v1",
        "/api/v1/",
        "/api/v2/_ping",
        "/v1.24",
        "/vx/_ping",
        "/v1.24/v1.24/_ping",
        "/api/v1/v1.24/_ping",
        "/api/v1/api/v1/_ping",
    ],
)
async def test_an_unknown_path_is_404(autojump_clock: MockClock, call: Caller, path: str) -> None:
    refusal(await call("GET", path), 404)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/_ping", {"GET"}),
        ("/version", {"GET"}),
        ("/peers", {"GET", "POST"}),
        ("/peers/x", {"GET", "DELETE"}),
        ("/tasks", {"GET", "POST"}),
        ("/tasks/x", {"GET", "PUT", "DELETE"}),
        ("/tasks/x/clients", {"GET"}),
        ("/tasks/x/pieces", {"GET"}),
        ("/tasks/x/pieces/0-1", {"PUT"}),
        ("/preheats", {"GET", "POST"}),
        ("/preheats/x", {"GET", "DELETE"}),
    ],
)
async def test_a_wrong_method_is_405_and_says_which_are_right(
    autojump_clock: MockClock, call: Caller, path: str, allowed: set[str]
) -> None:
    for method in {"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"} - allowed:
        answer = await call(method, path)
        refusal(answer, 405)
        assert {name.strip() for name in answer.headers["Allow"].split(",")} == allowed


# bodies of any kind


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/peers"),
        ("POST", "/tasks"),
        ("GET", "/tasks/{task}/pieces?clientID=c1"),
        ("PUT", "/tasks/{task}/pieces/" + nth(0)),
        ("PUT", "/tasks/{task}"),
        ("POST", "/preheats"),
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
        b'{"reports":'
        + b"[" * 500
        + b"]" * 500
        + b', "IP": 7, "cID": 7, "clientID": 7, "url": 7, "paused": 7}',
        b'{"port": ' + b"9" * 100_000 + b"}",
        b'{"port": 1e999}',
        b'{"port": 12345678901234567890123, "rawURL": 1, "clientID": 1, "reports": 1,'
        b'"type": 1, "paused": 1}',
        b'{"IP": "", "ip": 7, "rawurl": "", "RAWURL": [], "clientid": "", "clientId": {},'
        b'"dstPID": "", "dstpid": 7, "type": "", "TYPE": 7, "paused": true, "PAUSED": ""}',
    ):
        refusal(await call(method, path.format(task=task), raw=body), 400)
    assert call.node.feed.seq == before
    assert not call.node.dispatch.broken.is_set()


async def test_text_of_any_script_does_no_harm(autojump_clock: MockClock, call: Caller) -> None:
    dragon = "\N{DRAGON} \N{RIGHT-TO-LEFT OVERRIDE}"
    task = await call.task(identifier=dragon, callSystem=dragon, filter=[dragon])
    seen = (await call("GET", f"/tasks/{task}")).json()
    assert seen["identifier"] == seen["callSystem"] == dragon
    refusal(await call("GET", f"/tasks/{dragon!r}/pieces?clientID=c1"), 404)


@pytest.mark.parametrize(
    ("path", "change", "field"),
    [
        ("/peers", {"version": "\x1b[31m"}, "version"),
        ("/tasks", {"identifier": "a\nb"}, "identifier"),
        ("/tasks", {"callSystem": "\x9b2J"}, "callSystem"),
        ("/tasks", {"filter": ["a", "\x07"]}, "filter[1]"),
        ("/preheats", {"identifier": "\0"}, "identifier"),
        ("/preheats", {"callSystem": "\x7f"}, "callSystem"),
        ("/preheats", {"filter": "a&\x1b"}, "filter"),
    ],
)
async def test_what_a_terminal_would_obey_is_refused(
    autojump_clock: MockClock, call: Caller, path: str, change: dict[str, object], field: str
) -> None:
    good = PEER | {"rawURL": URL, "cID": "c1", "type": "file", "url": URL}
    refusal(await call("POST", path, good | change), 400, f"{field}: must not hold control")
    assert call.node.feed.seq == 0


async def test_a_body_that_is_too_large(autojump_clock: MockClock, call: Caller) -> None:
    large = b'{"identifier": "' + b"x" * MIB + b'"}'
    for method, path in (("POST", "/tasks"), ("POST", "/peers"), ("PUT", "/tasks/x/pieces/0-1")):
        refusal(await call(method, path, raw=large), 413)


async def test_a_body_as_large_as_may_be(autojump_clock: MockClock, call: Caller) -> None:
    body = json.dumps({"rawURL": URL, "cID": "c1", "unknown": "x" * (MIB - 200)}).encode()
    assert len(body) <= MIB
    assert (await call("POST", "/tasks", raw=body)).status_code == 201


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


# which event an answer is true at


async def test_an_answer_says_which_event_it_is_true_at(
    autojump_clock: MockClock, call: Caller
) -> None:
    task = await call.file()
    for path in (f"/tasks/{task}", f"/tasks/{task}/clients", "/tasks?pageSize=1", "/preheats"):
        assert (await call("GET", path)).headers["Supernode-Seq"] == str(call.node.feed.seq)
    before = call.node.feed.seq
    answer = await call("GET", f"/tasks/{task}/pieces?clientID=c1")
    assert answer.headers["Supernode-Seq"] == str(call.node.feed.seq)
    assert call.node.feed.seq > before, "with the events of the answer itself"
    refused = await call("GET", f"/tasks/{UNKNOWN}")
    assert refused.headers["Supernode-Seq"] == str(call.node.feed.seq)


async def test_an_answer_that_was_waited_for_is_true_at_its_end(
    autojump_clock: MockClock, call: Caller
) -> None:
    task = await call.task()
    answers: list[httpx2.Response] = []

    async def wait() -> None:
        path = f"/tasks/{task}/pieces?clientID=c1"
        answers.append(await call("GET", path, Prefer="wait=30"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.sleep(1)
        call.node.size(task, 1)
        call.node.cache(task)
    assert answers[0].headers["Supernode-Seq"] == str(call.node.feed.seq)


# limits


async def test_a_body_larger_than_allowed_here(autojump_clock: MockClock, call: Caller) -> None:
    node = call.node
    node.app = create_app(routes(node.rest), node.responder, largest_body=100)
    refusal(await call("POST", "/peers", raw=b" " * 101), 413)
    assert (await call("POST", "/peers", PEER)).status_code == 201
    assert (await call("POST", "/peers", raw=b" " * 100)).status_code == 400


# the record


async def test_a_request_is_called_as_its_client_calls_it(
    autojump_clock: MockClock, call: Caller
) -> None:
    for given in ("r-1", "x" * 64, "!~"):
        answer = await call("GET", "/_ping", X_Request_Id=given)
        assert answer.headers["X-Request-Id"] == given


@pytest.mark.parametrize("given", ["", "two words", "x" * 65, "\x7f", "ä"])
async def test_a_request_is_given_a_name_if_it_has_none_that_will_do(
    autojump_clock: MockClock, call: Caller, given: str
) -> None:
    headers = [(b"X-Request-Id", given.encode("latin-1"))] if given else []
    async with call.node.browse() as client:
        names = {
            (await client.request("GET", path, headers=headers)).headers["X-Request-Id"]
            for path in ("/_ping", "/nope", "/tasks/nope")
        }
    assert len(names) == 3
    assert all(re.fullmatch(r"[0-9a-f]{12}", name) for name in names)


async def test_a_request_is_one_line_of_the_log(autojump_clock: MockClock, call: Caller) -> None:
    task = await call.task()
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
        path = f"/api/v1/tasks/{task}/pieces?clientID=s3cr3t"
        await call("GET", path, X_Request_Id="r-1", Prefer="wait=3")
    assert logs == [
        {
            "event": "answered",
            "log_level": "debug",
            "method": "GET",
            "path": f"/api/v1/tasks/{task}/pieces",
            "remote": "127.0.0.1",
            "request": "r-1",
            "seconds": 0.0,
            "status": 404,
        }
    ]


async def test_whatever_is_logged_for_a_request_names_it(
    autojump_clock: MockClock, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(call.node.tracker, "execute", broken)
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
        await call("POST", "/peers", PEER, X_Request_Id="r-1")
    assert [(line["event"], line["request"]) for line in logs] == [
        ("a request failed", "r-1"),
        ("answered", "r-1"),
    ]
    assert structlog.contextvars.get_contextvars() == {}


async def test_a_client_that_hangs_up_is_on_record(autojump_clock: MockClock, call: Caller) -> None:
    task = await call.task()
    with capture_logs() as logs, trio.move_on_after(2):
        await call.pull(task, wait=30)
    assert [(line["event"], line["status"], line["seconds"]) for line in logs] == [
        ("not answered", None, 2.0)
    ]
