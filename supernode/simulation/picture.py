"""How the figures are shown to a person."""

from rich.table import Table

from supernode.simulation.figures import Figures, Spread

MIB = 1 << 20


def table(figures: Figures) -> Table:
    """Return the times and how they compare with the bounds."""
    shown = Table(box=None, header_style="bold")
    for heading in ("", "p50", "p99", "last"):
        shown.add_column(heading, justify="right" if heading else "left")
    _row(shown, "completion, seconds", figures.seconds, ".2f")
    _row(shown, "efficiency, fluid bound", figures.fluid_efficiency, ".3f")
    _row(shown, "efficiency, piece bound", figures.piece_efficiency, ".3f")
    return shown


def _row(shown: Table, title: str, spread: Spread | None, style: str) -> None:
    if spread is not None:
        shown.add_row(title, *(format(n, style) for n in (spread.p50, spread.p99, spread.max)))


def sentences(figures: Figures) -> list[str]:
    """Return the rest, and what the bounds are."""
    sent, size = figures.bytes, figures.size
    said = [
        f"{figures.complete} of {figures.peers} peers have the file: {_mib(size)} in"
        f" {figures.pieces} pieces of {_mib(figures.piece_size)}.",
        f"The origin gave {_mib(sent.origin)}, the supernode {_mib(sent.seed)}"
        f" ({sent.seed / size:.2f} times the file), peers {_mib(sent.peers)}.",
        f"{figures.requests} requests to the supernode,"
        f" {figures.requests / figures.peers / figures.pieces:.2f} a piece and peer.",
    ]
    if figures.vanished:
        said.append(f"{figures.vanished} peers vanished; {_mib(sent.in_vain)} came in vain.")
    if left := figures.peers - figures.complete - figures.vanished:
        said.append(f"{left} peers did not get the file from the swarm.")
    said.append(f"Fluid bound: {figures.fluid_bound:.2f} s. {figures.fluid_formula}.")
    if figures.piece_bound is not None:
        bound = f"{figures.piece_bound:.2f} s"
        said.append(f"Piece bound: {bound}. (1 + ⌊log2 N⌋/M)·F/u, all links being equal.")
    return said


def _mib(amount: float) -> str:
    return f"{amount / MIB:.1f} MiB"
