"""The origin client against a scripted origin on real loopback sockets."""

import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from functools import partial

import pytest
import trio
import trustme

from supernode.core.pieces import FRAME_BYTES, LARGEST_PIECE
from supernode.core.reasons import Reason
from supernode.origin.body import SMALLEST_BLOCK
from supernode.origin.errors import OriginError
from supernode.origin.http import MAX_REDIRECTS, OriginClient
from supernode.origin.policy import OriginPolicy
from tests.integration.scripted_origin import (
    LOOPBACK,
    ONLY_SECOND,
    SECRET,
    Script,
    ScriptedOrigin,
    answer,
    deaf_port,
    failure,
    fetch,
    names,
    redirect,
    send,
    send_and_reset,
    send_and_wait,
)


@pytest.fixture
async def origin(nursery: trio.Nursery) -> ScriptedOrigin:
    scripted = ScriptedOrigin()
    await nursery.start(scripted.run, "127.0.0.1")
    return scripted


@pytest.fixture
async def second(nursery: trio.Nursery) -> ScriptedOrigin:
    """An origin at 127.0.0.2."""
    scripted = ScriptedOrigin()
    await nursery.start(scripted.run, "127.0.0.2")
    return scripted


@pytest.fixture
async def client() -> AsyncIterator[OriginClient]:
    async with OriginClient(LOOPBACK) as opened:
        yield opened


# What an answer is.


async def test_a_file_arrives_with_what_is_known_of_it(
    origin: ScriptedOrigin, client: OriginClient
) -> None:
    content = bytes(range(256)) * 4096
    modified = "Mon, 01 Jan 2024 00:00:00 GMT"
    origin.answers["/f"] = answer(200, content, ETag='"v1"', Last_Modified=modified)
    with trio.fail_after(10):
        async with client.open(origin.url("/f"), {}) as body:
            assert (body.status, body.length) == (200, len(content))
            assert (body.etag, body.last_modified) == ('"v1"', modified)
            assert b"".join([block async for block in body.chunks()]) == content


async def test_what_the_origin_does_not_say_is_not_invented(
    origin: ScriptedOrigin, client: OriginClient
) -> None:
    origin.answers["/f"] = send(b"HTTP/1.1 200 OK\r\n\r\nup to the end")
    with trio.fail_after(10):
        async with client.open(origin.url("/f"), {}) as body:
            assert (body.length, body.etag, body.last_modified) == (None, "", "")
            assert [block async for block in body.chunks()] == [b"up to the end"]


async def test_an_empty_file_has_no_blocks(origin: ScriptedOrigin, client: OriginClient) -> None:
    origin.answers["/f"] = answer(200)
    with trio.fail_after(10):
        async with client.open(origin.url("/f"), {}) as body:
            assert body.length == 0
            assert [block async for block in body.chunks()] == []


async def test_chunked_content_has_no_length_even_if_one_is_claimed(
    origin: ScriptedOrigin, client: OriginClient
) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"
    origin.answers["/f"] = head + b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    with trio.fail_after(10):
        async with client.open(origin.url("/f"), {}) as body:
            assert body.length is None
            assert b"".join([block async for block in body.chunks()]) == b"hello world"


async def test_tiny_chunks_are_gathered(origin: ScriptedOrigin, client: OriginClient) -> None:
    size = SMALLEST_BLOCK + 1
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    origin.answers["/f"] = send(head, b"1\r\nx\r\n" * size, b"0\r\n\r\n")
    with trio.fail_after(10):
        async with client.open(origin.url("/f"), {}) as body:
            assert [len(block) async for block in body.chunks()] == [SMALLEST_BLOCK, 1]


async def test_a_range_that_was_asked_for(origin: ScriptedOrigin, client: OriginClient) -> None:
    origin.answers["/f"] = answer(206, b"bc", Content_Range="bytes 1-2/9")
    with trio.fail_after(10):
        async with client.open(origin.url("/f"), {"range": "bytes=1-2"}) as body:
            assert (body.status, body.length) == (206, 2)
    assert origin.asked[0].headers["range"] == "bytes=1-2"


@pytest.mark.parametrize(
    ("asked", "sent", "content"),
    [
        ("bytes=1-2", "bytes 1-2/*", b"bc"),
        ("bytes=1-99", "bytes 1-2/3", b"bc"),
        ("bytes=1-", "bytes 1-2/3", b"bc"),
        ("bytes=-2", "bytes 1-2/3", b"bc"),
    ],
)
async def test_a_part_is_the_one_that_was_asked_for(
    origin: ScriptedOrigin, client: OriginClient, asked: str, sent: str, content: bytes
) -> None:
    origin.answers["/f"] = answer(206, content, Content_Range=sent)
    assert await fetch(client, origin.url("/f"), {"Range": asked}) == content


CHUNKED_PART = (
    b"HTTP/1.1 206 Part\r\nContent-Range: bytes 1-2/9\r\nTransfer-Encoding: chunked\r\n\r\n"
)


async def test_a_part_whose_length_only_its_range_tells(
    origin: ScriptedOrigin, client: OriginClient
) -> None:
    origin.answers["/f"] = CHUNKED_PART + b"1\r\nb\r\n1\r\nc\r\n0\r\n\r\n"
    with trio.fail_after(10):
        async with client.open(origin.url("/f"), {"Range": "bytes=1-2"}) as body:
            assert body.length == 2
            assert b"".join([block async for block in body.chunks()]) == b"bc"


@pytest.mark.parametrize(
    ("script", "reason", "why"),
    [
        (answer(200, b"abc"), Reason.ORIGIN_STATUS, "the whole file, but a range was asked for"),
        (answer(206, b"bc"), Reason.ORIGIN_STATUS, "not the range that was asked for"),
        (
            answer(206, b"ab", Content_Range="bytes 0-1/9"),
            Reason.ORIGIN_STATUS,
            "not the range that was asked for",
        ),
        (
            answer(206, b"bc", Content_Range="bytes 1-2/9", Content_Type="multipart/byteranges"),
            Reason.ORIGIN_STATUS,
            "not the range that was asked for",
        ),
        (
            answer(206, b"bcd", Content_Range="bytes 1-2/9"),
            Reason.ORIGIN_LENGTH,
            "3 bytes, not 2",
        ),
        (
            CHUNKED_PART + b"3\r\nbcd\r\n0\r\n\r\n",
            Reason.ORIGIN_LENGTH,
            "0 of 2 bytes, then too many",
        ),
        (
            CHUNKED_PART + b"1\r\nb\r\n0\r\n\r\n",
            Reason.ORIGIN_LENGTH,
            "1 of 2 bytes, then the end",
        ),
        (send(CHUNKED_PART, b"1\r\nb"), Reason.ORIGIN_BROKEN, "then the end"),
    ],
)
async def test_another_part_than_was_asked_for(
    origin: ScriptedOrigin,
    client: OriginClient,
    script: bytes | Script,
    reason: Reason,
    why: str,
) -> None:
    origin.answers["/f"] = script
    error = await failure(client, origin.url("/f"), {"Range": "bytes=1-2"})
    assert error.reason is reason
    assert why in error.detail


@pytest.mark.parametrize(
    ("length", "reason"),
    [
        (((1 << 31) - 1) * (LARGEST_PIECE - FRAME_BYTES), Reason.ORIGIN_STALLED),
        (((1 << 31) - 1) * (LARGEST_PIECE - FRAME_BYTES) + 1, Reason.ORIGIN_LENGTH),
        ((1 << 63) - 1, Reason.ORIGIN_LENGTH),
        (99999999999999999999, Reason.ORIGIN_LENGTH),
    ],
)
async def test_a_file_of_more_pieces_than_can_be_counted(
    origin: ScriptedOrigin, length: int, reason: Reason
) -> None:
    origin.answers["/f"] = answer(200, Content_Length=str(length))
    async with OriginClient(LOOPBACK, stall_timeout=0.05) as client:
        error = await failure(client, origin.url("/f"))
    assert error.reason is reason
    assert str(length) in error.detail


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (404, Reason.ORIGIN_NOT_FOUND),
        (410, Reason.ORIGIN_NOT_FOUND),
        (401, Reason.ORIGIN_AUTH),
        (403, Reason.ORIGIN_AUTH),
        (407, Reason.ORIGIN_AUTH),
        (204, Reason.ORIGIN_STATUS),
        (206, Reason.ORIGIN_STATUS),  # nobody asked for a range
        (302, Reason.ORIGIN_STATUS),  # without Location
        (416, Reason.ORIGIN_STATUS),
        (503, Reason.ORIGIN_STATUS),
    ],
)
async def test_a_status_that_is_no_file(
    origin: ScriptedOrigin, client: OriginClient, status: int, reason: Reason
) -> None:
    origin.answers["/f"] = answer(status)
    error = await failure(client, origin.url("/f"))
    assert error.reason is reason
    assert error.detail == f"{status} from {origin.url('/f')}"


@pytest.mark.parametrize("encoding", ["gzip", "br, identity", "GZIP"])
async def test_a_forced_encoding(
    origin: ScriptedOrigin, client: OriginClient, encoding: str
) -> None:
    origin.answers["/f"] = answer(200, b"x", Content_Encoding=encoding)
    error = await failure(client, origin.url("/f"))
    assert error.reason is Reason.ORIGIN_ENCODING
    assert encoding.lower() in error.detail


async def test_identity_is_no_encoding(origin: ScriptedOrigin, client: OriginClient) -> None:
    origin.answers["/f"] = answer(200, b"x", Content_Encoding="Identity")
    assert await fetch(client, origin.url("/f")) == b"x"


NOON, A_MINUTE_PAST = "Tue, 02 Jan 2024 12:00:00 GMT", "Tue, 02 Jan 2024 12:01:00 GMT"


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (503, {"Retry_After": "7"}, 7),
        (429, {"Retry_After": " 120 "}, 120),
        (503, {"Retry_After": "9" * 400}, 999_999_999),
        (503, {"Retry_After": A_MINUTE_PAST, "Date": NOON}, 60),
        (503, {"Retry_After": NOON, "Date": A_MINUTE_PAST}, 0),
        (503, {"Retry_After": A_MINUTE_PAST}, None),
        (503, {"Retry_After": "soon", "Date": NOON}, None),
        (503, {"Retry_After": "-1", "Date": NOON}, None),
        (503, {}, None),
        (500, {"Retry_After": "7"}, None),
    ],
)
async def test_an_origin_may_say_when_to_come_back(
    origin: ScriptedOrigin,
    client: OriginClient,
    status: int,
    headers: dict[str, str],
    seconds: float | None,
) -> None:
    origin.answers["/f"] = answer(status, b"", **headers)
    error = await failure(client, origin.url("/f"))
    assert error.may_pass
    assert error.retry_after == seconds
    assert ("left alone for" in error.detail) == (seconds is not None)


# How a transfer fails.


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (send(answer(200, b"abc", Content_Length="9")), Reason.ORIGIN_LENGTH),
        (send_and_reset(answer(200, b"abc", Content_Length="9")), Reason.ORIGIN_BROKEN),
        (
            send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc"),
            Reason.ORIGIN_BROKEN,
        ),
        (
            send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot hex\r\n"),
            Reason.ORIGIN_BROKEN,
        ),
        (send(), Reason.ORIGIN_BROKEN),
        (send(b"HTTP/1.1 200 OK\r\nContent-Le"), Reason.ORIGIN_BROKEN),
        (send(b"SSH-2.0-OpenSSH_9.2\r\n"), Reason.ORIGIN_BROKEN),
    ],
)
async def test_a_transfer_that_breaks_off(
    origin: ScriptedOrigin, client: OriginClient, script: Script, reason: Reason
) -> None:
    origin.answers["/f"] = script
    assert (await failure(client, origin.url("/f"))).reason is reason


async def test_a_short_file_says_how_far_it_got(
    origin: ScriptedOrigin, client: OriginClient
) -> None:
    origin.answers["/f"] = send(answer(200, b"abc", Content_Length="9"))
    error = await failure(client, origin.url("/f"))
    assert error.detail == f"{origin.url('/f')}: 3 of 9 bytes, then the end"


async def test_a_file_that_is_longer_than_announced(
    origin: ScriptedOrigin, client: OriginClient
) -> None:
    origin.answers["/f"] = answer(200, b"abc") + b"surplus"
    error = await failure(client, origin.url("/f"))
    assert error.reason is Reason.ORIGIN_LENGTH
    assert error.detail == f"{origin.url('/f')}: 3 of 3 bytes, then more"


async def test_bytes_beyond_an_answer_are_not_the_next_answer(
    origin: ScriptedOrigin, client: OriginClient
) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    origin.answers |= {"/f": chunked + answer(200, b"forged"), "/g": answer(200, b"genuine")}
    assert await fetch(client, origin.url("/f")) == b"abc"
    assert await fetch(client, origin.url("/g")) == b"genuine"


async def test_content_that_stalls(origin: ScriptedOrigin) -> None:
    origin.answers["/f"] = send_and_wait(answer(200, b"abc", Content_Length="9"))
    async with OriginClient(LOOPBACK, stall_timeout=0.05) as client:
        error = await failure(client, origin.url("/f"))
    assert error.reason is Reason.ORIGIN_STALLED
    assert "3 of 9 bytes" in error.detail


async def test_content_that_trickles_does_not_stall(origin: ScriptedOrigin) -> None:
    async def trickle(stream: trio.abc.Stream) -> None:
        await stream.send_all(answer(200, Content_Length="6"))
        for _ in range(6):
            await trio.sleep(0.1)
            await stream.send_all(b"x")

    origin.answers["/f"] = trickle
    async with OriginClient(LOOPBACK, stall_timeout=0.4) as client:
        assert await fetch(client, origin.url("/f")) == b"xxxxxx"


async def test_no_head_in_time(origin: ScriptedOrigin) -> None:
    origin.answers["/f"] = send_and_wait(b"")
    async with OriginClient(LOOPBACK, head_timeout=0.05) as client:
        assert (await failure(client, origin.url("/f"))).reason is Reason.ORIGIN_TIMEOUT


async def test_a_head_that_trickles_is_no_head_in_time(origin: ScriptedOrigin) -> None:
    async def trickle(stream: trio.abc.Stream) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\n")
        while True:
            await stream.send_all(b"X: y\r\n")
            await trio.sleep(0.01)

    origin.answers["/f"] = trickle
    async with OriginClient(LOOPBACK, head_timeout=0.1) as client:
        assert (await failure(client, origin.url("/f"))).reason is Reason.ORIGIN_TIMEOUT


async def test_redirects_share_one_deadline(origin: ScriptedOrigin) -> None:
    async def slow_redirect(stream: trio.abc.Stream) -> None:
        await trio.sleep(0.05)
        await stream.send_all(redirect("/f"))

    origin.answers["/f"] = slow_redirect
    async with OriginClient(LOOPBACK, head_timeout=0.1) as client:
        assert (await failure(client, origin.url("/f"))).reason is Reason.ORIGIN_TIMEOUT


# Resolving and connecting.


async def test_a_refused_connection(client: OriginClient) -> None:
    with socket.socket() as bound:  # and not listening
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        error = await failure(client, f"http://127.0.0.1:{port}/f")
    assert error.reason is Reason.ORIGIN_REFUSED
    assert error.detail == f"127.0.0.1 at 127.0.0.1 port {port}: Connection refused"


async def test_a_connection_that_is_not_answered() -> None:
    with deaf_port() as port:
        async with OriginClient(LOOPBACK, connect_timeout=0.05) as client:
            error = await failure(client, f"http://127.0.0.1:{port}/f")
    assert error.reason is Reason.ORIGIN_TIMEOUT


async def test_a_name_that_does_not_resolve(client: OriginClient) -> None:
    names()
    error = await failure(client, "http://nowhere.test/f")
    assert error.reason is Reason.ORIGIN_DNS
    assert error.detail == "nowhere.test: Name or service not known"


async def test_a_name_that_cannot_be_one(client: OriginClient) -> None:
    error = await failure(client, f"http://{'a' * 300}/f")
    assert error.reason is Reason.ORIGIN_DNS


async def test_a_resolver_that_does_not_answer() -> None:
    names(slow_test=[[]])
    async with OriginClient(LOOPBACK, connect_timeout=0.05) as client:
        assert (await failure(client, "http://slow.test/f")).reason is Reason.ORIGIN_DNS


async def test_the_next_address_is_tried(second: ScriptedOrigin, client: OriginClient) -> None:
    names(two_test=[["127.0.0.1", "127.0.0.2"]])  # nobody listens on the first
    second.answers["/f"] = answer(200, b"x")
    assert await fetch(client, second.url("/f", host="two.test")) == b"x"


async def test_an_address_that_swallows_packets_leaves_time_for_the_next(
    nursery: trio.Nursery,
) -> None:
    names(two_test=[["127.0.0.1", "127.0.0.2"]])
    with deaf_port() as port:
        second = ScriptedOrigin()
        await nursery.start(partial(second.run, "127.0.0.2", port=port))
        second.answers["/f"] = answer(200, b"x")
        async with OriginClient(LOOPBACK, connect_timeout=1.0) as client:
            assert await fetch(client, second.url("/f", host="two.test")) == b"x"


async def test_proxies_of_the_environment_are_ignored(
    origin: ScriptedOrigin, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    origin.answers["/f"] = answer(200, b"x")
    async with OriginClient(LOOPBACK) as client:
        assert await fetch(client, origin.url("/f")) == b"x"


# Who may be contacted.


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "2130706433", "[::ffff:127.0.0.1]", "0"])
async def test_loopback_is_forbidden_however_it_is_spelled(
    origin: ScriptedOrigin, host: str
) -> None:
    async with OriginClient(OriginPolicy()) as client:
        error = await failure(client, origin.url("/f", host=host))
    assert error.reason is Reason.URL_FORBIDDEN
    assert origin.connections == 0


async def test_a_name_for_loopback_is_forbidden(origin: ScriptedOrigin) -> None:
    names(inside_test=[["127.0.0.1"]])
    async with OriginClient(OriginPolicy()) as client:
        error = await failure(client, origin.url("/f", host="inside.test"))
    assert (error.reason, error.detail) == (
        Reason.URL_FORBIDDEN,
        "inside.test: 127.0.0.1 is loopback",
    )
    assert origin.connections == 0


async def test_a_redirect_does_not_leave_the_policy(
    origin: ScriptedOrigin, second: ScriptedOrigin
) -> None:
    second.answers["/f"] = redirect(origin.url("/f"))
    origin.answers["/f"] = answer(200, b"internal")
    async with OriginClient(ONLY_SECOND) as client:
        error = await failure(client, second.url("/f", host="127.0.0.2"))
    assert (error.reason, error.detail) == (Reason.URL_FORBIDDEN, "127.0.0.1 is loopback")
    assert (len(second.asked), origin.connections) == (1, 0)


async def test_a_name_that_turns_to_loopback_when_asked_again(
    origin: ScriptedOrigin, second: ScriptedOrigin
) -> None:
    resolver = names(rebind_test=[["127.0.0.2"], ["127.0.0.1"]])
    second.answers["/f"] = answer(200, b"x")
    async with OriginClient(ONLY_SECOND) as client:
        assert await fetch(client, second.url("/f", host="rebind.test")) == b"x"
        assert resolver.asked == ["rebind.test"]  # what was judged is what was contacted
        error = await failure(client, origin.url("/f", host="rebind.test"))
    assert error.reason is Reason.URL_FORBIDDEN
    assert origin.connections == 0


async def test_of_several_addresses_the_permitted_one_is_taken(second: ScriptedOrigin) -> None:
    names(mixed_test=[["127.0.0.1", "::1", "127.0.0.2"]])
    second.answers["/f"] = answer(200, b"x")
    async with OriginClient(ONLY_SECOND) as client:
        assert await fetch(client, second.url("/f", host="mixed.test")) == b"x"


# What the origin is asked.


async def test_the_headers_that_are_ours(origin: ScriptedOrigin, client: OriginClient) -> None:
    origin.answers["/f"] = answer(200)
    await fetch(
        client,
        origin.url("/f?a=1#part"),
        {
            "host": "elsewhere",
            "Accept-Encoding": "gzip",
            "Connection": "close, X-Hop",
            "X-Hop": "1",
            "TE": "trailers",
            "Transfer-Encoding": "chunked",
            "Content-Length": "5",
            "X-Token": "té",
        },
    )
    asked = origin.asked[0]
    assert asked.target == "/f?a=1"
    agent = asked.headers.pop("User-Agent")
    assert agent.startswith("supernode/")
    assert asked.headers == {
        "Host": f"127.0.0.1:{origin.port}",
        "X-Token": "té",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }


async def test_the_callers_user_agent_wins(origin: ScriptedOrigin, client: OriginClient) -> None:
    origin.answers["/f"] = answer(200)
    await fetch(client, origin.url("/f"), {"user-agent": "dfget/1.0"})
    assert origin.asked[0].headers["user-agent"] == "dfget/1.0"
    assert "User-Agent" not in origin.asked[0].headers


async def test_user_and_password_of_the_url(origin: ScriptedOrigin, client: OriginClient) -> None:
    origin.answers["/f"] = answer(200)
    await fetch(client, origin.url("/f", host="user:p%40ss@127.0.0.1"))
    assert origin.asked[0].headers["Authorization"] == "Basic dXNlcjpwQHNz"
    assert origin.asked[0].headers["Host"] == f"127.0.0.1:{origin.port}"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/f",
        "h/f",
        "http://",
        "http:///f",
        "ftp://h/f",
        "file:///etc/passwd",
        "http://h:0/",
        "http://h:65536/",
        "http://h:-1/",
        f"http://user:{SECRET}/x@h/",
        f"http://h/\n{SECRET}",
        f"http://h/\ud800{SECRET}",
    ],
)
async def test_an_url_that_cannot_be_fetched(client: OriginClient, url: str) -> None:
    error = await failure(client, url)
    assert error.reason is Reason.URL_INVALID
    assert SECRET not in f"{error}{error.__cause__}"


@pytest.mark.parametrize(
    "headers", [{"X-Token": f"{SECRET}\r\nX: y"}, {"X Token": SECRET}, {"X": f"\ud800{SECRET}"}]
)
async def test_a_header_that_cannot_be_sent(
    origin: ScriptedOrigin, client: OriginClient, headers: dict[str, str]
) -> None:
    error = await failure(client, origin.url("/f"), headers)
    assert error.reason is Reason.URL_INVALID
    assert SECRET not in f"{error}{error.__cause__}"


async def test_details_hold_no_secrets(origin: ScriptedOrigin) -> None:
    url = origin.url(f"/f?token={SECRET}#{SECRET}", host=f"{SECRET}:{SECRET}@127.0.0.1")
    headers = {"Authorization": f"Bearer {SECRET}"}
    scripts: Sequence[bytes | Script] = [
        answer(404),
        answer(200, Content_Encoding="gzip"),
        redirect(f"?again={SECRET}"),
        redirect(f"ftp://{SECRET}"),
        send(answer(200, Content_Length="9")),
        send_and_wait(answer(200, Content_Length="9")),
        send(f"HTTP/1.1 200 OK\r\nSet-Cookie\0: {SECRET}\r\n\r\n".encode()),
    ]
    async with OriginClient(LOOPBACK, stall_timeout=0.05) as client:
        for script in scripts:
            origin.answers["/f"] = script
            error = await failure(client, url, headers)
            assert SECRET not in str(error)
            assert f"127.0.0.1:{origin.port}/f" in error.detail


# Redirects.


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_followed(
    origin: ScriptedOrigin, client: OriginClient, status: int
) -> None:
    origin.answers["/a/b"] = redirect("../c?d=e", status)
    origin.answers["/c"] = answer(200, b"x")
    assert await fetch(client, origin.url("/a/b"), {"X-Kept": "1"}) == b"x"
    assert [asked.target for asked in origin.asked] == ["/a/b", "/c?d=e"]
    assert origin.asked[1].headers["X-Kept"] == "1"


async def test_as_many_redirects_as_allowed(origin: ScriptedOrigin, client: OriginClient) -> None:
    for step in range(MAX_REDIRECTS + 1):
        origin.answers[f"/{step}"] = redirect(f"/{step + 1}")
    origin.answers[f"/{MAX_REDIRECTS + 1}"] = answer(200, b"x")
    assert await fetch(client, origin.url("/1")) == b"x"
    assert (await failure(client, origin.url("/0"))).reason is Reason.ORIGIN_REDIRECTS


async def test_a_redirect_loop(origin: ScriptedOrigin, client: OriginClient) -> None:
    origin.answers["/f"] = redirect("/f")
    assert (await failure(client, origin.url("/f"))).reason is Reason.ORIGIN_REDIRECTS
    assert len(origin.asked) == MAX_REDIRECTS + 1


async def test_a_redirect_leaves_no_connection_behind(
    origin: ScriptedOrigin, client: OriginClient
) -> None:
    left = trio.Event()

    async def script(stream: trio.abc.Stream) -> None:
        await stream.send_all(answer(302, Location="/g", Content_Length="9"))
        assert await stream.receive_some() == b""
        left.set()

    origin.answers |= {"/f": script, "/g": answer(200, b"x")}
    assert await fetch(client, origin.url("/f")) == b"x"
    with trio.fail_after(10):
        await left.wait()


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("ftp://h/f", "its scheme is neither http nor https"),
        ("file:///etc/passwd", "its scheme is neither http nor https"),
        ("http://h:0/", "its port is not one"),
        ("http://h:x/", "it does not parse"),
        ("//good\\@127.0.0.1/", "its host is neither spelled as a name nor as an address"),
    ],
)
async def test_a_redirect_to_what_cannot_be_fetched(
    origin: ScriptedOrigin, client: OriginClient, location: str, why: str
) -> None:
    origin.answers["/f"] = redirect(location)
    error = await failure(client, origin.url("/f"))
    assert error.reason is Reason.URL_INVALID
    assert error.detail == f"{origin.url('/f')} redirects to what cannot be fetched: {why}"


CREDENTIALS = {
    "authorization": "Bearer x",
    "cookie": "a=b",
    "proxy-authorization": "Basic x",
    "www-authenticate": "x",
    "private-token": "x",
    "x-api-key": "x",
    "x-amz-security-token": "x",
    "x-jfrog-art-api": "x",
    "x-pass": "x",
}


@pytest.mark.parametrize(
    ("hosts", "kept"),
    [
        (["origin.test"], True),
        (["ORIGIN.test", "origin.test"], True),
        (["cdn.origin.test"], False),
        (["other.test"], False),
        (["notorigin.test"], False),
        (["origin.test.", "origin.test"], False),
        (["other.test", "origin.test"], False),  # what was dropped does not come back
        (["127.0.0.1"], False),
    ],
)
async def test_credentials_stay_with_the_host_they_are_for(
    origin: ScriptedOrigin, client: OriginClient, hosts: list[str], kept: bool
) -> None:
    table = ["origin_test", "origin_test_", "cdn_origin_test", "other_test", "notorigin_test"]
    names(**{name: [["127.0.0.1"]] for name in table})
    for step, host in enumerate(hosts):
        origin.answers[f"/{step}"] = redirect(origin.url(f"/{step + 1}", host=host))
    origin.answers[f"/{len(hosts)}"] = answer(200)
    headers = CREDENTIALS | {"Accept-Language": "fr"}
    await fetch(client, origin.url("/0", host="origin.test"), headers)
    first, last = origin.asked[0].headers, origin.asked[-1].headers
    assert first.items() >= CREDENTIALS.items()
    assert (CREDENTIALS.keys() & last.keys()) == (CREDENTIALS.keys() if kept else set())
    assert last["Accept-Language"] == "fr"


async def test_credentials_do_not_go_to_another_port(
    origin: ScriptedOrigin, client: OriginClient, nursery: trio.Nursery
) -> None:
    elsewhere = ScriptedOrigin()
    await nursery.start(elsewhere.run, "127.0.0.1")
    origin.answers["/f"] = redirect(elsewhere.url("/f"))
    elsewhere.answers["/f"] = answer(200)
    await fetch(client, origin.url("/f"), CREDENTIALS)
    assert CREDENTIALS.keys() <= origin.asked[0].headers.keys()
    assert not CREDENTIALS.keys() & elsewhere.asked[0].headers.keys()


async def test_an_origins_cookies_are_not_kept(
    origin: ScriptedOrigin, client: OriginClient
) -> None:
    origin.answers["/f"] = answer(200, Set_Cookie="a=b; Path=/")
    await fetch(client, origin.url("/f"))
    await fetch(client, origin.url("/f"))
    assert "cookie" not in {name.lower() for name in origin.asked[1].headers}


# Leaving early, and again.


async def test_a_body_may_be_left_unread(origin: ScriptedOrigin, client: OriginClient) -> None:
    origin.answers["/f"] = answer(200, bytes(1 << 20))
    with trio.fail_after(10):
        async with client.open(origin.url("/f"), {}):
            pass
        async with client.open(origin.url("/f"), {}) as body:
            async for _ in body.chunks():
                break
    assert len(await fetch(client, origin.url("/f"))) == 1 << 20


async def test_cancellation_ends_the_connection(
    origin: ScriptedOrigin, client: OriginClient
) -> None:
    left = trio.Event()

    async def script(stream: trio.abc.Stream) -> None:
        await stream.send_all(answer(200, b"abc", Content_Length="9"))
        try:
            assert await stream.receive_some() == b""
        finally:
            left.set()

    origin.answers["/f"] = script
    with trio.fail_after(10):
        with trio.CancelScope() as scope:
            async with client.open(origin.url("/f"), {}) as body:
                scope.cancel()
                async for _ in body.chunks():
                    pass
        assert scope.cancelled_caught
        await left.wait()


async def test_no_connection_serves_a_second_request(
    origin: ScriptedOrigin, client: OriginClient
) -> None:
    origin.answers["/f"] = answer(200, b"x")
    await fetch(client, origin.url("/f"))
    await fetch(client, origin.url("/f"))
    assert (len(origin.asked), origin.connections) == (2, 2)


async def test_closing_the_client_ends_open_bodies(
    origin: ScriptedOrigin, client: OriginClient
) -> None:
    origin.answers["/f"] = send_and_wait(answer(200, b"abc", Content_Length="9"))
    with trio.fail_after(10):
        async with client.open(origin.url("/f"), {}) as body:
            chunks = body.chunks()
            await client.aclose()
            assert await anext(chunks) == b"abc", "what had come before"
            with pytest.raises(OriginError) as caught:
                await anext(chunks)
    assert caught.value.reason is Reason.ORIGIN_BROKEN


# TLS.


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


class TlsOrigin(ScriptedOrigin):
    """An origin at origin.test; also knows the names it was addressed by."""

    def __init__(self) -> None:
        super().__init__()
        self.server_names: list[str | None] = []

    def context(self, authority: trustme.CA) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("origin.test").configure_cert(context)
        context.sni_callback = lambda _, name, __: self.server_names.append(name)
        return context


@pytest.fixture
async def tls_origin(nursery: trio.Nursery, authority: trustme.CA) -> TlsOrigin:
    names(origin_test=[["127.0.0.1"]], other_test=[["127.0.0.1"]])
    scripted = TlsOrigin()
    await nursery.start(partial(scripted.run, "127.0.0.1", scripted.context(authority)))
    return scripted


@pytest.fixture
async def trusting(authority: trustme.CA) -> AsyncIterator[OriginClient]:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with OriginClient(LOOPBACK, ssl_context=context) as opened:
        yield opened


async def test_a_file_over_tls(tls_origin: TlsOrigin, trusting: OriginClient) -> None:
    content = bytes(range(256)) * 4096
    tls_origin.answers["/f"] = answer(200, content)
    url = tls_origin.url("/f", host="origin.test", scheme="https")
    assert await fetch(trusting, url) == content
    assert tls_origin.server_names == ["origin.test"]  # not the address that was contacted


async def test_over_tls_a_file_of_unknown_length_ends_with_a_farewell(
    tls_origin: TlsOrigin, trusting: OriginClient
) -> None:
    tls_origin.answers["/f"] = send(b"HTTP/1.0 200 OK\r\n\r\n", b"abc")
    assert await fetch(trusting, tls_origin.url("/f", host="origin.test", scheme="https")) == b"abc"


async def test_over_tls_a_file_of_known_length_needs_no_farewell(
    tls_origin: TlsOrigin, trusting: OriginClient
) -> None:
    def without(end: bytes) -> Script:
        async def script(stream: trio.abc.Stream) -> None:
            await stream.send_all(end)
            await trio.aclose_forcefully(stream)

        return script

    url = tls_origin.url("/f", host="origin.test", scheme="https")
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    for whole in (answer(200, b"abc"), chunked + b"3\r\nabc\r\n0\r\n\r\n"):
        tls_origin.answers["/f"] = without(whole)
        assert await fetch(trusting, url) == b"abc"
    tls_origin.answers["/f"] = without(answer(200, b"abc", Content_Length="9"))
    error = await failure(trusting, url)
    assert (error.reason, error.may_pass) == (Reason.ORIGIN_LENGTH, True)
    assert "3 of 9 bytes, then the end" in error.detail


async def test_a_certificate_of_an_unknown_authority(
    tls_origin: TlsOrigin, client: OriginClient
) -> None:
    error = await failure(client, tls_origin.url("/f", host="origin.test", scheme="https"))
    assert error.reason is Reason.ORIGIN_TLS
    assert "unable to get local issuer certificate" in error.detail


async def test_a_certificate_for_another_name(
    tls_origin: TlsOrigin, trusting: OriginClient
) -> None:
    error = await failure(trusting, tls_origin.url("/f", host="other.test", scheme="https"))
    assert error.reason is Reason.ORIGIN_TLS
    assert "not valid for 'other.test'" in error.detail


async def test_an_origin_that_does_not_speak_tls(
    nursery: trio.Nursery, client: OriginClient
) -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, send(b"HTTP/1.1 400 Bad Request\r\n\r\n"), listeners)
    port = listeners[0].socket.getsockname()[1]
    assert (await failure(client, f"https://127.0.0.1:{port}/")).reason is Reason.ORIGIN_TLS


async def test_no_handshake_in_time(nursery: trio.Nursery) -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")

    async def silent(stream: trio.abc.Stream) -> None:
        async with stream:
            await trio.sleep_forever()

    nursery.start_soon(trio.serve_listeners, silent, listeners)
    port = listeners[0].socket.getsockname()[1]
    async with OriginClient(LOOPBACK, connect_timeout=0.05) as client:
        error = await failure(client, f"https://127.0.0.1:{port}/")
    assert error.reason is Reason.ORIGIN_TIMEOUT


async def test_credentials_are_not_sent_in_the_clear_after_tls(
    tls_origin: TlsOrigin, origin: ScriptedOrigin, trusting: OriginClient
) -> None:
    tls_origin.answers["/f"] = redirect(origin.url("/f", host="origin.test"))
    origin.answers["/f"] = answer(200)
    url = tls_origin.url("/f", host="origin.test", scheme="https")
    await fetch(trusting, url, CREDENTIALS)
    assert tls_origin.asked[0].headers.items() >= CREDENTIALS.items()
    assert not CREDENTIALS.keys() & origin.asked[0].headers.keys()
