"""The tracker: commands in, answers and events out.

Every command is one atomic transition; ``transitions`` says what each one does.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, TypeVar

from supernode.core import invariants
from supernode.core.commands import (
    AdoptTask,
    BeginPart,
    CachePiece,
    Command,
    ConfirmTask,
    CopyTask,
    CreateBatch,
    CreatePreheat,
    CutTask,
    DrawSpotCheck,
    Expire,
    FailFetch,
    FailPreheat,
    FinishFetch,
    HoldTask,
    JudgeClaim,
    JudgePeer,
    LosePieces,
    PauseTask,
    PinTask,
    Pull,
    RegisterPeer,
    RegisterTask,
    RemovePeer,
    RemovePreheat,
    RemoveTask,
    RenewTask,
    ReopenTask,
    ReportPiece,
    ResolvePreheat,
    SeePeer,
    SizeTask,
    StartFetch,
    StartPreheat,
    TakeAccusation,
    VerifyPieces,
)
from supernode.core.events import Event
from supernode.core.identity import PartId, PeerId, PreheatId, TaskId
from supernode.core.model import (
    CdnStatus,
    Limits,
    Part,
    Peer,
    Preheat,
    Source,
    Task,
    TaskSpec,
)
from supernode.core.reasons import Reason
from supernode.core.scheduler import Chance
from supernode.core.state import State
from supernode.core.subjects import Subject
from supernode.core.transitions import (
    accusations,
    claims,
    expiry,
    fetches,
    peers,
    preheats,
    pulls,
    tasks,
)
from supernode.core.transitions.step import Step, known, known_task

A = TypeVar("A")


class Tracker:
    """Knows who has which piece and says who takes what from whom.

    Not for concurrent use; synchronous, so on one event loop every command is atomic.
    """

    def __init__(self, begin_with: Limits | State | None = None) -> None:
        """Begin with nothing known, or with a state that nobody else changes from now on."""
        if not isinstance(begin_with, State):
            begin_with = State(begin_with or Limits())
        self._state = begin_with
        self._subjects: list[Subject] = []

    def execute(self, command: Command[A], *, now: float, chance: Chance) -> tuple[A, list[Event]]:
        """Carry out one command.

        Args:
            command: what to do.
            now: seconds since the epoch; never less than at the last call.
            chance: where random choices come from.

        Returns:
            The answer, and what happened, in order.

        Raises:
            DomainError: it cannot be done; nothing has changed.
        """
        step = Step(self._state, now, chance)
        answer = _COMMANDS[type(command)](step, command)
        self._subjects = step.subjects
        return answer, step.events

    @property
    def subjects(self) -> Sequence[Subject]:
        """What each event of the last command that was carried out is about."""
        return self._subjects

    # What may be looked at; by everyone, changed by no one.

    @property
    def state(self) -> State:
        """All that is known, for those who copy it as a whole."""
        return self._state

    @property
    def limits(self) -> Limits:
        """How much may be handed out and known."""
        return self._state.limits

    def peer(self, peer: PeerId) -> Peer:
        """Return a peer. Raises NotFound."""
        return known(self._state.peers, peer, "peer")

    def peers(self) -> Collection[Peer]:
        """Return all peers."""
        return self._state.peers.values()

    def task(self, task: TaskId) -> Task:
        """Return a task. Raises NotFound."""
        return known_task(self._state, task)

    def why_gone(self, task: TaskId) -> Reason | None:
        """Return why a task that was known not long ago is known no longer; None: it never was."""
        return self._state.gone.get(task)

    def tasks(self) -> Collection[Task]:
        """Return all tasks."""
        return self._state.tasks.values()

    def next_to_fetch(self, may_begin: Callable[[str], bool] = lambda _: True) -> TaskId | None:
        """Return the task whose turn it is to be fetched, from an origin that may be asked."""
        return self._state.waiting.first(may_begin)

    def doubted_tasks(self) -> Collection[Task]:
        """Return the tasks whose origins are to be asked whether they have changed."""
        return [self._state.tasks[task] for task in self._state.doubted]

    def claims_to_check(self) -> Iterator[tuple[int, Peer]]:
        """Yield the claims that can be checked now, and about whom; of each task the oldest first.

        Costs one look at each task that has claims, and one at each claim of which nothing is
        known yet though other pieces of its task are.
        """
        for task_id, of_task in self._state.claims_of.items():
            task = self._state.tasks[task_id]
            if task.piece_total is None or not task.swarm.known:
                continue
            beyond = -1 << task.piece_total
            for claim in of_task:
                download = self._state.claims[claim]
                if download.peer and download.claimed & (task.swarm.known | beyond):
                    yield claim, self._state.peers[download.peer]

    def has_takers(self, task: Task) -> bool:
        """Tell whether a client or a preheat waits for the file."""
        return bool(task.running) or self._state.is_awaited(task.id)

    def idle_tasks(self) -> Iterator[Task]:
        """Yield the tasks that may be evicted, least recently used first.

        Nobody uses them, and no operator has paused or pinned them.
        """
        is_awaited = self._state.is_awaited  # until all the files of a preheat are there
        return (
            task
            for task in self._state.tasks.values()
            if not (task.in_use or task.paused or task.pinned or is_awaited(task.id))
        )

    def preheat(self, preheat: PreheatId) -> Preheat:
        """Return a preheat. Raises NotFound."""
        return known(self._state.preheats, preheat, "preheat")

    def part(self, part: PartId) -> Part:
        """Return a file of a preheat. Raises NotFound."""
        return known(self._state.parts, part, "part of a preheat")

    def preheats(self) -> Collection[Preheat]:
        """Return all preheats, in the order they were asked for."""
        return self._state.preheats.values()

    def unfinished_preheats(self) -> Collection[Preheat]:
        """Return the preheats that have not ended, in the order they were asked for."""
        return [self._state.preheats[preheat] for preheat in self._state.preheats_open]

    def batch(self, batch: PreheatId) -> Collection[Preheat] | None:
        """Return those of a batch's preheats that are still known; None: there is no such batch."""
        members = self._state.batches.get(batch)
        if members is None:
            return None
        known_ones = (self._state.preheats.get(member) for member in members)
        return [preheat for preheat in known_ones if preheat is not None]

    def parts_to_begin(self) -> Collection[Part]:
        """Return the files of preheats whose turn it is."""
        return list(self._state.may_begin(self.limits.parts_at_once))

    def spec_of(self, part: Part) -> TaskSpec:
        """Return what is to be fetched for a part of a preheat."""
        return self._state.spec_of(part)

    def expected_source(self, task: TaskId, sha256: str) -> Source:
        """Return where the file of a task would come from if it were preheated now.

        Args:
            task: its ID; it need not be known.
            sha256: what the file must hash to; empty: whatever the origin has.
        """
        known_one = self._state.tasks.get(task)
        if known_one is not None and known_one.status is CdnStatus.SUCCESS:
            if sha256 in ("", known_one.sha256):
                return Source.CACHE
        elif sha256 in self._state.complete:
            return Source.COPY
        return Source.ORIGIN

    def preheats_fetching(self, task: TaskId) -> Collection[Preheat]:
        """Return the preheats that wait for a task because it is one of their own."""
        parts = [self._state.parts[part] for part in self._state.parts_awaiting.get(task, ())]
        return [self._state.preheats[part.preheat] for part in parts if part.task == task]

    def check(self) -> None:
        """Verify all invariants. Raises InvariantError; O(everything)."""
        invariants.check(self._state)


_COMMANDS: dict[type[Command[Any]], Callable[[Step, Any], Any]] = {
    RegisterPeer: peers.register_peer,
    SeePeer: peers.see_peer,
    RemovePeer: peers.remove_peer,
    RegisterTask: tasks.register_task,
    HoldTask: tasks.hold_task,
    PauseTask: tasks.pause_task,
    PinTask: tasks.pin_task,
    RemoveTask: tasks.remove_task,
    CutTask: tasks.cut_task,
    DrawSpotCheck: claims.draw_spot_check,
    JudgeClaim: claims.judge_claim,
    Pull: pulls.pull,
    ReportPiece: pulls.report_piece,
    TakeAccusation: accusations.take_accusation,
    JudgePeer: accusations.judge_peer,
    CreatePreheat: preheats.create_preheat,
    CreateBatch: preheats.create_batch,
    StartPreheat: preheats.start_preheat,
    ResolvePreheat: preheats.resolve_preheat,
    BeginPart: preheats.begin_part,
    CopyTask: preheats.copy_task,
    FailPreheat: preheats.fail_preheat,
    RemovePreheat: preheats.remove_preheat,
    AdoptTask: fetches.adopt_task,
    StartFetch: fetches.start_fetch,
    SizeTask: fetches.size_task,
    CachePiece: fetches.cache_piece,
    VerifyPieces: fetches.verify_pieces,
    LosePieces: fetches.lose_pieces,
    ReopenTask: fetches.reopen_task,
    FinishFetch: fetches.finish_fetch,
    FailFetch: fetches.fail_fetch,
    ConfirmTask: fetches.confirm_task,
    RenewTask: fetches.renew_task,
    Expire: expiry.expire,
}
