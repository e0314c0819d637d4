"""The picture: who has what, and from whom it came. Drawn from the ledger, live or as plain lines.

Every piece is a cell in the colour of who gave it; a peer's cells bear its letter, too, so that the
picture can be read without colours.
"""

from collections.abc import Iterable

import trio
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.measure import Measurement
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

from supernode.demo.ledger import NAMES, SEED, Ledger, PeerAccount
from supernode.demo.summary import Summary
from supernode.dfget.progress import human

FRAME_SECONDS = 0.1
WIDEST = 120
ROWS_AROUND = 9
"""Lines of the picture that are not a peer's: title, column names, legend and so on."""
ORIGIN_STYLE = Style.parse("yellow")
SEED_STYLE = Style.parse("color(246)")
PEER_COLOURS = ("cyan", "green", "magenta", "bright_blue", "red", "color(208)", "color(218)")
_FULL, _NOT_YET, _SHADES = "█", "·", "·░▒▓█"

Cell = tuple[str, Style]
NOT_YET: Cell = (_NOT_YET, Style(dim=True))


def name_style(name: str) -> Style:
    """Return the style of a peer's cells."""
    colour = PEER_COLOURS[NAMES.index(name) % len(PEER_COLOURS)]
    return Style(color="black", bgcolor=colour)


def piece_cell(giver: str | None) -> Cell:
    """Return the cell of a piece that came from ``giver``."""
    if giver is None:
        return NOT_YET
    return (_FULL, SEED_STYLE) if giver == SEED else (giver, name_style(giver))


class Strip:
    """Cells side by side over the whole width there is, the same stretch for each piece.

    Args:
        cells: one for each piece.
    """

    def __init__(self, cells: list[Cell]) -> None:
        self._cells = cells

    def across(self, width: int) -> list[Cell]:
        """Return ``width`` cells; one that stands for several pieces is not yet until all are."""
        cells, count = self._cells, len(self._cells)
        shown = []
        for column in range(width):
            first = column * count // width
            behind = max((column + 1) * count // width, first + 1)
            covered = cells[first:behind]
            shown.append(NOT_YET if NOT_YET in covered else covered[0])
        return shown

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for text, style in self.across(options.max_width):
            yield Segment(text, style)
        yield Segment.line()

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(min(16, options.max_width), options.max_width)


def picture(ledger: Ledger, now: float, width: int, height: int) -> Table:
    """Return everything at the time ``now``, to fit a terminal of this size."""
    whole = Table.grid(padding=0)
    whole.add_row(_title(ledger, now))
    whole.add_row("")
    whole.add_row(_rows(ledger, now, min(width, WIDEST), height))
    whole.add_row("")
    whole.add_row(_legend(shades=_rows_alone(ledger, height) < len(ledger.peers)))
    return whole


def _title(ledger: Ledger, now: float) -> Text:
    count = len(ledger.peers)
    limit = f", links of {human(ledger.rate)}/s" if ledger.rate else ""
    elapsed = ledger.seconds or (now - ledger.began if ledger.began else 0.0)
    return Text.assemble(
        (f"{human(ledger.size)} for {count} {'peer' if count == 1 else 'peers'}{limit}", "bold"),
        f"  {elapsed:.1f} s",
        (f"  {ledger.phase}", "dim"),
    )


def _rows(ledger: Ledger, now: float, width: int, height: int) -> Table:
    rows = Table(box=None, padding=(0, 1), pad_edge=False, width=width, header_style="dim")
    rows.add_column("")
    rows.add_column("what it has, by who gave it", ratio=1, no_wrap=True)
    for title, least in (("", 5), ("", 11), ("gave", 10)):
        rows.add_column(title, justify="right", no_wrap=True, min_width=least)
    full, missing = (_FULL, ORIGIN_STYLE), ledger.pieces - ledger.fetched
    rows.add_row(
        Text("origin", ORIGIN_STYLE),
        Strip([full] * ledger.pieces),
        "",
        "",
        human(ledger.origin_bytes),
    )
    rows.add_row(
        Text(SEED, SEED_STYLE),
        Strip([full] * ledger.fetched + [NOT_YET] * missing),
        _percent(ledger.fetched, ledger.pieces),
        "",
        human(ledger.given(SEED)),
    )
    alone = _rows_alone(ledger, height)
    for peer in ledger.peers[:alone]:
        rows.add_row(
            Text.assemble("peer ", (peer.name, name_style(peer.name))),
            Strip([piece_cell(giver) for giver in peer.givers]),
            *_figures(ledger, [peer], now),
        )
    if others := ledger.peers[alone:]:
        rows.add_row(
            f"{len(others)} more",
            Strip([_shade(others, piece) for piece in range(ledger.pieces)]),
            *_figures(ledger, others, now),
        )
    return rows


def _rows_alone(ledger: Ledger, height: int) -> int:
    """Return how many peers get a row of their own; the others share the last one."""
    room = max(height - ROWS_AROUND, 2)
    return len(ledger.peers) if len(ledger.peers) <= room else room - 1


def _shade(peers: list[PeerAccount], piece: int) -> Cell:
    """Return a cell the darker, the more of these peers have a piece."""
    have = sum(peer.givers[piece] is not None for peer in peers)
    if not have:
        return NOT_YET
    return _SHADES[max(have * (len(_SHADES) - 1) // len(peers), 1)], Style()


def _figures(ledger: Ledger, peers: list[PeerAccount], now: float) -> Iterable[str]:
    """Return the share they have, how fast more comes or how long it took, and what they gave."""
    received = sum(peer.received.total() for peer in peers)
    ends = [peer.ended for peer in peers if peer.ended is not None]
    if len(ends) == len(peers):
        pace = f"{max(ends) - ledger.began:.1f} s"
    else:
        pace = f"{human(sum(peer.rate(now) for peer in peers))}/s"
    gave = sum(ledger.given(peer.name) for peer in peers)
    return _percent(received, ledger.size * len(peers)), pace, human(gave)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part // whole} %"


def _legend(*, shades: bool) -> Text:
    return Text.assemble(
        (_FULL, ORIGIN_STYLE),
        " from the origin   ",
        (_FULL, SEED_STYLE),
        " from the supernode   ",
        *(piece_cell(name) for name in NAMES[:3]),
        " from peer A, B, C …   ",
        NOT_YET,
        " not yet",
        f"   {_SHADES[1:-1]} some of them" if shades else "",
    )


def result_table(ledger: Ledger) -> Table:
    """Return how each peer fared."""
    table = Table(box=None, padding=(0, 2), pad_edge=False, header_style="bold", show_footer=True)
    seed = ledger.given(SEED)
    among = ledger.received - seed
    unchecked = any(peer.digest_ok is None for peer in ledger.peers)
    columns = (
        ("", "all"),
        ("seconds", "" if ledger.seconds is None else f"{ledger.seconds:.2f}"),
        ("from supernode", human(seed)),
        ("from peers", human(among)),
        ("gave", human(among)),
        ("sha256", _mark(None if unchecked else ledger.digests_ok)),
    )
    for title, footer in columns:
        table.add_column(title, footer, justify="right" if title else "left", no_wrap=True)
    for peer in ledger.peers:
        table.add_row(
            f"peer {peer.name}",
            "" if peer.ended is None else f"{peer.ended - peer.started:.2f}",
            human(peer.from_seed),
            human(peer.from_peers),
            human(ledger.given(peer.name)),
            _mark(peer.digest_ok),
        )
    return table


def _mark(right: bool | None) -> str:
    return {True: "[green]✓[/]", False: "[red]✗[/]", None: ""}[right]


def sentences(ledger: Ledger, summary: Summary) -> list[str]:
    """Return what the figures mean, and what should be known besides."""
    sent, wanted = summary.bytes, summary.peers * summary.size
    said = [
        f"The origin sent {human(sent.origin)}, {sent.origin / summary.size:.2f} times the file; "
        f"the peers wanted {human(wanted)}.",
        f"{100 * sent.peers / wanted:.0f} % of it came from peer to peer, "
        f"{100 * sent.seed / wanted:.0f} % from the supernode.",
    ]
    if summary.seconds is not None:
        said.append(
            f"{summary.seconds:.2f} s from the start of the first peer to the last file in place."
        )
    if summary.lower_bound_seconds is not None and summary.efficiency is not None:
        said.append(
            f"No swarm with these links could take less than {summary.lower_bound_seconds:.2f} s: "
            f"efficiency {summary.efficiency:.2f}."
        )
    if remarks := [f"peer {peer.name}: {peer.remark}" for peer in ledger.peers if peer.remark]:
        said.append(f"{len(remarks)} of the peers had something to say, such as {remarks[0]}")
    return said


async def show_live(ledger: Ledger, console: Console) -> None:
    """Draw the picture again and again until cancelled; the last one stays."""

    def draw() -> Table:
        return picture(ledger, trio.current_time(), *console.size)

    with Live(console=console, auto_refresh=False, get_renderable=draw) as live:
        try:
            while True:
                live.refresh()
                await trio.sleep(FRAME_SECONDS)
        finally:
            live.refresh()


async def show_lines(ledger: Ledger, console: Console) -> None:
    """Print a line for each tenth of the way until cancelled."""
    shown = 0

    def look() -> None:
        nonlocal shown
        wanted = ledger.size * len(ledger.peers)
        tenth = 10 * ledger.received // wanted
        if tenth > shown:
            shown = tenth
            seed = ledger.given(SEED)
            console.print(
                f"{10 * tenth:3d} %  origin sent {human(ledger.origin_bytes)}, "
                f"supernode {human(seed)}, peers {human(ledger.received - seed)}",
                highlight=False,
            )

    try:
        while True:
            look()
            await trio.sleep(FRAME_SECONDS)
    finally:
        look()
