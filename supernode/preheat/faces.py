"""How a preheat is shown: a bar for each layer on a terminal, else a line whenever one changes."""

from collections.abc import Iterable
from typing import Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn

from supernode.preheat.asking import Blob, Preheat

_DIGITS = 12
"""Of a digest, as people know them from container engines."""


class Face(Protocol):
    """Is shown how far a preheat is, time and again."""

    def show(self, preheat: Preheat) -> None:
        """Show how far it is."""
        ...

    def close(self) -> None:
        """Show nothing any more; what was shown last stays."""
        ...


def face(console: Console) -> Face:
    """Return the face that suits the console."""
    return Bars(console) if console.is_terminal else Lines(console)


class Lines:
    """A line whenever a file's state changes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown: dict[str, str] = {}
        self._status = ""

    def show(self, preheat: Preheat) -> None:
        """Print what has changed."""
        if preheat.status != self._status:
            self._status = preheat.status
            self._print(preheat.status)
        for blob in preheat.blobs:
            if self._shown.get(blob.digest) != blob.state:
                self._shown[blob.digest] = blob.state
                self._print(f"{name_of(blob)}: {state_of(blob)}")

    def close(self) -> None:
        """Nothing is to be done."""

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class Bars:
    """A bar for each file; the one file of a file's preheat has none, for it is not known."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TextColumn("{task.fields[state]}"),
            console=console,
        )
        self._rows: dict[str, TaskID] = {}
        self._progress.start()

    def show(self, preheat: Preheat) -> None:
        """Move the bars."""
        for blob in preheat.blobs:
            row = self._rows.get(blob.digest)
            if row is None:
                row = self._progress.add_task(escape(name_of(blob)), state="")
                self._rows[blob.digest] = row
            done = blob.size if blob.state == "SKIPPED" else blob.done
            self._progress.update(
                row, total=blob.size, completed=done or 0, state=escape(state_of(blob))
            )

    def close(self) -> None:
        """Leave the bars as they are."""
        self._progress.stop()


def name_of(blob: Blob) -> str:
    """Return what a file is called."""
    name = blob.digest.removeprefix("sha256:")[:_DIGITS]
    return f"{name} ({', '.join(blob.platforms)})" if blob.platforms else name


def state_of(blob: Blob) -> str:
    """Return how far a file is, in words."""
    parts = [blob.state, f"from {blob.came_from}" if blob.came_from else "", blob.detail]
    return " ".join(filter(None, parts))


def amounts(blobs: Iterable[Blob]) -> str:
    """Return how many files are there, and from where."""
    counts: dict[str, int] = {}
    for blob in blobs:
        if blob.came_from:
            counts[blob.came_from] = counts.get(blob.came_from, 0) + 1
    return ", ".join(f"{count} from {source}" for source, count in counts.items())
