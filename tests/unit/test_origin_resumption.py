"""When a file may be continued, and what is taken for its continuation (RFC 9110 §13.1.5)."""

import httpx2
import pytest

from supernode.origin.resumption import Resumption, strong_validator

CHANGED = "Tue, 02 Jan 2024 03:04:05 GMT"
A_MINUTE_LATER = "Tue, 02 Jan 2024 03:05:05 GMT"


@pytest.mark.parametrize(
    ("headers", "validator"),
    [
        ({"etag": '"abc-1"'}, '"abc-1"'),
        ({"ETag": '"abc"', "Last-Modified": CHANGED, "Date": A_MINUTE_LATER}, '"abc"'),
        ({"Last-Modified": CHANGED, "Date": A_MINUTE_LATER}, CHANGED),
        # A weak tag says that the two are not the same, so the date must not be used either.
        ({"ETag": 'W/"abc"', "Last-Modified": CHANGED, "Date": A_MINUTE_LATER}, ""),
        ({"ETag": "abc"}, ""),
        ({"ETag": '"a"b"'}, ""),
        ({"ETag": '"a", "b"'}, ""),
        ({"ETag": ""}, ""),
        # It may have changed again in the same second.
        ({"Last-Modified": CHANGED, "Date": CHANGED}, ""),
        ({"Last-Modified": CHANGED, "Date": "Tue, 02 Jan 2024 03:05:04 GMT"}, ""),
        ({"Last-Modified": A_MINUTE_LATER, "Date": CHANGED}, ""),
        ({"Last-Modified": CHANGED}, ""),
        ({"Last-Modified": "yesterday", "Date": CHANGED}, ""),
        ({"Last-Modified": "Tue, 02 Jan 2024 03:04:05 -0000", "Date": A_MINUTE_LATER}, ""),
        ({"Date": CHANGED}, ""),
        ({}, ""),
    ],
)
def test_only_a_strong_validator_will_do(headers: dict[str, str], validator: str) -> None:
    assert strong_validator(httpx2.Headers(headers)) == validator


@pytest.mark.parametrize(
    ("validator", "headers", "length", "objection"),
    [
        ('"v1"', {"ETag": '"v1"'}, 90, None),
        ('"v1"', {}, 90, None),
        ('"v1"', {"ETag": '"v2"'}, 90, "of another version of the file"),
        ('"v1"', {"ETag": 'W/"v1"'}, 90, "of another version of the file"),
        ('"v1"', {"ETag": '"v1"'}, 91, "of a file of 101 bytes, not 100"),
        (CHANGED, {"Last-Modified": CHANGED, "ETag": '"any"'}, 90, None),
        (CHANGED, {"Last-Modified": A_MINUTE_LATER}, 90, "of another version of the file"),
    ],
)
def test_what_is_not_the_rest_is_told_from_it(
    validator: str, headers: dict[str, str], length: int, objection: str | None
) -> None:
    resumption = Resumption(10, validator, 100)
    assert resumption.objection(httpx2.Headers(headers), length) == objection


def test_of_a_file_without_a_length_any_rest_will_do() -> None:
    assert Resumption(10, '"v1"', None).objection(httpx2.Headers(), 7) is None
