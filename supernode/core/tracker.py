"""The tracker: commands in, answers and events out.

Every command is one atomic transition; ``transitions`` says what each one does.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, TypeVar

from supernode.core import invariants
from supernode.core.commands import (
    AdoptTask,
    CachePiece,
    Command,
    ConfirmTask,
    CreatePreheat,
    DrawSpotCheck,
    EndPreheat,
    Expire,
    FailFetch,
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
    ReportPiece,
    SeePeer,
    SizeTask,
    StartFetch,
    StartPreheat,
    TakeAccusation,
    VerifyPieces,
)
from supernode.core.events import Event
from supernode.core.identity import PeerId, PreheatId, TaskId
from supernode.core.model import Limits, Peer, Preheat, Task
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
        return bool(task.running) or task.id in self._state.preheats_of

    def idle_tasks(self) -> Iterator[Task]:
        """Yield the tasks that may be evicted, least recently used first.

        Nobody uses them, and no operator has paused or pinned them.
        """
        awaited = self._state.preheats_of  # until a preheat has been told that its file is there
        return (
            task
            for task in self._state.tasks.values()
            if not (task.in_use or task.paused or task.pinned or task.id in awaited)
        )

    def preheat(self, preheat: PreheatId) -> Preheat:
        """Return a preheat. Raises NotFound."""
        return known(self._state.preheats, preheat, "preheat")

    def preheats(self) -> Collection[Preheat]:
        """Return all preheats, in the order they were asked for."""
        return self._state.preheats.values()

    def unfinished_preheats(self) -> Collection[Preheat]:
        """Return the preheats that have not ended."""
        return [self._state.preheats[preheat] for preheat in self._state.preheats_of.values()]

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
    DrawSpotCheck: claims.draw_spot_check,
    JudgeClaim: claims.judge_claim,
    Pull: pulls.pull,
    ReportPiece: pulls.report_piece,
    TakeAccusation: accusations.take_accusation,
    JudgePeer: accusations.judge_peer,
    CreatePreheat: preheats.create_preheat,
    StartPreheat: preheats.start_preheat,
    EndPreheat: preheats.end_preheat,
    RemovePreheat: preheats.remove_preheat,
    AdoptTask: fetches.adopt_task,
    StartFetch: fetches.start_fetch,
    SizeTask: fetches.size_task,
    CachePiece: fetches.cache_piece,
    VerifyPieces: fetches.verify_pieces,
    LosePieces: fetches.lose_pieces,
    FinishFetch: fetches.finish_fetch,
    FailFetch: fetches.fail_fetch,
    ConfirmTask: fetches.confirm_task,
    RenewTask: fetches.renew_task,
    Expire: expiry.expire,
}
