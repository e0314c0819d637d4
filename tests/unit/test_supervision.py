from collections.abc import Callable

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from supernode.core.errors import InvariantError
from supernode.supervision import (
    RestartPolicy,
    Service,
    ServiceExited,
    ServiceGaveUp,
    outlasting,
    supervise,
)

POLICY = RestartPolicy()


class Crashing:
    """A service that starts, then crashes ``after`` seconds later; notes when it was started."""

    def __init__(self, crash: Callable[[], None], after: float = 0) -> None:
        self.starts: list[float] = []
        self._crash = crash
        self._after = after

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        self.starts.append(trio.current_time())
        task_status.started()
        await trio.sleep(self._after)
        self._crash()


def raise_value_error() -> None:
    raise ValueError("boom")


async def steady(*, task_status: trio.TaskStatus[None]) -> None:
    task_status.started()
    await trio.sleep_forever()


async def run_to_its_end(service: Service) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(supervise, "cdn", service, POLICY)


async def test_is_started_when_its_service_is_and_ends_when_cancelled(
    autojump_clock: MockClock,
) -> None:
    with trio.fail_after(1000):
        async with trio.open_nursery() as nursery:
            await nursery.start(supervise, "cdn", steady, POLICY)
            nursery.cancel_scope.cancel()


async def test_a_crash_is_logged_and_followed_by_a_restart_ever_later(
    autojump_clock: MockClock,
) -> None:
    service = Crashing(raise_value_error)
    with capture_logs() as logs, pytest.RaisesGroup(ServiceGaveUp) as gave_up:
        await run_to_its_end(service.run)
    first = service.starts[0]
    assert [start - first for start in service.starts] == pytest.approx(
        [0, 0.5, 1.5, 3.5, 7.5, 15.5]
    )
    assert [entry["log_level"] for entry in logs] == ["error"] * 5
    assert all(entry["service"] == "cdn" and entry["exc_info"] for entry in logs)
    [error] = gave_up.value.exceptions
    assert isinstance(error, ServiceGaveUp)
    assert (error.service, error.crashes) == ("cdn", 6)
    assert isinstance(error.__cause__, ValueError)


async def test_crashes_far_enough_apart_are_forgiven_for_ever(autojump_clock: MockClock) -> None:
    service = Crashing(raise_value_error, after=POLICY.window / POLICY.budget)
    with trio.move_on_after(3600):
        await run_to_its_end(service.run)
    assert len(service.starts) > 20


def test_the_delay_has_a_limit() -> None:
    assert POLICY.delay(1) == 0.5
    assert POLICY.delay(100) == 30.0


async def test_returning_is_a_crash(autojump_clock: MockClock) -> None:
    service = Crashing(lambda: None)
    with pytest.RaisesGroup(ServiceGaveUp) as gave_up:
        await run_to_its_end(service.run)
    assert isinstance(gave_up.value.exceptions[0].__cause__, ServiceExited)


async def test_what_cannot_start_does_not_start(autojump_clock: MockClock) -> None:
    attempts = 0

    async def unable(*, task_status: trio.TaskStatus[None]) -> None:
        nonlocal attempts
        attempts += 1
        await trio.lowlevel.checkpoint()
        raise ValueError("no disk")

    with pytest.RaisesGroup(ValueError):
        await run_to_its_end(unable)
    assert attempts == 1


async def test_a_restart_that_fails_before_it_is_ready_is_a_crash_like_any_other(
    autojump_clock: MockClock,
) -> None:
    attempts = 0

    async def ready_once(*, task_status: trio.TaskStatus[None]) -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            task_status.started()
        await trio.lowlevel.checkpoint()
        raise ValueError("boom")

    with pytest.RaisesGroup(ServiceGaveUp):
        await run_to_its_end(ready_once)
    assert attempts == POLICY.budget + 1


def raise_invariant_error() -> None:
    raise InvariantError("slots below zero")


def raise_invariant_error_in_a_group() -> None:
    raise ExceptionGroup("workers", [ValueError("boom"), InvariantError("slots below zero")])


def raise_keyboard_interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "crash", [raise_invariant_error, raise_invariant_error_in_a_group, raise_keyboard_interrupt]
)
async def test_what_must_end_the_daemon_is_not_restarted(
    crash: Callable[[], None], autojump_clock: MockClock
) -> None:
    service = Crashing(crash)
    with pytest.raises(BaseExceptionGroup) as ended:
        await run_to_its_end(service.run)
    assert ended.value.subgroup((InvariantError, KeyboardInterrupt)) is not None
    assert len(service.starts) == 1


class Alive:
    """A service that knows whether it is."""

    def __init__(self) -> None:
        self.is_so = False

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        self.is_so = True
        try:
            await steady(task_status=task_status)
        finally:
            self.is_so = False


async def test_one_that_outlasts_the_others_is_there_while_they_are_cancelled(
    autojump_clock: MockClock,
) -> None:
    service = Alive()
    with trio.fail_after(1000), trio.CancelScope() as shutdown:
        async with outlasting("journaling", service.run, POLICY):
            try:
                shutdown.cancel()
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(1)
                assert service.is_so
    assert shutdown.cancelled_caught
    assert not service.is_so


async def test_one_that_outlasts_the_others_ends_with_them(autojump_clock: MockClock) -> None:
    service = Alive()
    with trio.fail_after(1000):
        async with outlasting("journaling", service.run, POLICY):
            await trio.sleep(1)
    assert not service.is_so


async def test_the_others_end_when_one_that_is_to_outlast_them_gives_up(
    autojump_clock: MockClock,
) -> None:
    with trio.fail_after(1000), pytest.RaisesGroup(ServiceGaveUp):
        async with outlasting("journaling", Crashing(raise_value_error).run, POLICY):
            await trio.sleep_forever()


async def test_nothing_is_to_be_outlasted_when_cancelled_at_the_start(
    autojump_clock: MockClock,
) -> None:
    with trio.move_on_after(1000) as patience, trio.CancelScope() as shutdown:
        shutdown.cancel()
        async with outlasting("journaling", steady, POLICY):
            await trio.sleep_forever()
    assert not patience.cancelled_caught
