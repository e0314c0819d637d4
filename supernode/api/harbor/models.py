"""Models of Dragonfly 2's jobs and of registries' notifications, spelled as they spell them."""

import enum
from typing import Annotated

from msgspec import Meta, field

from supernode.api.models import Headers, Model, Moment, Text, Word

MOST_EVENTS = 1000
"""Notifications that come at once."""


def _about(description: str) -> Meta:
    return Meta(description=description)


_PUSHED = {
    "action": "push",
    "target": {"url": "https://registry.example/v2/library/app/manifests/v1", "tag": "v1"},
}


class JobArgs(Model):
    """What to preheat."""

    type: Annotated[
        Text,
        Meta(
            description="`file`, or what kind of artefact of a registry it is.", examples=["image"]
        ),
    ] = ""
    url: Annotated[
        Text,
        Meta(
            description="Of the file, or of the artefact's manifest.",
            examples=["https://registry.example/v2/library/app/manifests/v1"],
        ),
    ] = ""
    tag: Text = ""
    filtered_query_params: Annotated[
        Text, _about("Names of query parameters that do not make another task, as `a&b`.")
    ] = ""
    headers: Annotated[Headers, _about("What the origin is sent; the values are secrets.")] = field(
        default_factory=dict
    )
    platform: Annotated[Text, _about("Of an image only what is for this one.")] = ""
    scope: Annotated[Word, _about("Where copies are to be; here is where they are.")] = ""


class JobCreateRequest(Model):
    """A job, as Harbor 2.12 and later ask for it."""

    type: Annotated[Text, Meta(description="`preheat`", examples=["preheat"])] = ""
    args: JobArgs = field(default_factory=JobArgs)


class JobState(enum.StrEnum):
    """How far a job is: the only words that Harbor knows."""

    PENDING = "PENDING"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"


class SuccessTask(Model, omit_defaults=False):
    """A file that is there."""

    url: str
    hostname: str
    ip: str


class FailureTask(Model, omit_defaults=False):
    """A file that could not be fetched."""

    url: str
    hostname: str
    ip: str
    description: str


class ClusterResult(Model, omit_defaults=False):
    """What became of each file."""

    success_tasks: list[SuccessTask]
    failure_tasks: list[FailureTask]
    scheduler_cluster_id: int


class GroupJobState(Model, omit_defaults=False):
    """What became of a job. Harbor shows it as a table, a row per file."""

    error: str
    results: list[ClusterResult]


class JobResult(Model, omit_defaults=False):
    """What became of a job, in parts; there is one."""

    job_states: list[GroupJobState]


class JobInfo(Model, omit_defaults=False):
    """A job as it is now; its ID is the preheat's as an integer."""

    id: int
    type: str
    state: JobState
    created_at: Moment
    updated_at: Moment | None
    result: JobResult | None


class NotifiedTarget(Model):
    """What something was done to."""

    media_type: Text = field(default="", name="mediaType")
    digest: Text = ""
    repository: Text = ""
    url: Text = ""
    tag: Text = ""


class NotifiedEvent(Model):
    """What was done."""

    id: Text = ""
    action: Text = ""
    target: NotifiedTarget = field(default_factory=NotifiedTarget)


class Notification(Model):
    """What a registry has to tell: docker/distribution's envelope, or Kraken's."""

    events: Annotated[list[NotifiedEvent], Meta(max_length=MOST_EVENTS, examples=[[_PUSHED]])] = (
        field(default_factory=list)
    )


class IgnoredEvent(Model):
    """An event that nothing comes of."""

    id: str
    why: str


class NotificationAnswer(Model):
    """What comes of a notification."""

    preheats: Annotated[list[str], _about("The IDs of the preheats, in order.")] = field(
        default_factory=list
    )
    ignored: list[IgnoredEvent] = field(default_factory=list)
