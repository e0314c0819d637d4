"""Paths under v1's prefixes."""

import pytest

from supernode.api.paths import at_the_root


@pytest.mark.parametrize(
    ("path", "there", "is_v1"),
    [
        ("/peers", "/peers", False),
        ("/api/v1/peers", "/peers", True),
        ("/v1.24/peers", "/peers", False),
        ("/v1.24/api/v1/peers", "/peers", True),
        ("/v1/_ping", "/_ping", False),
        ("/v1.2.3.4/_ping", "/_ping", False),
        ("/v./_ping", "/_ping", False),
        ("/api/v1/", "/", True),
        ("/v1.24/", "/", False),
        ("/", "/", False),
        # none of them
        ("", "", False),
        ("*", "*", False),
        ("/api/v1", "/api/v1", False),
        ("/v1.24", "/v1.24", False),
        ("/version", "/version", False),
        ("/v/peers", "/v/peers", False),
        ("/vx/peers", "/vx/peers", False),
        ("/v1x/peers", "/v1x/peers", False),
        ("/api/v11/peers", "/api/v11/peers", False),
        ("/API/V1/peers", "/API/V1/peers", False),
        ("/tasks/api/v1/peers", "/tasks/api/v1/peers", False),
        # once each, in this order
        ("/v1.24/v1.24/peers", "/v1.24/peers", False),
        ("/api/v1/api/v1/peers", "/api/v1/peers", True),
        ("/api/v1/v1.24/peers", "/v1.24/peers", True),
        ("/api/v1//peers", "//peers", True),
    ],
)
def test_at_the_root(path: str, there: str, is_v1: bool) -> None:
    assert at_the_root(path) == (there, is_v1)
