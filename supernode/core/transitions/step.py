"""One command being carried out, and what several of them have to do."""

from collections.abc import Iterable
from typing import Any, TypeVar

from supernode.core.errors import Full, NotFound, TaskConflict
from supernode.core.events import (
    DownloadSeen,
    Event,
    LeaseReleased,
    PeerSeen,
    TaskDoubted,
    TaskRegistered,
)
from supernode.core.identity import ClientId, PeerId, TaskId, without_credentials
from supernode.core.model import CdnStatus, Download, Lease, Peer, Task, TaskSpec
from supernode.core.reasons import Reason
from supernode.core.scheduler import Chance
from supernode.core.state import State
from supernode.core.subjects import Subject, subject_of

FAILED = (CdnStatus.FAILED, CdnStatus.SOURCE_ERROR)

K = TypeVar("K")
V = TypeVar("V")


class Step:
    """One command being carried out: its events, each applied as soon as it is emitted.

    Args:
        now: seconds since the epoch.
        chance: where random choices come from.
    """

    __slots__ = ("chance", "events", "now", "state", "subjects")

    def __init__(self, state: State, now: float, chance: Chance) -> None:
        self.state = state
        self.now = now
        self.chance = chance
        self.events: list[Event] = []
        self.subjects: list[Subject] = []

    def emit(self, event: Event) -> None:
        """Let something have happened."""
        self.subjects.append(subject_of(event, self.state))
        self.state.apply(event)
        self.events.append(event)

    # what a command names

    def peer(self, peer: PeerId) -> Peer:
        """Return a peer. Raises NotFound."""
        return known(self.state.peers, peer, "peer")

    def task(self, task: TaskId) -> Task:
        """Return a task. Raises NotFound."""
        return known_task(self.state, task)

    def download(self, task_id: TaskId, client: ClientId) -> tuple[Task, Download]:
        """Return a client's download with its task. Raises NotFound."""
        task = self.task(task_id)
        return task, known(task.downloads, client, "client")

    # signs of life

    def see_peer(self, peer: Peer) -> None:
        """Note that a peer lives, unless that was noted a moment ago."""
        if self._is_news(peer):
            self.emit(PeerSeen(at=self.now, peer=peer.id))

    def see_download(self, download: Download) -> None:
        """Note that a download's client lives, unless that was noted a moment ago."""
        peer = self.state.peers.get(download.peer) if download.peer else None
        if self._is_news(download) or (peer and self._is_news(peer)):
            self.emit(DownloadSeen(at=self.now, task=download.task, client=download.client))

    def _is_news(self, who: Peer | Download) -> bool:
        silent = isinstance(who, Peer) and who.silent
        return silent or self.now - who.last_seen >= self.state.limits.seen_every

    # registering

    def identify(self, spec: TaskSpec) -> tuple[TaskId, Task | None]:
        """Return a file's ID, and its task if there is one.

        Raises:
            TaskConflict: the ID stands for another file.
        """
        identity = spec.identity
        task = self.state.tasks.get(identity)
        if task is not None and (problem := _difference(task.spec, spec)):
            raise TaskConflict(f"task {identity} {problem}")
        return identity, task

    def check_room_for_task(self, task: Task | None, spec: TaskSpec) -> None:
        """Raise Full if a file that is not there yet is one too many."""
        limits = self.state.limits
        if task is None and len(self.state.tasks) >= limits.most_tasks:
            raise Full("tasks")
        needs_means = task is None or task.status in FAILED
        wanted = self.state.spec_bytes + spec.bytes_to_fetch_with
        if needs_means and wanted > limits.most_spec_bytes:
            raise Full("headers and certificates")

    def is_spared(self, task: Task) -> bool:
        """Tell whether the origin has failed a moment ago, so that it is not asked again yet."""
        return task.status in FAILED and self.now < task.retry_at

    def doubt_if_due(self, task: Task, spec: TaskSpec) -> None:
        """Let a complete file that nobody is using be compared with its origin's, now and then.

        What a digest is asked for of is right or wrong whatever the origin has by now.

        Args:
            task: whose.
            spec: by which its origin can be asked.
        """
        limits = self.state.limits
        idle = task.status is CdnStatus.SUCCESS and not task.running and not task.doubted
        due = idle and not spec.md5.strip() and self.now - task.checked >= limits.recheck_after
        room = self.state.spec_bytes + spec.bytes_to_fetch_with <= limits.most_spec_bytes
        if due and room:
            self.emit(TaskDoubted(at=self.now, task=task.id, spec=spec))

    def register_task(
        self, identity: TaskId, spec: TaskSpec, *, adopted_from: float | None = None
    ) -> None:
        """Let a task be waiting for its fetch, under a new generation.

        Args:
            identity: its ID.
            spec: what was asked for.
            adopted_from: when it was last used, if it is on disk; seconds since the epoch.
        """
        self.emit(
            TaskRegistered(
                at=self.now,
                task=identity,
                generation=self.state.next_generation,
                spec=spec,
                last_used=self.now if adopted_from is None else adopted_from,
                adopted=adopted_from is not None,
            )
        )

    # leases

    def release(self, leases: Iterable[int], reason: Reason) -> None:
        """End leases without blame."""
        for lease in leases:
            about = about_lease(self.state, self.state.leases[lease])
            self.emit(LeaseReleased(at=self.now, reason=reason, **about))

    def release_around(self, download: Download, reason: Reason) -> None:
        """End the leases that a client has and those that it serves."""
        self.release(leases_of(download), reason)
        self.release(self.served_by(download), reason)

    def served_by(self, download: Download) -> list[int]:
        """Return the open leases that are served from one download's copy."""
        if download.peer is None:
            return []
        leases = self.state.leases
        return sorted(
            lease
            for lease in self.state.peers[download.peer].serving
            if leases[lease].task == download.task and leases[lease].holder == download.client
        )


def known(collection: dict[K, V], key: K, kind: str) -> V:
    """Return what is known under a key. Raises NotFound."""
    found = collection.get(key)
    if found is None:
        raise NotFound(kind, str(key))
    return found


def known_task(state: State, task: TaskId) -> Task:
    """Return a task. Raises NotFound, with the reason if it was there not long ago."""
    found = state.tasks.get(task)
    if found is None:
        raise NotFound("task", task, state.gone.get(task))
    return found


def leases_of(download: Download) -> list[int]:
    """Return a client's open leases."""
    return [lease.id for lease in download.leases.values()]


def about_lease(state: State, lease: Lease) -> dict[str, Any]:
    """Return the fields that every event about a lease has."""
    return {
        "task": lease.task,
        "client": lease.client,
        "lease": lease.id,
        "piece": lease.piece,
        "source": source_of(state.tasks[lease.task], lease.holder),
    }


def source_of(task: Task, holder: ClientId | None) -> PeerId | None:
    """Return the peer that serves a holder's copy; None: the seed."""
    return None if holder is None else task.downloads[holder].peer


def _difference(known: TaskSpec, asked: TaskSpec) -> str | None:
    """Return why a client that asks for a file cannot have what is known under the same ID."""
    if without_credentials(known.task_url) != without_credentials(asked.task_url):
        return "stands for another URL"
    if known.md5.strip() and known.md5 != asked.md5:
        return f"is of a file with MD5 {known.md5}, not {asked.md5 or 'any'}"
    if not known.md5.strip() and asked.md5.strip():
        return f"is fetched without checking an MD5, not for MD5 {asked.md5}"
    if not known.md5.strip() and known.identifier != asked.identifier:
        return "stands for another identifier"
    return None
