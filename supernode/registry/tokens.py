"""Bearer tokens: asked for where the registry says, kept until shortly before they end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Annotated

import httpx2
import msgspec
import trio

from supernode.core.reasons import Reason
from supernode.origin.document import Document
from supernode.origin.errors import OriginError
from supernode.origin.http import OriginClient
from supernode.registry.accounts import Account

MOST_ANSWER = 1 << 20
MOST_KEPT = 256
USUAL_SECONDS = 60.0
"""How long a token is good for if nobody says."""
LONGEST_SECONDS = 3600.0
"""Never is one kept for longer: whoever grants it may have taken it back."""
EARLY_SECONDS = 30.0
"""So long before its end a token is not used any more …"""
EARLY_PART = 0.25
"""… or for so much of its time, whichever is shorter."""

_CLIENT = "supernode"
_REFUSED = (400, 401, 403, 404, 405)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token is asked for.

    Args:
        realm: URL of the token service.
        service: what the registry calls itself.
        scopes: such as ``repository:library/app:pull``.
        account: who asks; None: anybody.
    """

    realm: str
    service: str
    scopes: tuple[str, ...]
    account: Account | None = field(repr=False)


class Tokens:
    """Gets tokens, each once for all who need it at the same time.

    Args:
        origin: by which token services are asked.
    """

    def __init__(self, origin: OriginClient) -> None:
        self._origin = origin
        self._kept: dict[Grant, _Token] = {}  # the last one was used last

    async def of(self, grant: Grant) -> str:
        """Return a token that is good for a while.

        Raises:
            OriginError: ORIGIN_AUTH: it is refused; or the service cannot be asked.
        """
        kept = self._keep(grant)
        async with kept.lock:
            if kept.good_until <= trio.current_time():
                document = await self._ask(grant)
                kept.text, seconds = _token(document)
                early = min(EARLY_SECONDS, seconds * EARLY_PART)
                kept.good_until = trio.current_time() + seconds - early
            return kept.text

    def forget(self, grant: Grant) -> None:
        """Have the next token be another one: the registry has refused this one."""
        self._kept.pop(grant, None)

    def _keep(self, grant: Grant) -> "_Token":
        """Return the grant's token, which may have ended or not come yet; those ended are gone."""
        now = trio.current_time()
        kept = self._kept.pop(grant, None) or _Token()
        self._kept = {
            other: token
            for other, token in self._kept.items()
            if token.good_until > now or token.lock.locked()
        }
        self._kept[grant] = kept
        if len(self._kept) > MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        return kept

    async def _ask(self, grant: Grant) -> Document:
        if grant.account is not None and grant.account.identity_token:
            url, form, headers = grant.realm, _form(grant, grant.account.identity_token), {}
        else:
            headers = {"Authorization": grant.account.basic} if grant.account else {}
            url, form = _with_query(grant), None
        answer = await self._origin.document(
            url, headers, most=MOST_ANSWER, also=_REFUSED, form=form
        )
        if answer.status in _REFUSED:
            whose = "nobody a token" if grant.account is None else "these credentials no token"
            problem = f"{answer.status} from {answer.place}, which gives {whose}"
            raise OriginError(Reason.ORIGIN_AUTH, problem)
        return answer


@dataclass(slots=True)
class _Token:
    text: str = ""
    good_until: float = float("-inf")
    lock: trio.Lock = field(default_factory=trio.Lock)


class _Answer(msgspec.Struct):
    token: str | None = None
    access_token: str | None = None
    expires_in: Annotated[float, msgspec.Meta(ge=0)] | None = None
    issued_at: str | None = None


def _with_query(grant: Grant) -> str:
    """Return where the token is: the realm may have a query of its own."""
    parameters = [("service", grant.service)] if grant.service else []
    parameters += [("scope", scope) for scope in grant.scopes]
    url = httpx2.URL(grant.realm)
    return str(url.copy_with(params=[*url.params.multi_items(), *parameters]))


def _form(grant: Grant, identity_token: str) -> Mapping[str, str]:
    return {
        "grant_type": "refresh_token",
        "service": grant.service,
        "client_id": _CLIENT,
        "scope": " ".join(grant.scopes),
        "refresh_token": identity_token,
    }


def _token(document: Document) -> tuple[str, float]:
    """Return the token, and for how many seconds it is good. Raises OriginError."""
    try:
        said = msgspec.json.decode(document.content, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _no_token(document) from None
    token = said.token or said.access_token
    if not token or not token.isascii() or not token.isprintable():
        raise _no_token(document)
    seconds = USUAL_SECONDS if said.expires_in is None else said.expires_in
    return token, max(min(seconds, LONGEST_SECONDS) - _age(said.issued_at, document), 0.0)


def _age(issued_at: str | None, document: Document) -> float:
    """Return how old the token was when it came, by the clock of who gave it, in seconds."""
    try:
        issued = datetime.fromisoformat(issued_at or "").timestamp()
        return max(parsedate_to_datetime(document.headers.get("Date", "")).timestamp() - issued, 0)
    except (ValueError, OverflowError, TypeError):
        return 0.0


def _no_token(document: Document) -> OriginError:
    return OriginError(Reason.ORIGIN_BROKEN, f"{document.place}: no token in its answer")
