"""Getting admitted to a repository: with the caller's headers, or else with who we are.

The caller's headers come first. If the registry refuses them, it says by a challenge what it wants
to see. What we then show is for the registry that the configuration names, and for the token
service that this registry itself names, under TLS if it is so itself; for nobody else.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass

from supernode.core.reasons import Reason
from supernode.origin.document import Document
from supernode.origin.errors import OriginError
from supernode.origin.url import checked_url, service_of
from supernode.registry import challenge
from supernode.registry.accounts import Account, KnownRegistry, authorization_of, authorized
from supernode.registry.challenge import Challenge
from supernode.registry.complaint import complaint
from supernode.registry.reference import Repository
from supernode.registry.tokens import Grant, Tokens

Send = Callable[[Mapping[str, str]], Awaitable[Document]]
"""Sends a request with these headers."""

REFUSALS = (401, 403)
MOST_OFFERS = 4
"""So many challenges of a registry are met, lest it send us to everybody it likes."""


class Admission:
    """One caller's way into one repository. What has been good enough once is shown first.

    Args:
        tokens: where tokens come from.
        known: what is configured for the registry.
        repository: which one.
        headers: the caller's.
    """

    def __init__(
        self,
        tokens: Tokens,
        known: KnownRegistry,
        repository: Repository,
        headers: Mapping[str, str],
    ) -> None:
        self._tokens = tokens
        self._known = known
        self._repository = repository
        self._registry = checked_url(repository.base)
        self._headers = headers
        self._login: _Login = _AS_GIVEN

    async def headers(self) -> dict[str, str]:
        """Return what is good enough, as far as is known.

        Raises:
            OriginError: no token is to be had.
        """
        return await self._headers_of(self._login)

    async def ask(self, send: Send) -> Document:
        """Return what the registry answers to whom it admits.

        Raises:
            OriginError: ORIGIN_AUTH: it admits neither the caller nor us; SETTING_UNUSABLE; or
                whatever comes of sending.
        """
        answer = await send(await self.headers())
        if answer.status in REFUSALS and self._login is not _AS_GIVEN:
            self._forget(self._login)  # it is good enough no longer
            self._login = _AS_GIVEN
            answer = await send(self._headers)
        if answer.status not in REFUSALS:
            return answer
        tried = ["with the request's headers" if self._given else "without credentials"]
        if self._given and not self._offers(answer):
            answer = await send(await self._headers_of(_ANONYMOUS))
            tried.append("without them")
            if answer.status not in REFUSALS:
                self._login = _ANONYMOUS
                return answer
        accounts = await self._accounts()
        for login in self._logins(answer, accounts, tried):
            tried.append(login.words)
            again = await self._answer_to(login, send, tried)
            if again is not None:
                self._login = login
                return again
        if not any(who.is_configured for who in accounts):
            tried.append(f"and none are configured for {service_of(self._registry)}")
        said = complaint(answer.content)
        problem = f"{answer.status}{said} from {answer.place}, asked {', '.join(tried)}"
        raise OriginError(Reason.ORIGIN_AUTH, problem)

    @property
    def _given(self) -> str:
        return authorization_of(self._headers)

    async def _headers_of(self, login: "_Login") -> dict[str, str]:
        if login.grant is not None:
            return authorized(self._headers, f"Bearer {await self._tokens.of(login.grant)}")
        if login.authorization is not None:
            return authorized(self._headers, login.authorization)
        return dict(self._headers)

    async def _answer_to(self, login: "_Login", send: Send, tried: list[str]) -> Document | None:
        """Return what the registry answers to who shows this; None: it refuses."""
        for _ in range(2 if login.grant else 1):  # a token that we kept may be good no longer
            try:
                headers = await self._headers_of(login)
            except OriginError as error:
                if error.reason is not Reason.ORIGIN_AUTH:
                    raise
                tried[-1] += f" ({error.detail})"
                return None
            answer = await send(headers)
            if answer.status not in REFUSALS:
                return answer
            self._forget(login)
        return None

    def _forget(self, login: "_Login") -> None:
        if login.grant is not None:
            self._tokens.forget(login.grant)

    async def _accounts(self) -> "list[_Whose]":
        """Return who may be shown to be asking, the caller first."""
        callers, ours = Account.of_header(self._given), await self._known.account()
        accounts = []
        if callers is not None:
            accounts.append(_Whose(callers, "the request's credentials"))
        if ours is not None:
            accounts.append(_Whose(ours, "the configured credentials", is_configured=True))
        return accounts

    def _logins(
        self, answer: Document, accounts: "list[_Whose]", tried: list[str]
    ) -> "Iterator[_Login]":
        """Yield what may be shown, for each way that the registry offers; note what may not."""
        for offer in self._offers(answer):
            if offer.scheme == "bearer":
                for who in accounts or [_Whose(None, "anybody")]:
                    try:
                        grant = self._grant(offer, who.account)
                    except ValueError as error:
                        tried.append(str(error))
                        continue
                    yield _Login(f"with a token for {who.words}", grant=grant)
            else:
                for who in accounts:
                    if who.account and not who.account.identity_token:
                        yield _Login(f"with {who.words}", authorization=who.account.basic)

    def _offers(self, answer: Document) -> list[Challenge]:
        """Return which challenges of the registry's own can be met, tokens first."""
        ours, asked = self._registry, answer.url
        if (asked.scheme, service_of(asked)) != (ours.scheme, service_of(ours)):
            return []  # it has led us elsewhere
        found = challenge.parse(answer.headers.get_list("WWW-Authenticate"))
        tokens = [each for each in found if each.scheme == "bearer"]
        return (tokens + [each for each in found if each.scheme == "basic"])[:MOST_OFFERS]

    def _grant(self, offer: Challenge, account: Account | None) -> Grant:
        """Return what to ask for. Raises ValueError: the token service is none to be asked."""
        realm = offer.parameters.get("realm", "")
        try:
            url = checked_url(realm)
        except ValueError as error:
            raise ValueError(f"its token service has a URL that is none ({error})") from None
        if account is not None and self._registry.scheme == "https" != url.scheme:
            raise ValueError("its token service is not under TLS, so it is not told who we are")
        usual = f"repository:{self._repository.name}:pull"
        scopes = offer.parameters.get("scope", "").split() or [usual]
        return Grant(realm, offer.parameters.get("service", ""), tuple(scopes), account)


@dataclass(frozen=True, slots=True)
class _Whose:
    account: Account | None
    words: str
    is_configured: bool = False


@dataclass(frozen=True, slots=True)
class _Login:
    """What is shown to a registry.

    Args:
        words: the same for people.
        authorization: the value of the header; None: as the caller has it, or a token.
        grant: for which token.
    """

    words: str
    authorization: str | None = None
    grant: Grant | None = None


_AS_GIVEN = _Login("with the request's headers")
_ANONYMOUS = _Login("without credentials", authorization="")
