"""Every Harbor since 2.1, a real registry, and dfget: what was preheated is not fetched again."""

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme

from tests import images
from tests.e2e.harbor import FAIL, PENDING, RUNNING, SUCCESS, Dragonfly1, Dragonfly2, Harbor, Kraken
from tests.e2e.harbor import Image as Wanted
from tests.e2e.neighbours import SUPERNODE, Daemon, daemon, until
from tests.e2e.registries import (
    PASSWORD,
    USER,
    Registry,
    TokenServer,
    docker_registry,
    token_server,
)
from tests.e2e.test_operate import ask, dfget
from tests.images import Content

NAME = "library/app"

BEFORE_28 = [1, 2, 3, 5, 7]
FROM_28 = [8, 11]
FROM_212 = [12, 13, 15]

EVERY_HARBOR: dict[str, Callable[..., Harbor]] = {
    **{f"2.{n}": lambda at, n=n, **m: Dragonfly1(at, n, **m) for n in BEFORE_28 + FROM_28},
    **{f"2.{n}": lambda at, n=n, **m: Dragonfly2(at, n, **m) for n in FROM_212},
}


class Pushed(NamedTuple):
    """An image for two platforms, which share a layer; what the registry has of it."""

    digest: str
    blobs: list[Content]


class World(NamedTuple):
    """A registry behind TLS that wants tokens, and a supernode that knows it."""

    registry: Registry
    supernode: Daemon
    tokens: TokenServer

    @property
    def endpoint(self) -> str:
        return f"http://{self.supernode.node}"

    def wanted(self, digest: str, tag: str = "v1", **headers: str) -> Wanted:
        return Wanted(
            endpoint=self.registry.url, name=NAME, tag=tag, digest=digest, headers=headers
        )

    def tokens_to_pull(self) -> dict[str, str]:
        """Return what Harbor sends along: a token that lets one pull."""
        return {"Authorization": f"Bearer {self.tokens.token([f'repository:{NAME}:pull'])}"}

    def bytes_of_blobs(self) -> int:
        """Return how many bytes of blobs the registry has sent to the supernode."""
        return sum(
            asked.size
            for asked in self.registry.asked()
            if asked.method == "GET" and "/blobs/" in asked.path and "supernode" in asked.agent
        )


def push(registry: Registry, tag: str, name: str = NAME, seed: str = "older") -> Pushed:
    shared = images.layer("shared", 300_000)
    one, other = (images.layer(f"{seed}{n}", 300_000) for n in range(2))
    amd, arm = images.config("linux/amd64"), images.config("linux/arm64")
    first, second = images.manifest(amd, [shared, one]), images.manifest(arm, [shared, other])
    registry.blob(name, shared, one, other, amd, arm)
    for manifest in (first, second):
        registry.manifest(name, manifest.digest, manifest)
    index = images.index({"linux/amd64": first, "linux/arm64": second})
    registry.manifest(name, tag, index)
    return Pushed(index.digest, [shared, one, other, amd, arm])


@contextmanager
def world(directory: Path, *, known: bool = True, rate: str = "") -> Iterator[World]:
    authority = trustme.CA()
    with (
        token_server(authority) as tokens,
        docker_registry(directory / "registry", authority=authority, tokens=tokens) as registry,
    ):
        config = directory / "supernode.toml"
        place = tokens.url.split("/")[2]
        lines = [f'[registries."{registry.place}"]', f'ca = "{registry.ca}"']
        if known:
            lines += [f'username = "{USER}"', f'password = "{PASSWORD}"']
        lines += [f'[registries."{place}"]', f'ca = "{registry.ca}"']
        if rate:
            lines += ["[origin]", f'rate = "{rate}"']
        config.write_text("\n".join(lines))
        os.chmod(config, 0o600)
        with daemon(directory / "supernode", "--config", str(config)) as supernode:
            yield World(registry, supernode, tokens)


def pull_everything(world: World, pushed: Pushed, directory: Path) -> None:
    """Have a peer download every blob; the registry must not notice."""
    before = world.bytes_of_blobs()
    assert before == sum(len(blob.data) for blob in pushed.blobs), "each blob was fetched once"
    download(world, pushed, directory)
    assert world.bytes_of_blobs() == before


def download(world: World, pushed: Pushed, directory: Path) -> None:
    """Have peers that have nothing yet download every blob."""
    directory.mkdir()
    for number, blob in enumerate(pushed.blobs):
        url = world.registry.blob_url(NAME, blob)
        got = dfget(world.supernode.node, url, directory / f"{number}")
        assert f"sha256:{got}" == blob.digest


@pytest.mark.parametrize("version", EVERY_HARBOR)
def test_an_image_is_preheated_and_nothing_is_fetched_again(version: str, tmp_path: Path) -> None:
    with world(tmp_path, known=False) as here:
        pushed = push(here.registry, "v1")
        harbor = EVERY_HARBOR[version](here.endpoint)
        job = harbor.preheat(here.wanted(pushed.digest, **here.tokens_to_pull()))
        assert job.states[0] == PENDING
        assert job.states[-1] == SUCCESS, job.error
        assert set(job.states) <= {PENDING, RUNNING, SUCCESS}
        if job.rows:
            urls = {here.registry.blob_url(NAME, blob) for blob in pushed.blobs}
            assert {row["url"] for row in job.rows} == urls
        pull_everything(here, pushed, tmp_path / "peers")
        again = harbor.preheat(here.wanted(pushed.digest, **here.tokens_to_pull()))
        assert again.states[-1] == SUCCESS
        assert here.bytes_of_blobs() == sum(len(blob.data) for blob in pushed.blobs)


def test_a_notification_of_kraken_warms_with_our_own_credentials(tmp_path: Path) -> None:
    with world(tmp_path) as here:
        pushed = push(here.registry, "v1")
        assert Kraken(here.endpoint).preheat(here.wanted(pushed.digest)).states == [SUCCESS]
        until(lambda: all(each["status"] == "SUCCESS" for each in preheats(here)))
        pull_everything(here, pushed, tmp_path / "peers")


def preheats(here: World) -> list[dict[str, Any]]:
    listed = here.supernode.get("/preheats")
    assert isinstance(listed, list)
    return listed


@pytest.mark.parametrize("version", ["2.1", "2.8", "2.12", "2.15"])
def test_it_goes_on_when_the_supernode_is_killed_between_two_polls(
    version: str, tmp_path: Path
) -> None:
    with world(tmp_path, rate="300KiB/s") as here:
        pushed = push(here.registry, "v1")
        under_way = []

        def kill_once(polls: int) -> None:
            if polls == 3:
                under_way.extend(preheats(here))
                here.supernode.kill()
                here.supernode.start()

        harbor = EVERY_HARBOR[version](here.endpoint, after_poll=kill_once)
        job = harbor.preheat(here.wanted(pushed.digest))
        assert [preheat["status"] for preheat in under_way] == ["RUNNING"]
        assert job.states == [PENDING, RUNNING, SUCCESS], job.error
        (preheat,) = preheats(here)
        assert preheat["ID"] == under_way[0]["ID"]
        before = here.bytes_of_blobs()
        download(here, pushed, tmp_path / "peers")
        assert here.bytes_of_blobs() == before


@pytest.mark.parametrize("version", EVERY_HARBOR)
@pytest.mark.parametrize("trouble", ["no such tag", "no credentials"])
def test_it_is_told_at_once_why_an_image_cannot_be_preheated(
    version: str, trouble: str, tmp_path: Path
) -> None:
    with world(tmp_path, known=trouble == "no such tag") as here:
        digest = f"sha256:{0:064x}"
        if trouble == "no credentials":
            digest = push(here.registry, "v1").digest
        job = EVERY_HARBOR[version](here.endpoint).preheat(here.wanted(digest))
        assert job.states[-1] == FAIL
        (failed,) = preheats(here)
        reason = "origin_not_found" if trouble == "no such tag" else "origin_auth"
        assert (failed["status"], failed["reason"]) == ("FAILED", reason)
        assert failed["errorMsg"]
        if not version.startswith(("2.1", "2.2", "2.3", "2.5", "2.7")) or version > "2.11":
            assert job.error == failed["errorMsg"]


@pytest.mark.parametrize(
    "auth",
    [
        {},
        {"Authorization": "Basic dXNlcjpwYXNz"},
        {"Authorization": "Bearer t0ken"},
        {"X-Custom": "value"},
    ],
    ids=["NONE", "BASIC", "OAUTH", "CUSTOM"],
)
def test_whatever_harbor_proves_itself_by_is_welcome(auth: dict[str, str], tmp_path: Path) -> None:
    with world(tmp_path) as here:
        pushed = push(here.registry, "v1")
        for version in ("2.11", "2.15"):
            harbor = EVERY_HARBOR[version](here.endpoint + "/", auth=auth)
            assert harbor.preheat(here.wanted(pushed.digest)).states[-1] == SUCCESS
        assert Kraken(here.endpoint, auth=auth).preheat(here.wanted(pushed.digest)).states


def test_a_tag_that_was_pushed_again_is_preheated_again(tmp_path: Path) -> None:
    with world(tmp_path) as here:
        older = push(here.registry, "v1")
        body = {"type": "image", "url": here.wanted("").url}
        first = preheated(here, body)
        assert first["digest"] == older.digest
        newer = push(here.registry, "v1", seed="newer")
        second = preheated(here, body)
        assert second["digest"] == newer.digest != older.digest
        sources = {blob["digest"]: blob["from"] for blob in second["blobs"]}
        assert sources == {
            blob.digest: "cache" if blob in older.blobs else "origin" for blob in newer.blobs
        }
        third = preheated(here, body)
        assert {blob["from"] for blob in third["blobs"]} == {"cache"}


def test_only_the_wanted_platform_is_fetched(tmp_path: Path) -> None:
    with world(tmp_path) as here:
        pushed = push(here.registry, "v1")
        body = {"type": "image", "url": here.wanted("").url, "platform": "linux/arm64"}
        shared, _, other, _, arm = pushed.blobs
        fetched = {blob["digest"] for blob in preheated(here, body)["blobs"]}
        assert fetched == {shared.digest, other.digest, arm.digest}


def test_the_same_blob_of_two_repositories_is_fetched_once(tmp_path: Path) -> None:
    with world(tmp_path) as here:
        pushed = push(here.registry, "v1")
        push(here.registry, "v1", name="library/copy")
        preheated(here, {"type": "image", "url": here.wanted("").url})
        before = here.bytes_of_blobs()
        url = here.registry.manifest_url("library/copy", "v1")
        copied = preheated(here, {"type": "image", "url": url})
        assert {blob["from"] for blob in copied["blobs"]} == {"copy"}
        for number, blob in enumerate(pushed.blobs):
            there = here.registry.blob_url("library/copy", blob)
            got = dfget(here.supernode.node, there, tmp_path / f"{number}")
            assert f"sha256:{got}" == blob.digest
        assert here.bytes_of_blobs() == before


def test_from_the_command_line_layer_by_layer(tmp_path: Path) -> None:
    with world(tmp_path) as here:
        pushed = push(here.registry, "v1")
        name = f"{here.registry.place}/{NAME}:v1"
        dry = command_line(here, name, "--dry-run")
        assert dry.returncode == 0, dry.stderr
        assert "origin" in dry.stdout
        assert preheats(here) == []
        ended = command_line(here, name, "--wait", "--platform", "linux/amd64,linux/arm64")
        assert ended.returncode == 0, ended.stderr
        (preheat,) = preheats(here)
        assert ended.stdout.split() == [preheat["ID"]]
        for blob in pushed.blobs:
            short = blob.digest.removeprefix("sha256:")[:12]
            assert re.search(rf"^{short} .*SUCCESS from origin$", ended.stderr, re.MULTILINE)
        assert "5 from origin" in ended.stderr
        asked = command_line(here, name)
        assert (asked.returncode, asked.stderr) == (0, "")
        failed = command_line(here, name.replace("v1", "nope"), "--wait")
        assert failed.returncode == 1
        assert "the origin has no such file" in failed.stderr
        refused = command_line(here, "not an image", "--wait")
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "url" in refused.stderr
        nobody = command_line(here, name, "--node=127.0.0.1:1")
        assert nobody.returncode == 69


def command_line(here: World, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*SUPERNODE, "preheat", f"--node={here.supernode.node}", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def preheated(here: World, body: object) -> dict[str, Any]:
    """Preheat it; return how that ended."""
    status, created = ask(here.supernode, "POST", "/preheats", body)
    assert status == 200, created
    place = f"/preheats/{created['ID']}"
    until(lambda: ask(here.supernode, "GET", place)[1]["status"] not in ("WAITING", "RUNNING"))
    return dict(ask(here.supernode, "GET", place)[1])
