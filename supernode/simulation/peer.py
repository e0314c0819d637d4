"""A virtual peer: asks, reports and waits as the built-in one does, but moves no bytes.

Rules and figures are those of :mod:`supernode.dfget.download`, which gives the reasons. Left out is
what no simulation brings about: a supernode out of reach, wrong bytes, a full disk.
"""

from collections import deque
from collections.abc import Callable
from functools import partial

from supernode.core.commands import (
    Assignment,
    PeerHolder,
    PieceResult,
    Pull,
    Pulled,
    PullStatus,
    RegisterPeer,
    RegisterTask,
    Report,
    ReportPiece,
    Seed,
    SeePeer,
)
from supernode.core.identity import ClientId, PeerId
from supernode.patience import Patience
from supernode.simulation.fetch import Fetch, Piece
from supernode.simulation.links import Link
from supernode.simulation.world import World

PARALLEL = 6
BATCH = 4
WINDOW = PARALLEL + BATCH
LOW = 3
REPORTS_AT_ONCE = 256
HOLD_SECONDS = 10.0
FAILURES_IN_A_ROW = 24
LIFE_SECONDS = 60.0


class Peer:
    """One machine with one download; it shares what it has until the simulation ends.

    Args:
        world: where it is.
        number: which of all peers.
        up: its uplink.
        down: its downlink.
    """

    def __init__(self, world: World, number: int, up: Link, down: Link) -> None:
        self.up = up
        self.down = down
        self.began = 0.0
        self.ended: float | None = None
        """When it had the whole file, as far as it has."""
        self.is_running = False
        """Whether its download has begun and not ended in whatever way."""
        self.vanished = False
        self.pieces = 0
        self.from_seed = 0
        self.from_peers = 0
        """Content bytes of its pieces."""
        self.in_vain = 0.0
        """Framed bytes of pieces that did not come to an end."""
        self.requests = 0
        """To the supernode's control port."""
        self._world = world
        self._number = number
        self._client = ClientId(f"client-{number}")
        self._have = 0
        self._open: set[int] = set()
        self._backlog: deque[Piece] = deque()
        self._working = 0
        self._connected: set[PeerId | None] = set()
        self._reports: deque[Report] = deque()
        self._reporting = False
        self._pulling = False
        self._rests_until = 0.0
        self._scarce = False
        self._last_count = 0
        self._empty_answers = 0
        self._failures = 0
        self._patience = Patience()

    def vanish(self) -> None:
        """Fall silent in the middle of everything."""
        self.vanished = True
        self._be_over()
        self._world.network.cut(self.up)
        self._world.network.cut(self.down)

    def _be_over(self) -> None:
        self.is_running = False
        self._world.running -= 1

    # the supernode's side

    def begin(self) -> None:
        """Register, then pull."""
        self.began = self._world.agenda.now
        self.is_running = True
        self._pulling = True
        self.requests += 1
        self._later(self._register_peer)

    def _register_peer(self) -> None:
        number = self._number
        identity = self._world.supernode.do(
            RegisterPeer(
                ip=f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}",
                port=15001,
                host_name=f"peer{number}",
                version="simulated",
            )
        )
        self._world.peers[identity] = self
        self._show_life_later(identity)

        self._later(lambda: self._ask_for_file(identity))

    def _ask_for_file(self, identity: PeerId) -> None:
        if not self.is_running:
            return
        self.requests += 1
        self._later(lambda: self._register_task(identity))

    def _register_task(self, identity: PeerId) -> None:
        world, file = self._world, self._world.file
        path = f"/peer/file/{self._client}"
        world.supernode.do(
            RegisterTask(spec=file.spec, client=self._client, peer=identity, path=path)
        )
        world.copy.want()
        # Held open until the origin has said how long the file is.
        answered = max(world.agenda.now, world.copy.sized_at) + world.rtt / 2
        world.agenda.at(answered, lambda: self._pull(PullStatus.STARTED))

    def _show_life_later(self, identity: PeerId) -> None:
        def show_life() -> None:
            if not self.vanished:
                self.requests += 1
                self._world.supernode.do(SeePeer(peer=identity))
                self._show_life_later(identity)

        self._world.agenda.after(LIFE_SECONDS, show_life)

    def _later(self, call: Callable[[], object]) -> None:
        """Make a call half a round trip from now."""
        self._world.agenda.after(self._world.rtt / 2, call)

    def _stir(self) -> None:
        """Something has changed: see what is to be done about it."""
        if not self.is_running:
            return
        self._rests_until = 0.0
        self._work()
        self._report_at_once()
        self._go_on()

    def _go_on(self) -> None:
        """Pull if a pull is due; end the download if everything is there."""
        if self._pulling or not self.is_running or self._world.agenda.now < self._rests_until:
            return
        if self._has_all:
            self._look()
        elif self._is_due:
            self._pull(PullStatus.RUNNING)

    @property
    def _has_all(self) -> bool:
        return self.pieces == self._world.file.pieces

    @property
    def _all_assigned(self) -> bool:
        return self.pieces + len(self._open) >= self._world.file.pieces

    @property
    def _is_due(self) -> bool:
        if self._all_assigned:
            return not self._scarce and len(self._reports) >= BATCH
        return self._scarce or len(self._open) <= LOW or len(self._reports) >= BATCH

    def _look(self) -> None:
        """Ask whether the file is right, as far as the supernode knows."""
        self._pulling = True
        self.requests += 1

        def looked() -> None:
            whole = self._world.copy.is_whole
            self._later(self._finish if whole else lambda: self._pull(PullStatus.RUNNING))

        self._later(looked)

    def _finish(self) -> None:
        if not self.is_running:
            return
        self.ended = self._world.agenda.now
        self._be_over()
        self.requests += 1
        finish = Pull(
            task=self._world.file.task,
            client=self._client,
            status=PullStatus.FINISHED,
            result=PieceResult.SUCCESS,
            reports=self._some_reports(),
        )
        self._later(lambda: self._world.supernode.do(finish))

    def _pull(self, status: PullStatus) -> None:
        if not self.is_running:
            return
        self._pulling = True
        self.requests += 1
        count = max(1, WINDOW - len(self._open))
        if count == self._last_count and not self._reports:
            count += 1
        self._last_count = count
        is_held = status is PullStatus.RUNNING and (self._scarce or self._has_all)
        wait = HOLD_SECONDS if is_held else 0.0
        pull = Pull(
            task=self._world.file.task,
            client=self._client,
            status=status,
            reports=self._some_reports(),
            count=count,
        )
        asked_at = self._world.agenda.now

        def answered(pulled: Pulled) -> None:
            self._later(lambda: self._take(pulled.assignments, count, asked_at))

        self._later(lambda: self._world.supernode.pull(pull, wait, answered))

    def _some_reports(self) -> tuple[Report, ...]:
        count = min(len(self._reports), REPORTS_AT_ONCE)
        return tuple(self._reports.popleft() for _ in range(count))

    def _take(self, assignments: tuple[Assignment, ...], count: int, asked_at: float) -> None:
        """Queue what a pull has brought."""
        if not self.is_running:
            return
        self._pulling = False
        taken = 0
        for assignment in assignments:
            number = self._world.file.number_of[assignment.piece_range]
            holder = assignment.holder
            source = holder.peer if isinstance(holder, PeerHolder) else None
            if self._have >> number & 1:
                self._report(Piece(number, source), PieceResult.SUCCESS)
                taken += 1
            elif number not in self._open:
                self._backlog.append(Piece(number, source))
                self._open.add(number)
                taken += 1
        if not self._all_assigned:
            self._scarce = taken < count and len(self._open) <= LOW
        self._empty_answers = 0 if taken else self._empty_answers + 1
        agenda = self._world.agenda
        if self._empty_answers > 1 and agenda.now - asked_at < 1:
            pause = min(1.0, 0.05 * self._empty_answers)
            self._rests_until = agenda.now + pause
            agenda.after(pause, self._go_on)
        self._go_on()
        self._work()
        self._report_at_once()

    def _report_at_once(self) -> None:
        """While pieces are scarce, report each as it comes, one after the other."""
        if self._reporting or not (self._scarce and self._reports):
            return
        self._reporting = True
        self.requests += 1
        report = ReportPiece(
            task=self._world.file.task, client=self._client, report=self._reports.popleft()
        )

        def told() -> None:
            self._world.supernode.do(report)
            self._later(answered)

        def answered() -> None:
            self._reporting = False
            if self.is_running:
                self._report_at_once()

        self._later(told)

    def _report(self, piece: Piece, result: PieceResult) -> None:
        holder = piece.holder or Seed.SEED
        name = self._world.file.ranges[piece.number]
        self._reports.append(Report(field="", piece_range=name, holder=holder, result=result))

    # the holders' side

    def _work(self) -> None:
        """Fetch pieces, as many at once as it has workers."""
        while self._working < PARALLEL and self._backlog:
            piece = self._backlog.popleft()
            self._working += 1
            connected = piece.holder in self._connected
            self._connected.add(piece.holder)
            world, is_peer = self._world, piece.holder is not None
            Fetch(
                world,
                piece,
                self.down,
                connected=connected,
                wait=self._patience.wait(world.file.piece_size, peer=is_peer),
                ended=partial(self._fetched, world.agenda.now),
            )

    def _fetched(self, began: float, piece: Piece, came: bool, in_vain: float) -> None:
        if not self.is_running:
            return
        self._open.discard(piece.number)
        if not came:
            if piece.holder is not None:
                self._patience.failed()
            self._connected.discard(piece.holder)
            self.in_vain += in_vain
            self._failures += 1
            if self._failures >= FAILURES_IN_A_ROW:
                self._be_over()
                return
            self._report(piece, PieceResult.FAILED)
            self._world.agenda.after(min(1.0, 0.02 * self._failures), self._worker_is_back)
        else:
            self._failures = 0
            self._have |= 1 << piece.number
            self.pieces += 1
            size = self._world.file.content[piece.number]
            if piece.holder is None:
                self.from_seed += size
            else:
                self._patience.came(self._world.agenda.now - began)
                self.from_peers += size
            self._report(piece, PieceResult.SUCCESS)
            self._working -= 1
            self._world.delivered(size)
        self._stir()

    def _worker_is_back(self) -> None:
        self._working -= 1
        if self.is_running:
            self._work()
