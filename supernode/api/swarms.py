"""Who gives whom what: a swarm, how far it is and what it waits for, what a peer does."""

import heapq
from collections.abc import Iterable

from supernode.api.answers import as_json, moment
from supernode.api.event_json import SEED
from supernode.api.models import DfGetTaskStatus
from supernode.api.peers import peer_info
from supernode.api.swarm_models import (
    MOST_CLIENTS,
    BusyRates,
    BytesBySource,
    Holding,
    LeaseInfo,
    PeerActivity,
    SwarmClient,
    SwarmInfo,
    SwarmProgress,
    Waiting,
)
from supernode.api.traffic import RECENT_SECONDS, Rates, Traffic, Wave
from supernode.api.urls import shown_task_url
from supernode.core.bottleneck import bottleneck
from supernode.core.identity import PeerId, TaskId
from supernode.core.model import Download, DownloadStatus, Lease, Task
from supernode.core.pieces import content_size, pack_bitset
from supernode.dispatch import Dispatcher
from supernode.exchange import Answer, Request


class Swarms:
    """The operations about who gives what to whom.

    Args:
        dispatch: the door to the tracker.
        traffic: what came from where, and how fast.
    """

    def __init__(self, dispatch: Dispatcher, traffic: Traffic) -> None:
        self._dispatch = dispatch
        self._traffic = traffic

    def get(self, request: Request) -> Answer:
        """``GET /tasks/{id}/swarm``: who has which pieces, and who is being given which by whom.

        The events after the answer's ``Supernode-Seq`` tell how it goes on.
        """
        task = self._task(request)
        shown = heapq.nsmallest(MOST_CLIENTS, task.downloads.values(), key=_running_first)
        wave, now = self._traffic.wave(task.id), self._dispatch.clock.now()
        return as_json(
            200,
            SwarmInfo(
                task_id=task.id,
                generation=task.generation,
                status=task.status,
                paused=task.paused,
                length=task.length,
                piece_size=task.piece_size,
                piece_total=task.piece_total,
                pieces=pack_bitset(task.swarm.seeded),
                copies=[holders.bit_count() for holders in task.swarm.holders],
                clients_total=len(task.downloads),
                clients=[_client(download, wave, now) for download in shown],
                leases=list(self._leases(lease for one in shown for lease in one.leases.values())),
            ),
        )

    def progress(self, request: Request) -> Answer:
        """``GET /tasks/{id}/progress``: how far its swarm is, and what holds it up."""
        task, now = self._task(request), self._dispatch.clock.now()
        wave = self._traffic.wave(task.id) or Wave(now, ended=now)
        cause, clients = bottleneck(task, self._dispatch.tracker.limits)
        rates, seconds = wave.rates(now), (wave.ended or now) - wave.began
        rate = _present_rate(wave, now)
        left = _bytes_left(task)
        bound = _lower_bound(task, wave, rates)
        given = wave.came.seed + wave.came.peers
        return as_json(
            200,
            SwarmProgress(
                task_id=task.id,
                waiting=Waiting(
                    cause=cause.code,
                    text=cause.text,
                    clients={cause.code: number for cause, number in clients.items()},
                ),
                running=task.running,
                clients=wave.clients,
                bytes_from=BytesBySource(**wave.came._asdict()),
                bytes_left=left,
                rate=rate,
                seconds=seconds if wave.clients else None,
                seconds_left=left / rate if left is not None and rate else None,
                rates=BusyRates(**rates._asdict()),
                lower_bound=bound,
                efficiency=_efficiency(bound, given, left, seconds),
            ),
        )

    def activity(self, request: Request) -> Answer:
        """``GET /peers/{id}/activity``: what a peer holds, serves and fails.

        Unlike looking at the peer itself, this is no sign of its life.
        """
        state = self._dispatch.tracker.state
        peer = self._dispatch.tracker.peer(PeerId(request.path_fields["id"]))
        some = heapq.nsmallest(MOST_CLIENTS, peer.downloads)
        serving = (state.leases[lease] for lease in sorted(peer.serving))
        return as_json(
            200,
            PeerActivity(
                peer=peer_info(peer, self._traffic),
                silent=peer.silent,
                slots=self._dispatch.tracker.limits.peer_slots,
                failures=peer.failures,
                strikes=peer.strikes,
                holds=[
                    _holding(state.tasks[task], state.tasks[task].downloads[client])
                    for task, client in some
                ],
                serves=list(self._leases(serving)),
            ),
        )

    def _task(self, request: Request) -> Task:
        return self._dispatch.tracker.task(TaskId(request.path_fields["id"]))

    def _leases(self, leases: Iterable[Lease]) -> Iterable[LeaseInfo]:
        tasks = self._dispatch.tracker.state.tasks
        for lease in leases:
            holder = tasks[lease.task].downloads[lease.holder].peer if lease.holder else SEED
            yield LeaseInfo(
                lease=lease.id,
                task_id=lease.task,
                client_id=lease.client,
                piece=lease.piece,
                holder=holder or "",
                began=moment(lease.began),
                overdue=lease.overdue,
            )


def _running_first(download: Download) -> tuple[bool, float]:
    return download.status is not DownloadStatus.RUNNING, -download.created


def _client(download: Download, wave: Wave | None, now: float) -> SwarmClient:
    return SwarmClient(
        client_id=download.client,
        peer_id=download.peer or "",
        status=DfGetTaskStatus(download.status.value),
        started=moment(download.created),
        pieces=pack_bitset(download.done),
        from_seed=download.from_seed,
        from_peers=download.from_peers,
        rate=wave.rate_of(download.client, now) if wave else None,
    )


def _holding(task: Task, download: Download) -> Holding:
    return Holding(
        task_id=task.id,
        task_url=shown_task_url(task.spec),
        client_id=download.client,
        status=DfGetTaskStatus(download.status.value),
        path=download.path,
        pieces_done=download.done.bit_count(),
        piece_total=task.piece_total,
        from_seed=download.from_seed,
        from_peers=download.from_peers,
    )


def _present_rate(wave: Wave, now: float) -> float:
    _, seconds = wave.recent.seconds(now)  # the last of which is not over
    return sum(amounts.seed + amounts.peers for amounts in seconds[:-1]) / RECENT_SECONDS


def _bytes_left(task: Task) -> int | None:
    """Return what those who download still lack, as if the last piece were a full one."""
    total = task.piece_total
    if total is None or task.piece_size is None:
        return None
    lacking = sum(
        total - download.done.bit_count()
        for download in task.downloads.values()
        if download.status is DownloadStatus.RUNNING
    )
    return lacking * content_size(task.piece_size)


def _lower_bound(task: Task, wave: Wave, rates: Rates) -> float | None:
    """Return in how many seconds links as fast as these could do it at best; None: not known."""
    if not task.length or not rates.seed or not rates.fastest:
        return None
    size, all_of_it = task.length, wave.clients * task.length
    bounds = [size / rates.seed, size / rates.fastest, all_of_it / (rates.seed + rates.peers)]
    if rates.origin and wave.origin.bytes >= size // 2:
        bounds.append(wave.origin.bytes / rates.origin)
    return max(bounds)


def _efficiency(bound: float | None, given: int, left: int | None, seconds: float) -> float | None:
    if bound is None or left is None or not given or seconds <= 0:
        return None
    return min(1.0, bound * given / (given + left) / seconds)
