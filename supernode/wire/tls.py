"""The handshake of a connection under TLS."""

import ssl

import structlog
import trio

from supernode.wire.streams import GuardedStream

HANDSHAKE_SECONDS = 10.0
"""How long a handshake may take; meanwhile it holds a connection."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


async def secured(
    stream: GuardedStream, context: ssl.SSLContext
) -> trio.SSLStream[GuardedStream] | None:
    """Return the connection under TLS; None: the client does not manage the handshake in time."""
    # "https_compatible": clients hang up without saying so in TLS.
    secure = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
    try:
        with trio.fail_after(HANDSHAKE_SECONDS):
            await secure.do_handshake()
    except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError) as error:
        log.debug("TLS handshake failed", why=repr(error.__cause__ or error))
        return None
    return secure
