"""What each generation of Harbor does with a preheat provider, call by call.

Bodies as its structs marshal them, answers read as Go's decoder does: keys in any case, the last of
several counts, a value of another type is an error. Any error, also one of a poll, fails the job at
once, as Harbor retries nothing. Only the pauses between polls are shorter.
"""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

PENDING, RUNNING, SUCCESS, FAIL = "PENDING", "RUNNING", "SUCCESS", "FAIL"
CALL_SECONDS = 30.0
POLL_SECONDS = 0.1
PATIENCE_SECONDS = 40.0
"""For Harbor's 1801 s."""

Read = dict[str, Any]
"""An answer, its keys in lower case."""


class Failed(Exception):
    """What ends a job: Harbor puts it into its log."""


@dataclass(frozen=True, kw_only=True)
class Image:
    """What a policy has Harbor preheat."""

    endpoint: str
    name: str
    tag: str
    digest: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"{self.endpoint}/v2/{self.name}/manifests/{self.tag}"


@dataclass
class Job:
    """How a job went: every state that Harbor has shown, in order, the last for good."""

    states: list[str] = field(default_factory=list)
    error: str = ""
    rows: list[Mapping[str, Any]] = field(default_factory=list)
    """The table of files in its log (2.12 and later)."""

    def show(self, state: str) -> None:
        if self.states[-1:] != [state]:
            self.states.append(state)


class Harbor:
    """A Harbor with one provider.

    Args:
        endpoint: of the provider.
        auth: what it proves itself by: headers, by instance mode.
        after_poll: is told how many polls there were.
    """

    def __init__(
        self,
        endpoint: str,
        auth: Mapping[str, str] | None = None,
        after_poll: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._endpoint = endpoint.removesuffix("/")
        self._auth = dict(auth or {})
        self._after_poll = after_poll

    def preheat(self, image: Image) -> Job:
        """Run one job to its end."""
        job = Job()
        try:
            self._healthy()
            identity = self._create(image, job)
            deadline = time.monotonic() + PATIENCE_SECONDS
            polls = 0
            while identity and job.states[-1] not in (SUCCESS, FAIL):
                if time.monotonic() > deadline:
                    raise Failed("it takes too long")
                time.sleep(POLL_SECONDS)  # noqa: TID251 - it is what Harbor does
                self._check(identity, job)
                polls += 1
                self._after_poll(polls)
        except Failed as failure:
            job.error = str(failure)
            job.show(FAIL)
        return job

    def _healthy(self) -> None:
        raise NotImplementedError

    def _create(self, image: Image, job: Job) -> str:
        """Have it preheated; return by what to ask for it; nothing: there is no asking."""
        raise NotImplementedError

    def _check(self, identity: str, job: Job) -> None:
        raise NotImplementedError

    def _call(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        headers = {"Accept": "application/json", "User-Agent": "Go-http-client/1.1", **self._auth}
        if body is not None:
            headers["Content-Type"] = "application/json"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._endpoint + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=CALL_SECONDS) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                raise Failed(f"{error.code}: {error.read().decode()}") from None
        except OSError as error:
            raise Failed(str(error)) from None

    def _ask(self, method: str, path: str, body: object = None) -> Read:
        _, content = self._call(method, path, body)
        return read(content)


def read(content: bytes) -> Read:
    """Return a JSON object as Go's decoder sees it."""
    try:
        found = json.loads(content, object_pairs_hook=_as_go_does)
    except ValueError as error:
        raise Failed(f"no JSON: {error}") from None
    if not isinstance(found, dict):
        raise Failed("no JSON object")
    return found


def _as_go_does(pairs: list[tuple[str, Any]]) -> Read:
    return {key.lower(): value for key, value in pairs}


def text(found: Read, key: str) -> str:
    """Return a text, as a field of type string takes it."""
    value = found.get(key, "")
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Failed(f"{key} is {value!r}, no string")
    return value


class Dragonfly1(Harbor):
    """The provider "dragonfly" of 2.1 to 2.11.

    Args:
        minor: of its version.
    """

    def __init__(
        self,
        endpoint: str,
        minor: int,
        auth: Mapping[str, str] | None = None,
        after_poll: Callable[[int], None] = lambda _: None,
    ) -> None:
        super().__init__(endpoint, auth, after_poll)
        self._minor = minor

    def _healthy(self) -> None:
        self._call("GET", "/_ping")

    def _create(self, image: Image, job: Job) -> str:
        body = {
            "type": "image",
            "url": image.url,
            "headers": dict(image.headers),
            "image": image.name,
            "tag": image.tag,
            "digest": image.digest,
        }
        status, content = self._call("POST", "/preheats", body)
        created = read(content)
        if status == 208 and self._minor >= 3:
            job.show(SUCCESS)
            return ""
        job.show(PENDING)
        if not text(created, "id"):
            raise Failed("no task ID")
        return text(created, "id")

    def _check(self, identity: str, job: Job) -> None:
        found = self._ask("GET", f"/preheats/{identity}")
        for moment in ("starttime", "finishtime"):
            if text(found, moment):
                datetime.fromisoformat(found[moment])
        match text(found, "status"):
            case "WAITING":
                job.show(PENDING)
            case "SUCCESS":
                job.show(SUCCESS)
            case "FAIL":
                self._fail(found, job)
            case "FAILED" if self._minor >= 8:
                self._fail(found, job)
            case _:
                job.show(RUNNING)

    def _fail(self, found: Read, job: Job) -> None:
        error = text(found, "errormsg")
        if self._minor >= 8 and "preheat task already exists, id:" in error:
            raise AssertionError("it would go looking for another ID")
        job.error = error
        job.show(FAIL)


class Dragonfly2(Harbor):
    """The provider "dragonfly" of 2.12 and later.

    Args:
        minor: of its version.
    """

    def __init__(
        self,
        endpoint: str,
        minor: int,
        auth: Mapping[str, str] | None = None,
        after_poll: Callable[[int], None] = lambda _: None,
    ) -> None:
        super().__init__(endpoint, auth, after_poll)
        self._minor = minor

    def _healthy(self) -> None:
        self._call("GET", "/healthy")

    def _create(self, image: Image, job: Job) -> str:
        body = {
            "type": "preheat",
            "args": {
                "type": "image",
                "url": image.url,
                "tag": "",
                "filtered_query_params": "",
                "headers": dict(image.headers),
                "scope": "single_peer" if self._minor == 12 else "all_seed_peers",
                "concurrent_count": 0,
                "timeout": 1_800_000_000_000,
            },
            "scheduler_cluster_ids": None if self._minor == 12 else [1],
        }
        status, content = self._call("POST", "/oapi/v1/jobs", body)
        if status == 208:
            raise Failed("208")
        job.show(PENDING)
        return str(self._job(read(content), job))

    def _check(self, identity: str, job: Job) -> None:
        found = self._ask("GET", f"/oapi/v1/jobs/{identity}")
        self._job(found, job)
        match text(found, "state"):
            case "PENDING":
                job.show(RUNNING)
            case "SUCCESS":
                job.show(SUCCESS)
            case "FAILURE":
                job.show(FAIL)
            case other:
                raise Failed(f"unknown state: {other}")

    def _job(self, found: Read, job: Job) -> int:
        identity = found.get("id")
        if type(identity) is not int or not -(1 << 63) <= identity < 1 << 63:
            raise Failed(f"id is {identity!r}, no integer")
        for moment in ("created_at", "updated_at"):
            if found.get(moment) is not None:
                datetime.fromisoformat(text(found, moment))
        job.rows = []
        for state in (found.get("result") or {}).get("job_states") or []:
            job.error = text(state, "error")
            for result in state["results"]:
                assert type(result["scheduler_cluster_id"]) is int
                for kind in ("success_tasks", "failure_tasks"):
                    for row in result[kind]:
                        assert row["hostname"]
                        assert row["ip"]
                        job.rows.append(row)
        return identity


class Kraken(Harbor):
    """The provider "kraken", of every version: it tells, and asks no more."""

    def _healthy(self) -> None:
        self._call("GET", "/health")

    def _create(self, image: Image, job: Job) -> str:
        target = {
            "MediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "Digest": image.digest,
            "Repository": image.name,
            "Url": image.url,
            "Tag": image.tag,
        }
        event = {
            "Id": "r4nd0m",
            "TimeStamp": "2024-01-02T03:04:05.000006Z",
            "Action": "push",
            "Target": target,
            "Request": None,
            "Actor": None,
        }
        self._call("POST", "/registry/notifications", {"Events": [event]})
        job.show(SUCCESS)
        return ""
