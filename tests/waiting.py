"""Waiting in tests for what nobody tells of."""

from collections.abc import Callable

import trio


async def eventually(holds: Callable[[], bool]) -> None:
    """Return once it holds; the caller sets the deadline."""
    while not holds():  # noqa: ASYNC110 - nobody sets an event for it
        await trio.sleep(0.01)
