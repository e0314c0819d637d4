"""The registry client against Debian's docker-registry, filled by skopeo and by direct pushes."""

import http.server
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from ipaddress import ip_network
from itertools import chain
from pathlib import Path

import pytest
import trio
import trustme

from supernode.core.reasons import Reason
from supernode.origin.errors import OriginError
from supernode.origin.http import OriginClient
from supernode.origin.policy import OriginPolicy
from supernode.origin.sites import Site
from supernode.registry.accounts import KnownRegistry
from supernode.registry.client import Registries
from supernode.registry.image import Image
from supernode.registry.manifest import SIGNED_SCHEMA_1
from supernode.registry.platforms import Platforms
from tests import images
from tests.e2e.neighbours import SUPERNODE, daemon
from tests.e2e.registries import (
    PASSWORD,
    USER,
    Registry,
    docker_registry,
    serving,
    token_server,
)
from tests.images import Content, digest_of

LOOPBACK = OriginPolicy(allow=[ip_network("127.0.0.0/8")])
NAME = "library/app"
US = KnownRegistry(username=USER, password=PASSWORD)


class Client:
    """Somebody who wants images.

    Args:
        origin: by which registries are asked, and blobs fetched.
        known: what is configured.
    """

    def __init__(self, origin: OriginClient, known: Mapping[str, KnownRegistry]) -> None:
        self._registries = Registries(origin, known)
        self._origin = origin

    async def image(self, text: str, platforms: str = "", **headers: str) -> Image:
        """Return the image of that name."""
        return await self._registries.image(
            self._registries.parse(text), headers=headers, platforms=Platforms.parse(platforms)
        )

    async def blobs(self, image: Image, **headers: str) -> set[str]:
        """Fetch every blob; return the digests of what came."""
        return {digest_of(await self.fetched(blob.url, **headers)) for blob in image.blobs}

    async def fetched(self, url: str, **headers: str) -> bytes:
        """Fetch one blob."""
        admitted = await self._registries.headers_for(url, headers)
        async with self._origin.open(url, admitted) as body:
            return b"".join([block async for block in body.chunks()])

    async def refused(self, text: str, **headers: str) -> OriginError:
        """Return why there is no such image; it tells nobody who we are."""
        with pytest.raises(OriginError) as caught:
            await self.image(text, **headers)
        assert USER not in str(caught.value)
        assert PASSWORD not in str(caught.value)
        return caught.value


@asynccontextmanager
async def client(
    known: Mapping[str, KnownRegistry] | None = None, sites: Mapping[str, Site] | None = None
) -> AsyncIterator[Client]:
    """Offer a client; whatever is done with it has a minute."""
    with trio.fail_after(60):
        async with OriginClient(LOOPBACK, sites=sites) as origin:
            yield Client(origin, known or {})


def push(
    registry: Registry, tag: str, *layers: str, platform: str = "linux/amd64"
) -> tuple[Content, set[str]]:
    """Push an image; return its manifest, and the digests of its blobs."""
    blobs = [images.config(platform), *map(images.layer, layers)]
    registry.blob(NAME, *blobs)
    manifest = images.manifest(blobs[0], blobs[1:])
    assert registry.manifest(NAME, tag, manifest) == manifest.digest
    return manifest, {blob.digest for blob in blobs}


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Registry]:
    """A registry that gives to everybody, without TLS."""
    with docker_registry(tmp_path / "plain") as registry:
        yield registry


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def guarded(tmp_path: Path, authority: trustme.CA) -> Iterator[Registry]:
    """A registry with users, under TLS of a private authority."""
    with docker_registry(tmp_path / "guarded", authority=authority, users=True) as registry:
        yield registry


@contextmanager
def with_tokens(directory: Path, authority: trustme.CA, seconds: int = 300) -> Iterator[Registry]:
    """A registry that wants tokens, under TLS like their server."""
    with (
        token_server(authority, seconds=seconds, called="access_token") as tokens,
        docker_registry(directory, authority=authority, tokens=tokens) as registry,
    ):
        yield registry


def trusted(registry: Registry) -> dict[str, Site]:
    """Return whom to trust to be the registry, and its token server."""
    places = [registry.place]
    if registry.tokens is not None:
        places.append(registry.tokens.url.split("/")[2])
    return {place: Site(ca=registry.ca) for place in places}


# What it consists of


async def test_a_multi_arch_image_pushed_by_skopeo(guarded: Registry, tmp_path: Path) -> None:
    layout, base = tmp_path / "layout", images.layer("base")
    platforms = ["linux/amd64", "linux/arm64"]
    of = {each: [images.config(each), base, images.layer(each)] for each in platforms}
    manifests = {each: images.manifest(config, layers) for each, (config, *layers) in of.items()}
    index = images.index(manifests)
    write_layout(layout, index, *manifests.values(), *chain(*of.values()))
    guarded.skopeo("--all", "--preserve-digests", f"oci:{layout}", f"{NAME}:multi")
    async with client({guarded.place: US}, trusted(guarded)) as us:
        found = await us.image(f"{guarded.place}/{NAME}:multi")
        assert found.digest == index.digest
        assert [part.platform for part in found.manifests] == ["", *platforms]
        assert len(found.blobs) == 5
        assert await us.blobs(found) == {blob.digest for blob in found.blobs}
        some = await us.image(f"{guarded.place}/{NAME}:multi", "linux/arm64")
        assert [blob.digest for blob in some.blobs] == [each.digest for each in of["linux/arm64"]]


def write_layout(directory: Path, root: Content, *others: Content) -> None:
    """Write an image as skopeo reads it."""
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for content in (root, *others):
        (blobs / content.digest.removeprefix("sha256:")).write_bytes(content.data)
    (directory / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
    listed = {"schemaVersion": 2, "manifests": [root.descriptor()]}
    (directory / "index.json").write_text(json.dumps(listed))


@pytest.mark.parametrize("kind", ["oci", "v2s1", "v2s2"])
async def test_each_kind_of_manifest(plain: Registry, tmp_path: Path, kind: str) -> None:
    layout = tmp_path / "layout"
    config, layer = images.one_file()
    manifest = images.manifest(config, [layer])
    write_layout(layout, manifest, config, layer)
    plain.skopeo("--format", kind, f"oci:{layout}", f"{NAME}:{kind}")
    async with client() as us:
        found = await us.image(plain.manifest_url(NAME, kind))
        blobs = {blob.digest for blob in found.blobs}
        assert layer.digest in blobs
        assert (config.digest in blobs) is (kind != "v2s1")
        assert await us.blobs(found) == blobs
        (part,) = found.manifests
        assert (part.media_type == SIGNED_SCHEMA_1) is (kind == "v2s1")
        again = await us.image(plain.manifest_url(NAME, found.digest))  # what is signed, in v2s1
        assert again.digest == found.digest


async def test_nested_indexes_artefacts_and_foreign_layers(plain: Registry) -> None:
    (amd64, of_amd64), (arm64, of_arm64) = (
        push(plain, name, "base", name, platform=f"linux/{name}") for name in ("amd64", "arm64")
    )
    inner = images.index({"linux/arm64": arm64}, mediaType=None)
    plain.manifest(NAME, "inner", inner, images.OCI_INDEX)
    outer = images.index([inner, amd64])
    plain.manifest(NAME, "outer", outer)
    chart = images.layer("chart", media_type=images.HELM_CHART)
    settings = Content(b"{}", images.HELM_CONFIG)
    plain.blob(NAME, chart, settings)
    plain.manifest(NAME, "chart", images.manifest(settings, [chart]))
    foreign = images.layer("windows", media_type=images.DOCKER_FOREIGN)
    said = foreign.descriptor(urls=["https://elsewhere.test/layer"])
    windows = images.manifest(settings, [said, chart], images.DOCKER_MANIFEST)
    plain.manifest(NAME, "windows", windows)
    async with client() as us:
        found = await us.image(plain.manifest_url(NAME, "outer"))
        assert {blob.digest for blob in found.blobs} == of_amd64 | of_arm64
        assert await us.blobs(found) == of_amd64 | of_arm64
        found = await us.image(plain.manifest_url(NAME, "chart"))
        assert await us.blobs(found) == {chart.digest, settings.digest}
        found = await us.image(plain.manifest_url(NAME, "windows"))
        assert await us.blobs(found) == {chart.digest, settings.digest}
        assert [skipped.digest for skipped in found.skipped] == [foreign.digest]


async def test_what_is_not_there(plain: Registry) -> None:
    manifest, _ = push(plain, "v1", "one")
    plain.manifest(NAME, "index", images.index({"linux/amd64": manifest}))
    plain.delete(NAME, manifest.digest)
    async with client() as us:
        for text, code in (
            (plain.manifest_url(NAME, "v2"), "MANIFEST_UNKNOWN"),
            (plain.manifest_url("nobodys", "v1"), "MANIFEST_UNKNOWN"),
            (plain.manifest_url(NAME, manifest.digest), "MANIFEST_UNKNOWN"),
        ):
            why = await us.refused(text)
            assert why.reason is Reason.ORIGIN_NOT_FOUND
            assert why.detail == f"404 from {text} ({code})"
        why = await us.refused(plain.manifest_url(NAME, "index"))
        assert why.detail.startswith(f"404 from {plain.manifest_url(NAME, manifest.digest)}")


# Who we are


async def test_users(guarded: Registry) -> None:
    _, digests = push(guarded, "v1", "one")
    url, site = guarded.manifest_url(NAME, "v1"), trusted(guarded)
    async with client({guarded.place: US}, site) as us:
        found = await us.image(url)
        assert await us.blobs(found) == digests
        assert await us.blobs(found, authorization="Bearer expired") == digests
    async with client(sites=site) as nobody:
        why = await nobody.refused(url)
        assert why.reason is Reason.ORIGIN_AUTH
        assert why.detail == (
            f"401 (UNAUTHORIZED) from {url}, asked without credentials, "
            f"and none are configured for {guarded.place}"
        )
        found = await nobody.image(url, Authorization=guarded.authorization)
        assert await nobody.blobs(found, Authorization=guarded.authorization) == digests
    async with client({guarded.place: KnownRegistry(username=USER, password="x")}, site) as wrong:
        why = await wrong.refused(url)
        assert why.detail.endswith("asked without credentials, with the configured credentials")
        assert why.reason is Reason.ORIGIN_AUTH


async def test_its_certificate(guarded: Registry) -> None:
    push(guarded, "v1", "one")
    url = guarded.manifest_url(NAME, "v1")
    async with client({guarded.place: US}) as us:
        why = await us.refused(url)
        assert why.reason is Reason.ORIGIN_TLS
        assert "unable to get local issuer certificate" in why.detail
    async with client({guarded.place: US}, {guarded.place: Site(insecure=True)}) as us:
        assert (await us.image(url)).blobs


async def test_our_certificate(tmp_path: Path, authority: trustme.CA) -> None:
    with docker_registry(
        tmp_path / "registry", authority=authority, client_certificates=True
    ) as registry:
        _, digests = push(registry, "v1", "one")
        url, both = registry.manifest_url(NAME, "v1"), registry.directory / "client.pem"
        async with client(sites=trusted(registry)) as nobody:
            why = await nobody.refused(url)
            assert why.reason is Reason.ORIGIN_TLS
        site = Site(ca=registry.ca, client_cert=both, client_key=both)
        async with client(sites={registry.place: site}) as us:
            assert await us.blobs(await us.image(url)) == digests


async def test_tokens(tmp_path: Path, authority: trustme.CA) -> None:
    with with_tokens(tmp_path / "registry", authority) as registry:
        tokens = registry.tokens
        assert tokens is not None
        _, digests = push(registry, "v1", "one", "two", "three")
        url = registry.manifest_url(NAME, "v1")
        async with client({registry.place: US}, trusted(registry)) as us:
            assert await us.blobs(await us.image(url)) == digests
            assert len(tokens.asked) == 1
            assert tokens.asked[0][0]["scope"] == [f"repository:{NAME}:pull"]
            why = await us.refused(registry.manifest_url(NAME, "v2"))
            assert why.reason is Reason.ORIGIN_NOT_FOUND
        narrow = f"Bearer {tokens.token(['repository:library/other:pull'])}"
        async with client({registry.place: US}, trusted(registry)) as us:
            assert await us.blobs(await us.image(url, Authorization=narrow)) == digests
        right = f"Bearer {tokens.token([f'repository:{NAME}:pull'])}"
        before = len(tokens.asked)
        async with client(sites=trusted(registry)) as harbor:
            found = await harbor.image(url, Authorization=right)
            assert await harbor.blobs(found, Authorization=right) == digests
            assert len(tokens.asked) == before
            why = await harbor.refused(url)
            assert why.reason is Reason.ORIGIN_AUTH
            assert "which gives nobody a token" in why.detail


async def test_tokens_that_end_in_mid_job(tmp_path: Path, authority: trustme.CA) -> None:
    with with_tokens(tmp_path / "registry", authority, seconds=0) as registry:
        _, digests = push(registry, "v1", "one", "two", "three")
        assert registry.tokens is not None
        async with client({registry.place: US}, trusted(registry)) as us:
            found = await us.image(registry.manifest_url(NAME, "v1"))
            before = len(registry.tokens.asked)
            assert await us.blobs(found) == digests
            assert len(registry.tokens.asked) >= before + len(digests)


async def test_an_object_store_is_not_told_who_we_are(
    tmp_path: Path, authority: trustme.CA
) -> None:
    shown: list[dict[str, str]] = []
    data = tmp_path / "registry" / "data"

    class Store(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shown.append({name.lower(): value for name, value in self.headers.items()})
            content = (data / self.path.partition("?")[0].lstrip("/")).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with (
        serving(Store, authority) as port,
        docker_registry(
            tmp_path / "registry",
            authority=authority,
            users=True,
            storage_url=f"https://127.0.0.1:{port}/",
        ) as registry,
    ):
        _, digests = push(registry, "v1", "one", "two")
        sites = trusted(registry) | {f"127.0.0.1:{port}": Site(ca=registry.ca)}
        async with client({registry.place: US}, sites) as us:
            found = await us.image(registry.manifest_url(NAME, "v1"))
            assert await us.blobs(found, Cookie="secret") == digests
    assert len(shown) == len(digests)
    assert not any({"authorization", "cookie"} & set(headers) for headers in shown)


async def test_the_daemon_trusts_whom_it_is_told_to_and_lends_nobody_its_password(
    guarded: Registry, tmp_path: Path
) -> None:
    layer = images.layer("one", 100_000)
    guarded.blob(NAME, layer)
    config = tmp_path / "supernode.toml"
    config.write_text(
        f'[registries."{guarded.place}"]\n'
        f'ca = "{guarded.ca}"\nusername = "{USER}"\npassword = "{PASSWORD}"\n'
    )
    out = tmp_path / "out"
    with daemon(tmp_path / "supernode", "--config", str(config)) as supernode:
        for header, status in (("X: y", 1), (f"Authorization: {guarded.authorization}", 0)):
            dfget = await trio.run_process(
                [
                    *(*SUPERNODE, "dfget", "--json", "--notbs", "--alivetime", "0s"),
                    *("--ip", "127.0.0.1", "--home", str(tmp_path / "home"), "-o", str(out)),
                    *("-n", supernode.node, "--header", header, "-u"),
                    guarded.blob_url(NAME, layer),
                ],
                capture_stdout=True,
                check=False,
            )
            assert (dfget.returncode == 0) is (status == 0), dfget.stdout
            assert (b"wants other credentials" in dfget.stdout) is (status != 0)
        assert out.read_bytes() == layer.data
        assert PASSWORD not in supernode.log.read_text()
