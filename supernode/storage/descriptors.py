"""Open file descriptors: shared, bounded in number, never closed under somebody who uses them.

A file is opened when it is first needed. One descriptor serves its writer and all its readers at
once, for every access names its own offset. When nobody uses it any more it stays open for the next
one; of such idle descriptors at most ``idle_limit`` are kept, and the longest idle is closed first.
So a store holds at most ``idle_limit`` descriptors more than it has users.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from supernode.storage.errors import Discarded, disk_errors


class SharedFile:
    """One file on disk and the one descriptor it is used through."""

    def __init__(self, path: Path, pool: "DescriptorPool") -> None:
        self._path = path
        self._pool = pool
        self._fd: int | None = None
        self._users = 0
        self._retired = False
        self._opening = trio.Lock()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[int]:
        """Lend the descriptor. It is valid until the block is left, whatever becomes of the file.

        Does not checkpoint when the file is already open.

        Raises:
            Discarded: the file was retired.
            StoreError: the file cannot be opened.
        """
        fd = await self._acquire()
        try:
            yield fd
        finally:
            await self._release()

    async def retire(self) -> None:
        """Open the file never again; its descriptor is closed when its last user has left it."""
        self._retired = True
        if not self._users:
            self._pool.idle.pop(self, None)
            await self.close()

    async def close(self) -> None:
        """Close the descriptor, which nobody may be using.

        In a thread, for it may free the blocks of a large file.
        """
        fd, self._fd = self._fd, None
        if fd is not None:
            with trio.CancelScope(shield=True):  # it is given back, whoever is cancelled meanwhile
                await trio.to_thread.run_sync(os.close, fd, limiter=self._pool.limiter)

    async def _acquire(self) -> int:
        if self._fd is None and not self._retired:
            async with self._opening:
                await self._open()
        if self._retired or self._fd is None:
            raise Discarded(self._path.name)
        self._users += 1
        self._pool.idle.pop(self, None)
        return self._fd

    async def _open(self) -> None:
        if self._fd is not None or self._retired:
            return
        with disk_errors("opening a piece file"):
            self._fd = await trio.to_thread.run_sync(
                os.open, self._path, os.O_RDWR, limiter=self._pool.limiter
            )
        if self._retired:  # meanwhile; by now the name may belong to another file
            await self.close()

    async def _release(self) -> None:
        self._users -= 1
        if self._users:
            return
        if self._retired:
            await self.close()
        else:
            await self._pool.park(self)


class DescriptorPool:
    """The descriptors that are open although nobody uses them.

    Args:
        idle_limit: how many of them are kept.
        limiter: for the threads that open and close files.
    """

    def __init__(self, idle_limit: int, limiter: trio.CapacityLimiter) -> None:
        self.limiter = limiter
        self.idle: dict[SharedFile, None] = {}
        """In the order in which they fell idle."""
        self._idle_limit = idle_limit

    async def park(self, file: SharedFile) -> None:
        """Keep an idle file open; close those that have been idle longest beyond the limit."""
        self.idle[file] = None
        while len(self.idle) > self._idle_limit:
            longest = next(iter(self.idle))
            del self.idle[longest]
            await longest.close()
