"""What is known beforehand of one origin: whom to trust to be it, and who we are to it."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
import trustme

from supernode.core.reasons import Reason
from supernode.origin.errors import OriginError
from supernode.origin.http import OriginClient
from supernode.origin.sites import Site
from supernode.origin.trust import USUAL, Trust
from tests.integration.scripted_origin import LOOPBACK, ScriptedOrigin, answer, redirect

PATH = "/f"


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca(authority: trustme.CA, tmp_path: Path) -> Path:
    return written(authority, tmp_path / "ca.pem")


def written(authority: trustme.CA, path: Path) -> Path:
    authority.cert_pem.write_to_path(str(path))
    return path


class Certified:
    """Our certificate and key as files."""

    def __init__(self, authority: trustme.CA, directory: Path) -> None:
        leaf = authority.issue_cert("us.test")
        self.cert, self.key = directory / "us.crt", directory / "us.key"
        leaf.cert_chain_pems[0].write_to_path(str(self.cert))
        leaf.private_key_pem.write_to_path(str(self.key))


async def start(
    nursery: trio.Nursery, authority: trustme.CA, *, asks_who: trustme.CA | None = None
) -> ScriptedOrigin:
    """Start an origin; it may ask who its clients are."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    if asks_who is not None:
        asks_who.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    origin = ScriptedOrigin()
    origin.answers[PATH] = answer(200, b"x")
    await nursery.start(partial(origin.run, "127.0.0.1", context))
    return origin


@pytest.fixture
async def origin(nursery: trio.Nursery, authority: trustme.CA) -> ScriptedOrigin:
    return await start(nursery, authority)


def https(origin: ScriptedOrigin) -> str:
    return origin.url(PATH, scheme="https")


@asynccontextmanager
async def client(**sites: Site) -> AsyncIterator[OriginClient]:
    """A client that knows of sites by port: ``_5000``."""
    known = {f"127.0.0.1:{port[1:]}": site for port, site in sites.items()}
    with trio.fail_after(10):
        async with OriginClient(LOOPBACK, sites=known) as client:
            yield client


async def outcome(client: OriginClient, url: str, trust: Trust = USUAL) -> bytes | OriginError:
    """Return the content, or why there is none."""
    try:
        async with client.open(url, {}, trust=trust) as body:
            return b"".join([block async for block in body.chunks()])
    except OriginError as error:
        return error


def reason(outcome: bytes | OriginError) -> Reason:
    assert isinstance(outcome, OriginError)
    return outcome.reason


@pytest.mark.parametrize("insecure", [True, False])
async def test_trust_is_for_one_host_and_port(
    nursery: trio.Nursery, origin: ScriptedOrigin, authority: trustme.CA, ca: Path, insecure: bool
) -> None:
    another = await start(nursery, authority)
    site = Site(insecure=True) if insecure else Site(ca=ca)
    async with client(**{f"_{origin.port}": site}) as knowing:
        assert await outcome(knowing, https(origin)) == b"x"
        assert reason(await outcome(knowing, https(another))) is Reason.ORIGIN_TLS
        # … even if the one leads to the other.
        origin.answers[PATH] = redirect(https(another))
        assert reason(await outcome(knowing, https(origin))) is Reason.ORIGIN_TLS
        another.answers[PATH] = redirect(https(origin))
        origin.answers[PATH] = answer(200, b"y")
        assert await outcome(knowing, https(another), Trust(insecure=True)) == b"y"


async def test_the_systems_and_the_tasks_own_authorities_still_count(
    origin: ScriptedOrigin, authority: trustme.CA, tmp_path: Path
) -> None:
    other = Site(ca=written(trustme.CA(), tmp_path / "other.pem"))
    pem = authority.cert_pem.bytes().decode()
    async with client(**{f"_{origin.port}": other}) as knowing:
        assert reason(await outcome(knowing, https(origin))) is Reason.ORIGIN_TLS
        assert await outcome(knowing, https(origin), Trust(root_cas=(pem,))) == b"x"
        assert await outcome(knowing, https(origin), Trust(insecure=True)) == b"x"


async def test_we_say_who_we_are_to_whom_it_is_for(
    nursery: trio.Nursery, authority: trustme.CA, ca: Path, tmp_path: Path
) -> None:
    ours = trustme.CA()
    us = Certified(ours, tmp_path)
    origin = await start(nursery, authority, asks_who=ours)
    another = await start(nursery, authority, asks_who=ours)
    knowing_us = Site(ca=ca, client_cert=us.cert, client_key=us.key)
    async with client(**{f"_{origin.port}": knowing_us, f"_{another.port}": Site(ca=ca)}) as we:
        assert await outcome(we, https(origin)) == b"x"
        assert isinstance(await outcome(we, https(another)), OriginError)
        origin.answers[PATH] = redirect(https(another))
        assert isinstance(await outcome(we, https(origin)), OriginError)
    assert another.asked == []


async def test_files_are_read_again_when_they_change(
    nursery: trio.Nursery, origin: ScriptedOrigin, authority: trustme.CA, tmp_path: Path
) -> None:
    file = tmp_path / "ca.pem"
    async with client(**{f"_{origin.port}": Site(ca=file)}) as knowing:
        missing = await outcome(knowing, https(origin))
        assert reason(missing) is Reason.SETTING_UNUSABLE
        assert isinstance(missing, OriginError)
        assert missing.detail == f"{file}: No such file or directory"
        written(trustme.CA(), file)
        assert reason(await outcome(knowing, https(origin))) is Reason.ORIGIN_TLS
        written(authority, tmp_path / "new").replace(file)
        assert await outcome(knowing, https(origin)) == b"x"
        file.write_text("half of it")
        assert reason(await outcome(knowing, https(origin))) is Reason.SETTING_UNUSABLE
        file.write_bytes(b"\xff")
        assert reason(await outcome(knowing, https(origin))) is Reason.SETTING_UNUSABLE
        written(authority, file)
        assert await outcome(knowing, https(origin)) == b"x"


async def test_certificate_and_key_have_to_belong_together(
    origin: ScriptedOrigin, authority: trustme.CA, tmp_path: Path
) -> None:
    us, other = Certified(authority, tmp_path), tmp_path / "other"
    other.mkdir()
    them = Certified(authority, other)
    for key, problem in (
        (them.key, f"{them.key}: it is not the key of {us.cert}"),
        (us.cert, f"{us.cert}: with {us.cert} it makes no certificate and key"),
    ):
        site = Site(insecure=True, client_cert=us.cert, client_key=key)
        async with client(**{f"_{origin.port}": site}) as knowing:
            found = await outcome(knowing, https(origin))
            assert reason(found) is Reason.SETTING_UNUSABLE
            assert isinstance(found, OriginError)
            assert found.detail.startswith(problem)
    assert origin.connections == 0
