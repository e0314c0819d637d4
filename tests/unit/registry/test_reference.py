"""Names of images: which are, which are none, and where their parts are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supernode.registry.reference import (
    BadReference,
    Reference,
    Repository,
    parse,
    repository_of,
)

DIGEST = "sha256:" + "0a" * 32


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://reg.test/v2/library/app/manifests/v1", None),
        ("http://reg.test:5000/v2/app/manifests/v1.2_3-x", None),
        (f"https://reg.test/v2/app/manifests/{DIGEST}", None),
        ("https://reg.test/artifactory/api/docker/x/v2/app/manifests/v1", None),
        ("https://reg.test/v2/v2/manifests/manifests/latest", None),
        ("https://v2/v2/a/manifests/latest", None),
        ("https://[fd00::1]:5000/v2/a/manifests/1", None),
        ("https://Reg.test:443/v2/a/manifests/1", None),  # as written: tasks are named by it
        ("reg.test/library/app:v1", "https://reg.test/v2/library/app/manifests/v1"),
        ("reg.test:5000/app", "https://reg.test:5000/v2/app/manifests/latest"),
        ("localhost/app:1", "https://localhost/v2/app/manifests/1"),
        ("[::1]:5000/app:1", "https://[::1]:5000/v2/app/manifests/1"),
        ("10.0.0.5/a/b/c__d/e-f--g.h:1", "https://10.0.0.5/v2/a/b/c__d/e-f--g.h/manifests/1"),
        (f"reg.test/app@{DIGEST}", f"https://reg.test/v2/app/manifests/{DIGEST}"),
        (f"reg.test/app:v1@{DIGEST}", f"https://reg.test/v2/app/manifests/{DIGEST}"),
        ("docker.io/nginx", "https://index.docker.io/v2/library/nginx/manifests/latest"),
        ("docker.io/some/app:1", "https://index.docker.io/v2/some/app/manifests/1"),
        ("plain.test:5000/app:1", "http://plain.test:5000/v2/app/manifests/1"),
        ("Plain.test:5000/app:1", "http://Plain.test:5000/v2/app/manifests/1"),
        ("plain.test/app:1", "https://plain.test/v2/app/manifests/1"),
    ],
)
def test_what_names_an_image(text: str, url: str | None) -> None:
    assert parse(text, {"plain.test:5000"}).manifest_url == (url or text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "names no registry"),
        ("nginx", "names no registry"),
        ("library/nginx:1", "names no registry"),
        ("reg.test", "names no registry"),
        ("reg.test/", "the repository's name"),
        ("reg.test/App:1", "the repository's name"),
        ("reg.test/a//b:1", "the repository's name"),
        ("reg.test/a../b:1", "the repository's name"),
        ("reg.test/../etc:1", "the repository's name"),
        ("reg.test/" + "a" * 256, "the repository's name"),
        ("reg.test/a:", "the tag"),
        ("reg.test/a:b/c", "the tag"),
        ("reg.test/a:" + "t" * 129, "the tag"),
        ("reg.test/a@", "expected a digest"),
        ("reg.test/a@sha256:12", "expected a digest"),
        (f"reg.test/a@{DIGEST.upper()}", "expected a digest"),
        ("reg.test/a@sha512:" + "0a" * 64, "a digest by sha512 cannot be verified"),
        ("reg.test:x/a:1", "does not name a registry"),
        ("reg.test:0/a:1", "does not name a registry"),
        ("reg%2etest:5000/a:1", "does not name a registry"),
        ("me:s3cret@reg.test/a:1", "user and password"),
        ("ftp://reg.test/v2/a/manifests/1", "neither http nor https"),
        ("https://reg.test/v2/a/blobs/1", "expected the URL of a manifest"),
        ("https://reg.test/v2/a/manifests/1?x=y", "expected the URL of a manifest"),
        ("https://reg.test/v2/a/manifests/1#x", "expected the URL of a manifest"),
        ("https://reg.test/v2/a/manifests/", "expected the URL of a manifest"),
        ("https://reg.test/v2//manifests/1", "expected the URL of a manifest"),
        ("https:///v2/a/manifests/1", "does not name a registry"),
        ("https://v2/a/manifests/1", "expected the URL of a manifest"),
        ("https://reg.test" + "/v2/a" * 500, "2516 characters are too many"),
        ("https://me:s3cret@reg.test/v2/a/manifests/1", "user and password"),
    ],
)
def test_what_names_none(text: str, why: str) -> None:
    with pytest.raises(BadReference, match=why) as caught:
        parse(text)
    assert "s3cret" not in str(caught.value)


@given(st.text(alphabet="aA0.:/@[]-_%?# \0ü") | st.text())
def test_no_text_is_too_odd(text: str) -> None:
    for tried in (text, f"reg.test/{text}", f"https://reg.test/v2/{text}/manifests/{text}"):
        try:
            found = parse(tried)
        except BadReference:
            continue
        assert parse(found.manifest_url).manifest_url == found.manifest_url


def test_a_digest_beats_the_tag() -> None:
    pinned = parse("reg.test/app:v1").pinned(DIGEST)
    assert pinned == Reference("https://reg.test", "app", "v1", DIGEST)
    assert pinned.manifest_url.endswith(DIGEST)
    with pytest.raises(BadReference):
        pinned.pinned("latest")


def test_where_a_blob_is_and_whose_it_is() -> None:
    for base in ("https://reg.test:5000", "http://[::1]/x"):
        url = Reference(base, "library/app", "v1").blob_url(DIGEST)
        assert url == f"{base}/v2/library/app/blobs/{DIGEST}"
        assert repository_of(url) == Repository(base, "library/app")
    for other in ("", "https://reg.test/file", "https:///v2/a/blobs/x", "ftp://a/v2/b/blobs/c"):
        assert repository_of(other) is None
