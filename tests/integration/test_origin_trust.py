"""Whom one fetch trusts, beside what the others do."""

import datetime
import ssl
from functools import partial

import pytest
import trio
import trustme

from supernode.core.reasons import Reason
from supernode.origin.errors import OriginError
from supernode.origin.http import OriginClient
from supernode.origin.trust import MAX_CONTEXTS, TlsContexts, Trust, root_certificates
from tests.integration.scripted_origin import LOOPBACK, ScriptedOrigin, answer, names, redirect


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def pem(authority: trustme.CA) -> str:
    return authority.cert_pem.bytes().decode()


async def serve(
    nursery: trio.Nursery, certificate: trustme.LeafCert, host: str = "127.0.0.1"
) -> ScriptedOrigin:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    scripted = ScriptedOrigin()
    scripted.answers["/f"] = answer(200, b"x")
    await nursery.start(partial(scripted.run, host, context))
    return scripted


@pytest.fixture
async def origin(nursery: trio.Nursery, authority: trustme.CA) -> ScriptedOrigin:
    names(origin_test=[["127.0.0.1"]], other_test=[["127.0.0.1"]])
    return await serve(nursery, authority.issue_cert("origin.test"))


async def outcome(client: OriginClient, url: str, trust: Trust) -> bytes | Reason:
    """Return the content, or why there is none."""
    try:
        with trio.fail_after(10):
            async with client.open(url, {}, trust=trust) as body:
                return b"".join([block async for block in body.chunks()])
    except OriginError as error:
        return error.reason


async def test_a_tasks_own_authority_counts_for_it_only(origin: ScriptedOrigin, pem: str) -> None:
    url = origin.url("/f", host="origin.test", scheme="https")
    async with OriginClient(LOOPBACK) as client:
        assert await outcome(client, url, Trust()) is Reason.ORIGIN_TLS
        assert await outcome(client, url, Trust(root_cas=(pem,))) == b"x"
        assert await outcome(client, url, Trust()) is Reason.ORIGIN_TLS
        other = trustme.CA().cert_pem.bytes().decode()
        assert await outcome(client, url, Trust(root_cas=(other,))) is Reason.ORIGIN_TLS
        assert await outcome(client, url, Trust(root_cas=(other, pem))) == b"x"


async def test_a_tasks_own_authority_does_not_excuse_another_name(
    origin: ScriptedOrigin, pem: str
) -> None:
    url = origin.url("/f", host="other.test", scheme="https")
    async with OriginClient(LOOPBACK) as client:
        assert await outcome(client, url, Trust(root_cas=(pem,))) is Reason.ORIGIN_TLS


async def test_insecure_is_for_one_task_only(nursery: trio.Nursery, authority: trustme.CA) -> None:
    names(origin_test=[["127.0.0.1"]])
    expired = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    certificate = authority.issue_cert("elsewhere.test", not_after=expired)
    origin = await serve(nursery, certificate)
    url = origin.url("/f", host="origin.test", scheme="https")
    async with OriginClient(LOOPBACK) as client:
        assert await outcome(client, url, Trust()) is Reason.ORIGIN_TLS
        assert await outcome(client, url, Trust(insecure=True)) == b"x"
        assert await outcome(client, url, Trust()) is Reason.ORIGIN_TLS


async def test_trust_goes_along_with_a_redirect(
    nursery: trio.Nursery, origin: ScriptedOrigin, authority: trustme.CA, pem: str
) -> None:
    second = await serve(nursery, authority.issue_cert("127.0.0.2"), "127.0.0.2")
    origin.answers["/f"] = redirect(second.url("/f", host="127.0.0.2", scheme="https"))
    url = origin.url("/f", host="origin.test", scheme="https")
    async with OriginClient(LOOPBACK) as client:
        assert await outcome(client, url, Trust(root_cas=(pem,))) == b"x"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "é",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    ],
)
async def test_a_root_certificate_that_is_none(origin: ScriptedOrigin, pem: str, text: str) -> None:
    url = origin.url("/f", host="origin.test", scheme="https")
    async with OriginClient(LOOPBACK) as client:
        with pytest.raises(OriginError) as caught:
            async with client.open(url, {}, trust=Trust(root_cas=(pem, text))):
                pass
    assert caught.value.reason is Reason.URL_INVALID
    assert caught.value.detail.startswith("root certificate 1: expected a PEM text")
    assert origin.connections == 0


def test_a_bundle_says_more_than_its_certificates(pem: str) -> None:
    other = trustme.CA().cert_pem.bytes().decode()
    assert len(root_certificates(f"# Autorité\r\n{pem}\n# another\n{other}")) == 2


async def test_what_is_remembered_is_bounded() -> None:
    contexts = TlsContexts()
    first = Trust(insecure=True, root_cas=("first",))
    remembered = await contexts.of(first)
    for n in range(MAX_CONTEXTS - 1):
        await contexts.of(Trust(insecure=True, root_cas=(str(n),)))
    assert await contexts.of(first) is remembered  # and used last from now on
    await contexts.of(Trust(insecure=True, root_cas=("one more",)))
    assert await contexts.of(first) is remembered
    for n in range(MAX_CONTEXTS):
        await contexts.of(Trust(insecure=True, root_cas=(str(n),)))
    assert await contexts.of(first) is not remembered
    assert await contexts.of(Trust()) is contexts.usual
