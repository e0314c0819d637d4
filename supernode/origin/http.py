"""The HTTP client towards origins: opens one file, streams its bytes, names every way to fail.

What is said rather than served, a registry's manifests and tokens, comes as a ``Document``.

On h11 rather than on a general client: no cookies that wander from one task to another, no proxies
from the environment, no connection that serves two tasks.
"""

import ssl
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from types import TracebackType
from typing import Self

import trio

from supernode.core.model import OriginVersion
from supernode.core.reasons import Reason
from supernode.origin.answer import OriginAnswer, ask
from supernode.origin.body import Blocks, OriginBody
from supernode.origin.connection import OriginConnection
from supernode.origin.dialler import Dialler
from supernode.origin.document import Document, received
from supernode.origin.errors import OriginError
from supernode.origin.freshness import conditional, is_fresh
from supernode.origin.limits import OriginLimits, Toll
from supernode.origin.pace import LEAST_RATE, WINDOW_SECONDS, Pace
from supernode.origin.policy import OriginPolicy
from supernode.origin.proxy import Proxy
from supernode.origin.request import OriginRequest, compose
from supernode.origin.resolver import bound_look_ups
from supernode.origin.resumption import Resumption, strong_validator
from supernode.origin.sites import Site
from supernode.origin.trust import NO_SITE, USUAL, TlsContexts, Trust
from supernode.origin.verdict import judge

__all__ = ["MAX_REDIRECTS", "OriginBody", "OriginClient"]

MAX_REDIRECTS = 10
READ_BYTES = 256 * 1024
"""Size of one read. From loopback: 64 KiB 1.9, 256 KiB 2.6, 1 MiB (leaves the cache) 2.1 GB/s."""


class OriginClient:
    """Fetches from origins that the policy permits.

    Args:
        policy: judges every address before it is contacted.
        connect_timeout: seconds to resolve and connect, and again for the TLS handshake.
        head_timeout: seconds from a request to the head of its final answer: connecting and
            redirects included, waiting for a connection to be free not.
        stall_timeout: seconds the content may pause, but for our own limits.
        floor: bytes/s of content that an origin has to send, on average over each window; our own
            limits and whoever takes the content may hold it up.
        floor_window: seconds; at least two pauses of ``stall_timeout`` fit in.
        max_connections: in all.
        max_connections_per_origin: to one host and port.
        rate: bytes/s of content in all; None: no limit.
        rate_per_origin: bytes/s of content from one host and port; None: no limit.
        proxy: URL of what everything goes through, with user and password if it wants them;
            None: nothing.
        ssl_context: the usual trust; the system's certificate authorities unless given.
        sites: what is known of some origins beforehand, by host and port.

    Raises:
        ValueError: ``proxy`` is not the URL of one.
    """

    def __init__(
        self,
        policy: OriginPolicy,
        *,
        connect_timeout: float = 3.0,
        head_timeout: float = 10.0,
        stall_timeout: float = 30.0,
        floor: float = LEAST_RATE,
        floor_window: float = WINDOW_SECONDS,
        max_connections: int = 16,
        max_connections_per_origin: int = 8,
        rate: float | None = None,
        rate_per_origin: float | None = None,
        proxy: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        sites: Mapping[str, Site] | None = None,
    ) -> None:
        self._head_timeout = head_timeout
        self._stall_timeout = stall_timeout
        self._pace = floor, max(floor_window, 2 * stall_timeout)
        self._proxy = None if proxy is None else Proxy.parse(proxy)
        self._contexts = TlsContexts(ssl_context)
        self._sites = dict(sites or {})
        self._dialler = Dialler(policy, self._proxy, self._contexts.usual, connect_timeout)
        self._limits = OriginLimits(
            max_connections=max_connections,
            max_connections_per_origin=max_connections_per_origin,
            rate=rate,
            rate_per_origin=rate_per_origin,
        )
        self._open: set[OriginConnection] = set()

    async def __aenter__(self) -> Self:
        bound_look_ups()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection at once; a body still open fails with ORIGIN_BROKEN."""
        for connection in self._open:
            connection.close()
        await trio.lowlevel.checkpoint()

    @asynccontextmanager
    async def open(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        trust: Trust = USUAL,
        resume: Resumption | None = None,
    ) -> AsyncIterator[OriginBody]:
        """Ask for ``url`` and offer its content while the context lasts.

        What is to be resumed comes from its beginning if it cannot be.

        Cancelled or left early, it closes the connection.

        Args:
            url: http or https.
            headers: the caller's; Host and those of the connection itself are ours to send.
            trust: whose certificates count, for redirects as well.
            resume: what is there already of the file; ``headers`` ask for no part of it then.

        Raises:
            NotContinued: it should be asked for from the beginning.
            OriginError: with any ``origin_…`` reason, URL_FORBIDDEN, URL_INVALID, PROXY_REFUSED,
                TOO_MANY_FETCHES, NO_DESCRIPTORS or SETTING_UNUSABLE.
        """
        request = compose(url, headers, resume)
        async with AsyncExitStack() as held:
            request, answer, toll = await self._final_answer(request, trust, held)
            judge(answer, request, self._proxy, resume)
            first = resume.first if resume is not None and answer.status == 206 else 0
            yield OriginBody(
                status=answer.status,
                first=first,
                length=None if answer.length is None else first + answer.length,
                etag=answer.headers.get("ETag", ""),
                last_modified=answer.headers.get("Last-Modified", ""),
                validator=strong_validator(answer.headers),
                _blocks=Blocks(answer, toll, self._stall_timeout, Pace(*self._pace)),
            )

    async def still_has(
        self,
        url: str,
        headers: Mapping[str, str],
        version: OriginVersion,
        *,
        trust: Trust = USUAL,
    ) -> bool:
        """Return whether the origin still has the file of this version.

        Args:
            url: http or https.
            headers: the caller's.
            version: by what to compare; if there is nothing, the answer is no.
            trust: whose certificates count.

        Raises:
            OriginError: it cannot be asked, or does not say.
        """
        asked = conditional(headers, version)
        if asked is None:
            return False
        request = compose(url, asked)
        async with AsyncExitStack() as held:
            request, answer, _ = await self._final_answer(request, trust, held)
            fresh = is_fresh(answer.status, answer.headers, version)
            if fresh is None:
                judge(answer, request, self._proxy)
                raise OriginError(Reason.ORIGIN_STATUS, f"{answer.status} from {request.place}")
            return fresh

    async def document(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        most: int,
        also: Collection[int] = (),
        form: Mapping[str, str] | None = None,
    ) -> Document:
        """Return what ``url`` says, all of it.

        Args:
            url: http or https.
            headers: the caller's.
            most: bytes that it may have.
            also: statuses besides 200 that are answers, too; of those the first ``most`` bytes do.
            form: what is posted; None: it is a GET.

        Raises:
            OriginError: as ``open``, or ORIGIN_TOO_LONG.
        """
        request = compose(url, headers)
        if form is not None:
            request = request.with_form(form)
        async with AsyncExitStack() as held:
            request, answer, _ = await self._final_answer(request, USUAL, held)
            is_odd = answer.status in also
            if not is_odd:
                judge(answer, request, self._proxy)
            content = await received(answer, most, in_part=is_odd)
        return _document(request, answer, content)

    async def head(self, url: str, headers: Mapping[str, str]) -> Document:
        """Return the head of what ``url`` answers, whatever its status; follow no redirect.

        Args:
            url: http or https.
            headers: the caller's.

        Raises:
            OriginError: there is no answer.
        """
        request = replace(compose(url, headers), method="HEAD")
        async with AsyncExitStack() as held:
            answer, _, _ = await self._next_answer(request, USUAL, held, self._head_timeout)
        return _document(request, answer, b"")

    async def _final_answer(
        self, request: OriginRequest, trust: Trust, held: AsyncExitStack
    ) -> tuple[OriginRequest, OriginAnswer, Toll]:
        """Return the first answer that is not a redirect; its connection is kept in ``held``."""
        left = self._head_timeout
        for _ in range(MAX_REDIRECTS + 1):
            async with AsyncExitStack() as hop:
                answer, toll, left = await self._next_answer(request, trust, hop, left)
                location = answer.headers.get("Location")
                if answer.status not in (301, 302, 303, 307, 308) or location is None:
                    held.push_async_exit(hop.pop_all())
                    return request, answer, toll
                request = request.redirected(location)
        problem = f"more than {MAX_REDIRECTS} redirects, the last to {request.place}"
        raise OriginError(Reason.ORIGIN_REDIRECTS, problem)

    async def _next_answer(
        self, request: OriginRequest, trust: Trust, hop: AsyncExitStack, seconds: float
    ) -> tuple[OriginAnswer, Toll, float]:
        """Return an answer, and how many of the seconds it had are left."""
        context = await self._contexts.of(trust, self._sites.get(request.origin, NO_SITE))
        toll = await hop.enter_async_context(self._limits.connection(request.origin))
        deadline = trio.current_time() + seconds
        try:
            with trio.fail_at(deadline):
                connection = await self._dialler.connect(request, context)
                self._open.add(connection)
                hop.callback(self._open.remove, connection)
                hop.callback(connection.close)
                answer = await ask(connection, request, self._proxy, toll.read_size(READ_BYTES))
        except trio.TooSlowError:
            problem = f"{request.place}: no answer within {self._head_timeout:g} s"
            raise OriginError(Reason.ORIGIN_TIMEOUT, problem, may_pass=True) from None
        return answer, toll, deadline - trio.current_time()


def _document(request: OriginRequest, answer: OriginAnswer, content: bytes) -> Document:
    return Document(
        status=answer.status,
        headers=answer.headers,
        content=content,
        url=request.url,
        place=request.place,
    )
