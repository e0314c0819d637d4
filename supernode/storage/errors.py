"""What can go wrong with the disk."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from supernode.core.reasons import Reason

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class StoreError(Exception):
    """The disk did not do what was asked of it.

    Args:
        reason: ``DISK_FULL`` or ``DISK_ERROR``.
        detail: what was tried and what the system said; names no path.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason.text}: {detail}")
        self.reason = reason
        self.detail = detail


class Discarded(Exception):
    """The piece file has been discarded and is not opened any more."""


class Damaged(Exception):
    """What is on disk is not what was written there.

    Args:
        detail: what exactly was seen; names no path.
    """

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Gone(Damaged):
    """There is no file where one was written."""


@contextmanager
def disk_errors(attempt: str) -> Iterator[None]:
    """Raise :class:`StoreError` for every ``OSError`` of the block.

    Args:
        attempt: what the block does, such as ``writing piece 3``.
    """
    try:
        yield
    except OSError as error:
        reason = Reason.DISK_FULL if error.errno in _FULL else Reason.DISK_ERROR
        raise StoreError(reason, f"{attempt}: {error.strerror or error}") from error
