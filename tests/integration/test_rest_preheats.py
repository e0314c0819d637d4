"""``/preheats`` over the real web app, core and feed; the test plays runner and origin."""

import re
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from supernode.api.app import create_app
from supernode.api.call_systems import CallSystems
from supernode.api.rest import Rest
from supernode.api.routes import routes
from supernode.core.commands import CreatePreheat, StartPreheat
from supernode.core.identity import PreheatId, TaskId
from supernode.core.model import Limits, TaskSpec
from supernode.core.reasons import Reason
from tests.inprocess import SEED, InProcess
from tests.integration.rest_caller import UNKNOWN, URL, Caller, refusal

WISH = {"type": "file", "url": URL}


async def preheat(call: Caller, **fields: object) -> PreheatId:
    """Ask for a preheat; return its ID."""
    answer = await call("POST", "/preheats", WISH | fields)
    assert answer.status_code == 200, answer.text
    assert answer.json().keys() == {"ID"}
    return PreheatId(answer.json()["ID"])


def arrive(call: Caller, task: TaskId) -> None:
    """Let a file of five bytes be fetched."""
    call.node.size(task, 5)
    call.node.cache(task)
    call.node.finish(task)


async def test_a_preheat_through_its_life(autojump_clock: MockClock, call: Caller) -> None:
    job = await preheat(call)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", job), "Harbor puts it into a path as it is"

    async def look() -> dict[str, Any]:
        seen: dict[str, Any] = await call.look(f"/preheats/{job}")
        assert await call.look("/preheats") == [seen]
        return seen

    waiting = await look()
    started = waiting.pop("startTime")
    task = call.node.tracker.preheat(job).task
    assert waiting == {"ID": job, "status": "WAITING", **WISH, "taskID": task}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", started)

    call.node.dispatch(StartPreheat(preheat=job))
    assert (await look())["status"] == "RUNNING"
    assert (await call.look(f"/tasks/{task}"))["cdnStatus"] == "WAITING"
    await trio.sleep(5)
    arrive(call, task)
    ended = await look()
    assert ended["status"] == "SUCCESS"
    assert ended["startTime"] == started < ended["finishTime"]
    assert ended.pop("bytesFrom") == {"cache": 0, "origin": 5, "copy": 0}
    assert ended.keys() == {"ID", "status", "startTime", "finishTime", "url", "type", "taskID"}


async def test_a_failed_preheat_says_so_to_every_harbor(
    autojump_clock: MockClock, call: Caller
) -> None:
    """Before 2.8 it takes no other word than FAIL; of two keys it reads the later one."""
    job = await preheat(call)
    call.node.dispatch(StartPreheat(preheat=job))
    task = call.node.tracker.preheat(job).task
    call.node.fail(task, Reason.ORIGIN_STATUS, "500 from http://origin/")
    answer = await call("GET", f"/preheats/{job}")
    said = answer.json()
    assert (said["status"], said["Status"]) == ("FAILED", "FAIL")
    assert answer.text.index('"Status"') > answer.text.index('"status"')
    assert said["reason"] == "origin_status"
    assert said["detail"] == "500 from http://origin/"
    assert said["errorMsg"] == f"{Reason.ORIGIN_STATUS.text}: 500 from http://origin/"
    assert "already exists" not in answer.text, "Harbor would look for an ID behind that"


async def test_the_same_preheat_again_is_the_same_while_it_lasts(
    autojump_clock: MockClock, call: Caller
) -> None:
    job = await preheat(call)
    assert await preheat(call) == job
    assert await preheat(call, url=URL + "?sig=1&x=2", filter="sig&x") == job
    assert await preheat(call, url=URL + "?sig=1") != job
    assert await preheat(call, identifier="v1") != job
    call.node.dispatch(StartPreheat(preheat=job))
    arrive(call, call.node.tracker.preheat(job).task)
    again = await preheat(call)
    assert again != job
    assert (await call.look(f"/preheats/{job}"))["status"] == "SUCCESS"


async def test_harbors_other_keys_do_no_harm(autojump_clock: MockClock, call: Caller) -> None:
    await preheat(call, image="library/app", tag="v1", digest="sha256:abc", headers=None)


async def test_preheats_by_the_page_the_newest_first(
    autojump_clock: MockClock, call: Caller
) -> None:
    jobs = [await preheat(call, url=f"http://origin/{n}") for n in range(5)][::-1]

    async def listed(query: str) -> list[str]:
        return [seen["ID"] for seen in await call.look(f"/preheats{query}")]

    assert await listed("") == jobs
    assert await listed("?pageSize=2") == jobs[:2]
    assert await listed("?pageSize=2&pageNum=2") == jobs[4:]
    assert await listed("?pageNum=1") == []
    for query in ("pageSize=0", "pageSize=1001", "pageNum=-1"):
        refusal(await call("GET", f"/preheats?{query}"), 400, query.partition("=")[0])


async def test_a_page_without_a_size_is_no_longer_than_one_may_be(
    autojump_clock: MockClock,
) -> None:
    call = Caller(InProcess(Limits(most_preheats=1001)))
    specs = (TaskSpec(raw_url=URL, task_url=URL, identifier=f"{n}") for n in range(1001))
    oldest, *_ = [call.node.dispatch(CreatePreheat(spec=spec)) for spec in specs]
    assert len(await call.look("/preheats")) == 1000
    assert [seen["ID"] for seen in await call.look("/preheats?pageNum=1")] == [oldest]


@pytest.mark.parametrize(
    ("change", "mentioned"),
    [
        ({"type": None}, "type: is required"),
        ({"type": ""}, "type: is required"),
        ({"type": "image"}, "url: expected the URL of a manifest"),
        ({"type": "File"}, "'File' is neither image nor file"),
        ({"type": 7}, "type"),
        ({"url": None}, "url: is required"),
        ({"url": ""}, "url: is required"),
        ({"url": "origin/file"}, "url"),
        ({"url": "ftp://origin/file"}, "url"),
        ({"url": "http://"}, "url"),
        ({"url": "http://o:99999/"}, "url"),
        ({"url": "http://o/two words"}, "url"),
        ({"url": ["x"]}, "url"),
        ({"filter": ["a"]}, "filter"),
        ({"identifier": 7}, "identifier"),
        ({"headers": {"A": 7}}, "headers.A"),
        ({"callSystem": ""}, "callSystem"),
        ({"headers": {"A\n": "x"}}, "headers"),
        ({"headers": []}, "headers"),
    ],
)
async def test_a_preheat_that_cannot_be(
    autojump_clock: MockClock, call: Caller, change: dict[str, object], mentioned: str
) -> None:
    refusal(await call("POST", "/preheats", WISH | change), 400, mentioned)
    assert call.node.feed.seq == 0


async def test_a_preheat_of_what_must_not_be_fetched(
    autojump_clock: MockClock, call: Caller
) -> None:
    def forbidden(url: str) -> str | None:
        return "127.0.0.1 is forbidden" if "127.0.0.1" in url else None

    node = call.node
    node.app = create_app(routes(Rest(node.dispatch, SEED, forbidden=forbidden)), node.responder)
    wish = WISH | {"url": "http://127.0.0.1/metadata"}
    refusal(await call("POST", "/preheats", wish), 400, "url: 127.0.0.1 is forbidden")
    assert node.feed.seq == 0
    await preheat(call)


@pytest.mark.parametrize(
    ("lists", "name", "permitted"),
    [
        ({"allow": ["ci"]}, "ci", True),
        ({"allow": ["ci"]}, None, False),
        ({"deny": ["ci"]}, "ci", False),
        ({"deny": ["ci"]}, "other", True),
    ],
)
async def test_who_may_ask_for_a_preheat(
    autojump_clock: MockClock,
    call: Caller,
    lists: dict[str, list[str]],
    name: str | None,
    permitted: bool,
) -> None:
    node = call.node
    rest = Rest(node.dispatch, SEED, call_systems=CallSystems(**lists))
    node.app = create_app(routes(rest), node.responder)
    if permitted:
        job = await preheat(call, callSystem=name)
        assert node.tracker.preheat(job).spec.call_system == name
    else:
        refusal(await call("POST", "/preheats", WISH | {"callSystem": name}), 403, "callSystem")
        assert node.feed.seq == 0


async def test_a_preheat_keeps_secrets(autojump_clock: MockClock, call: Caller) -> None:
    headers = {"Authorization": "Bearer s3cr3t"}
    url = "http://user:s3cr3t@origin/file?token=s3cr3t"
    job = await preheat(call, url=url, filter="token", headers=headers)
    for path in (f"/preheats/{job}", "/preheats"):
        answer = await call("GET", path)
        assert "s3cr3t" not in answer.text
    assert (await call.look(f"/preheats/{job}"))["url"] == "http://origin/file"
    assert call.node.tracker.preheat(job).spec.headers.reveal() == headers


async def test_a_preheat_is_deleted(autojump_clock: MockClock, call: Caller) -> None:
    job = await preheat(call)
    answer = await call("DELETE", f"/preheats/{job}")
    assert (answer.status_code, answer.content) == (204, b"")
    refusal(await call("DELETE", f"/preheats/{job}"), 404, "preheat", job)
    assert await call.look("/preheats") == []


@pytest.mark.parametrize("name", ["nope", UNKNOWN, "%FF", "%00", "a%20b", "x" * 3000])
async def test_an_unknown_preheat_is_404(
    autojump_clock: MockClock, call: Caller, name: str
) -> None:
    refusal(await call("GET", f"/preheats/{name}"), 404, "no such preheat")
    refusal(await call("DELETE", f"/preheats/{name}"), 404, "no such preheat")


async def test_more_preheats_than_may_be(autojump_clock: MockClock) -> None:
    call = Caller(InProcess(Limits(most_preheats=1)))
    await preheat(call)
    refusal(await call("POST", "/preheats", WISH | {"identifier": "v1"}), 503, "preheats")
