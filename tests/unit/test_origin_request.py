"""What of a request survives a redirect."""

from string import ascii_letters, digits

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from supernode.origin.request import compose


@pytest.mark.parametrize(
    ("url", "location", "kept"),
    [
        ("http://h/f", "g", True),
        ("http://h/f", "http://h:80/g", True),
        ("http://h/f", "https://h/g", True),
        ("http://h/f", "https://h:8443/g", False),
        ("http://h:8080/f", "https://h/g", False),
        ("https://h/f", "http://h/g", False),
        ("https://h:8443/f", "http://h:8443/g", False),
        ("http://h/f", "http://h:8080/g", False),
        ("http://h/f", "//other/g", False),
        ("http://[2001:db8::1]/f", "http://[2001:db8::1]/g", True),
        ("http://[2001:db8::1]/f", "http://[2001:db8::2]/g", False),
        ("http://xn--bcher-kva.test/f", "http://bücher.test/g", True),
    ],
)
def test_credentials_stay_with_the_service_they_are_for(
    url: str, location: str, kept: bool
) -> None:
    request = compose(url, {"Authorization": "Bearer x", "Range": "bytes=0-1"}).redirected(location)
    assert ("Authorization" in request.headers) == kept
    assert request.headers["Range"] == "bytes=0-1"


ANYBODYS = {
    "Accept": "*/*",
    "accept-language": "fr",
    "Cache-Control": "no-cache",
    "If-Match": '"a"',
    "If-Modified-Since": "x",
    "If-None-Match": '"b"',
    "If-Range": '"c"',
    "If-Unmodified-Since": "x",
    "Pragma": "no-cache",
    "RANGE": "bytes=0-1",
    "User-Agent": "dfget",
}


def test_what_anybody_may_know_goes_along() -> None:
    request = compose("http://h/f", ANYBODYS)
    assert request.redirected("http://other/").headers == request.headers


@given(st.text(ascii_letters + digits + "-_", min_size=1))
@example("X-Pass")
@example("X-JFrog-Art-Api")
@example("PRIVATE-ID")
@example("Referer")
def test_what_may_say_who_asks_stays_behind(name: str) -> None:
    sent = compose("http://h/f", {name: "s3cret"}).redirected("http://other/").headers
    anybodys = {known.lower() for known in ANYBODYS}
    assert ("s3cret" in sent.values()) == (name.lower() in anybodys)


def test_the_password_of_an_url_is_a_credential() -> None:
    request = compose("http://u:p@h/f", {})
    assert request.headers["Authorization"] == "Basic dTpw"
    assert request.redirected("/g").headers["Authorization"] == "Basic dTpw"
    assert "Authorization" not in request.redirected("http://other/g").headers
