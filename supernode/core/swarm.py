"""Who has which piece of one task, in bitsets made for the scheduler's question.

Downloads have dense indexes, reused through a free list; a piece's holders are one ``int`` with a
bit per index. Known pieces are grouped by their number of copies, so that "the rarest this client
lacks" is one AND per group. Indexes never leave the core.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence


def bits(bitset: int) -> Iterator[int]:
    """Yield the positions of the set bits, lowest first."""
    while bitset:
        lowest = bitset & -bitset
        yield lowest.bit_length() - 1
        bitset ^= lowest


def bitset_bytes(bitset: int) -> int:
    """Return how many bytes a bitset takes, about."""
    return (bitset.bit_length() + 7) // 8


class Swarm:
    """The holders of one task's pieces.

    A *copy* of a piece is a peer that holds it or is fetching it and soon will: counting both keeps
    the scheduler from handing the same rare piece to everyone at once.
    """

    __slots__ = (
        "_copies",
        "_counts",
        "_free_indexes",
        "_groups",
        "_next_index",
        "_offering",
        "free",
        "held",
        "holders",
        "known",
        "lacking",
        "piece_seconds",
        "silent",
    )

    def __init__(self) -> None:
        self.known = 0
        """Bitset of the pieces that can be handed out: their digests are known."""
        self.lacking = 0
        """Bitset of those of them that the seed cannot give."""
        self.holders: list[int] = []
        """Per piece, known or not: bitset of the indexes whose peer holds it."""
        self.held = 0
        """Bitset of the pieces that peers hold."""
        self.free = 0
        """Bitset of the indexes whose peer has a free slot."""
        self.silent = 0
        """Bitset of the indexes whose peer was not heard of for long."""
        self._offering = 0
        self.piece_seconds = 3.0
        """How long a piece takes from its assignment to its report: a guess, then learned."""
        self._copies: list[int] = []
        self._groups: dict[int, int] = {}
        self._counts: list[int] = []
        self._free_indexes: list[int] = []
        self._next_index = 0

    @classmethod
    def of(cls, known: int, haves: Sequence[int]) -> "Swarm":
        """Return a swarm in bulk.

        Args:
            known: bitset of the pieces that can be handed out.
            haves: per index, which pieces its peer holds, known or not.
        """
        width = max(known, *haves, 0).bit_length()
        swarm = cls()
        swarm.known = known
        swarm._next_index = len(haves)
        swarm._offering = _bitset(have != 0 for have in haves)
        swarm.holders = _transposed(haves, width)
        swarm.held = _bitset(holders != 0 for holders in swarm.holders)
        swarm._copies = [holders.bit_count() for holders in swarm.holders]
        for piece in bits(known):
            count = swarm._copies[piece]
            swarm._groups[count] = swarm._groups.get(count, 0) | 1 << piece
        swarm._counts = sorted(swarm._groups)
        return swarm

    def join(self) -> int:
        """Return an index for a new download."""
        if self._free_indexes:
            return self._free_indexes.pop()
        self._next_index += 1
        return self._next_index - 1

    def leave(self, index: int, have: int) -> None:
        """Give an index back; it holds none of ``have`` any longer."""
        self.withdraw(index, have)
        self.set_free(index, free=False)
        self.set_silent(index, silent=False)
        self._free_indexes.append(index)

    def make_known(self, piece: int) -> None:
        """Note that this piece can be handed out."""
        self._make_place(piece)
        if not self.known >> piece & 1:
            self.known |= 1 << piece
            self._enter_group(piece)

    def copies(self, piece: int) -> int:
        """Return how many peers hold the piece or are fetching it."""
        return self._copies[piece]

    def add_copies(self, piece: int, change: int) -> None:
        """Count a copy more or less. O(log groups)."""
        self._make_place(piece)
        if not self.known >> piece & 1:
            self._copies[piece] += change
            return
        self._leave_group(piece)
        self._copies[piece] += change
        self._enter_group(piece)

    def hold(self, index: int, piece: int) -> None:
        """Note that the peer of ``index`` holds the piece; its copy is counted by the caller."""
        self.holders[piece] |= 1 << index
        self.held |= 1 << piece
        self._offering |= 1 << index

    def withdraw(self, index: int, have: int) -> None:
        """Note that the peer of ``index`` holds none of the pieces in ``have``."""
        bit = 1 << index
        self._offering &= ~bit
        for piece in bits(have):
            if self.holders[piece] & bit:
                self.holders[piece] ^= bit
                self.add_copies(piece, -1)
                if not self.holders[piece]:
                    self.held ^= 1 << piece

    def set_free(self, index: int, *, free: bool) -> None:
        """Note whether the peer of ``index`` has a free slot."""
        if free:
            self.free |= 1 << index
        else:
            self.free &= ~(1 << index)

    def set_silent(self, index: int, *, silent: bool) -> None:
        """Note whether nothing was heard of the peer of ``index`` for long."""
        if silent:
            self.silent |= 1 << index
        else:
            self.silent &= ~(1 << index)

    @property
    def offering(self) -> int:
        """How many downloads have something to give."""
        return self._offering.bit_count()

    @property
    def free_holders(self) -> int:
        """Bitset of the indexes whose peer has a free slot and something to give."""
        return self.free & self._offering

    @property
    def seeded(self) -> int:
        """Bitset of the pieces that the seed can give."""
        return self.known & ~self.lacking

    @property
    def without_copies(self) -> int:
        """Bitset of the pieces that nobody holds or is fetching."""
        return self._groups.get(0, 0)

    def took(self, seconds: float) -> None:
        """Learn from one finished lease how long a piece takes (exponential average, 1/4)."""
        self.piece_seconds += (seconds - self.piece_seconds) / 4

    def rarest(self, wanted: int) -> Iterator[int]:
        """Yield the pieces of ``wanted`` in groups as bitsets, rarest first."""
        for count in self._counts:
            if group := self._groups[count] & wanted:
                yield group

    def _make_place(self, piece: int) -> None:
        while len(self.holders) <= piece:
            self.holders.append(0)
            self._copies.append(0)

    def _enter_group(self, piece: int) -> None:
        count = self._copies[piece]
        if count not in self._groups:
            self._groups[count] = 0
            insort(self._counts, count)
        self._groups[count] |= 1 << piece

    def _leave_group(self, piece: int) -> None:
        count = self._copies[piece]
        self._groups[count] ^= 1 << piece
        if not self._groups[count]:
            del self._groups[count]
            del self._counts[bisect_left(self._counts, count)]


_ROWS_AT_ONCE = 4096


def _bitset(flags: Iterable[bool]) -> int:
    """Return a bitset of the positions where it is true."""
    return int("0" + "".join("1" if flag else "0" for flag in flags)[::-1], 2)


def _transposed(rows: Sequence[int], width: int) -> list[int]:
    """Return the columns of a matrix of bits: bit *i* of column *j* is bit *j* of row *i*.

    By way of text, which Python turns over and converts at 40 ns a bit or better; bit by bit, ten
    thousand downloads of seven hundred pieces would take seconds.
    """
    columns = [0] * width
    for first in range(0, len(rows) if width else 0, _ROWS_AT_ONCE):
        some = reversed(rows[first : first + _ROWS_AT_ONCE])
        texts = [format(row, f"0{width}b")[::-1] for row in some]
        for column, text in enumerate(zip(*texts, strict=True)):
            columns[column] |= int("".join(text), 2) << first
    return columns
