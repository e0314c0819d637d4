"""Doing many things, some of them at a time."""

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import trio

T = TypeVar("T")


async def at_once(do: Callable[[T], Awaitable[object]], of: Iterable[T], most: int = 32) -> None:
    """Do something to each, at most so many at a time."""
    rest = iter(of)

    async def work() -> None:
        for each in rest:
            await do(each)

    async with trio.open_nursery() as workers:
        for _ in range(most):
            workers.start_soon(work)
