"""Events as people read them on a terminal."""

from typing import Any

import pytest

from supernode.follow.lines import line

CACHED: dict[str, Any] = {
    "type": "piece.cached",
    "seq": 12,
    "time": "2026-01-01T12:00:00.123Z",
    "task": "5d2e" * 16,
    "piece": 3,
    "adopted": False,
    "path": "",
    "holder": "seed",
    "headers": ["a", "b"],
}


def test_a_line_says_when_what_and_about_what() -> None:
    text = line(CACHED).plain
    assert ":00:00.123 " in text
    assert "      12 piece.cached " in text
    assert "task 5d2e5d2e5d2e… piece 3" in text
    assert "adopted no" in text
    assert "from seed" in text
    assert "headers a, b" in text
    assert "path" not in text


@pytest.mark.parametrize(
    ("kind", "style"),
    [("task.failed", "red"), ("piece.cached", "green"), ("peer.left", "yellow"), ("x.y", "")],
)
def test_its_colour_says_what_became_of_it(kind: str, style: str) -> None:
    styles = {str(span.style) for span in line({**CACHED, "type": kind}).spans}
    assert styles - {"dim"} == ({style} if style else set())


def test_a_gap() -> None:
    assert line({"type": "gap", "from": 3, "to": 9}).plain == "events 3 to 9 are not known"


def test_nothing_that_a_terminal_would_obey() -> None:
    assert "\x1b" not in line({**CACHED, "detail": "\x1b[2J"}).plain
