"""What the front relies on in Hypercorn and is promised nowhere."""

import inspect

import pytest
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext

from supernode.wire.streams import GuardedStream

ADVICE = "Hypercorn has changed under us: adapt supernode/wire/front.py, then this test"


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (TCPServer, ["app", "config", "context", "state", "stream"]),
        (TCPServer.run, ["self"]),
        (WorkerContext, ["max_requests"]),
        (ASGIWrapper, ["app"]),
        (ASGIWrapper.__call__, ["self", "scope", "receive", "send", "sync_spawn", "call_soon"]),
    ],
    ids=["TCPServer", "TCPServer.run", "WorkerContext", "ASGIWrapper", "ASGIWrapper.__call__"],
)
def test_signatures(function: object, parameters: list[str]) -> None:
    assert callable(function)
    assert list(inspect.signature(function).parameters) == parameters, ADVICE


async def test_terminated_is_an_event_set_by_awaiting() -> None:
    context = WorkerContext(max_requests=None)
    assert not context.terminated.is_set(), ADVICE
    await context.terminated.set()
    assert context.terminated.is_set(), ADVICE


def test_settings_that_the_front_uses_exist() -> None:
    names = [
        "errorlog",
        "accesslog",
        "access_log_format",
        "include_server_header",
        "keep_alive_timeout",
        "keep_alive_max_requests",
        "h11_max_incomplete_size",
        "h2_max_header_list_size",
        "websocket_max_message_size",
        "websocket_ping_interval",
    ]
    assert [name for name in names if not hasattr(Config, name)] == [], ADVICE


def test_the_stream_has_what_tcp_server_uses() -> None:
    used = {"send_all", "receive_some", "send_eof", "aclose"}
    source = inspect.getsource(TCPServer)
    assert {name for name in used if f"self.stream.{name}(" in source} == used, ADVICE
    assert used <= set(dir(GuardedStream))
    assert "self.stream.do_handshake()" in source, ADVICE
    assert not hasattr(GuardedStream, "do_handshake"), "it would be taken for a TLS stream"


def test_a_tls_stream_is_known_by_what_trio_s_has() -> None:
    source = inspect.getsource(TCPServer)
    for used in ("do_handshake()", "selected_alpn_protocol()", "transport_stream.socket"):
        assert f"self.stream.{used}" in source, ADVICE
