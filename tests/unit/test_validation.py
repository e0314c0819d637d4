"""What a field may hold, and that a refusal names the field."""

from collections.abc import Callable

import pytest
import trustme

from supernode.api import validation
from supernode.core.errors import BadField

Check = Callable[[str, str], str]


@pytest.mark.parametrize(
    ("check", "value", "result"),
    [
        (validation.required, "x", "x"),
        (validation.plain, "", ""),
        (validation.plain, "two words \N{DRAGON}", "two words \N{DRAGON}"),
        (validation.ip_address, "::1", "::1"),
        (validation.ip_address, "10.0.0.255", "10.0.0.255"),
        (validation.ip_address, "127.0.0.1", "127.0.0.1"),
        (validation.ip_address, "2001:DB8:0::1", "2001:db8::1"),
        (validation.ip_address, "::ffff:127.0.0.1", "127.0.0.1"),
        (validation.host_name, "h", "h"),
        (validation.host_name, "node-1.rack2.example", "node-1.rack2.example"),
        (validation.host_name, "1", "1"),
        (validation.host_name, "a" * 63, "a" * 63),
        (validation.host_name, ".".join(["a" * 49] * 5), ".".join(["a" * 49] * 5)),
        (validation.name, "127.0.0.2-2181-1795366566.859", "127.0.0.2-2181-1795366566.859"),
        (validation.name, "x" * 512, "x" * 512),
        (validation.upload_path, "/peer/file/f-2181", "/peer/file/f-2181"),
        (validation.upload_path, "/", "/"),
        (validation.url, "http://o/x?a=b#c", "http://o/x?a=b#c"),
        (validation.url, "HTTPS://o", "HTTPS://o"),
        (validation.url, "http://u:p@[::1]:8080/", "http://u:p@[::1]:8080/"),
        (validation.url, "http://o/%C3%A4", "http://o/%C3%A4"),
    ],
)
def test_what_may_be(check: Check, value: str, result: str) -> None:
    assert check("field", value) == result


@pytest.mark.parametrize(
    ("check", "value"),
    [
        *((check, "") for check in (validation.required, validation.name, validation.url)),
        *((check, "") for check in (validation.host_name, validation.upload_path)),
        (validation.ip_address, ""),
        (validation.required, " \t\n"),
        *(
            (validation.plain, f"a{text}")
            for text in ("\0", "\t", "\n", "\x1b[2J", "\x7f", "\x9b2J")
        ),
        (validation.ip_address, "0.0.0.0"),
        (validation.ip_address, "::"),
        (validation.ip_address, "::ffff:0.0.0.0"),
        (validation.ip_address, "224.0.0.1"),
        (validation.ip_address, "239.255.255.255"),
        (validation.ip_address, "::ffff:224.0.0.1"),
        (validation.ip_address, "ff02::1"),
        (validation.ip_address, "255.255.255.255"),
        (validation.ip_address, "bad"),
        (validation.ip_address, "fe80::1%eth0"),
        (validation.ip_address, "fe80::1%?q=1"),
        (validation.ip_address, "1.2.3"),
        (validation.ip_address, "1.2.3.256"),
        (validation.ip_address, "01.2.3.4"),
        (validation.ip_address, "1.2.3.4/8"),
        (validation.ip_address, "x" * 5000),
        (validation.host_name, "bad host!"),
        (validation.host_name, "-h"),
        (validation.host_name, "h-"),
        (validation.host_name, "a..b"),
        (validation.host_name, "a."),
        (validation.host_name, "under_score"),
        (validation.host_name, "h\n"),
        (validation.host_name, "a" * 64),
        (validation.host_name, ".".join(["a" * 50] * 5)),
        (validation.name, "two words"),
        (validation.name, "line\n"),
        (validation.name, "\N{LATIN SMALL LETTER A WITH DIAERESIS}"),
        (validation.name, "x" * 513),
        (validation.upload_path, "peer/file"),
        (validation.upload_path, "http://evil/"),
        (validation.upload_path, "/a b"),
        (validation.upload_path, "/a\r\nX: y"),
        (validation.upload_path, "/" + "x" * 2048),
        (validation.url, "o/x"),
        (validation.url, "//o/x"),
        (validation.url, "ftp://o/x"),
        (validation.url, "file:///etc/passwd"),
        (validation.url, "javascript:alert(1)"),
        (validation.url, "http://"),
        (validation.url, "http:///x"),
        (validation.url, "http://:80/"),
        (validation.url, "http://o:port/"),
        (validation.url, "http://o:70000/"),
        (validation.url, "http://[::1/"),
        (validation.url, "http://[x]/"),
        (validation.url, "http://o/two words"),
        (validation.url, "http://o/\r\nX: y"),
        (validation.url, "http://\N{LATIN SMALL LETTER A WITH DIAERESIS}/"),
    ],
)
def test_what_may_not_be(check: Check, value: str) -> None:
    with pytest.raises(BadField) as refused:
        check("field", value)
    assert refused.value.field == "field"
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer x y="},
        {"X-Empty": ""},
        {"X-Tab": "a\tb"},
        {"X-Latin": "\N{LATIN SMALL LETTER A WITH DIAERESIS}"},
        {"X": "v" * (16 * 1024 - 1)},
    ],
)
def test_headers_that_can_be_sent(headers: dict[str, str]) -> None:
    assert validation.headers("headers", headers) == headers


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        ({"": "secret"}, "headers."),
        ({"Bad Name": "secret"}, "headers.Bad Name"),
        ({"Good": "x", "Colon:": "secret"}, "headers.Colon:"),
        ({"X": "secret\r\nEvil: y"}, "headers.X"),
        ({"X": "secret\N{EURO SIGN}"}, "headers.X"),
        ({"X": "secret\0"}, "headers.X"),
        ({"A": "secret" * 1500, "B": "secret" * 1500}, "headers"),
        ({"N" * 5000 + " ": "secret"}, "headers." + "N" * 64),
    ],
)
def test_headers_that_cannot(headers: dict[str, str], field: str) -> None:
    with pytest.raises(BadField) as refused:
        validation.headers("headers", headers)
    assert refused.value.field == field
    assert "secret" not in str(refused.value)


def test_certificates_in_pem() -> None:
    one, other = (trustme.CA().cert_pem.bytes().decode() for _ in range(2))
    key = trustme.CA().private_key_pem.bytes().decode()
    for texts in ([one, other], [one + other], [one, one, other], [f"\N{DRAGON}{one}{key}", other]):
        assert validation.certificates("rootCAs", texts) == (one, other)
    respelled = one.replace("\n", "\r\n  ").replace("\r\n  -----END", "\n-----END")
    for text in (one, one + "x" * 60_000, respelled):
        assert validation.certificates("rootCAs", [text]) == (one,)
    assert validation.certificates("rootCAs", []) == ()


def test_more_certificates_than_a_task_may_have() -> None:
    one = trustme.CA().cert_pem.bytes().decode()
    most = [one, one.ljust(64 * 1024 - len(one))]
    assert validation.certificates("rootCAs", most) == (one,)
    with pytest.raises(BadField) as refused:
        validation.certificates("rootCAs", [*most, " "])
    assert refused.value.field == "rootCAs"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "\0",
        "\N{DRAGON}",
        "-----BEGIN CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ],
)
def test_what_is_no_certificate(text: str) -> None:
    good = trustme.CA().cert_pem.bytes().decode()
    with pytest.raises(BadField) as refused:
        validation.certificates("rootCAs", [good, text])
    assert refused.value.field == "rootCAs[1]"
