"""What happens when a service crashes: restarted with backoff, until it has crashed too often.

A *service* runs until it is cancelled. It keeps nothing that a fresh start could not rebuild.
"""

from collections import deque
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import structlog
import trio

from supernode.core.errors import InvariantError

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Service(Protocol):
    """Runs until cancelled; calls ``task_status.started()`` when it is ready."""

    def __call__(self, *, task_status: trio.TaskStatus[None]) -> Awaitable[None]:
        """Run."""


class ServiceExited(Exception):
    """A service returned, which it must not."""


class ServiceGaveUp(Exception):
    """A service crashed too often.

    Args:
        service: its name.
        crashes: how many there were within the policy's window.
    """

    def __init__(self, service: str, crashes: int) -> None:
        super().__init__(f"{service} gave up after {crashes} crashes")
        self.service = service
        self.crashes = crashes


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """How often a service may crash, and how long to wait before it starts again."""

    first_delay: float = 0.5
    """Seconds before the first restart; twice as long for every further crash in the window."""
    longest_delay: float = 30.0
    """Seconds."""
    budget: int = 5
    """How many crashes within the window are forgiven."""
    window: float = 60.0
    """Seconds."""

    def delay(self, crashes: int) -> float:
        """Return how long to wait, in seconds, after so many ``crashes`` within the window."""
        return float(min(self.first_delay * 2 ** (crashes - 1), self.longest_delay))


async def supervise(
    name: str,
    service: Service,
    policy: RestartPolicy,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run ``service`` for ever, restarting it when it crashes; returning counts as a crash.

    Before its first ``started()`` a crash is the caller's: what cannot start does not start. A
    cancellation, a ``KeyboardInterrupt`` and an ``InvariantError`` are never followed by a restart.

    Raises:
        ServiceGaveUp: more crashes within ``policy.window`` than ``policy.budget``.
        InvariantError: the service found the core contradicting itself; possibly in a group.
        Exception: whatever the service raised before it had started.
    """
    first_start = _FirstStart(task_status)
    recent: deque[float] = deque()
    while True:
        try:
            await service(task_status=first_start)
            raise ServiceExited(name)
        except Exception as crash:
            if not first_start.seen or _is_invariant_error(crash):
                raise
            now = trio.current_time()
            recent.append(now)
            while recent[0] <= now - policy.window:
                recent.popleft()
            if len(recent) > policy.budget:
                raise ServiceGaveUp(name, len(recent)) from crash
            delay = policy.delay(len(recent))
            log.exception("service crashed", service=name, restart_seconds=delay)
        await trio.sleep(delay)


@asynccontextmanager
async def outlasting(name: str, service: Service, policy: RestartPolicy) -> AsyncIterator[None]:
    """Supervise a service until the block has been left, whoever cancels that and from where.

    What the block still does when it is cancelled finds the service at work.

    Raises:
        ServiceGaveUp: see :func:`supervise`; in a group, and the block is cancelled.
    """
    scope = trio.CancelScope()

    async def run(*, task_status: trio.TaskStatus[None]) -> None:
        with scope:
            await supervise(name, service, policy, task_status=task_status)

    async with trio.open_nursery() as nursery:
        await nursery.start(run, name=name)  # which may be cancelled
        scope.shield = True
        try:
            yield
        finally:
            scope.cancel("everybody else has ended")


class _FirstStart:
    """Passes on the first ``started()`` of a service that may start many times."""

    def __init__(self, task_status: trio.TaskStatus[None]) -> None:
        self.seen = False
        self._task_status = task_status

    def started(self, value: None = None) -> None:
        if not self.seen:
            self.seen = True
            self._task_status.started(value)


def _is_invariant_error(error: Exception) -> bool:
    if isinstance(error, ExceptionGroup):
        return error.subgroup(InvariantError) is not None
    return isinstance(error, InvariantError)


def first_of(error: BaseException) -> BaseException:
    """Return the first exception in a group, however deep; any other exception itself."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
