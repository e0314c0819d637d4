"""What URLs of one origin have in common."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supernode.core.identity import origin_key
from supernode.origin.url import checked_url, host_of, port_of


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("http://origin.test/f", "origin.test:80"),
        ("https://origin.test/f", "origin.test:443"),
        ("HTTPS://User:P%40ss@Origin.TEST/f?a=b@c#d", "origin.test:443"),
        ("http://origin.test:8080", "origin.test:8080"),
        ("http://origin.test?a=http://b:1/", "origin.test:80"),
        ("http://origin.test#@other", "origin.test:80"),
        ("http://[2001:DB8::1]/", "[2001:db8::1]:80"),
        ("http://u:p@[::1]:8080/", "[::1]:8080"),
    ],
)
def test_an_origin_is_host_and_port(url: str, key: str) -> None:
    assert origin_key(url) == key
    parsed = checked_url(url)
    host = host_of(parsed)
    assert key in (f"{host}:{port_of(parsed)}", f"[{host}]:{port_of(parsed)}")


@given(st.text())
def test_any_text_has_a_key(text: str) -> None:
    assert origin_key(text)
