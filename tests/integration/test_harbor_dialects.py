"""Dragonfly 2's jobs and Kraken's notifications over the real web app; the test plays the fetch."""

from typing import Any

import pytest
from trio.testing import MockClock

from supernode.api.app import create_app
from supernode.api.rest import Rest
from supernode.api.routes import routes
from supernode.core.identity import preheat_number, task_id
from supernode.core.model import Limits, PreheatKind
from supernode.core.reasons import Reason
from tests.inprocess import SEED, InProcess
from tests.integration.rest_caller import Caller, refusal
from tests.integration.scripted_images import digest
from tests.integration.test_rest_image_preheats import (
    FETCHED,
    IMAGE,
    World,
    blob_url,
    ended,
    resolved,
)

ARGS: dict[str, object] = {
    "type": "image",
    "url": IMAGE,
    "tag": "",
    "filtered_query_params": "",
    "headers": {"Authorization": "Bearer eyJ..."},
    "scope": "",
    "concurrent_count": 0,
    "timeout": 0,
}
JOB: dict[str, object] = {"type": "preheat", "args": ARGS, "scheduler_cluster_ids": None}


@pytest.fixture
async def world(autojump_clock: MockClock) -> World:
    return World()


async def create(call: Caller, **args: object) -> dict[str, Any]:
    answer = await call("POST", "/oapi/v1/jobs", JOB | {"args": ARGS | args})
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def test_a_job_through_its_life(autojump_clock: MockClock, world: World) -> None:
    world.images.layers["v1"] = (FETCHED,)
    async with world.running() as call:
        made = await create(call)
        assert type(made["id"]) is int
        assert (made["type"], made["state"]) == ("preheat", "PENDING")
        assert made["created_at"].endswith("Z")
        (preheat,) = world.node.tracker.preheats()
        assert preheat_number(preheat.id) == made["id"]
        await world.look(preheat.id, resolved)
        place = f"/oapi/v1/jobs/{made['id']}"
        assert (await call.look(place))["state"] == "PENDING"
        world.fetch(blob_url(FETCHED))
        await world.look(preheat.id, ended)
        seen = await call.look(place)
        assert seen["state"] == "SUCCESS"
        ((state,),) = [seen["result"]["job_states"]]
        assert state["error"] == ""
        ((result,),) = [state["results"]]
        (row,) = result["success_tasks"]
        assert (row["url"], row["ip"]) == (blob_url(FETCHED), SEED.ip)
        assert row["hostname"]
        assert result["failure_tasks"] == []
        assert result["scheduler_cluster_id"] == 1
        again = await create(call)
        assert again["state"] in ("PENDING", "SUCCESS")


async def test_a_failed_job_says_why_for_each_file(autojump_clock: MockClock, world: World) -> None:
    world.images.layers["v1"] = (FETCHED, digest(7))
    async with world.running() as call:
        made = await create(call)
        (preheat,) = world.node.tracker.preheats()
        await world.look(preheat.id, resolved)
        world.fetch(blob_url(FETCHED))
        world.node.fail(task_id(blob_url(digest(7))), Reason.ORIGIN_NOT_FOUND, "404 from r")
        await world.look(preheat.id, ended)
        seen = await call.look(f"/oapi/v1/jobs/{made['id']}")
    assert seen["state"] == "FAILURE"
    (state,) = seen["result"]["job_states"]
    assert "404 from r" in state["error"]
    (failed,) = state["results"][0]["failure_tasks"]
    assert failed["url"] == blob_url(digest(7))
    assert "404 from r" in failed["description"]


async def test_one_that_cannot_be_resolved_fails_as_a_job(
    autojump_clock: MockClock, world: World
) -> None:
    async with world.running() as call:
        made = await create(call, url=IMAGE.replace("v1", "nope"))
        (preheat,) = world.node.tracker.preheats()
        await world.look(preheat.id, ended)
        seen = await call.look(f"/oapi/v1/jobs/{made['id']}")
    assert seen["state"] == "FAILURE"
    assert "404" in seen["result"]["job_states"][0]["error"]


@pytest.mark.parametrize(
    "scope", ["single_peer", "all_peers", "single_seed_peer", "all_seed_peers", ""]
)
@pytest.mark.parametrize("clusters", [None, [], [1, 2]])
async def test_every_scope_and_cluster_will_do(
    autojump_clock: MockClock, scope: str, clusters: list[int] | None
) -> None:
    call = Caller(InProcess())
    body = JOB | {"args": ARGS | {"scope": scope}, "scheduler_cluster_ids": clusters}
    body |= {"extra_attrs": {"scope": scope}}
    assert (await call("POST", "/oapi/v1/jobs", body)).status_code == 200


@pytest.mark.parametrize(
    ("kind", "url", "expected"),
    [
        ("image", IMAGE, PreheatKind.IMAGE),
        ("cnai", IMAGE, PreheatKind.IMAGE),
        ("chart", IMAGE, PreheatKind.IMAGE),
        ("", IMAGE, PreheatKind.IMAGE),
        ("file", "http://o/f?sig=1", PreheatKind.FILE),
        ("file", IMAGE, PreheatKind.FILE),
    ],
)
async def test_what_is_preheated_is_what_its_url_names(
    autojump_clock: MockClock, kind: str, url: str, expected: PreheatKind
) -> None:
    call = Caller(InProcess())
    await create(call, type=kind, url=url, filtered_query_params="sig")
    (preheat,) = call.node.tracker.preheats()
    assert preheat.kind is expected
    assert "sig" not in preheat.spec.task_url


@pytest.mark.parametrize(
    ("body", "mentioned"),
    [
        ({}, "type: is required"),
        (JOB | {"type": "sync_peers"}, "'sync_peers' is not preheat"),
        (JOB | {"args": {}}, "args.url: is required"),
        (JOB | {"args": None}, "args.url: is required"),
        (JOB | {"args": ARGS | {"url": "nonsense"}}, "args.url"),
        (JOB | {"args": ARGS | {"url": IMAGE + "?x"}}, "args.url"),
        (JOB | {"args": ARGS | {"platform": "x"}}, "platform"),
        (JOB | {"args": ARGS | {"headers": {"A": 7}}}, "args.headers.A"),
    ],
)
async def test_a_job_that_cannot_be(
    autojump_clock: MockClock, body: dict[str, object], mentioned: str
) -> None:
    call = Caller(InProcess())
    refusal(await call("POST", "/oapi/v1/jobs", body), 400, mentioned)
    assert call.node.feed.seq == 0


@pytest.mark.parametrize("name", ["0", "7", "-1", "x", "1e3", "9" * 30, "\u0661"])
async def test_an_unknown_job_is_404(autojump_clock: MockClock, name: str) -> None:
    call = Caller(InProcess())
    refusal(await call("GET", f"/oapi/v1/jobs/{name}"), 404, "no such")
    refusal(await call("DELETE", f"/oapi/v1/jobs/{name}"), 404, "no such")


async def test_a_job_is_deleted(autojump_clock: MockClock) -> None:
    call = Caller(InProcess())
    made = await create(call)
    assert (await call("DELETE", f"/oapi/v1/jobs/{made['id']}")).status_code == 200
    assert await call.look("/preheats") == []


@pytest.mark.parametrize("path", ["/healthy", "/health", "/_ping"])
async def test_it_is_well(autojump_clock: MockClock, path: str) -> None:
    answer = await Caller(InProcess())("GET", path)
    assert (answer.status_code, answer.text) == (200, "OK")


# notifications

KRAKEN = {
    "Id": "r4nd0m",
    "TimeStamp": "2024-01-02T03:04:05.000006Z",
    "Action": "push",
    "Target": {
        "MediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "Digest": "sha256:abc",
        "Repository": "library/app",
        "Url": IMAGE,
        "Tag": "v1",
    },
    "Request": None,
    "Actor": None,
}
DISTRIBUTION = {
    "id": "320678d8-ca14-430f-8bb6-4ca139cd83f7",
    "timestamp": "2016-03-09T14:44:26.402973972-08:00",
    "action": "push",
    "target": {
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "size": 708,
        "digest": digest(1),
        "length": 708,
        "repository": "hello-world",
        "url": f"http://r/v2/hello-world/manifests/{digest(1)}",
        "tag": "latest",
    },
    "request": {"id": "6df24a34", "addr": "1.2.3.4:1", "host": "r", "method": "PUT"},
    "actor": {},
    "source": {"addr": "r:5000", "instanceID": "a53db899"},
}


async def notify(call: Caller, *events: object, key: str = "events") -> dict[str, Any]:
    answer = await call(
        "POST",
        "/registry/notifications",
        {key: list(events)},
        Content_Type="application/vnd.docker.distribution.events.v1+json",
    )
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


@pytest.mark.parametrize(
    ("event", "key", "url"),
    [(KRAKEN, "Events", IMAGE), (DISTRIBUTION, "events", "http://r/v2/hello-world/manifests/")],
    ids=["kraken", "distribution"],
)
async def test_a_pushed_image_is_preheated(
    autojump_clock: MockClock, event: object, key: str, url: str
) -> None:
    call = Caller(InProcess())
    (job,) = (await notify(call, event, key=key))["preheats"]
    seen = await call.look(f"/preheats/{job}")
    assert seen["type"] == "image"
    assert seen["url"].startswith(url)
    assert await notify(call, event, key=key) == {"preheats": [job]}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"action": "pull"}, "'pull' is not push"),
        ({"action": "delete"}, "'delete' is not push"),
        ({"action": None}, "'' is not push"),
        (
            {
                "target": {
                    "mediaType": "application/octet-stream",
                    "url": blob_url(digest(1)),
                    "digest": digest(1),
                }
            },
            "it is not about a manifest",
        ),
        ({"target": None}, "it is not about a manifest"),
        ({"target": {"url": "http://r/manifests/"}}, "target.url: expected the URL of a manifest"),
    ],
)
async def test_what_is_of_no_concern_is_ignored_with_a_word(
    autojump_clock: MockClock, change: dict[str, object], why: str
) -> None:
    call = Caller(InProcess())
    (ignored,) = (await notify(call, DISTRIBUTION | change))["ignored"]
    assert ignored["id"] == DISTRIBUTION["id"]
    assert why in ignored["why"]
    assert call.node.feed.seq == 0


async def test_one_bad_event_is_no_harm_to_the_others(autojump_clock: MockClock) -> None:
    call = Caller(InProcess())
    bad = DISTRIBUTION | {"target": {"url": "ftp://r/v2/a/manifests/b"}}
    said = await notify(call, bad, KRAKEN)
    assert (len(said["preheats"]), len(said["ignored"])) == (1, 1)


async def test_what_is_forbidden_is_ignored_with_a_word(autojump_clock: MockClock) -> None:
    node = InProcess()
    rest = Rest(node.dispatch, SEED, forbidden=lambda _: "127.0.0.1 is forbidden")
    node.app = create_app(routes(rest), node.responder)
    (ignored,) = (await notify(Caller(node), DISTRIBUTION))["ignored"]
    assert ignored["why"] == "target.url: 127.0.0.1 is forbidden"


async def test_a_registry_is_to_say_it_again_if_there_is_no_room(
    autojump_clock: MockClock,
) -> None:
    call = Caller(InProcess(Limits(most_preheats=1)))
    answer = await call("POST", "/registry/notifications", {"events": [KRAKEN, DISTRIBUTION]})
    refusal(answer, 503, "preheats")


@pytest.mark.parametrize("body", [b"[]", b"x", b'{"events": 7}', b'{"events": [7]}'])
async def test_what_is_no_notification_is_400(autojump_clock: MockClock, body: bytes) -> None:
    call = Caller(InProcess())
    refusal(await call("POST", "/registry/notifications", raw=body), 400)
