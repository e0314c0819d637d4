"""Whether an answer says that a file is still what it was."""

import pytest

from supernode.core.model import OriginVersion
from supernode.origin.freshness import conditional, is_fresh

DATE = "Tue, 02 Jan 2024 03:04:05 GMT"
LATER = "Wed, 03 Jan 2024 03:04:05 GMT"
TAGGED = OriginVersion(etag='"v1"', last_modified=DATE, validator='"v1"')
DATED = OriginVersion(last_modified=DATE)


def test_what_is_asked() -> None:
    headers = {"X-Token": "t", "if-none-match": '"mine"', "Range": "bytes=0-9"}
    asked = conditional(headers, TAGGED)
    assert asked == {
        "X-Token": "t",
        "Range": "bytes=0-9",
        "If-None-Match": '"v1"',
        "If-Modified-Since": DATE,
    }
    assert conditional({}, DATED) == {"If-Modified-Since": DATE}
    assert conditional(headers, OriginVersion()) is None


@pytest.mark.parametrize(
    ("status", "headers", "version", "fresh"),
    [
        (304, {}, TAGGED, True),
        (200, {"ETag": '"v1"'}, TAGGED, True),
        (206, {"ETag": '"v1"'}, TAGGED, True),
        (200, {"ETag": '"v2"', "Last-Modified": DATE}, TAGGED, False),
        (200, {"Last-Modified": DATE}, TAGGED, False),
        (200, {"Last-Modified": DATE}, DATED, True),
        (200, {"Last-Modified": LATER}, DATED, False),
        (200, {}, OriginVersion(), False),
        (404, {}, TAGGED, False),
        (410, {}, TAGGED, False),
        (401, {}, TAGGED, None),
        (403, {}, TAGGED, None),
        (500, {}, TAGGED, None),
    ],
)
def test_what_answers_say(
    status: int, headers: dict[str, str], version: OriginVersion, fresh: bool | None
) -> None:
    assert is_fresh(status, headers, version) is fresh
