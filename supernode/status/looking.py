"""A look at a supernode: all that one screen tells, from its public interface."""

from collections.abc import Mapping

import msgspec

from supernode.remote import Rejected, Remote, Unreachable

MOST_TASKS = 1000
"""How many of the latest tasks are looked at; the interface shows no more at once."""
MOST_RUNNING = 10
MOST_FAILURES = 5
_UNDER_WAY = ("WAITING", "RUNNING")
_FAILED = ("FAILED", "SOURCE_ERROR")


class Version(msgspec.Struct, frozen=True, rename={"version": "Version", "revision": "Revision"}):
    """Which supernode it is."""

    version: str = ""
    revision: str = ""


class Amounts(msgspec.Struct, frozen=True, kw_only=True):
    """Content bytes by where they came from."""

    origin: int = 0
    seed: int = 0
    peers: int = 0


class Peers(msgspec.Struct, frozen=True, kw_only=True):
    """How many peers there are."""

    known: int = 0
    silent: int = 0
    quarantined: int = 0


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """How full the disk is. Bytes."""

    total: int
    free: int
    cached: int


class Overview(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Counts and amounts."""

    started: str
    time: str
    peers: Peers
    tasks: Mapping[str, int] = {}
    paused: int = 0
    preheats: Mapping[str, int] = {}
    running: int = 0
    leases: int = 0
    bytes_from: Amounts
    disk: Disk | None = None


class Running(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A task that is fetched or downloaded, and what it waits for."""

    id: str
    url: str
    pieces_cached: int
    piece_total: int | None
    clients: int
    cause: str
    waits_for: str


class Failure(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What came to nothing."""

    what: str
    asked_at: str
    url: str
    why: str


class Status(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """All of it.

    Args:
        trouble: why it is not ready, in words; empty: it is.
        checks: what there is to say of each condition of being ready.
        running: at most ``MOST_RUNNING``.
        failures: the latest first, at most ``MOST_FAILURES``.
    """

    node: str
    ready: bool
    trouble: str
    checks: Mapping[str, str]
    version: Version
    overview: Overview
    running: tuple[Running, ...]
    failures: tuple[Failure, ...]


class _Readiness(msgspec.Struct):
    checks: dict[str, str] = {}
    message: str = ""


class _Task(
    msgspec.Struct,
    kw_only=True,
    rename={
        "identity": "ID",
        "status": "cdnStatus",
        "url": "taskURL",
        "total": "pieceTotal",
        "cached": "piecesCached",
    },
):
    identity: str
    status: str
    url: str
    created: str = ""
    total: int | None = None
    cached: int = 0
    running: int = 0
    reason: str = ""
    detail: str = ""


class _Preheat(
    msgspec.Struct,
    kw_only=True,
    rename={"identity": "ID", "asked_at": "startTime", "error": "errorMsg"},
):
    identity: str
    status: str
    asked_at: str = ""
    url: str = ""
    error: str = ""


class _Waiting(msgspec.Struct):
    cause: str = ""
    text: str = ""


class _Progress(msgspec.Struct):
    waiting: _Waiting


async def look(remote: Remote) -> Status:
    """Return how it is. Raises Unreachable, Rejected."""
    ready, trouble, checks = await _readiness(remote)
    tasks = await _tasks(remote)
    preheats = await remote.ask("GET", "/preheats", list[_Preheat])
    under_way = [task for task in tasks if task.running or task.status in _UNDER_WAY]
    return Status(
        node=str(remote.node),
        ready=ready,
        trouble=trouble,
        checks=checks,
        version=await remote.ask("GET", "/version", Version),
        overview=await remote.ask("GET", "/overview", Overview),
        running=tuple([await _running(remote, task) for task in under_way[:MOST_RUNNING]]),
        failures=_failures(tasks, preheats),
    )


async def _readiness(remote: Remote) -> tuple[bool, str, dict[str, str]]:
    """Return whether it is ready, why not, and its checks."""
    answer = await remote.request("GET", "/readyz")
    if answer.status not in (200, 503):
        raise Rejected(f"status {answer.status} at /readyz: it is no supernode, or an older one")
    try:
        said = msgspec.json.decode(answer.body, type=_Readiness)
    except msgspec.MsgspecError as error:
        raise Unreachable(f"supernode {remote.node}: {error}") from error
    return answer.status == 200, said.message, said.checks


async def _tasks(remote: Remote) -> list[_Task]:
    """Return tasks: first those that the most clients download, then the latest; each once."""
    found: dict[str, _Task] = {}
    for order, most in (("running", MOST_RUNNING), ("created", MOST_TASKS)):
        target = f"/tasks?sortKey={order}&sortDirect=DESC&pageSize={most}"
        for task in await remote.ask("GET", target, list[_Task]):
            found.setdefault(task.identity, task)
    return list(found.values())


async def _running(remote: Remote, task: _Task) -> Running:
    try:
        target = f"/tasks/{task.identity}/progress"
        waiting = (await remote.ask("GET", target, _Progress)).waiting
    except Rejected:  # it was removed meanwhile
        waiting = _Waiting()
    return Running(
        id=task.identity,
        url=task.url,
        pieces_cached=task.cached,
        piece_total=task.total,
        clients=task.running,
        cause=waiting.cause,
        waits_for=waiting.text,
    )


def _failures(tasks: list[_Task], preheats: list[_Preheat]) -> tuple[Failure, ...]:
    failures = [
        Failure(
            what="task",
            asked_at=task.created,
            url=task.url,
            why=": ".join(filter(None, (task.reason, task.detail))) or task.status,
        )
        for task in tasks
        if task.status in _FAILED
    ]
    failures += [
        Failure(
            what="preheat",
            asked_at=preheat.asked_at,
            url=preheat.url,
            why=preheat.error or preheat.status,
        )
        for preheat in preheats
        if preheat.status in _FAILED
    ]
    # Moments in UTC, all of one form, sort as text.
    failures.sort(key=lambda failure: failure.asked_at, reverse=True)
    return tuple(failures[:MOST_FAILURES])
