"""Which requests of web pages are answered."""

import pytest

from supernode.wire.browsers import BrowserRule

RULE = BrowserRule(["supernode.example", "Cache.Example."])
Headers = dict[str, str]


def refusal(headers: Headers, *, tls: bool = False, rule: BrowserRule = RULE) -> str | None:
    fields = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return rule.refusal(fields, tls=tls)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Host": "anything.example:8002"},
        {"Host": "a b c", "User-Agent": "Go-http-client/1.1"},
        {"host": "evil.example", "accept": "*/*", "referer": "http://evil.example/"},
    ],
)
def test_what_is_no_browser_is_left_alone(headers: Headers) -> None:
    assert refusal(headers) is None


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://10.0.0.1:8002", "10.0.0.1:8002"),
        ("http://10.0.0.1", "10.0.0.1"),
        ("http://10.0.0.1", "10.0.0.1:80"),
        ("http://10.0.0.1:80", "10.0.0.1"),
        ("http://[::1]:8002", "[::1]:8002"),
        ("http://[::1]", "[::1]:80"),
        ("http://[2001:db8::1]:8002", "[2001:DB8:0:0::1]:8002"),
        ("http://localhost:8002", "localhost:8002"),
        ("http://localhost:8002", "localhost.:8002"),
        ("http://supernode.example:8002", "supernode.example:8002"),
        ("http://supernode.example.:8002", "supernode.example:8002"),
        ("HTTP://SuperNode.Example:8002", "SUPERNODE.example:8002"),
        ("http://cache.example", "cache.example"),
        ("https://supernode.example:8002", "supernode.example:8002"),  # TLS ends at a proxy
        ("https://supernode.example", "supernode.example"),
        ("https://supernode.example:443", "supernode.example"),
    ],
)
def test_a_page_of_ours_may_ask(origin: str, host: str) -> None:
    assert refusal({"Host": host, "Origin": origin}) is None


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://evil.example", "10.0.0.1:8002"),
        ("http://evil.example:8002", "localhost:8002"),
        ("http://10.0.0.1", "10.0.0.1:8002"),
        ("http://10.0.0.1:8002", "10.0.0.1"),
        ("http://10.0.0.1:8001", "10.0.0.1:8002"),
        ("http://10.0.0.2:8002", "10.0.0.1:8002"),
        ("http://localhost:8002", "127.0.0.1:8002"),
        ("http://[::1]:8002", "[::2]:8002"),
        ("https://supernode.example", "supernode.example:80"),
        ("http://supernode.example.evil.example", "supernode.example"),
        ("http://supernode.example@evil.example", "supernode.example"),
        ("http://supernode.example/", "supernode.example"),
        ("http://supernode.example http://evil.example", "supernode.example"),
        ("null", "10.0.0.1:8002"),
        ("", "10.0.0.1:8002"),
        ("10.0.0.1:8002", "10.0.0.1:8002"),
        ("file://", "10.0.0.1:8002"),
        ("ws://10.0.0.1:8002", "10.0.0.1:8002"),
        ("chrome-extension://10.0.0.1:8002", "10.0.0.1:8002"),
    ],
)
def test_a_page_of_others_may_not(origin: str, host: str) -> None:
    for site in ({}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}):
        problem = refusal({"Host": host, "Origin": origin, **site})
        assert problem is not None
        assert "only pages of the same site may" in problem


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:8002",
        "evil.example",
        "localhost.evil.example",
        "supernode",
        "sub.supernode.example",
        "supernode.example..",
        "10.0.0.1.evil.example",
        "010.0.0.1",
        "2130706433",
        "[evil.example]:8002",
        "[::1",
        "::1",
        "a@10.0.0.1",
        "10.0.0.1/",
        "10.0.0.1:8002:8002",
        "10.0.0.1:x",
        "\xe4.example",
        "",
    ],
)
def test_a_name_that_is_not_ours_makes_no_page_ours(host: str) -> None:
    said_by_browsers: list[Headers] = [
        {"Origin": f"http://{host}"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Accept-Language": "en"},  # all it says over plain HTTP of a page that asks its own site
    ]
    for headers in said_by_browsers:
        problem = refusal({"Host": host, **headers})
        assert problem is not None
        assert "add it to hosts in section [http]" in problem


@pytest.mark.parametrize("host", ["10.0.0.1:8002", "[::1]:8002", "localhost", "supernode.example"])
def test_an_address_typed_into_a_browser_works(host: str) -> None:
    assert refusal({"Host": host, "Sec-Fetch-Site": "none"}) is None
    assert refusal({"Host": host, "Sec-Fetch-Site": "same-origin"}) is None
    assert refusal({"Host": host, "Accept-Language": "en"}) is None


@pytest.mark.parametrize("site", ["cross-site", "same-site", "", "none, same-origin", "something"])
def test_a_browser_that_calls_it_cross_site_is_believed(site: str) -> None:
    for origin in ({}, {"Origin": "http://10.0.0.1:8002"}):
        problem = refusal({"Host": "10.0.0.1:8002", "Sec-Fetch-Site": site, **origin})
        assert problem is not None
        assert "a page of another site" in problem


def test_under_tls_only_pages_that_came_so_may_ask() -> None:
    assert refusal({"Host": "10.0.0.1:8002", "Origin": "https://10.0.0.1:8002"}, tls=True) is None
    assert refusal({"Host": "10.0.0.1:8002", "Origin": "http://10.0.0.1:8002"}, tls=True)
    assert refusal({"Host": "localhost", "Origin": "https://localhost"}, tls=True) is None
    assert refusal({"Host": "localhost", "Origin": "http://localhost"}, tls=True)
    assert refusal({"Host": "localhost:443", "Origin": "https://localhost"}, tls=True) is None


@pytest.mark.parametrize(
    "headers",
    [
        [(b"origin", b"http://10.0.0.1")],
        [(b"host", b"10.0.0.1"), (b"HOST", b"10.0.0.1"), (b"origin", b"http://10.0.0.1")],
        [(b"host", b"10.0.0.1"), (b"origin", b"http://10.0.0.1"), (b"Origin", b"http://evil")],
        [(b"host", b"10.0.0.1"), (b"sec-fetch-site", b"none"), (b"sec-fetch-site", b"none")],
    ],
)
def test_headers_that_are_missing_or_repeated(headers: list[tuple[bytes, bytes]]) -> None:
    problem = RULE.refusal(headers, tls=False)
    assert problem is not None
    assert "Host once" in problem


def test_without_configuration_addresses_and_localhost_are_ours() -> None:
    rule = BrowserRule()
    assert refusal({"Host": "127.0.0.1", "Sec-Fetch-Site": "none"}, rule=rule) is None
    assert refusal({"Host": "localhost", "Sec-Fetch-Site": "none"}, rule=rule) is None
    assert refusal({"Host": "supernode.example", "Sec-Fetch-Site": "none"}, rule=rule)


@pytest.mark.parametrize("host", ["http://a", "a:8002", "*.a", "", "a..b", "[::1]", "a b", "\xe4"])
def test_what_cannot_be_one_of_our_names(host: str) -> None:
    with pytest.raises(ValueError, match="is not a host name"):
        BrowserRule([host])


def test_what_a_client_sent_makes_no_message_long() -> None:
    problem = refusal({"Host": "h" * 30_000, "Sec-Fetch-Site": "none"})
    assert problem is not None
    assert len(problem) < 400
