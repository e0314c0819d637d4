"""Manifests of every kind, and bytes that are none."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supernode.registry.manifest import SCHEMA_1, SIGNED_SCHEMA_1, BadManifest, read
from supernode.registry.platforms import Platform
from tests import images
from tests.images import Content, config, digest_of, index, layer, manifest

LAYERS = [layer("one"), layer("two")]
DIGEST = "sha256:" + "0a" * 32


def blobs(content: Content, content_type: str = "") -> list[str]:
    return [blob.digest for blob in read(content.data, content_type).blobs]


@pytest.mark.parametrize("kind", [images.OCI_MANIFEST, images.DOCKER_MANIFEST])
def test_an_image_is_its_config_and_its_layers(kind: str) -> None:
    content = manifest(config(), LAYERS, kind)
    found = read(content.data, kind)
    assert found.digest == content.digest
    assert found.media_type == kind
    assert found.manifests == ()
    assert found.platform is None
    assert [blob.digest for blob in found.blobs] == [each.digest for each in (config(), *LAYERS)]
    assert [blob.size for blob in found.blobs] == [len(config().data), 1000, 1000]
    assert {blob.media_type for blob in found.blobs} == {images.OCI_CONFIG, images.OCI_LAYER}


@pytest.mark.parametrize("content_type", ["", "application/json", images.OCI_MANIFEST + "; x=y"])
def test_an_image_need_not_say_that_it_is_one(content_type: str) -> None:
    content = manifest(config(), LAYERS, mediaType=None)
    assert blobs(content, content_type) == [each.digest for each in (config(), *LAYERS)]


@pytest.mark.parametrize("kind", [images.OCI_INDEX, images.DOCKER_LIST, None])
def test_an_index_has_manifests_by_platform(kind: str | None) -> None:
    one, other = manifest(config(), LAYERS[:1]), manifest(config(), LAYERS[1:])
    content = index({"linux/amd64": one, "linux/arm/v7": other}, mediaType=kind)
    found = read(content.data)
    assert found.media_type == (kind or images.OCI_INDEX)
    assert found.blobs == ()
    assert [each.digest for each in found.manifests] == [one.digest, other.digest]
    platforms = [each.platform for each in found.manifests]
    assert platforms == [Platform("linux", "amd64"), Platform("linux", "arm", "v7")]


def test_an_index_of_what_says_nothing_of_platforms() -> None:
    inner = index({"linux/amd64": manifest(config(), LAYERS)})
    (entry,) = read(index([inner]).data).manifests
    assert (entry.digest, entry.platform) == (inner.digest, None)


def test_artefacts_that_are_no_images() -> None:
    helm = Content(b"{}", images.HELM_CONFIG)
    chart = layer("chart", media_type=images.HELM_CHART)
    assert blobs(manifest(helm, [chart])) == [helm.digest, chart.digest]
    # A model pack has a config of its own kind, too; an OCI 1.1 artefact may have none at all.
    weights = layer("weights", media_type="application/vnd.cncf.model.weight.v1.raw")
    assert blobs(manifest(None, [weights], artifactType="x/y")) == [weights.digest]
    old = Content(
        json.dumps({"mediaType": "application/vnd.oci.artifact.manifest.v1+json",
                    "blobs": [weights.descriptor()]}).encode(), "")  # fmt: skip
    assert blobs(old) == [weights.digest]
    # An index of buildkit's cache names layers themselves.
    cache = index([layer("cached"), Content(b"{}", "application/vnd.buildkit.cacheconfig.v0")])
    assert len(blobs(cache)) == 2
    assert read(cache.data).manifests == ()


def test_a_kind_that_nobody_knows_will_do_if_it_has_layers() -> None:
    content = manifest(None, LAYERS, "application/vnd.example.thing+json")
    assert blobs(content, "application/vnd.example.thing+json") == [each.digest for each in LAYERS]


def test_layers_that_registries_do_not_give_away() -> None:
    for kind in (images.DOCKER_FOREIGN, images.OCI_FOREIGN):
        foreign = layer("windows", media_type=kind).descriptor(urls=["https://elsewhere.test/x"])
        usual = LAYERS[0].descriptor(urls=["https://elsewhere.test/y"])
        first, second = read(manifest(None, [foreign, usual]).data).blobs
        assert first.is_foreign
        assert first.urls == ("https://elsewhere.test/x",)
        assert not second.is_foreign


def signed(body: dict[str, Any]) -> tuple[Content, bytes]:
    """Return a manifest of schema 1 with a signature, and what is signed."""
    payload = json.dumps(body, indent=3).encode()
    head, tail = payload[:-2], payload[-2:]  # the last brace and the line before it
    protected = {"formatLength": len(head), "formatTail": _base64(tail), "time": "2020-01-01"}
    entry = {"signature": "x", "protected": _base64(json.dumps(protected).encode())}
    data = head + b',\n "signatures": ' + json.dumps([entry]).encode() + tail
    return Content(data, SIGNED_SCHEMA_1), payload


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def schema_1(**more: object) -> dict[str, Any]:
    layers = [{"blobSum": each.digest} for each in (*LAYERS, LAYERS[0])]
    return {"schemaVersion": 1, "name": "a", "tag": "b", "fsLayers": layers, **more}


def test_schema_1() -> None:
    plain = Content(json.dumps(schema_1(architecture="arm64")).encode(), SCHEMA_1)
    found = read(plain.data)
    assert (found.digest, found.media_type) == (plain.digest, SCHEMA_1)
    assert [blob.digest for blob in found.blobs] == [each.digest for each in (*LAYERS, LAYERS[0])]
    assert {blob.size for blob in found.blobs} == {None}
    assert found.platform == Platform("linux", "arm64")


def test_the_digest_of_schema_1_is_of_what_is_signed() -> None:
    content, payload = signed(schema_1())
    found = read(content.data, SIGNED_SCHEMA_1)
    assert found.digest == digest_of(payload) != content.digest
    assert found.media_type == SIGNED_SCHEMA_1
    assert len(found.blobs) == 3


def test_only_what_is_signed_of_schema_1_counts() -> None:
    content, payload = signed(schema_1())
    other = json.dumps([{"blobSum": DIGEST}]).encode()
    content = Content(content.data[:-2] + b', "fsLayers": ' + other + b"\n}", SIGNED_SCHEMA_1)
    found = read(content.data)
    assert found.digest == digest_of(payload)
    assert [blob.digest for blob in found.blobs] == [each.digest for each in (*LAYERS, LAYERS[0])]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("", "not a manifest in JSON"),
        ("<html>", "not a manifest in JSON"),
        ("[]", "Expected `object`, got `array`"),
        ("{}", "names nothing that could be fetched"),
        ('"x"', "Expected `object`"),
        ("[" * 100_000, "not a manifest in JSON"),
        ({"x": []}, "names nothing"),
        ({"layers": "x"}, r"Expected `array \| null`, got `str` - at `\$.layers`"),
        ({"layers": [{"size": 1}]}, "missing required field `digest`"),
        ({"layers": [{"digest": 3}]}, "Expected `str`, got `int`"),
        ({"layers": [{"digest": "sha256:x"}]}, "expected a digest"),
        ({"layers": [{"digest": "../../../etc"}]}, "expected a digest"),
        ({"layers": [{"digest": "sha512:" + "0a" * 64}]}, "a digest by sha512"),
        ({"layers": [{"digest": DIGEST, "size": -1}]}, "Expected `int` >= 0"),
        ({"layers": [{"digest": DIGEST, "size": 1 << 64}]}, "Expected `int` <="),
        ({"layers": [{"digest": DIGEST, "mediaType": "x" * 256}]}, "length <= 255"),
        ({"layers": [{"digest": DIGEST, "mediaType": "\x1b[2J"}]}, "matching regex"),
        ({"layers": [{"digest": DIGEST, "urls": ["http://a/" + "x" * 2048]}]}, "length <= 2048"),
        ({"manifests": [{"digest": DIGEST, "platform": {"os": "x" * 65}}]}, "length <= 64"),
        ({"manifests": [{"digest": DIGEST, "platform": {"os": "\x1b"}}]}, "matching regex"),
        ({"fsLayers": [{"blobSum": DIGEST}], "architecture": "x" * 65}, "length <= 64"),
        ({"layers": [], "config": None}, "names nothing"),
        ({"manifests": []}, "names nothing"),
        ({"manifests": None, "layers": None}, "names nothing"),
        ({"manifests": [{"digest": DIGEST, "platform": "linux"}]}, "Expected `object"),
        ({"mediaType": "text/plain"}, "of the type 'text/plain' names nothing"),
        ({"fsLayers": []}, "names no layers"),
        ({"fsLayers": [{"blobSum": "x"}]}, "expected a digest"),
        ({"fsLayers": [{"blobSum": DIGEST}], "signatures": [{"protected": "%"}]}, "signature"),
        ({"fsLayers": [{"blobSum": DIGEST}], "signatures": [{"protected": "e30"}]}, "signature"),
        # Readers that differ on what it is would fetch one thing and run another.
        ({"layers": [{"digest": DIGEST}], "manifests": []}, "at once"),
        ({"fsLayers": [{"blobSum": DIGEST}], "config": {"digest": DIGEST}}, "at once"),
        ({"layers": [{"digest": DIGEST}], "mediaType": images.OCI_INDEX}, "it is a manifest, but"),
        ({"manifests": [{"digest": DIGEST}], "mediaType": SCHEMA_1}, "it is an index, but"),
    ],
)  # fmt: skip
def test_what_is_no_manifest(body: object, why: str) -> None:
    text = body if isinstance(body, str) else json.dumps(body)
    with pytest.raises(BadManifest, match=why):
        read(text.encode())


def test_the_registry_has_a_word_in_what_it_is() -> None:
    with pytest.raises(BadManifest, match="says that it is an index"):
        read(manifest(config(), LAYERS, mediaType=None).data, images.DOCKER_LIST)
    with pytest.raises(BadManifest, match="it is an index, but"):
        read(index([manifest(config(), LAYERS)], mediaType=None).data, images.OCI_MANIFEST)


_keys = st.sampled_from(
    ["mediaType", "manifests", "config", "layers", "blobs", "fsLayers", "blobSum", "digest", "size",
     "urls", "platform", "os", "architecture", "variant", "signatures", "protected"]
)  # fmt: skip
_texts = st.sampled_from([DIGEST, images.OCI_INDEX, images.OCI_MANIFEST, "e30"]) | st.text()
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _texts,
    lambda inner: st.lists(inner) | st.dictionaries(_keys, inner),
)


@given(st.dictionaries(_keys, _json).map(json.dumps).map(str.encode) | st.binary(), st.text())
def test_nothing_is_too_odd(data: bytes, content_type: str) -> None:
    try:
        found = read(data, content_type)
    except BadManifest:
        return
    assert found.blobs or found.manifests
    assert all(each.digest.startswith("sha256:") for each in (*found.blobs, *found.manifests))
