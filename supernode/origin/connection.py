"""One connection to an origin, plain or under TLS."""

import ssl
from contextlib import ExitStack

import trio

from supernode.core.reasons import Reason
from supernode.origin.errors import OriginError


class OriginConnection:
    """Bytes to and from an origin.

    Sending and receiving have no deadlines of their own: the client sets one around the head and
    one around each block of the body.

    Args:
        transport: connected; belongs to this object from now on.
        name: whose it is, as it may be shown.

    Attributes:
        was_cut: whether it ended, under TLS, without the farewell that says that this is the end.
    """

    def __init__(self, transport: trio.SocketStream, name: str) -> None:
        self._transport = transport
        self.was_cut = False
        self._name = name
        self._stream: _Stream = transport

    async def secure(self, context: ssl.SSLContext, name: str, timeout: float) -> None:
        """Agree on TLS, within what has been agreed on before; closed if that fails.

        Args:
            context: whom to trust.
            name: what the certificate must prove; whose the connection is from now on.
            timeout: seconds for the handshake.

        Raises:
            OriginError: ORIGIN_TLS or ORIGIN_TIMEOUT.
        """
        self._name = name
        tls = trio.SSLStream(self._stream, context, server_hostname=name)
        with ExitStack() as undo:
            undo.callback(self.close)
            try:
                with trio.fail_after(timeout):
                    await tls.do_handshake()
            except trio.TooSlowError:
                problem = f"{name}: no TLS handshake in time"
                raise OriginError(Reason.ORIGIN_TIMEOUT, problem, may_pass=True) from None
            except trio.BrokenResourceError as error:
                cause = error.__cause__
                problem, cut = f"{name}: {_tls_problem(cause)}", _is_cut_off(cause)
                raise OriginError(Reason.ORIGIN_TLS, problem, may_pass=cut) from error
            undo.pop_all()
        self._stream = tls

    async def send(self, data: bytes) -> None:
        """Send all of ``data``.

        If the origin stops listening midway, no error is raised: it may have answered before.
        """
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            await trio.lowlevel.checkpoint()

    async def receive(self, most: int) -> bytes:
        """Return up to ``most`` bytes that have arrived, b"" at the end.

        Raises:
            OriginError: ORIGIN_BROKEN; ORIGIN_TLS: in TLS 1.3 only now does an origin say that our
                side of the handshake was not to its liking.
        """
        if self.was_cut:
            return b""
        try:
            return bytes(await self._stream.receive_some(most))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            cause = error.__cause__
            if _is_sudden_end(cause):
                self.was_cut = True
                return b""
            if _is_refusal(cause):
                problem = f"{self._name}: {_tls_problem(cause)}"
                raise OriginError(Reason.ORIGIN_TLS, problem) from error
            problem = f"{self._name}: connection lost"
            raise OriginError(Reason.ORIGIN_BROKEN, problem, may_pass=True) from error

    def close(self) -> None:
        """Close the connection at once, without a farewell."""
        self._transport.socket.close()


_Stream = trio.SocketStream | trio.SSLStream["_Stream"]


def _is_cut_off(cause: BaseException | None) -> bool:
    """Tell whether a handshake ended without a word about TLS."""
    return not isinstance(cause, ssl.SSLError) or _is_sudden_end(cause) or not cause.reason


def _is_sudden_end(cause: BaseException | None) -> bool:
    """Tell whether the other side ended the connection without the farewell of TLS."""
    # Some Pythons leave it at OpenSSL's own name for it.
    is_named = isinstance(cause, ssl.SSLError) and cause.reason == "UNEXPECTED_EOF_WHILE_READING"
    return isinstance(cause, ssl.SSLEOFError) or is_named


def _is_refusal(cause: BaseException | None) -> bool:
    """Tell whether the other side has said what it does not like about our TLS."""
    return isinstance(cause, ssl.SSLError) and "_ALERT_" in (cause.reason or "")


def _tls_problem(cause: BaseException | None) -> str:
    match cause:
        case ssl.SSLCertVerificationError():
            return cause.verify_message
        case ssl.SSLError() if cause.reason and not _is_sudden_end(cause):
            return cause.reason
        case _:
            return "connection lost during the handshake"
