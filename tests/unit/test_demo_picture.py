"""The demo's picture, drawn from a ledger at a given time."""

import io

import pytest
import trio
import trio.testing
from rich.console import Console
from rich.style import Style

from supernode.core.pieces import SMALLEST_PIECE, content_size
from supernode.demo.ledger import SEED, EndEvent, Ledger, PieceEvent
from supernode.demo.picture import (
    NOT_YET,
    Cell,
    Strip,
    picture,
    piece_cell,
    result_table,
    sentences,
    show_lines,
)
from supernode.demo.summary import summarise

PIECE = content_size(SMALLEST_PIECE)
A: Cell = ("A", Style())
B: Cell = ("B", Style())


def swarm(peers: int, pieces: int = 4) -> Ledger:
    """Return a swarm whose first peer has all from the seed, the second one piece from it."""
    ledger = Ledger(pieces * PIECE, [20000 + number for number in range(peers)])
    ledger.phase = "downloading"
    ledger.sent_by_origin(ledger.size)
    first, second = ledger.peers[:2]
    first.started = second.started = 1.0
    for number in range(pieces):
        seeded = PieceEvent(number=number, bytes=PIECE, source="seed", holder="cdnnode:h~t")
        ledger.hear(first, seeded, 2.0)
    passed_on = PieceEvent(number=1, bytes=PIECE, source="peer", holder="h-127.0.0.1-20000")
    ledger.hear(second, passed_on, 2.5)
    ledger.hear(first, EndEvent(ok=True), 3.0)
    return ledger


def drawn(ledger: Ledger, width: int, height: int = 30) -> list[str]:
    file = io.StringIO()
    Console(file=file, width=width, height=height).print(picture(ledger, 3.0, width, height))
    return [line.rstrip() for line in file.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("cells", "width", "text"),
    [
        ([A, B], 2, "AB"),
        ([A, B], 6, "AAABBB"),
        ([A, NOT_YET, B], 7, "AAA··BB"),
        ([A, B, A, B], 2, "AA"),
        ([A, NOT_YET, B, B], 2, "·B"),
        ([A], 3, "AAA"),
    ],
)
def test_a_strip_fills_the_width(cells: list[Cell], width: int, text: str) -> None:
    assert "".join(cell for cell, _ in Strip(cells).across(width)) == text


def test_givers_differ_without_colours() -> None:
    assert len({piece_cell(giver)[0] for giver in (None, SEED, "A", "B")}) == 4


@pytest.mark.parametrize("width", [80, 120, 200])
def test_a_row_shows_from_whom_each_piece_came(width: int) -> None:
    rows = {line[:9].strip(): line for line in drawn(swarm(2), width)}
    strip = len(rows["peer A"].split()[2])
    assert rows["peer A"].split()[2] == "█" * strip
    assert rows["peer A"].endswith("100 %        2.0 s     4.0 MiB")
    quarter = strip // 4
    assert rows["peer B"].split()[2].strip("·") in ("A" * quarter, "A" * (quarter + 1))
    assert " 25 % " in rows["peer B"]
    assert rows["supernode"].endswith("100 %                 16.0 MiB")
    assert all(len(line) <= width for line in rows.values())


@pytest.mark.parametrize("peers", [2, 15, 16, 52])
def test_it_is_never_higher_than_the_terminal(peers: int) -> None:
    lines = drawn(swarm(peers), 80, 24)
    assert len(lines) < 24
    alone = sum(line.startswith("peer ") for line in lines)
    more = [int(line.split()[0]) for line in lines if " more " in line]
    assert alone + sum(more) == peers
    assert bool(more) == (peers > 15)


async def test_without_a_terminal_there_is_a_line_for_each_tenth(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ledger = swarm(2, pieces=40)
    file = io.StringIO()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(show_lines, ledger, Console(file=file, width=120))
        for number in (*range(2, 40), 0):
            await trio.sleep(1)
            seeded = PieceEvent(number=number, bytes=PIECE, source="seed", holder="cdnnode:h~t")
            ledger.hear(ledger.peers[1], seeded, number)
        nursery.cancel_scope.cancel()
    lines = file.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == ["50", "60", "70", "80", "90", "100"]
    assert lines[-1] == "100 %  origin sent 160.0 MiB, supernode 316.0 MiB, peers 4.0 MiB"


def test_the_table_and_the_sentences_tell_what_was_given() -> None:
    ledger = swarm(2)
    ledger.peers[0].digest_ok = True
    ledger.peers[1].remark = "a holder was slow"
    file = io.StringIO()
    Console(file=file, width=80).print(result_table(ledger))
    rows = {line[:6]: line.split() for line in file.getvalue().splitlines()}
    assert rows["peer A"] == ["peer", "A", "2.00", "16.0", "MiB", "0", "B", "4.0", "MiB", "✓"]
    assert rows["peer B"] == ["peer", "B", "0", "B", "4.0", "MiB", "0", "B"]
    assert rows["all   "] == ["all", "16.0", "MiB", "4.0", "MiB", "4.0", "MiB"]
    said = sentences(ledger, summarise(ledger, ok=True))
    assert said[0] == "The origin sent 16.0 MiB, 1.00 times the file; the peers wanted 32.0 MiB."
    assert said[1] == "12 % of it came from peer to peer, 50 % from the supernode."
    assert said[2].endswith("such as peer B: a holder was slow")
