"""What a client prefers, and how little it takes to say so wrongly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supernode.api.negotiation import names_json, prefers_plain_text, wanted_wait


@pytest.mark.parametrize(
    ("accept", "plain"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", True),
        ("TEXT/Plain", True),
        ("text/plain;charset=utf-8", True),
        ("text/*", True),
        ("application/json", False),
        ("application/json, text/plain", False),  # a draw
        ("text/plain, application/json", False),
        ("text/plain, application/json;q=0.9", True),
        ("text/plain;q=0.9, application/json", False),
        ("text/plain; q=0.5, */*;q=0.1", True),
        ("text/plain;q=0.1, */*", False),
        ("text/*;q=0.9, text/plain;q=0.1, application/json;q=0.5", False),  # the specific one
        ("text/html, application/xhtml+xml, */*;q=0.8", False),  # a browser
        ("image/png", False),  # neither: never 406
        ("text/plain;q=0", False),
        ("text/plain;q=nonsense", False),
        ("text/plain;q=inf, application/json", False),
        ("text/plain;q=nan", False),
        (",;,;q=1,", False),
    ],
)
def test_prefers_plain_text(accept: str, plain: bool) -> None:
    assert prefers_plain_text(accept) is plain


@pytest.mark.parametrize(
    ("accept", "named"),
    [
        ("", False),
        ("*/*", False),
        ("application/*", False),
        ("application/json", True),
        ("text/plain, Application/JSON;q=0.1", True),
        ("application/json;q=0", False),
        ("application/json-seq", False),
    ],
)
def test_names_json(accept: str, named: bool) -> None:
    assert names_json(accept) is named


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ("", 0),
        ("wait=5", 5),
        ("wait=0", 0),
        ("wait=30", 30),
        ("wait=31", 30),
        ("wait=999999", 30),
        ("WAIT = 5", 5),
        ('wait="5"', 5),
        ("respond-async, wait=10", 10),
        ("wait=10; x=1, respond-async", 10),
        ("await=5", 0),
        ("wait", 0),
        ("wait=", 0),
        ("wait=soon", 0),
        ("wait=-5", 0),
        ("wait=1.5", 0),
        ("wait=5s", 0),
        ("wait=9999999", 30),
        ("wait=" + "9" * 5000, 30),
        ("wait=\N{ARABIC-INDIC DIGIT ONE}", 0),
    ],
)
def test_wanted_wait(prefer: str, seconds: float) -> None:
    assert wanted_wait(prefer) == seconds


@given(st.text(alphabet='*/;,=q.019 "waitextplainjson', max_size=60))
def test_any_header_can_be_read(header: str) -> None:
    prefers_plain_text(header)
    names_json(header)
    assert 0 <= wanted_wait(header) <= 30
