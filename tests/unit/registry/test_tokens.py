"""How long a token is used, by whose clock."""

import json
from collections.abc import Mapping
from typing import Any, cast

import httpx2
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from supernode.origin.document import Document
from supernode.origin.http import OriginClient
from supernode.registry import tokens as module
from supernode.registry.accounts import Account
from supernode.registry.tokens import LONGEST_SECONDS, Grant, Tokens

GRANT = Grant("https://tokens.test/", "service", ("repository:a:pull",), None)


class Service:
    """Stands for the origin client: each answer has another token."""

    def __init__(self, date: str = "", **said: object) -> None:
        self.said = said
        self.date = date
        self.asked = 0

    async def document(self, url: str, headers: Mapping[str, str], **_: object) -> Document:
        self.asked += 1
        await trio.sleep(1)
        content = json.dumps({"token": f"token-{self.asked}", **self.said}).encode()
        found: dict[str, str] = {"Date": self.date} if self.date else {}
        return Document(
            status=200,
            headers=httpx2.Headers(found),
            content=content,
            url=httpx2.URL(url),
            place=url,
        )


def tokens(service: Service) -> Tokens:
    return Tokens(cast(OriginClient, service))


DATE = "Mon, 01 Jan 2024 00:10:00 GMT"


@pytest.mark.parametrize(
    ("said", "date", "seconds"),
    [
        ({"expires_in": 300}, "", 270),
        ({"expires_in": 20}, "", 15),
        ({}, "", 45),
        ({"expires_in": 1e9}, "", LONGEST_SECONDS - 30),
        ({"expires_in": 900, "issued_at": "2024-01-01T00:00:00Z"}, DATE, 270),
        ({"expires_in": 900, "issued_at": "2024-01-01T01:00:00+01:00"}, DATE, 270),
        ({"expires_in": 900, "issued_at": "2024-01-01T00:00:00Z"}, "", 870),
        ({"expires_in": 900, "issued_at": "nonsense"}, DATE, 870),
        ({"expires_in": 900, "issued_at": "2025-01-01T00:00:00Z"}, DATE, 870),
    ],
)
async def test_a_token_is_replaced_before_it_ends(
    autojump_clock: MockClock, said: dict[str, Any], date: str, seconds: float
) -> None:
    service = Service(date, **said)
    of = tokens(service).of
    assert await of(GRANT) == "token-1"
    await trio.sleep(seconds - 1)
    assert await of(GRANT) == "token-1"
    await trio.sleep(1)
    assert await of(GRANT) == "token-2"


async def test_an_age_beyond_its_life_is_no_life(autojump_clock: MockClock) -> None:
    service = Service(DATE, expires_in=60, issued_at="2024-01-01T00:00:00Z")
    of = tokens(service).of
    assert [await of(GRANT), await of(GRANT)] == ["token-1", "token-2"]


async def test_whoever_is_cancelled_holds_up_nobody(autojump_clock: MockClock) -> None:
    service = Service(expires_in=300)
    kept = tokens(service)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(kept.of, GRANT)
        await wait_all_tasks_blocked()
        with trio.move_on_after(0.5):
            await kept.of(GRANT)
    assert await kept.of(GRANT) == "token-1"
    kept.forget(GRANT)
    with trio.move_on_after(0.5):
        await kept.of(GRANT)
    assert await kept.of(GRANT) == "token-3"


async def test_what_is_kept_is_bounded_and_ends(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_KEPT", 3)
    service = Service(expires_in=300)
    kept = tokens(service)
    grants = [Grant("https://t.test/", str(n), (), Account("a", "b")) for n in range(5)]
    for grant in grants:
        await kept.of(grant)
    assert len(kept._kept) == 3
    await kept.of(grants[-1])
    assert service.asked == 5
    await kept.of(grants[0])
    assert service.asked == 6
    await trio.sleep(301)
    await kept.of(GRANT)
    assert set(kept._kept) == {GRANT}
    assert "b" not in repr(grants[0]).split("account")[-1]
