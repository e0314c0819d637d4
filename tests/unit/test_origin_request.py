"""What of a request survives a redirect."""

import pytest

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
    request = compose(url, {"Authorization": "Bearer x", "X-Kept": "1"}).redirected(location)
    assert ("Authorization" in request.headers) == kept
    assert request.headers["X-Kept"] == "1"


def test_the_password_of_an_url_is_a_credential() -> None:
    request = compose("http://u:p@h/f", {})
    assert request.headers["Authorization"] == "Basic dTpw"
    assert request.redirected("/g").headers["Authorization"] == "Basic dTpw"
    assert "Authorization" not in request.redirected("http://other/g").headers
