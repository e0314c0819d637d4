"""How a download is shown: a bar on a terminal, plain lines elsewhere, or JSON for programs.

With ``--json`` each line on standard output is one object:

* ``{"event":"piece","number","bytes","from":"seed"|"peer","holder","pieces"}``: a verified piece;
  ``pieces`` is how many there will be, null while unknown;
* ``{"event":"bytes","bytes","from":"origin"}``: bytes straight from the origin;
* ``{"event":"note","text"}``: something the user should know, such as a fall-back;
* ``{"event":"end","ok","exit","error","bytes":{"seed","peers","origin"},"seconds","requests",
  "digest_ok"}``: always the last; ``requests`` counts those to supernodes.
"""

import contextlib
import enum
import io
import json
import os
import sys
import time
from collections.abc import Callable
from typing import TextIO

from supernode.dfget.errors import Exit

LINE_SECONDS = 1.0
"""At most one plain line in this time."""
ORIGIN_STEP = 4 << 20
"""Bytes from the origin between two JSON lines."""


class Source(enum.StrEnum):
    """Where bytes come from."""

    SEED = "seed"
    PEER = "peer"
    ORIGIN = "origin"


class Progress:
    """Keeps count; the subclasses show it.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.requests = 0
        self.length: int | None = None
        self.pieces: int | None = None
        self.received = dict.fromkeys(Source, 0)
        self._clock = clock
        self._began = clock()

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return self._clock() - self._began

    @property
    def total(self) -> int:
        """Bytes received, from wherever."""
        return sum(self.received.values())

    def size(self, length: int | None, pieces: int | None) -> None:
        """Take note of the file's content bytes and pieces; None: unknown."""
        self.length, self.pieces = length, pieces

    def piece(self, number: int, length: int, source: Source, holder: str) -> None:
        """Count a verified piece of ``length`` content bytes."""
        self.received[source] += length

    def origin_bytes(self, amount: int) -> None:
        """Count bytes from the origin."""
        self.received[Source.ORIGIN] += amount

    def restart(self) -> None:
        """What came so far is of no use."""
        self.received = dict.fromkeys(Source, 0)

    def note(self, text: str) -> None:
        """Tell the user something."""

    def end(self, exit_code: Exit, error: str, *, digest_ok: bool | None) -> None:
        """Show how it ended.

        Args:
            exit_code: as the process will end.
            error: why it failed; empty if it did not.
            digest_ok: whether the whole file's digest was right; None: there was none to compare.
        """


class Screen(io.TextIOBase):
    """What the user looks at. If nobody does any more, what is written is dropped.

    Showing is a courtesy: a closed pipe or a terminal that hung up ends no download.

    Args:
        out: None, as Python says it, if it was closed from the start.
    """

    def __init__(self, out: TextIO | None) -> None:
        self._out = out

    def write(self, text: str) -> int:
        """Write, and show it at once."""
        if self._out is not None:
            try:
                self._out.write(text)
                self._out.flush()
            except (OSError, ValueError):
                self._abandon(self._out)
        return len(text)

    def isatty(self) -> bool:
        """Tell whether somebody sits there."""
        return self._out is not None and self._out.isatty()

    def _abandon(self, out: TextIO) -> None:
        self._out = None
        with contextlib.suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, out.fileno())  # Python writes what is left in its buffer when it exits
            os.close(null)


class PlainProgress(Progress):
    """Lines of text, at most one a second."""

    def __init__(self, out: TextIO | None, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self._out = Screen(out)
        self._shown = (self._began, 0)

    def piece(self, number: int, length: int, source: Source, holder: str) -> None:
        """Count a piece; show a line if the last is old."""
        super().piece(number, length, source, holder)
        self._show()

    def origin_bytes(self, amount: int) -> None:
        """Count bytes; show a line if the last is old."""
        super().origin_bytes(amount)
        self._show()

    def restart(self) -> None:
        """Count anew."""
        super().restart()
        self._shown = (self._clock(), 0)

    def note(self, text: str) -> None:
        """Print a line."""
        self._print(text)

    def end(self, exit_code: Exit, error: str, *, digest_ok: bool | None) -> None:
        """Print the sum, or why it failed."""
        if error:
            self._print(f"failed: {error}")
            return
        rate = self.total / max(self.seconds, 1e-6)
        verified = "digest verified" if digest_ok else "not verified: no digest to compare with"
        self._print(
            f"done: {human(self.total)} in {self.seconds:.1f} s, {human(rate)}/s"
            f" ({shares(self.received)}), {verified}"
        )

    def _show(self) -> None:
        at, total = self._shown
        now = self._clock()
        if now - at < LINE_SECONDS:
            return
        rate = (self.total - total) / (now - at)
        self._shown = (now, self.total)
        part = f"{100 * self.total // self.length:3d} %  " if self.length else ""
        whole = f" of {human(self.length)}" if self.length else ""
        self._print(f"{part}{human(self.total)}{whole}  {human(rate)}/s  ({shares(self.received)})")

    def _print(self, text: str) -> None:
        self._out.write(text + "\n")


class JsonProgress(Progress):
    """One JSON object a line."""

    def __init__(self, out: TextIO | None, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self._out = Screen(out)
        self._origin_shown = 0

    def piece(self, number: int, length: int, source: Source, holder: str) -> None:
        """Write a piece."""
        super().piece(number, length, source, holder)
        self._write(
            "piece",
            {
                "number": number,
                "bytes": length,
                "from": source,
                "holder": holder,
                "pieces": self.pieces,
            },
        )

    def origin_bytes(self, amount: int) -> None:
        """Write how many bytes came, now and then."""
        super().origin_bytes(amount)
        if self.received[Source.ORIGIN] - self._origin_shown >= ORIGIN_STEP:
            self._show_origin()

    def note(self, text: str) -> None:
        """Write a note."""
        self._write("note", {"text": text})

    def end(self, exit_code: Exit, error: str, *, digest_ok: bool | None) -> None:
        """Write the end."""
        if self.received[Source.ORIGIN] > self._origin_shown:
            self._show_origin()
        received = self.received
        self._write(
            "end",
            {
                "ok": exit_code is Exit.OK,
                "exit": int(exit_code),
                "error": error,
                "bytes": {
                    "seed": received[Source.SEED],
                    "peers": received[Source.PEER],
                    "origin": received[Source.ORIGIN],
                },
                "seconds": round(self.seconds, 3),
                "requests": self.requests,
                "digest_ok": digest_ok,
            },
        )

    def _show_origin(self) -> None:
        total = self.received[Source.ORIGIN]
        amount, self._origin_shown = total - self._origin_shown, total
        self._write("bytes", {"bytes": amount, "from": Source.ORIGIN})

    def _write(self, event: str, fields: dict[str, object]) -> None:
        self._out.write(json.dumps({"event": event, **fields}) + "\n")


def face(*, as_json: bool, show_bar: bool, name: str) -> Progress:
    """Return how to show a download: JSON on standard output, all else on standard error."""
    if as_json:
        return JsonProgress(sys.stdout)
    if show_bar or Screen(sys.stderr).isatty():
        from supernode.dfget.bar import BarProgress

        return BarProgress(sys.stderr, name)
    return PlainProgress(sys.stderr)


def human(amount: float) -> str:
    """Return a number of bytes as a person reads it; 1024-based."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            break
        amount /= 1024
    return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"


def shares(received: dict[Source, int]) -> str:
    """Return where the bytes came from, in percent."""
    total = sum(received.values())
    names = {Source.SEED: "seed", Source.PEER: "peers", Source.ORIGIN: "origin"}
    parts = [f"{names[s]} {round(100 * n / total)} %" for s, n in received.items() if n]
    return ", ".join(parts) or "nothing yet"
