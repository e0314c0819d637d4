"""Are the bytes of a file in memory, so that sending them cannot wait for the disk?"""

import os

_PROBE_STEP = 128 * 1024
"""Bytes between two probes. The kernel reads ahead and reclaims in runs of pages, so a few pages
speak for their neighbours; a wrong guess costs one wait for one read."""

_READ_AHEAD = 4 * 1024 * 1024
_scratch = [bytearray(1)]


def is_resident(fd: int, start: int, stop: int) -> bool:
    """Tell whether ``[start, stop)`` can be read without waiting. Never blocks; about 1 µs a probe.

    Where the file system cannot tell, the answer is False: slower, but nobody waits on the loop.
    """
    try:
        for offset in (*range(start, stop - 1, _PROBE_STEP), stop - 1):
            os.preadv(fd, _scratch, offset, os.RWF_NOWAIT)
    except OSError:
        # EAGAIN: it would wait. EOPNOTSUPP: the file system cannot tell. Else: reading will say.
        return False
    return True


def fetch(fd: int, start: int, stop: int) -> None:
    """Bring ``[start, stop)`` into memory and start on what follows. Blocks: for a thread.

    Raises:
        OSError: the disk failed.
    """
    os.posix_fadvise(fd, start, max(stop - start, _READ_AHEAD), os.POSIX_FADV_WILLNEED)
    block = memoryview(bytearray(stop - start))
    while start < stop:
        count = os.preadv(fd, [block[: stop - start]], start)
        if not count:
            return  # the file is shorter, which sending will find out
        start += count
