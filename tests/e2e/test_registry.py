"""The registry client against Debian's docker-registry, filled by skopeo and by direct pushes."""

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path

import pytest
import trio
import trustme

from supernode.origin.errors import OriginError
from supernode.origin.http import OriginClient
from supernode.origin.policy import OriginPolicy
from supernode.origin.sites import Site
from supernode.registry.accounts import KnownRegistry
from supernode.registry.client import Registries
from supernode.registry.image import Image
from supernode.registry.platforms import Platforms
from tests import images
from tests.e2e.registries import (
    PASSWORD,
    USER,
    Registry,
    docker_registry,
    token_server,
)

LOOPBACK = OriginPolicy(allow=[ip_network("127.0.0.0/8")])
US = KnownRegistry(username=USER, password=PASSWORD)
NAME = "library/app"


class Client:
    """A registry client, and what of the origin client would fetch the blobs."""

    def __init__(self, origin: OriginClient, registries: Registries) -> None:
        self.registries = registries
        self._origin = origin

    async def image(self, text: str, platforms: str = "", **headers: str) -> Image:
        """Return the image of that name."""
        wanted = Platforms.parse(platforms)
        return await self.registries.image(
            self.registries.parse(text), headers=headers, platforms=wanted
        )

    async def blobs(self, image: Image, **headers: str) -> dict[str, bytes]:
        """Fetch every blob as the CDN does; return them by digest."""
        return {blob.digest: await self.fetched(blob.url, **headers) for blob in image.blobs}

    async def fetched(self, url: str, **headers: str) -> bytes:
        """Fetch one blob."""
        admitted = await self.registries.headers_for(url, headers)
        async with self._origin.open(url, admitted) as body:
            return b"".join([block async for block in body.chunks()])


@asynccontextmanager
async def client(
    known: Mapping[str, KnownRegistry] | None = None, sites: Mapping[str, Site] | None = None
) -> AsyncIterator[Client]:
    """Offer a client; whatever is done with it has a minute."""
    with trio.fail_after(60):
        async with OriginClient(LOOPBACK, sites=sites) as origin:
            yield Client(origin, Registries(origin, known or {}))


def push(
    registry: Registry, tag: str, *layers: images.Content, platform: str = "linux/amd64"
) -> images.Content:
    """Push an image; return its manifest."""
    config = images.config(platform)
    registry.blob(NAME, config, *layers)
    manifest = images.manifest(config, layers)
    assert registry.manifest(NAME, tag, manifest) == manifest.digest
    return manifest


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Registry]:
    """A registry that gives to everybody, without TLS."""
    with docker_registry(tmp_path / "registry") as registry:
        yield registry


async def test_a_multi_arch_image_of_nested_indexes(plain: Registry) -> None:
    layers = [images.layer(name) for name in ("base", "amd64", "arm64", "arm")]
    base, *others = layers
    amd64, arm64, arm = (
        push(plain, other, base, layer, platform=platform)
        for other, layer, platform in zip(
            ("a", "b", "c"), others, ("linux/amd64", "linux/arm64", "linux/arm/v7"), strict=True
        )
    )
    inner = images.index({"linux/arm64": arm64, "linux/arm/v7": arm})
    plain.manifest(NAME, "inner", inner)
    outer = images.index(
        [inner],
        manifests=[
            amd64.descriptor(platform={"os": "linux", "architecture": "amd64"}),
            inner.descriptor(),
        ],
    )
    plain.manifest(NAME, "outer", outer)
    async with client() as asking:
        url = plain.manifest_url(NAME, "outer")
        image = await asking.image(url)
        print(image)
        assert await asking.blobs(image)
        some = await asking.image(url, "linux/arm64,linux/arm/v6")
        print(some)
        with pytest.raises(OriginError) as caught:
            await asking.image(url, "windows/amd64")
        print(caught.value)


async def test_users(tmp_path):
    ca = trustme.CA()
    with docker_registry(tmp_path / "r", authority=ca, users=True) as r:
        push(r, "v1", images.layer("x"))
        async with client({r.place: US}, {r.place: Site(ca=r.ca)}) as asking:
            im = await asking.image(r.manifest_url(NAME, "v1"))
            print(im)
            await asking.blobs(im)
        for known, site in (
            ({}, {r.place: Site(ca=r.ca)}),
            ({r.place: US}, {}),
            ({r.place: KnownRegistry(username="x", password="y")}, {r.place: Site(insecure=True)}),
        ):
            async with client(known, site) as asking:
                with pytest.raises(OriginError) as c:
                    await asking.image(r.manifest_url(NAME, "v1"))
                print(c.value)
    with token_server(ca) as t, docker_registry(tmp_path / "r2", authority=ca, tokens=t) as r:
        push(r, "v1", images.layer("x"))
        site = Site(ca=r.ca)
        tp = re.search("//(.*)/token", t.url)[1]
        async with client({r.place: US}, {r.place: site, tp: site}) as asking:
            im = await asking.image(r.manifest_url(NAME, "v1"))
            print(im)
            await asking.blobs(im)
            print(t.asked)
            with pytest.raises(OriginError) as c:
                await asking.image(r.manifest_url(NAME, "v2"))
            print(c.value)
        for known, site in (
            ({}, {r.place: site, tp: site}),
            ({r.place: US}, {r.place: site}),
            (
                {r.place: KnownRegistry(username="x", password="y")},
                {r.place: Site(insecure=True), tp: site},
            ),
        ):
            async with client(known, site) as asking:
                with pytest.raises(OriginError) as c:
                    await asking.image(r.manifest_url(NAME, "v1"))
                print(c.value)
        print(r.asked())
