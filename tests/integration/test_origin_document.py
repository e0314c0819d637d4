"""Small answers in full: what an origin says."""

import pytest
import trio

from supernode.core.reasons import Reason
from supernode.origin import document
from supernode.origin.document import Document
from supernode.origin.errors import OriginError
from supernode.origin.http import OriginClient
from tests.integration.scripted_origin import (
    LOOPBACK,
    ScriptedOrigin,
    answer,
    redirect,
    send,
    send_and_wait,
)


@pytest.fixture
async def origin(nursery: trio.Nursery) -> ScriptedOrigin:
    scripted = ScriptedOrigin()
    await nursery.start(scripted.run, "127.0.0.1")
    return scripted


async def said(origin: ScriptedOrigin, *also: int) -> Document:
    with trio.fail_after(10):
        async with OriginClient(LOOPBACK) as client:
            return await client.document(origin.url("/f"), {}, most=10, also=also)


async def reason(origin: ScriptedOrigin) -> Reason:
    with pytest.raises(OriginError) as caught:
        await said(origin)
    return caught.value.reason


async def test_all_of_it(origin: ScriptedOrigin) -> None:
    origin.answers["/f"] = redirect("/g?x=y")
    origin.answers["/g"] = answer(200, b"0123456789", X_Y="a")
    found = await said(origin)
    assert (found.status, found.content, found.headers["x-y"]) == (200, b"0123456789", "a")
    assert found.place == origin.url("/g")
    assert str(found.url) == origin.url("/g?x=y")


async def test_not_more_than_that(origin: ScriptedOrigin) -> None:
    origin.answers["/f"] = answer(200, b"0123456789a")
    assert await reason(origin) is Reason.ORIGIN_TOO_LONG
    origin.answers["/f"] = send(b"HTTP/1.1 200 OK\r\n\r\n0123456789a")
    assert await reason(origin) is Reason.ORIGIN_TOO_LONG


async def test_other_statuses_are_answers_if_the_caller_says_so(origin: ScriptedOrigin) -> None:
    origin.answers["/f"] = answer(404, b"0123456789a")
    assert await reason(origin) is Reason.ORIGIN_NOT_FOUND
    found = await said(origin, 404)
    assert (found.status, found.content) == (404, b"0123456789")


async def test_what_is_cut_off_is_not_all_of_it(origin: ScriptedOrigin) -> None:
    origin.answers["/f"] = send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n0123")
    assert await reason(origin) is Reason.ORIGIN_LENGTH


async def test_it_may_not_take_for_ever(
    origin: ScriptedOrigin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document, "DOCUMENT_SECONDS", 0.2)
    origin.answers["/f"] = send_and_wait(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n0123")
    assert await reason(origin) is Reason.ORIGIN_STALLED


async def test_a_head_is_of_the_first_answer(origin: ScriptedOrigin) -> None:
    origin.answers["/f"] = answer(307, Location="/g", Content_Length="1000")
    with trio.fail_after(10):
        async with OriginClient(LOOPBACK) as client:
            found = await client.head(origin.url("/f"), {"X": "y"})
    assert (found.status, found.content) == (307, b"")
    assert [asked.target for asked in origin.asked] == ["/f"]
    assert origin.asked[0].headers["X"] == "y"
