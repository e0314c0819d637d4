"""The way back to the source: the file straight from its origin, without a swarm."""

import ssl
from typing import TYPE_CHECKING

from supernode.dfget.content import ContentFile
from supernode.dfget.errors import DigestMismatch, OriginFailed
from supernode.dfget.options import Order
from supernode.dfget.progress import Progress
from supernode.dfget.rate import TokenBucket

if TYPE_CHECKING:
    import httpx2

CONNECT_SECONDS = 10.0
STALL_SECONDS = 30.0
CHUNK_BYTES = 1 << 20
MOST_REDIRECTS = 10


async def fetch_from_origin(order: Order, content: ContentFile, progress: Progress) -> bool | None:
    """Download the file into ``content``.

    Returns:
        True if it has the digest asked for, None if none was.

    Raises:
        OriginFailed: the origin does not deliver.
        DigestMismatch: it has another file.
        CannotWrite: the disk refuses.
    """
    import httpx2  # late: most runs do not need it

    limit = TokenBucket(order.local_limit)
    try:
        async with (
            httpx2.AsyncClient(
                follow_redirects=True,
                max_redirects=MOST_REDIRECTS,
                timeout=httpx2.Timeout(STALL_SECONDS, connect=CONNECT_SECONDS),
                verify=_trust(order),
            ) as client,
            client.stream("GET", order.url, headers=_headers(order)) as response,
        ):
            length = _length(response)
            progress.size(length, None)
            received = 0
            async for chunk in response.aiter_raw(CHUNK_BYTES):
                await content.write(chunk, received)
                received += len(chunk)
                progress.origin_bytes(len(chunk))
                await limit.take(len(chunk))
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        raise OriginFailed(f"the origin: {_what(error)}") from error
    if length is not None and received != length:
        raise OriginFailed(f"the origin sent {received} of {length} bytes")
    if order.digest is None:
        return None
    actual = await content.digest(order.digest.algorithm, received)
    if actual != order.digest.hex:
        raise DigestMismatch(f"the origin's file has {order.digest.algorithm}:{actual}")
    return True


def _trust(order: Order) -> ssl.SSLContext:
    """Return whose certificates count, for redirects as well."""
    import httpx2

    context = httpx2.create_ssl_context(verify=not order.insecure)
    if order.root_cas and not order.insecure:
        context.load_verify_locations(cadata="".join(order.root_cas))
    return context


def _headers(order: Order) -> list[tuple[bytes, bytes]]:
    """Return the user's headers, save those that would change whom or how we ask, and ours."""
    given = [
        (name.lower().encode(), value.encode())
        for name, value in order.headers
        if name.lower() not in ("accept-encoding", "host")
    ]
    if b"user-agent" not in dict(given):
        given.append((b"user-agent", b"dfget"))
    return [(b"accept-encoding", b"identity"), *given]


def _what(error: BaseException) -> str:
    """Return what went wrong; if it was TLS, only a cause deep inside says what."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    return str(cause or error) or type(error).__name__


def _length(response: "httpx2.Response") -> int | None:
    """Check the head of the answer; return how many bytes will come, if it says so."""
    if response.status_code not in (200, 206):
        raise OriginFailed(f"the origin answered {response.status_code}")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise OriginFailed("the origin insists on a content encoding")
    declared = response.headers.get("Content-Length", "")
    return int(declared) if declared.isdigit() else None
