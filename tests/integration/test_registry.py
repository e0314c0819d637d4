"""What an image consists of, as told by registries of every kind of mind."""

from collections.abc import AsyncIterator

import pytest
import trio

from supernode.core.reasons import Reason
from supernode.origin.errors import OriginError
from supernode.origin.http import OriginClient
from supernode.registry import client
from supernode.registry.accounts import KnownRegistry
from supernode.registry.client import MOST_DEPTH, MOST_MANIFEST, Registries
from supernode.registry.gathering import MOST_BLOBS, MOST_MANIFESTS
from supernode.registry.image import Image
from supernode.registry.platforms import Platforms
from tests import images
from tests.images import Content, config, index, layer, manifest
from tests.integration.scripted_origin import LOOPBACK, deaf_port, names
from tests.integration.scripted_registry import (
    Reply,
    ScriptedRegistry,
    leading,
    refusal,
    scripted_registry,
    served,
    tampered,
)

NAME = "library/app"
ONE = manifest(config(), [layer("one")])


@pytest.fixture
async def registry() -> AsyncIterator[ScriptedRegistry]:
    async with scripted_registry() as scripted:
        yield scripted


async def image(url: str, platforms: str = "", headers: dict[str, str] | None = None) -> Image:
    """Return the image whose manifest is at ``url``."""
    with trio.fail_after(10):
        async with OriginClient(LOOPBACK, head_timeout=2.0, connect_timeout=1.0) as origin:
            registries = Registries(origin, {})
            return await registries.image(
                registries.parse(url),
                headers=headers or {},
                platforms=Platforms.parse(platforms),
            )


async def failure(url: str, platforms: str = "") -> OriginError:
    """Return why there is none."""
    with pytest.raises(OriginError) as caught:
        await image(url, platforms)
    return caught.value


def digests(of: Image) -> list[str]:
    return [blob.digest for blob in of.blobs]


# What it consists of


async def test_an_image_of_one_manifest(registry: ScriptedRegistry) -> None:
    found = await image(registry.manifest(NAME, "v1", ONE), headers={"accept": "x/y", "X-A": "b"})
    assert found.digest == ONE.digest
    assert [(part.digest, part.size) for part in found.manifests] == [(ONE.digest, len(ONE.data))]
    assert digests(found) == [config().digest, layer("one").digest]
    for blob in found.blobs:
        assert blob.url == f"{registry.url}/v2/{NAME}/blobs/{blob.digest}"
    assert [blob.size for blob in found.blobs] == [len(config().data), 1000]
    (asked,) = registry.asked
    for kind in (images.OCI_INDEX, images.OCI_MANIFEST, images.DOCKER_LIST, images.DOCKER_MANIFEST):
        assert kind in asked.headers["accept"].split(", ")
    assert asked.headers["x-a"] == "b"


async def test_an_index_of_indexes_and_what_is_in_several_of_them(
    registry: ScriptedRegistry,
) -> None:
    base = layer("base")
    each = {
        platform: manifest(config(platform), [base, layer(platform)])
        for platform in ("linux/amd64", "linux/arm64", "linux/arm/v7")
    }
    amd64, arm64, arm = each.values()
    inner = index({"linux/arm64": arm64, "linux/arm/v7": arm}, mediaType=None)
    usual = amd64.descriptor(platform={"os": "linux", "architecture": "amd64"})
    outer = index([usual, inner, usual])
    for content in (*each.values(), inner):
        registry.manifest(NAME, content.digest, content)
    url = registry.manifest(NAME, "v1", outer)
    found = await image(url)
    assert [part.digest for part in found.manifests] == [
        each.digest for each in (outer, amd64, inner, arm64, arm)
    ]
    platforms = [part.platform for part in found.manifests]
    assert platforms == ["", "linux/amd64", "", "linux/arm64", "linux/arm/v7"]
    assert len(digests(found)) == len(set(digests(found))) == 3 + 3 + 1
    assert {blob.digest: blob.platform for blob in found.blobs}[base.digest] == "linux/amd64"
    assert len(registry.asked) == 5
    some = await image(url, "linux/arm")
    own = config("linux/arm/v7"), base, layer("linux/arm/v7")
    assert digests(some) == [content.digest for content in own]
    why = await failure(url, "windows/amd64,linux/riscv64")
    assert why.reason is Reason.ORIGIN_NOT_FOUND
    assert why.detail == (
        f"{url}: nothing for windows/amd64,linux/riscv64, "
        "only for linux/amd64, linux/arm/v7, linux/arm64"
    )


async def test_what_is_no_index_is_for_whom_it_is_for(registry: ScriptedRegistry) -> None:
    url = registry.manifest(NAME, "v1", ONE)
    assert digests(await image(url, "windows/amd64")) == digests(await image(url))


async def test_foreign_layers_are_skipped(registry: ScriptedRegistry) -> None:
    foreign = layer("windows", media_type=images.DOCKER_FOREIGN)
    said = foreign.descriptor(urls=["https://elsewhere.test/x"])
    content = manifest(config(), [said, layer("one"), said], images.DOCKER_MANIFEST)
    found = await image(registry.manifest(NAME, "v1", content))
    assert digests(found) == [config().digest, layer("one").digest]
    (skipped,) = found.skipped
    assert skipped.digest == foreign.digest
    assert skipped.url == "https://elsewhere.test/x"
    assert "only its maker" in skipped.why


async def test_a_layer_that_is_there_ten_thousand_times_is_one(registry: ScriptedRegistry) -> None:
    content = manifest(config(), [layer("one")] * 10_000)
    assert len(digests(await image(registry.manifest(NAME, "v1", content)))) == 2


# Which one it is


async def test_a_digest_is_asked_for_rather_than_a_tag(registry: ScriptedRegistry) -> None:
    registry.manifest(NAME, ONE.digest, ONE)
    place = registry.url.removeprefix("http://")
    with trio.fail_after(10):
        async with OriginClient(LOOPBACK) as origin:
            plain = {place: KnownRegistry(plain_http=True)}
            registries = Registries(origin, plain)
            reference = registries.parse(f"{place}/{NAME}:gone@{ONE.digest}")
            assert (await registries.image(reference, headers={})).digest == ONE.digest
            with pytest.raises(OriginError) as caught:
                await registries.image(registries.parse(f"{place}/{NAME}:gone"), headers={})
    assert caught.value.reason is Reason.ORIGIN_NOT_FOUND


async def test_what_has_another_digest_is_not_what_was_asked_for(
    registry: ScriptedRegistry,
) -> None:
    url = registry.manifest(NAME, ONE.digest, tampered(ONE), said="")
    why = await failure(url)
    assert why.reason is Reason.DIGEST_MISMATCH
    assert why.detail == f"{url}: what came has the digest {tampered(ONE).digest}"
    garbage = registry.manifest(NAME, ONE.digest, Content(b"<html>", "text/html"), said="")
    assert (await failure(garbage)).reason is Reason.DIGEST_MISMATCH
    of_index = registry.manifest(NAME, "v1", index({"linux/amd64": ONE}))
    assert (await failure(of_index)).reason is Reason.DIGEST_MISMATCH


async def test_what_has_another_digest_than_the_registry_says(registry: ScriptedRegistry) -> None:
    why = await failure(registry.manifest(NAME, "v1", tampered(ONE), said=ONE.digest))
    assert why.reason is Reason.DIGEST_MISMATCH
    assert ONE.digest in why.detail
    found = await image(registry.manifest(NAME, "v1", ONE, said="sha512:0a"))
    assert found.digest == ONE.digest  # what nobody can verify says nothing


async def test_an_index_that_contains_itself(registry: ScriptedRegistry) -> None:
    whatever = "sha256:" + "0a" * 32
    content = index([{"digest": whatever, "mediaType": images.OCI_INDEX, "size": 1}])
    registry.manifest(NAME, whatever, content, said="")
    why = await failure(registry.manifest(NAME, "v1", content))
    assert why.reason is Reason.ORIGIN_MANIFEST
    assert f"it is the index that it is in, {content.digest}" in why.detail
    assert len(registry.asked) == 2


@pytest.mark.parametrize(("depth", "is_too_deep"), [(MOST_DEPTH, False), (MOST_DEPTH + 1, True)])
async def test_indexes_within_indexes(
    registry: ScriptedRegistry, depth: int, is_too_deep: bool
) -> None:
    content = ONE
    for _ in range(depth):
        registry.manifest(NAME, content.digest, content)
        content = index([content])
    url = registry.manifest(NAME, "v1", content)
    if is_too_deep:
        why = await failure(url)
        assert why.reason is Reason.ORIGIN_MANIFEST
        assert f"more than {MOST_DEPTH} indexes in each other" in why.detail
    else:
        assert digests(await image(url)) == [config().digest, layer("one").digest]


# How large it may be


async def test_a_manifest_of_ten_thousand_layers(registry: ScriptedRegistry) -> None:
    layers = [{"digest": f"sha256:{n:064x}", "size": 1} for n in range(10_000)]
    content = manifest(None, layers)
    why = await failure(registry.manifest(NAME, "v1", content))
    assert why.reason is Reason.IMAGE_TOO_LARGE
    assert f"10000 blobs, at most {MOST_BLOBS} are taken" in why.detail


async def test_very_many_foreign_layers(registry: ScriptedRegistry) -> None:
    kind = images.OCI_FOREIGN
    layers = [{"digest": f"sha256:{n:064x}", "mediaType": kind} for n in range(MOST_BLOBS + 1)]
    why = await failure(registry.manifest(NAME, "v1", manifest(None, layers)))
    assert why.reason is Reason.IMAGE_TOO_LARGE
    assert f"{MOST_BLOBS + 1} blobs, at most {MOST_BLOBS} are taken" in why.detail


async def test_an_index_of_very_many_manifests(registry: ScriptedRegistry) -> None:
    many = [manifest(None, [layer("one")], number=n) for n in range(MOST_MANIFESTS)]
    for each in many:
        registry.manifest(NAME, each.digest, each)
    why = await failure(registry.manifest(NAME, "v1", index(many)))
    assert why.reason is Reason.IMAGE_TOO_LARGE
    assert f"{MOST_MANIFESTS + 1} manifests, at most {MOST_MANIFESTS}" in why.detail
    found = await image(registry.manifest(NAME, "v1", index(many[1:])))
    assert len(found.manifests) == MOST_MANIFESTS


async def test_a_manifest_of_a_hundred_megabytes() -> None:
    sent = 0

    async def pour(stream: trio.SocketStream) -> None:
        nonlocal sent
        try:
            await stream.receive_some()
            await stream.send_all(head)
            while True:
                await stream.send_all(block)
                sent += len(block)
        except trio.BrokenResourceError:
            await stream.aclose()

    for chunked in (False, True):
        length = "Transfer-Encoding: chunked" if chunked else "Content-Length: 100000000"
        head = f"HTTP/1.1 200 OK\r\n{length}\r\n\r\n".encode()
        block = b"1000\r\n" + b" " * 4096 + b"\r\n" if chunked else b" " * 4096
        sent = 0
        async with trio.open_nursery() as nursery:
            (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
            nursery.start_soon(trio.serve_listeners, pour, [listener])
            port = listener.socket.getsockname()[1]
            why = await failure(f"http://127.0.0.1:{port}/v2/a/manifests/1")
            nursery.cancel_scope.cancel()
        assert why.reason is Reason.ORIGIN_TOO_LONG
        assert f"at most {MOST_MANIFEST} are taken" in why.detail
        assert sent < 4 * MOST_MANIFEST


# What else may come


@pytest.mark.parametrize(
    ("reply", "reason", "detail"),
    [
        (Reply(200, b"<html>"), Reason.ORIGIN_MANIFEST, "not a manifest in JSON"),
        (Reply(200, b"{}"), Reason.ORIGIN_MANIFEST, "names nothing that could be fetched"),
        (Reply(200, ONE.data, [("Content-Encoding", "gzip")]), Reason.ORIGIN_ENCODING, "gzip"),
        (Reply(404, b'{"errors":[{"code":"NAME_UNKNOWN"},{"code":"s3cret"}]}'),
         Reason.ORIGIN_NOT_FOUND, "404 from {url} (NAME_UNKNOWN)"),
        (Reply(404, b"[]"), Reason.ORIGIN_NOT_FOUND, "404 from {url}"),
        (Reply(404, b"x" * 10_000_000), Reason.ORIGIN_NOT_FOUND, "404 from {url}"),
        (refusal(status=403), Reason.ORIGIN_AUTH, "403 (UNAUTHORIZED) from {url}, asked without"),
        (Reply(500), Reason.ORIGIN_STATUS, "500 from {url}"),
        (Reply(206, ONE.data), Reason.ORIGIN_STATUS, "206 from {url}"),
        (leading("ftp://x"), Reason.URL_INVALID, "redirects to what cannot be fetched"),
        (leading("http://169.254.169.254/"), Reason.URL_FORBIDDEN, "169.254.169.254 is link-local"),
        (leading("?"), Reason.ORIGIN_REDIRECTS, "more than 10 redirects"),
    ],
)  # fmt: skip
async def test_answers_that_are_no_manifests(
    registry: ScriptedRegistry, reply: Reply, reason: Reason, detail: str
) -> None:
    url = registry.manifest(NAME, "v1", ONE)
    registry.guard = lambda _: reply
    why = await failure(url)
    assert why.reason is reason
    assert detail.format(url=url) in why.detail
    assert "s3cret" not in str(why)


async def test_who_is_told_to_come_back_later_may(registry: ScriptedRegistry) -> None:
    url = registry.manifest(NAME, "v1", ONE)
    registry.guard = lambda _: Reply(429, b"", [("Retry-After", "7")])
    why = await failure(url)
    assert (why.may_pass, why.retry_after) == (True, 7.0)


async def test_nobody_there() -> None:
    names(nowhere_test=[OSError(1, "x")])
    with deaf_port() as port:
        why = await failure(f"http://127.0.0.1:{port}/v2/a/manifests/1")
        assert why.reason is Reason.ORIGIN_TIMEOUT
    why = await failure(f"http://127.0.0.1:{port}/v2/a/manifests/1")
    assert why.reason is Reason.ORIGIN_REFUSED
    why = await failure("https://nowhere.test/v2/a/manifests/1")
    assert why.reason is Reason.ORIGIN_DNS


async def test_a_registry_that_never_answers(registry: ScriptedRegistry) -> None:
    async with served(lambda _: None) as url:
        why = await failure(f"{url}/v2/a/manifests/1")
    assert (why.reason, why.may_pass) == (Reason.ORIGIN_TIMEOUT, True)


async def test_there_is_a_limit_to_all_of_it(
    registry: ScriptedRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "IMAGE_SECONDS", 0.3)
    url = registry.manifest(NAME, "v1", ONE)
    async with served(lambda _: None) as silent:
        registry.guard = lambda _: leading(silent)
        why = await failure(url)
    assert (why.reason, why.may_pass) == (Reason.ORIGIN_TIMEOUT, True)
    assert why.detail == f"{url}: not done within 0.3 s"
