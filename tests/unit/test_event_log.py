"""Which events are logged, at which level, and what the lines say."""

import logging

import pytest
import structlog
from structlog.testing import capture_logs

from supernode.api import event_log
from supernode.api.event_log import log_event
from supernode.core.events import PieceCached, TaskFailed, TaskRegistered
from supernode.core.identity import TaskId
from supernode.core.model import CdnStatus, Secrets, TaskSpec
from supernode.core.pieces import PieceDigest, PieceNumber
from supernode.core.reasons import Reason
from supernode.feed import Feed

T = TaskId("t")
REGISTERED = TaskRegistered(
    at=0,
    task=T,
    generation=1,
    last_used=0,
    adopted=False,
    spec=TaskSpec(
        raw_url="http://user:s3cr3t@host/f?token=s3cr3t",
        task_url="http://user:s3cr3t@host/f?token=s3cr3t",
        headers=Secrets({"Authorization": "s3cr3t"}),
    ),
)
CACHED = PieceCached(at=0, task=T, piece=PieceNumber(0), digest=PieceDigest("d" * 32 + ":9"))
FAILED = TaskFailed(
    at=0, task=T, status=CdnStatus.FAILED, reason=Reason.DISK_FULL, detail="no room"
)


@pytest.fixture
def feed() -> Feed:
    feed = Feed()
    feed.listen(log_event)
    return feed


def test_notable_events_are_logged_with_what_they_are_about(
    feed: Feed, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, event_log.__name__)
    with capture_logs() as logs:
        feed.publish([REGISTERED, CACHED, FAILED])
    assert logs == [
        {
            "log_level": "info",
            "event": "task.registered",
            "seq": 1,
            "task": "t",
            "generation": 1,
            "adopted": False,
            "taskURL": "http://host/f",
            "headers": ["Authorization"],
        },
        {
            "log_level": "warning",
            "event": "task.failed",
            "seq": 3,
            "task": "t",
            "cdnStatus": "FAILED",
            "reason": "disk_full",
            "downloads": 0,
            "detail": "no room",
        },
    ]


def test_numerous_events_are_logged_for_who_wants_them(
    feed: Feed, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, event_log.__name__)
    with capture_logs() as logs:
        feed.publish([CACHED])
    assert [(line["log_level"], line["event"]) for line in logs] == [("debug", "piece.cached")]


def test_a_line_names_the_request_that_caused_the_event(
    feed: Feed, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, event_log.__name__)
    with (
        capture_logs([structlog.contextvars.merge_contextvars]) as logs,
        structlog.contextvars.bound_contextvars(request="r1", remote="10.0.0.1"),
    ):
        feed.publish([FAILED])
    assert [(line["request"], line["remote"], line["task"]) for line in logs] == [
        ("r1", "10.0.0.1", "t")
    ]
