import math
from pathlib import Path

import pytest

from supernode.dfget.options import (
    Digest,
    Node,
    parse_digest,
    parse_duration,
    parse_files,
    parse_header,
    parse_nodes,
    parse_rate,
)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("0", 0),
        ("1048576", 1 << 20),
        ("300B", 300),
        ("20M", 20 << 20),
        ("20MB", 20 << 20),
        ("5m", 5 << 20),
        ("64K", 64 << 10),
        ("64KB", 64 << 10),
        ("1k", 1 << 10),
        ("2G", 2 << 30),
        ("2g", 2 << 30),
    ],
)
def test_rates(text: str, rate: int) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "M", "-1", "1.5M", "1 M", "1T", "1mb", "1Mb", "1b"])
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(ValueError, match="not a rate"):
        parse_rate(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("0s", 0),
        ("90", 90),
        ("3m", 180),
        ("1m30s", 90),
        ("1.5h", 5400),
        ("300ms", 0.3),
        ("1h2m3s4ms", 3723.004),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert math.isclose(parse_duration(text), seconds)


@pytest.mark.parametrize("text", ["", "m", "-3m", "3 m", "3x", "3m?", "inf", "nan"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)


def test_nodes() -> None:
    assert parse_nodes("a,b:1, 10.0.0.1:80=3 ,[::1]:9=2,[fe80::2]") == (
        (Node("a", 8002), 1),
        (Node("b", 1), 1),
        (Node("10.0.0.1", 80), 3),
        (Node("::1", 9), 2),
        (Node("fe80::2", 8002), 1),
    )


def test_nodes_under_tls() -> None:
    text = "https://a,HTTPS://[::1]:9=2,http://b:1"
    assert parse_nodes(text) == (
        (Node("a", 8002, tls=True), 1),
        (Node("::1", 9, tls=True), 2),
        (Node("b", 1), 1),
    )
    assert [str(node) for node, _ in parse_nodes(text)] == [
        "https://a:8002",
        "https://[::1]:9",
        "b:1",
    ]


@pytest.mark.parametrize(
    "text",
    [
        *(":80", "a:b", "a=0", "a=x", "a:99999", "u@a", "a/b", "::1"),
        *("ftp://a", "://a", "https://", "https://a/", "https:a", "https://https://a"),
    ],
)
def test_what_is_no_node(text: str) -> None:
    with pytest.raises(ValueError, match="is not host"):
        parse_nodes(text)


def test_headers() -> None:
    assert parse_header("Authorization:  Basic a:b ") == ("Authorization", "Basic a:b")


@pytest.mark.parametrize("text", ["nothing", ": x", "a b: c", "A: b\r\nC: d", "A: \udcff"])
def test_what_is_no_header(text: str) -> None:
    with pytest.raises(ValueError, match=r"header looks like|spans lines|not UTF-8"):
        parse_header(text)


def test_files() -> None:
    assert parse_files("") == ()
    assert parse_files("a.pem,/b/c d.pem,") == (Path("a.pem"), Path("/b/c d.pem"))


def test_digests() -> None:
    assert parse_digest("MD5:" + "A" * 32) == Digest("md5", "a" * 32)
    assert parse_digest("sha256:" + "0" * 64) == Digest("sha256", "0" * 64)


@pytest.mark.parametrize("text", ["", "a" * 32, "md5:" + "a" * 31, "sha256:" + "g" * 64, "sha1:ab"])
def test_what_is_no_digest(text: str) -> None:
    with pytest.raises(ValueError, match=r"digits|does not start"):
        parse_digest(text)
