"""Who is shown which credentials: the caller's first, then ours, nobody whom they are not for."""

import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trustme

from supernode.core.reasons import Reason
from supernode.origin.errors import OriginError
from supernode.origin.http import OriginClient
from supernode.origin.policy import OriginPolicy
from supernode.origin.sites import Site
from supernode.registry import client as client_module
from supernode.registry.accounts import KnownRegistry
from supernode.registry.admission import MOST_OFFERS
from supernode.registry.client import Registries
from tests.images import config, layer, manifest
from tests.integration.http_stub import StubRequest
from tests.integration.scripted_origin import LOOPBACK
from tests.integration.scripted_registry import (
    Reply,
    ScriptedRegistry,
    ScriptedTokens,
    leading,
    refusal,
    scripted_registry,
    scripted_tokens,
    served,
)

NAME = "library/app"
ONE = manifest(config(), [layer("one")])
TOKEN = "s3cret-token"
QUOTED_SCOPE = "repository%3Alibrary%2Fapp%3Apull"


def basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


OURS, THEIRS = basic("robot", "s3cret:pass"), basic("caller", "s3cret-too")
KNOWN = KnownRegistry(username="robot", password="s3cret:pass", plain_http=True)


@pytest.fixture
async def registry() -> AsyncIterator[ScriptedRegistry]:
    async with scripted_registry() as scripted:
        scripted.manifest(NAME, "v1", ONE)
        scripted.blob(NAME, layer("one"))
        yield scripted


@pytest.fixture
async def tokens(registry: ScriptedRegistry) -> AsyncIterator[ScriptedTokens]:
    """Whose last token the registry wants."""
    async with scripted_tokens() as scripted:
        registry.guard = scripted.guards
        yield scripted


class Asking:
    """Somebody who wants an image.

    Args:
        known: what is configured for the registry.
    """

    def __init__(
        self, registry: ScriptedRegistry, origin: OriginClient, known: KnownRegistry | None
    ) -> None:
        place = registry.url.partition("://")[2]
        self._registries = Registries(origin, {} if known is None else {place: known})
        self._origin = origin
        self.blob_url = f"{registry.url}/v2/{NAME}/blobs/{layer('one').digest}"
        self.manifest_url = f"{registry.url}/v2/{NAME}/manifests/v1"

    async def image(self, authorization: str = "", **headers: str) -> None:
        """Ask for the image."""
        if authorization:
            headers["AUTHORIZATION"] = authorization
        reference = self._registries.parse(self.manifest_url)
        found = await self._registries.image(reference, headers=headers)
        assert found.digest == ONE.digest

    async def refused(self, authorization: str = "") -> OriginError:
        """Return why the image is not to be had; nothing secret is told."""
        with pytest.raises(OriginError) as caught:
            await self.image(authorization)
        assert "s3cret" not in str(caught.value)
        assert "robot" not in str(caught.value)
        return caught.value

    async def blob_headers(self, **headers: str) -> dict[str, str]:
        """Return by which headers the blob is to be had."""
        return await self._registries.headers_for(self.blob_url, headers)

    async def blob(self, **headers: str) -> bytes:
        """Fetch the blob."""
        admitted = await self.blob_headers(**headers)
        async with self._origin.open(self.blob_url, admitted) as body:
            return b"".join([block async for block in body.chunks()])


@asynccontextmanager
async def asking(
    registry: ScriptedRegistry,
    known: KnownRegistry | None = KNOWN,
    policy: OriginPolicy = LOOPBACK,
    sites: Mapping[str, Site] | None = None,
) -> AsyncIterator[Asking]:
    with trio.fail_after(20):
        async with OriginClient(policy, sites=sites) as origin:
            yield Asking(registry, origin, known)


# Whose credentials


async def test_the_requests_headers_are_tried_first(
    registry: ScriptedRegistry, tokens: ScriptedTokens
) -> None:
    tokens.granted.append("callers")
    async with asking(registry) as client:
        await client.image("Bearer callers")
        assert await client.blob_headers(Authorization="Bearer callers", X="y") == {
            "Authorization": "Bearer callers",
            "X": "y",
        }
    assert registry.authorizations == ["Bearer callers"] * 2
    assert tokens.asked == []


@pytest.mark.parametrize("given", ["", "Bearer expired"])
async def test_ours_are_tried_if_the_registry_refuses_those(
    registry: ScriptedRegistry, tokens: ScriptedTokens, given: str
) -> None:
    tokens.wants = OURS
    async with asking(registry) as client:
        await client.image(given)
    assert registry.authorizations == [given or None, "Bearer token-0"]
    (asked,) = tokens.asked
    assert asked.target == f"/token?service=a%2C+b&scope={QUOTED_SCOPE}"


async def test_a_user_in_the_request_is_who_asks_for_a_token(
    registry: ScriptedRegistry, tokens: ScriptedTokens
) -> None:
    tokens.wants = THEIRS
    async with asking(registry) as client:
        await client.image(THEIRS)
        assert [asked.headers["authorization"] for asked in tokens.asked] == [THEIRS]
        tokens.wants = OURS
        tokens.granted.append("another")
        await client.image(THEIRS)
    shown = [asked.headers["authorization"] for asked in tokens.asked]
    assert shown[-2:] == [THEIRS, OURS]


async def test_a_registry_may_want_the_password_itself(registry: ScriptedRegistry) -> None:
    def guard(request: StubRequest) -> Reply | None:
        accepted = request.headers.get("authorization") == OURS
        return None if accepted else refusal('Negotiate, Basic realm="a, b"', "NTLM")

    registry.guard = guard
    async with asking(registry) as client:
        await client.image()
        assert await client.blob_headers(authorization="Bearer x", X="y") == {
            "Authorization": OURS,
            "X": "y",
        }
    assert registry.authorizations == [None, OURS, "Bearer x", OURS]


async def test_nobodys_token_is_asked_for_if_there_is_nobody(
    registry: ScriptedRegistry, tokens: ScriptedTokens
) -> None:
    async with asking(registry, None) as client:
        await client.image()
    (asked,) = tokens.asked
    assert "authorization" not in asked.headers


async def test_a_403_says_nothing_of_what_is_wanted_so_it_is_asked_for(
    registry: ScriptedRegistry, tokens: ScriptedTokens
) -> None:
    def guard(request: StubRequest) -> Reply | None:
        if request.headers.get("authorization") == "Bearer narrow":
            return Reply(403)
        return tokens.guards(request)

    registry.guard = guard
    async with asking(registry) as client:
        await client.image("Bearer narrow")
        assert registry.authorizations == ["Bearer narrow", None, "Bearer token-0"]
        registry.guard = lambda asked: Reply(403) if "authorization" in asked.headers else None
        await client.image("Bearer narrow")  # it is everybody's
        assert await client.blob_headers(Authorization="Bearer narrow") == {}


async def test_scopes_are_as_the_registry_says(
    registry: ScriptedRegistry, tokens: ScriptedTokens
) -> None:
    challenge = tokens.challenge("repository:a:pull repository:b/c:pull,push")
    registry.guard = lambda asked: tokens.guards(asked) and refusal(challenge)
    async with asking(registry) as client:
        await client.image()
    (asked,) = tokens.asked
    assert "&scope=repository%3Aa%3Apull&scope=repository%3Ab%2Fc%3Apull%2Cpush" in asked.target


async def test_an_identity_token_is_posted(
    registry: ScriptedRegistry, tokens: ScriptedTokens
) -> None:
    tokens.called = "access_token"
    known = KnownRegistry(identity_token="s3cret & more", plain_http=True)
    async with asking(registry, known) as client:
        await client.image()
    (asked,) = tokens.asked
    assert (asked.method, asked.target) == ("POST", "/token")
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    assert asked.body.decode() == (
        "grant_type=refresh_token&service=a%2C+b&client_id=supernode"
        f"&scope={QUOTED_SCOPE}&refresh_token=s3cret+%26+more"
    )


async def test_an_identity_token_goes_nowhere_else(registry: ScriptedRegistry) -> None:
    async with scripted_tokens() as other, served(lambda _: leading(other.url)) as moved:
        registry.guard = lambda _: refusal(f'Bearer realm="{moved}/token"')
        known = KnownRegistry(identity_token="s3cret", plain_http=True)
        async with asking(registry, known) as client:
            why = await client.refused()
        assert why.reason is Reason.ORIGIN_REDIRECTS
        assert other.asked == []


# What tokens are like


@pytest.mark.parametrize("called", ["token", "access_token"])
async def test_one_token_does_for_all_who_need_it(
    registry: ScriptedRegistry, tokens: ScriptedTokens, called: str
) -> None:
    tokens.called = called
    async with asking(registry) as client:
        await client.image()
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(client.blob)
    assert len(tokens.asked) == 1


async def test_those_who_need_one_at_the_same_time_ask_once(
    registry: ScriptedRegistry, tokens: ScriptedTokens
) -> None:
    async with asking(registry) as client, trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(client.blob)
    assert len(tokens.asked) == 1


async def test_a_token_that_has_ended_is_not_used(
    registry: ScriptedRegistry, tokens: ScriptedTokens
) -> None:
    tokens.more = {"expires_in": 0}
    async with asking(registry) as client:
        await client.image()
        await client.blob_headers()
    assert "Bearer token-0" not in registry.authorizations[2:]
    assert len(tokens.asked) > 1


async def test_a_token_that_was_taken_back_is_replaced(
    registry: ScriptedRegistry, tokens: ScriptedTokens
) -> None:
    async with asking(registry) as client:
        await client.image()
        tokens.granted.append("since then another")
        assert await client.blob() == layer("one").data
    assert registry.authorizations[2:4] == [None, "Bearer token-0"]
    assert len(tokens.asked) == 2


@pytest.mark.parametrize(
    "said", [b"", b"[]", b"{}", b"<html>", b'{"token": 3}', b'{"token": "a\\nb"}', b'{"token": ""}']
)
async def test_an_answer_without_a_token(registry: ScriptedRegistry, said: bytes) -> None:
    async with served(lambda _: Reply(200, said)) as host:
        registry.guard = lambda _: refusal(f'Bearer realm="{host}/token?x=s3cret"')
        async with asking(registry) as client:
            why = await client.refused()
    assert why.reason is Reason.ORIGIN_BROKEN
    assert why.detail == f"{host}/token: no token in its answer"


async def test_a_token_service_that_fails(registry: ScriptedRegistry) -> None:
    async with served(lambda _: Reply(503)) as host:
        registry.guard = lambda _: refusal(f'Bearer realm="{host}/token"')
        async with asking(registry) as client:
            why = await client.refused()
    assert (why.reason, why.may_pass) == (Reason.ORIGIN_STATUS, True)


async def test_the_realm_may_have_a_query_of_its_own(
    registry: ScriptedRegistry, tokens: ScriptedTokens
) -> None:
    tokens.url += "?account=x"
    async with asking(registry) as client:
        await client.image()
    assert tokens.asked[0].target.startswith("/token?account=x&service=")


# Nobody is good enough


async def test_what_is_said_if_nothing_is_configured(registry: ScriptedRegistry) -> None:
    registry.guard = lambda _: refusal('Basic realm="x"')
    place = registry.url.partition("://")[2]
    async with asking(registry, None) as client:
        for given, words in (
            ("", "without credentials"),
            ("Bearer s3cret", "with the request's headers"),
            (THEIRS, "with the request's headers, with the request's credentials"),
        ):
            why = await client.refused(given)
            assert why.reason is Reason.ORIGIN_AUTH
            assert why.detail == (
                f"401 (UNAUTHORIZED) from {client.manifest_url}, asked {words}, "
                f"and none are configured for {place}"
            )
            with pytest.raises(OriginError) as caught:
                await client.blob_headers()
            assert caught.value.reason is Reason.ORIGIN_AUTH


async def test_what_is_said_if_ours_are_refused(
    registry: ScriptedRegistry, tokens: ScriptedTokens
) -> None:
    registry.guard = lambda _: refusal('Basic realm="x"')
    async with asking(registry) as client:
        why = await client.refused()
        assert why.detail.endswith("asked without credentials, with the configured credentials")
        tokens.wants = "something else"
        registry.guard = lambda _: refusal(tokens.challenge())
        why = await client.refused()
        assert why.detail.endswith(
            "asked without credentials, with a token for the configured credentials "
            f"(401 from {tokens.url}, which gives these credentials no token)"
        )
        tokens.wants = None
        registry.guard = lambda _: refusal(tokens.challenge(), status=403)
        why = await client.refused()
        assert why.detail.startswith("403 (UNAUTHORIZED) from")
        assert why.detail.endswith("with a token for the configured credentials")
        assert len(tokens.asked) == 3  # and not for ever


@pytest.mark.parametrize(
    "challenge", ["Negotiate", "Bearer", 'Bearer realm="/token"', "Bearer realm=x://y", "x y z", ""]
)
async def test_a_challenge_that_cannot_be_met(registry: ScriptedRegistry, challenge: str) -> None:
    registry.guard = lambda _: refusal(challenge)
    async with asking(registry) as client:
        assert (await client.refused()).reason is Reason.ORIGIN_AUTH


async def test_a_registry_cannot_send_us_to_everybody(
    registry: ScriptedRegistry, tokens: ScriptedTokens
) -> None:
    realms = [f'Bearer realm="{tokens.url}/{n}"' for n in range(100)]
    registry.guard = lambda _: refusal(", ".join(realms))
    async with asking(registry) as client:
        assert (await client.refused()).reason is Reason.ORIGIN_AUTH
    assert {asked.target.partition("?")[0] for asked in tokens.asked} == {
        f"/token/{n}" for n in range(MOST_OFFERS)
    }


# Whom they are not for


async def test_ours_are_not_for_another_registry(
    registry: ScriptedRegistry, tokens: ScriptedTokens
) -> None:
    async with scripted_registry() as other:
        other.guard = lambda _: refusal('Basic realm="x"', tokens.challenge())
        other.manifest(NAME, "v1", ONE)
        async with asking(registry) as client:
            client.manifest_url = other.manifest(NAME, "v1", ONE)
            await client.refused()
        assert set(other.authorizations) == {None, "Bearer token-0", "Bearer token-1"}
    assert not any("authorization" in asked.headers for asked in tokens.asked)


async def test_ours_are_not_for_everybody_on_the_way(registry: ScriptedRegistry) -> None:
    registry.guard = lambda _: refusal('Basic realm="x"')
    known = KnownRegistry(username="robot", password="s3cret")
    async with asking(registry, known) as client:
        why = await client.refused()
    assert why.reason is Reason.ORIGIN_AUTH
    assert registry.authorizations == [None]


async def test_ours_are_not_for_whom_the_registry_leads_to(registry: ScriptedRegistry) -> None:
    async with scripted_registry() as other:
        other.guard = lambda _: refusal('Basic realm="x"', f'Bearer realm="{other.url}/token"')
        registry.guard = lambda _: leading(other.manifest(NAME, "v1", ONE))
        async with asking(registry) as client:
            why = await client.refused("Bearer callers")
        assert why.reason is Reason.ORIGIN_AUTH
        assert set(other.authorizations) == {None}


async def test_ours_are_not_for_a_token_service_without_tls() -> None:
    authority = trustme.CA()
    async with scripted_registry(authority) as registry, scripted_tokens() as tokens:
        registry.manifest(NAME, "v1", ONE)
        registry.guard = tokens.guards
        place = registry.url.partition("://")[2]
        known = KnownRegistry(username="robot", password="s3cret")
        trusted = {place: Site(insecure=True)}
        async with asking(registry, known, sites=trusted) as client:
            why = await client.refused()
            assert why.reason is Reason.ORIGIN_AUTH
            assert "its token service is not under TLS, so it is not told who we are" in why.detail
            assert tokens.asked == []
        async with asking(registry, None, sites=trusted) as client:
            await client.image()  # there is nothing to be told


async def test_a_token_service_has_to_be_one_that_may_be_contacted(
    registry: ScriptedRegistry,
) -> None:
    registry.guard = lambda _: refusal('Bearer realm="http://169.254.169.254/token"')
    async with asking(registry) as client:
        why = await client.refused()
    assert why.reason is Reason.URL_FORBIDDEN


async def test_an_object_store_is_shown_nothing(
    registry: ScriptedRegistry, tokens: ScriptedTokens
) -> None:
    async with scripted_registry() as store:
        where = store.blob("bucket", layer("one")) + "?signature=x"
        store.replies[where.removeprefix(store.url)] = Reply(200, layer("one").data)
        registry.replies[f"/v2/{NAME}/blobs/{layer('one').digest}"] = leading(where)
        async with asking(registry) as client:
            assert await client.blob(Cookie="s3cret") == layer("one").data
        (asked,) = store.asked  # it is not asked for heads, either: it has signed for a GET
        assert asked.method == "GET"
        assert not {"authorization", "cookie"} & set(asked.headers)


# The rest


async def test_files_are_read_again(
    registry: ScriptedRegistry, tokens: ScriptedTokens, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    known = KnownRegistry(username="robot", password_file=file, plain_http=True)
    async with asking(registry, known) as client:
        why = await client.refused()
        assert why.reason is Reason.SETTING_UNUSABLE
        assert why.detail == f"{file}: No such file or directory"
        for password in ("first", "second"):
            file.write_text(f"{password}\n")
            tokens.wants = basic("robot", password)
            tokens.granted.append("taken back")
            await client.image()


async def test_what_a_head_is_good_for(registry: ScriptedRegistry) -> None:
    async with asking(registry) as client:
        for status in (200, 204, 307, 404, 405, 500):
            registry.guard = lambda _, status=status: Reply(status)  # type: ignore[misc]  # a default
            assert await client.blob_headers(X="y") == {"X": "y"}
    assert {asked.method for asked in registry.asked} == {"HEAD"}


async def test_there_is_a_limit_to_getting_admitted(
    registry: ScriptedRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "ADMISSION_SECONDS", 0.3)
    async with served(lambda _: None) as silent:
        registry.guard = lambda _: refusal(f'Bearer realm="{silent}/token"')
        async with asking(registry) as client:
            with pytest.raises(OriginError) as caught:
                await client.blob_headers()
            assert (caught.value.reason, caught.value.may_pass) == (Reason.ORIGIN_TIMEOUT, True)


async def test_what_is_no_blob_is_not_asked_about(registry: ScriptedRegistry) -> None:
    async with asking(registry) as client:
        client.blob_url = f"{registry.url}/file"
        assert await client.blob_headers(Authorization="x") == {"Authorization": "x"}
    assert registry.asked == []


async def test_what_is_kept_tells_no_secrets() -> None:
    known = KnownRegistry(username="robot", password="s3cret", identity_token="s3cret")
    account = await known.account()
    assert "s3cret" not in repr((known, account))
