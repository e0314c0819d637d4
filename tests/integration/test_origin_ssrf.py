"""Ways to have us fetch what we must not, tried on the real client: none gets as far as connecting.

Every name resolves to loopback here, as an attacker's would. So an URL of the corpus that is read
as any name at all, by whatever reading, ends at the policy or is refused as it stands.
"""

import socket
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from supernode.core.reasons import Reason
from supernode.origin.errors import OriginError
from supernode.origin.http import OriginClient
from supernode.origin.policy import OriginPolicy, Rule
from tests.integration.scripted_origin import ScriptedOrigin, answer, failure, fetch, redirect

LITERALS = [
    # Loopback, spelled out.
    "http://127.0.0.1/",
    "http://127.0.0.1:8002/",
    "https://127.0.0.1/",
    "HTTP://127.0.0.1/",
    "http://127.8.8.8/",
    "http://localhost/",
    "http://LocalHost/",
    "http://localhost./",
    "http://a.localhost/",
    "http://localhost.localdomain/",
    "http://ip6-localhost/",
    "http://0.0.0.0/",
    "http://0/",
    # As the C library also reads addresses.
    "http://127.1/",
    "http://127.0.1/",
    "http://2130706433/",
    "http://017700000001/",
    "http://0x7f000001/",
    "http://0X7F000001/",
    "http://0x7f.1/",
    "http://0x7f.0x0.0x0.0x1/",
    "http://0177.1/",
    "http://0177.0x0.1/",
    "http://127.0.0.1./",
    "http://127.1./",
    # With other digits and dots.
    "http://127。0。0。1/",
    "http://127\uff0e0\uff0e0\uff0e1/",
    "http://127｡0｡0｡1/",
    # In IPv6.
    "http://[::1]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[0000::0001]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::FFFF:7F00:1]/",
    "http://[0:0:0:0:0:ffff:127.0.0.1]/",
    "http://[::ffff:0:127.0.0.1]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::127.0.0.1]/",
    "http://[64:ff9b:1::127.0.0.1]/",
    "http://[64:ff9b:1:7f00:0:100::]/",
    "http://[2002:7f00:1::]/",
    "http://[2002:7f00:0001:0:0:0:0:1]/",
    "http://[2001:0:4136:e378:8000:63bf:80ff:fffe]/",
    "http://[2001:db8::5efe:7f00:1]/",
    # Metadata services.
    "http://169.254.169.254/latest/meta-data/",
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://0xa9.254.0251.254/",
    "http://169.254.43518/",
    "http://[::ffff:169.254.169.254]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://[fd00:ec2::23]/",
    "http://[fd00:0ec2:1::1]/",
    "http://[fd00:42::42]/conf",
    "http://[fd20:ce::254]/",
    "http://100.100.100.200/",
    "http://168.63.129.16/",
    # This link, and everybody.
    "http://[fe80::1]/",
    "http://224.0.0.1/",
    "http://[ff02::1]/",
    "http://255.255.255.255/",
    "http://4294967295/",
    # What looks like another host.
    "http://good.test@127.0.0.1/",
    "http://good.test:80@127.0.0.1/",
    "http://good.test%40127.0.0.1@127.0.0.1/",
    "http://a@b@127.0.0.1/",
    "http://127.0.0.1#@good.test/",
    "http://127.0.0.1?@good.test/",
    "http://127.0.0.1/@good.test/",
    "http://127.0.0.1;good.test@127.0.0.1/",
]
MALFORMED = [
    "http://\uff11\uff12\uff17.0.0.1/",
    "http://①②⑦.⓪.⓪.①/",
    "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/",
    "http://localho\u017ft/",
    "http://local\u00adhost/",
    "http://local\u200bhost/",
    "http://127%2e0%2e0%2e1/",
    "http://%31%32%37.0.0.1/",
    "http://loc%61lhost/",
    "http://%5b::1%5d/",
    "http://127.0.0.1%00.good.test/",
    "http://127.0.0.1%0d%0a/",
    "http://good.test\\@127.0.0.1/",
    "http://127.0.0.1\\@good.test/",
    "http://127.0.0.1\\.good.test/",
    "http:\\\\127.0.0.1/",
    "http:127.0.0.1/",
    "http:/127.0.0.1/",
    "http:///127.0.0.1/",
    "http:////127.0.0.1/",
    "//127.0.0.1/",
    "127.0.0.1",
    "http://127.0.0.1:80:80/",
    "http://[::1/",
    "http://::1/",
    "http://[::1]good.test/",
    "http://[::1%25lo]/",
    "http://[::1%lo]/",
    "http://[fe80::1%25eth0]/",
    "http://[v1.127]/",
    "http://0177.0.0.01/",
    "http://0127.0.0.1/",
    "http://127.0.0.256/",
    "http://127.0.0.1\t/",
    "http://127.0.0.1\r\nHost: good.test/",
    "http://127.0.0.1\n.good.test/",
    "http://127.0.0.1\x00.good.test/",
    " http://127.0.0.1/",
    "\thttp://127.0.0.1/",
    "http:// 127.0.0.1/",
    "http://127.0.0.1 /",
    "http://127.0.0.1 good.test/",
    "http://127.0.0.1,good.test/",
    "http://{127.0.0.1}/",
    "http://`127.0.0.1`/",
    "http://$(hostname)/",
    "file:///etc/passwd",
    "file://127.0.0.1/etc/passwd",
    "gopher://127.0.0.1:70/",
    "ftp://127.0.0.1/",
    "dict://127.0.0.1:11211/",
    "ws://127.0.0.1/",
    "unix:///run/docker.sock",
    "http+unix://%2frun%2fdocker.sock/",
    "jar:http://127.0.0.1!/",
    "view-source:http://127.0.0.1/",
    "data:text/plain,x",
    "javascript:alert(1)",
    "url:http://127.0.0.1/",
]
ONLY_NAMES = [
    # Each is a name like any other until it is resolved.
    "http://good.test/",
    "http://127.0.0.1.good.test/",
    "http://127-0-0-1.good.test/",
    "http://127.0.0.1.1/",
    "http://0x7f.0.0.1.1/",
    "http://4294967297/",
    "http://9999999999/",
    "http://0x17f000001/",
    "http://00000000000000000000000000000177.1.x/",
    "http://_127._0._0._1/",
    "http://xn--localhost-/",
    "http://localhost.good.test/",
    "http://localhostt/",
    "http://metadata.google.internal/",
    "http://good.test./",
    "http://good.test:080/",
    "http://127.0.0.1%2f@good.test/",
]


class AtLoopback(trio.abc.HostnameResolver):
    """Resolves every name to both loopback addresses."""

    async def getaddrinfo(
        self,
        host: bytes | None,
        port: bytes | str | int | None,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::ffff:127.0.0.1", port, 0, 0)),
        ]

    async def getnameinfo(
        self, sockaddr: tuple[str, int] | tuple[str, int, int, int], flags: int
    ) -> tuple[str, str]:
        raise NotImplementedError


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Addresses that somebody tried to connect to; nobody gets through."""
    addresses: list[object] = []

    async def connect(_: object, address: object) -> None:
        addresses.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr("trio._socket._SocketType.connect", connect)
    return addresses


@pytest.fixture
async def client() -> AsyncIterator[OriginClient]:
    trio.socket.set_custom_hostname_resolver(AtLoopback())
    async with OriginClient(OriginPolicy()) as opened:
        yield opened


async def test_the_fixture_would_notice(dialled: list[object]) -> None:
    policy = OriginPolicy(allow=[Rule.parse("127.0.0.0/8")])
    async with OriginClient(policy) as client:
        assert (await failure(client, "http://127.1:81/")).reason is Reason.ORIGIN_REFUSED
    assert dialled == [("127.0.0.1", 81)]


@pytest.mark.parametrize("url", LITERALS)
async def test_a_forbidden_address(client: OriginClient, dialled: list[object], url: str) -> None:
    error = await failure(client, url)
    assert (error.reason, dialled) == (Reason.URL_FORBIDDEN, [])
    assert OriginPolicy().forbids_url(url) is not None


@pytest.mark.parametrize("url", MALFORMED)
async def test_what_is_no_url(client: OriginClient, dialled: list[object], url: str) -> None:
    error = await failure(client, url)
    assert (error.reason, dialled) == (Reason.URL_INVALID, [])
    assert OriginPolicy().forbids_url(url) is not None


@pytest.mark.parametrize("url", ONLY_NAMES)
async def test_a_name_of_a_forbidden_address(
    client: OriginClient, dialled: list[object], url: str
) -> None:
    error = await failure(client, url)
    assert (error.reason, dialled) == (Reason.URL_FORBIDDEN, [])
    assert OriginPolicy().forbids_url(url) is None


async def test_every_one_of_them_as_a_redirect(nursery: trio.Nursery) -> None:
    """Wherever an origin sends us, we stay with it or do not go."""
    trio.socket.set_custom_hostname_resolver(AtLoopback())
    origin, inside = ScriptedOrigin(), ScriptedOrigin()
    await nursery.start(origin.run, "127.0.0.2")
    await nursery.start(inside.run, "127.0.0.1")
    stayed = answer(200, b"stayed")
    ends: set[bytes | Reason] = set()
    async with OriginClient(OriginPolicy(allow=[Rule.parse("127.0.0.2")])) as client:
        for url in filter(str.isprintable, LITERALS + MALFORMED + ONLY_NAMES):
            aimed = url.replace("127.0.0.1/", f"127.0.0.1:{inside.port}/")
            origin.answers = defaultdict(lambda: stayed, {"/start": redirect(aimed)})
            try:
                ends.add(await fetch(client, origin.url("/start", host="127.0.0.2")))
            except OriginError as error:
                ends.add(error.reason)
    assert ends == {b"stayed", Reason.URL_FORBIDDEN, Reason.URL_INVALID}
    assert inside.connections == 0
