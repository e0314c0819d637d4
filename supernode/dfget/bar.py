"""A download shown as a bar that moves. Imported only when one is shown."""

from typing import TextIO, cast

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichBar
from rich.text import Text

from supernode.dfget.errors import Exit
from supernode.dfget.progress import PlainProgress, human, shares


class RateColumn(ProgressColumn):
    """Bytes a second, 1024-based as all our numbers are."""

    def render(self, task: Task) -> Text:
        """Return the text."""
        rate = task.finished_speed or task.speed
        return Text("?" if rate is None else f"{human(rate)}/s", style="progress.data.speed")


class BarProgress(PlainProgress):
    """A bar that moves; notes and the end as lines. Whoever asks for it gets it on a pipe, too."""

    def __init__(self, out: TextIO | None, name: str) -> None:
        super().__init__(out)
        self._name = name
        self._bar: RichBar | None = None
        self._row: TaskID | None = None

    def size(self, length: int | None, pieces: int | None) -> None:
        """Set the bar's end."""
        super().size(length, pieces)
        self._show()

    def end(self, exit_code: Exit, error: str, *, digest_ok: bool | None) -> None:
        """Take the bar down and print the sum."""
        if self._bar is not None:
            self._bar.stop()
        self._bar = None
        super().end(exit_code, error, digest_ok=digest_ok)

    def _show(self) -> None:
        if self._bar is None:
            self._bar, self._row = self._raise_bar()
        assert self._row is not None
        self._bar.update(
            self._row,
            total=self.length,
            completed=self.total,
            sources=shares(self.received),
        )

    def _raise_bar(self) -> tuple[RichBar, TaskID]:
        bar = RichBar(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(binary_units=True),
            RateColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[sources]}"),
            console=Console(file=cast("TextIO", self._out), force_terminal=True),
        )
        row = bar.add_task(escape(self._name), total=self.length, sources="")
        bar.start()
        return bar, row

    def _print(self, text: str) -> None:
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            super()._print(text)
