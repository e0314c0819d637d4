"""Why a swarm is not faster: what those who download have to wait for, by name. Pure.

Looks at a task as it is at one moment. A client that has its share of pieces under way waits for
nothing but the links between it and its holders; of one that could have more it is told what keeps
the next piece from it. Whom it avoids at present is left out of this.
"""

import enum
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from supernode.core.model import CdnStatus, Download, DownloadStatus, Limits, Task
from supernode.core.scheduler import share_of_slots
from supernode.core.swarm import bits


class Cause(enum.Enum):
    """What a client, or a task as a whole, waits for; what holds up most comes first."""

    IDLE = ("idle", "nobody is downloading")
    PAUSED = ("paused", "an operator has paused the task")
    QUEUE = ("queue", "other fetches come first")
    CHECK = ("check", "the origin is being asked whether it still has the file so")
    DISK = ("disk", "the supernode's copy is being verified on its disk")
    ORIGIN = ("origin", "the pieces have not come from the origin yet")
    SEED_SLOTS = ("seed_slots", "only the supernode can give the pieces, and its slots are taken")
    PEER_SLOTS = ("peer_slots", "peers hold the pieces, and all their slots are taken")
    LINKS = ("links", "everybody has pieces under way: only faster links would help")

    def __init__(self, code: str, text: str) -> None:
        self.code = code
        self.text = text


class Bottleneck(NamedTuple):
    """What a task waits for.

    Args:
        cause: of those who wait for something, what most of them wait for.
        clients: how many of those who download wait for what.
    """

    cause: Cause
    clients: Mapping[Cause, int]


def bottleneck(task: Task, limits: Limits) -> Bottleneck:
    """Return what the clients of a task wait for. O(downloads)."""
    running = [one for one in task.downloads.values() if one.status is DownloadStatus.RUNNING]
    for_all = _for_all(task, running)
    if for_all:
        return Bottleneck(for_all, {for_all: len(running)})
    view = _View(task, limits)
    clients = Counter(view.cause(download) for download in running)
    waiting = [cause for cause in Cause if cause is not Cause.LINKS and clients[cause]]
    most = max(waiting, key=clients.__getitem__, default=Cause.LINKS)
    return Bottleneck(most, clients)


def _for_all(task: Task, running: list[Download]) -> Cause | None:
    """Return what nobody gets anything for, if there is that."""
    if task.paused:
        return Cause.PAUSED
    if not running:
        return Cause.IDLE
    if task.doubted:
        return Cause.CHECK
    if task.status is CdnStatus.WAITING:
        return Cause.DISK if task.adopted else Cause.QUEUE
    return None


class _View:
    """What can be had from whom at the moment, for all clients alike."""

    def __init__(self, task: Task, limits: Limits) -> None:
        swarm = task.swarm
        self._task = task
        self._limits = limits
        self._share = share_of_slots(task, limits)
        self._at_peers = swarm.held
        self._at_free_peers = 0
        for index in bits(swarm.free_holders):
            self._at_free_peers |= task.by_index[index].have
        has_slot = task.slots_used < limits.seed_slots and len(task.serving) < 2 * limits.seed_slots
        self._at_free_seed = swarm.without_copies & ~swarm.lacking if has_slot else 0
        self._at_seed = swarm.seeded

    def cause(self, download: Download) -> Cause:
        """Return what keeps a client from having more pieces under way."""
        under_way = sum(not lease.overdue for lease in download.leases.values())
        if under_way >= self._share or len(download.leases) >= self._limits.client_leases:
            return Cause.LINKS
        known = self._task.swarm.known
        wanted = known & ~(download.done | download.leased)
        if not wanted:
            total = self._task.piece_total
            is_all = total is not None and known.bit_count() == total
            return Cause.LINKS if is_all else Cause.ORIGIN
        if wanted & (self._at_free_peers | self._at_free_seed):
            return Cause.LINKS  # it need only ask
        if wanted & self._at_peers:
            return Cause.PEER_SLOTS
        return Cause.SEED_SLOTS if wanted & self._at_seed else Cause.DISK
