"""The file that is distributed, cut as the core cuts it, and how the supernode comes by it."""

from functools import partial
from itertools import accumulate

from supernode.core.commands import AdoptTask, CachePiece, FinishFetch, SizeTask, StartFetch
from supernode.core.identity import task_id
from supernode.core.model import CdnStatus, TaskSpec
from supernode.core.pieces import (
    FRAME_BYTES,
    framed_piece_length,
    piece_count,
    piece_digest,
    piece_range,
    piece_size_for,
)
from supernode.simulation.agenda import Agenda
from supernode.simulation.supernode import Supernode

_URL = "http://origin/file"


class File:
    """Its pieces, their sizes and names.

    Args:
        length: content bytes.
    """

    def __init__(self, length: int) -> None:
        self.spec = TaskSpec(raw_url=_URL, task_url=_URL)
        self.task = task_id(_URL)
        self.length = length
        self.piece_size = piece_size_for(length)
        self.pieces = piece_count(length, self.piece_size)
        numbers = range(self.pieces)
        self.framed = [framed_piece_length(n, length, self.piece_size) for n in numbers]
        """Bytes that travel for each piece."""
        self.content = [framed - FRAME_BYTES for framed in self.framed]
        """Bytes of the file in each piece."""
        self.ranges = [piece_range(number, self.piece_size) for number in numbers]
        """Each piece's range, as it is handed out and reported."""
        self.number_of = {text: number for number, text in enumerate(self.ranges)}


class Copy:
    """The supernode's copy of the file.

    Args:
        agenda: the clock.
        supernode: whose copy it is.
        file: of what.
        origin_rate: bytes/s at which it will come; None: it is there already.
        rtt: seconds until the origin answers.
    """

    def __init__(
        self,
        agenda: Agenda,
        supernode: Supernode,
        file: File,
        *,
        origin_rate: float | None,
        rtt: float,
    ) -> None:
        self.sized_at = 0.0
        """When the supernode knows, or will know, how long the file is."""
        self.from_origin = 0
        """Content bytes that came."""
        self._agenda = agenda
        self._supernode = supernode
        self._file = file
        self._origin_rate = origin_rate
        self._rtt = rtt
        if origin_rate is None:
            self._adopt()

    @property
    def is_whole(self) -> bool:
        """Whether every byte is there and right."""
        return self._supernode.tracker.task(self._file.task).status is CdnStatus.SUCCESS

    def want(self) -> None:
        """Have the file fetched, unless it is there or on its way. Its task is registered."""
        if self._origin_rate is None or self.sized_at:
            return
        file = self._file
        generation = self._supernode.do(StartFetch(task=file.task))
        self.sized_at = self._agenda.now + self._rtt
        self._agenda.at(self.sized_at, partial(self._size, generation))
        for number, end in enumerate(accumulate(file.content)):
            come = partial(self._come, generation, number)
            self._agenda.at(self.sized_at + end / self._origin_rate, come)

    def _adopt(self) -> None:
        file = self._file
        generation = self._supernode.do(
            AdoptTask(
                task=file.task,
                spec=file.spec,
                length=file.length,
                piece_size=file.piece_size,
                last_used=self._agenda.now,
            )
        )
        for number in range(file.pieces):
            self._cache(generation, number)
        self._finish(generation)

    def _size(self, generation: int) -> None:
        task, length = self._file.task, self._file.length
        self._supernode.do(SizeTask(task=task, generation=generation, length=length))

    def _come(self, generation: int, number: int) -> None:
        self.from_origin += self._file.content[number]
        self._cache(generation, number)
        if number == self._file.pieces - 1:
            self._finish(generation)

    def _cache(self, generation: int, number: int) -> None:
        digest = piece_digest(f"{number:032x}", self._file.framed[number])
        self._supernode.do(
            CachePiece(task=self._file.task, generation=generation, piece=number, digest=digest)
        )

    def _finish(self, generation: int) -> None:
        self._supernode.do(
            FinishFetch(
                task=self._file.task,
                generation=generation,
                length=self._file.length,
                md5="0" * 32,
                sha256="0" * 64,
            )
        )
