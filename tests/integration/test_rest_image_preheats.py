"""Images, batches and dry runs over the real web app and services; the test plays the fetch."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from supernode.api.app import create_app
from supernode.api.rest import Rest
from supernode.api.routes import routes
from supernode.core.identity import PartId, TaskId, task_id
from supernode.core.model import Limits
from supernode.core.reasons import Reason
from supernode.origin.errors import OriginError
from supernode.origin.http import OriginClient
from supernode.services.preheating import Preheating
from supernode.services.resolving import Resolving
from supernode.services.surveying import Surveying
from tests.inprocess import SEED, InProcess
from tests.integration.rest_caller import Caller, refusal
from tests.integration.scripted_images import ScriptedImages, digest
from tests.integration.scripted_origin import LOOPBACK

IMAGE = "http://r/v2/library/app/manifests/v1"
FETCHED = f"sha256:{'2' * 64}"
"""What InProcess fetches."""
WISH = {"type": "image", "url": IMAGE}
HARBOR = {
    "type": "image",
    "url": "https://harbor.example.com/v2/library/app/manifests/v1",
    "headers": {"Authorization": "Bearer eyJ..."},
    "image": "library/app",
    "tag": "v1",
    "digest": "sha256:abc",
}
"""As the specification has it; the digest is none."""


def blob_url(each: str, name: str = "library/app") -> str:
    return f"http://r/v2/{name}/blobs/{each}"


class World:
    """A supernode that resolves images as a test says, and copies nothing."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.node = InProcess(limits)
        self.images = ScriptedImages()
        self.images.layers["v1"] = (FETCHED, digest(7))
        self.call = Caller(self.node)

    async def copy(self, _part: PartId, _source: TaskId) -> bool:
        return False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Caller]:
        dispatch = self.node.dispatch
        with trio.fail_after(1000):
            async with OriginClient(LOOPBACK) as origin, trio.open_nursery() as nursery:
                surveying = Surveying(dispatch, origin, self.images)
                resolving = Resolving(dispatch, self.images)
                await nursery.start(Preheating(dispatch, resolving, self).run)
                await nursery.start(surveying.run)
                rest = Rest(dispatch, SEED, survey=surveying.begin)
                self.node.app = create_app(routes(rest), self.node.responder)
                yield self.call
                self.node.tracker.check()
                nursery.cancel_scope.cancel()

    async def preheat(self, **change: object) -> str:
        answer = await self.call("POST", "/preheats", WISH | change)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["ID"])

    async def look(self, job: str, until: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return a preheat as soon as something is true of it."""
        while True:
            seen: dict[str, Any] = await self.call.look(f"/preheats/{job}")
            if until(seen):
                return seen
            await trio.sleep(0.1)

    def fetch(self, url: str) -> None:
        """Let a blob come: five bytes."""
        task = task_id(url)
        self.node.size(task, 5)
        self.node.cache(task)
        self.node.finish(task)


@pytest.fixture
async def world(autojump_clock: MockClock) -> World:
    return World()


def resolved(seen: dict[str, Any]) -> bool:
    return "blobs" in seen and all(blob["state"] != "WAITING" for blob in seen["blobs"])


def ended(seen: dict[str, Any]) -> bool:
    return seen["status"] in ("SUCCESS", "FAILED")


async def test_an_image_layer_by_layer(autojump_clock: MockClock, world: World) -> None:
    world.images.skipped = "foreign: its registry does not have it"
    async with world.running():
        job = await world.preheat(headers={"Authorization": "Bearer s3cr3t"})
        seen = await world.look(job, resolved)
        assert seen["status"] == "RUNNING"
        assert (seen["type"], seen["url"], seen["digest"]) == ("image", IMAGE, digest(1))
        first, second, foreign = seen["blobs"]
        assert first == {
            "url": blob_url(FETCHED),
            "taskID": task_id(blob_url(FETCHED)),
            "state": "RUNNING",
            "digest": FETCHED,
            "size": 5,
            "mediaType": "application/x-layer",
            "platforms": ["linux/amd64"],
        }
        assert (foreign["state"], foreign["detail"]) == ("SKIPPED", world.images.skipped)
        world.node.size(task_id(blob_url(FETCHED)), 5)
        world.node.cache(task_id(blob_url(FETCHED)))
        seen = await world.look(job, lambda _: True)
        assert seen["blobs"][0]["bytesDone"] == 5
        world.node.finish(task_id(blob_url(FETCHED)))
        world.node.fail(task_id(second["url"]), Reason.ORIGIN_NOT_FOUND, "404")
        seen = await world.look(job, ended)
        first, second, _ = seen["blobs"]
        assert (first["state"], first["from"]) == ("SUCCESS", "origin")
        assert (second["state"], second["reason"]) == ("FAILED", "origin_not_found")
        assert (seen["blobsTotal"], seen["blobsDone"], seen["bytesTotal"]) == (2, 2, 10)
        assert seen["bytesFrom"] == {"cache": 0, "origin": 5, "copy": 0}
        assert (seen["status"], seen["Status"], seen["reason"]) == (
            "FAILED",
            "FAIL",
            "origin_not_found",
        )
        assert digest(7) in seen["errorMsg"]
        (listed,) = await world.call.look("/preheats")
        assert "blobs" not in listed
        assert "s3cr3t" not in json.dumps([seen, listed])


async def test_harbors_request_is_taken_as_it_comes(
    autojump_clock: MockClock, world: World
) -> None:
    async with world.running():
        answer = await world.call("POST", "/preheats", HARBOR)
        assert (answer.status_code, answer.json().keys()) == (200, {"ID"})
        await world.look(answer.json()["ID"], resolved)
    (asked,) = world.images.asked
    assert asked.url == HARBOR["url"]
    assert asked.headers == HARBOR["headers"]


async def test_a_digest_beats_the_tag_and_is_what_identical_means(
    autojump_clock: MockClock, world: World
) -> None:
    world.images.layers[digest(1)] = (FETCHED,)
    async with world.running():
        job = await world.preheat(digest=digest(1))
        assert await world.preheat(digest=digest(1), url=IMAGE.replace("v1", "v2")) == job
        assert await world.preheat(url=IMAGE.replace("v1", digest(1))) == job
        seen = await world.look(job, resolved)
        assert seen["url"] == IMAGE
        assert await world.preheat(digest=digest(1), platform="linux/arm64") != job
        assert await world.preheat(digest=digest(2)) != job
        world.fetch(blob_url(FETCHED))
        assert (await world.look(job, ended))["status"] == "SUCCESS"
        assert await world.preheat(digest=digest(1)) == job
    assert world.images.asked[0].url.endswith(digest(1))


async def test_platforms_are_asked_for_in_any_order(
    autojump_clock: MockClock, world: World
) -> None:
    world.images.layers[digest(1)] = (FETCHED,)
    async with world.running():
        job = await world.preheat(
            digest=digest(1), platform="linux/amd64, Linux/x86_64,linux/arm64"
        )
        again = await world.preheat(digest=digest(1), platform="linux/arm64,linux/amd64")
        assert again == job
        seen = await world.look(job, resolved)
        assert seen["platform"] == "linux/amd64,linux/arm64"
    assert world.images.asked[0].platforms == "linux/amd64,linux/arm64"


async def test_a_short_name_is_one(autojump_clock: MockClock, world: World) -> None:
    async with world.running():
        job = await world.preheat(url="r.example/library/app:v1")
        seen = await world.look(job, resolved)
    assert seen["url"] == "https://r.example/v2/library/app/manifests/v1"


@pytest.mark.parametrize(
    ("change", "mentioned"),
    [
        ({"url": "http://r/v2/library/app"}, "url: expected the URL of a manifest"),
        ({"url": "http://r/v2/Library/app/manifests/v1"}, "url"),
        ({"url": "http://user:pa55@r/v2/app/manifests/v1"}, "url: user and password"),
        ({"url": ""}, "url: is required"),
        ({"url": "ftp://r/v2/app/manifests/v1"}, "url"),
        ({"platform": "amd64"}, "platform: expected platforms such as"),
        ({"urls": [IMAGE]}, "urls: cannot be given along with url"),
        ({"url": None, "urls": [IMAGE, "http://r/x"]}, "urls[1]: expected the URL of a manifest"),
        ({"url": None, "urls": [7]}, "urls[0]"),
        ({"headers": {"A": "b\n"}}, "headers.A"),
        ({"type": "chart"}, "'chart' is neither image nor file"),
    ],
)
async def test_an_image_that_cannot_be(
    autojump_clock: MockClock, world: World, change: dict[str, object], mentioned: str
) -> None:
    async with world.running() as call:
        refusal(await call("POST", "/preheats", WISH | change), 400, mentioned)
        assert "pa55" not in (await call("POST", "/preheats", WISH | change)).text
    assert world.node.feed.seq == 0
    assert not world.images.asked


async def test_what_a_registry_says_is_the_end_of_a_preheat_never_of_the_request(
    autojump_clock: MockClock,
    world: World,
) -> None:
    world.images.errors["v1"] = [OriginError(Reason.ORIGIN_AUTH, "401 from r")]
    async with world.running():
        seen = await world.look(await world.preheat(), ended)
    assert (seen["status"], seen["reason"], seen["detail"]) == (
        "FAILED",
        "origin_auth",
        "401 from r",
    )


# batches


async def test_a_batch_is_as_far_as_the_last_of_its_preheats(
    autojump_clock: MockClock, world: World
) -> None:
    world.images.layers = {"v1": (FETCHED,), "v2": (digest(7),)}
    world.images.manifests = {"v2": digest(2)}
    urls = [IMAGE, IMAGE.replace("v1", "v2")]
    async with world.running() as call:
        answer = await call("POST", "/preheats", {"type": "image", "urls": urls})
        made = answer.json()
        assert [each["url"] for each in made["preheats"]] == urls
        for each in made["preheats"]:
            await world.look(each["ID"], resolved)
        seen = await call.look(f"/preheats/{made['ID']}")
        assert (seen["type"], seen["status"]) == ("batch", "RUNNING")
        assert [each["ID"] for each in seen["preheats"]] == [p["ID"] for p in made["preheats"]]
        world.fetch(blob_url(FETCHED))
        seen = await world.look(made["ID"], lambda seen: seen["preheats"][0]["status"] == "SUCCESS")
        assert seen["status"] == "RUNNING"
        world.node.fail(task_id(blob_url(digest(7))), Reason.ORIGIN_NOT_FOUND, "404")
        seen = await world.look(made["ID"], ended)
        assert (seen["status"], seen["Status"], seen["reason"]) == (
            "FAILED",
            "FAIL",
            "origin_not_found",
        )
        assert seen["errorMsg"].startswith(f"{Reason.ORIGIN_NOT_FOUND.text}: 1 of 2 preheats")
        assert seen["startTime"] <= seen["finishTime"]
        assert (await call("DELETE", f"/preheats/{made['ID']}")).status_code == 204
        for gone in (made["ID"], made["preheats"][0]["ID"]):
            refusal(await call("GET", f"/preheats/{gone}"), 404, "no such preheat")


async def test_a_batch_is_taken_whole_or_not_at_all(autojump_clock: MockClock) -> None:
    world = World(Limits(most_preheats=1))
    async with world.running() as call:
        urls = [IMAGE, IMAGE.replace("v1", "v2")]
        refusal(await call("POST", "/preheats", {"type": "image", "urls": urls}), 503, "preheats")
        assert await call.look("/preheats") == []


# dry runs


async def test_a_dry_run_tells_what_would_be_fetched_and_fetches_nothing(
    autojump_clock: MockClock, world: World
) -> None:
    world.images.skipped = "foreign"
    async with world.running() as call:
        answer = await call("POST", "/tasks", {"rawURL": blob_url(FETCHED), "cID": "c"})
        assert answer.status_code == 201
        world.fetch(blob_url(FETCHED))
        seq = world.node.feed.seq
        answer = await call("POST", "/preheats?dryRun=true", WISH)
        found = answer.json()["dryRun"]
        assert answer.json().keys() == {"dryRun"}
        assert (found["canAuthenticate"], found["digest"]) == (True, digest(1))
        assert (found["bytesTotal"], found["bytesCached"], found["bytesToFetch"]) == (10, 5, 5)
        assert [blob.get("from") for blob in found["blobs"]] == ["cache", "origin", None]
        assert found["blobs"][2]["skipped"] == "foreign"
        elsewhere = WISH | {"url": "http://r/v2/other/manifests/v1"}
        other = (await call("POST", "/preheats?dryRun=true", elsewhere)).json()["dryRun"]
        assert [blob.get("from") for blob in other["blobs"]] == ["copy", "origin", None]
        assert world.node.feed.seq == seq
        assert await call.look("/preheats") == []


async def test_a_dry_run_tells_whether_we_are_let_in(
    autojump_clock: MockClock, world: World
) -> None:
    world.images.errors["v1"] = [OriginError(Reason.ORIGIN_AUTH, "401 from r")]
    async with world.running() as call:
        found = (await call("POST", "/preheats?dryRun=true", WISH)).json()["dryRun"]
    assert found == {"canAuthenticate": False, "reason": "origin_auth", "detail": "401 from r"}


async def test_a_dry_run_ends_though_the_registry_never_answers(
    autojump_clock: MockClock, world: World
) -> None:
    world.images.may_answer = trio.Event()
    async with world.running() as call:
        began = trio.current_time()
        found = (await call("POST", "/preheats?dryRun=true", WISH)).json()["dryRun"]
        assert trio.current_time() - began < 30, "Harbor hangs up"
    assert (found["canAuthenticate"], found["reason"]) == (False, "origin_timeout")


async def test_only_so_many_dry_runs_at_once(autojump_clock: MockClock, world: World) -> None:
    world.images.may_answer = trio.Event()
    async with world.running() as call, trio.open_nursery() as nursery:
        for _ in range(32):
            nursery.start_soon(call, "POST", "/preheats?dryRun=true", WISH)
        await trio.sleep(1)
        refusal(await call("POST", "/preheats?dryRun=true", WISH), 503, "dry runs")
        world.images.may_answer.set()
    async with world.running() as call:
        assert (await call("POST", "/preheats?dryRun=true", WISH)).status_code == 200


async def test_a_dry_run_is_of_one(autojump_clock: MockClock, world: World) -> None:
    async with world.running() as call:
        wish = {"type": "image", "urls": [IMAGE]}
        refusal(await call("POST", "/preheats?dryRun=true", wish), 400, "dryRun")
