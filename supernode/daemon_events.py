"""What happens to the daemon itself: told on the feed like all else, but no part of the core."""

from supernode.core.events import Event


class DaemonStarted(Event, frozen=True, kw_only=True, tag="daemon.started"):
    """The supernode serves."""

    version: str


class DaemonToldToStop(Event, frozen=True, kw_only=True, tag="daemon.told_to_stop"):
    """The supernode finishes the requests in flight and serves nobody else."""


class DiskFilled(Event, frozen=True, kw_only=True, tag="disk.filled"):
    """The disk is fuller than it may be, and whatever is left on it is in use."""

    excess: int
    """How many bytes are to go."""


class DiskCleared(Event, frozen=True, kw_only=True, tag="disk.cleared"):
    """There is room on the disk again."""


class JournalFellBehind(Event, frozen=True, kw_only=True, tag="journal.fell_behind"):
    """What happens cannot be written down: a restart would forget it."""

    problem: str


class JournalCaughtUp(Event, frozen=True, kw_only=True, tag="journal.caught_up"):
    """What happened is written down again."""
