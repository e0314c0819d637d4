"""How a status is shown: a table that fits the terminal, else one plain line for each row."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from supernode.dfget.progress import human
from supernode.printable import printable
from supernode.status.looking import Failure, Running, Status


class Row(NamedTuple):
    """A line of the screen.

    Args:
        name: what it is about.
        text: what there is to say.
        style: of the text, where it is not the usual.
    """

    name: str
    text: str
    style: str = ""


def show(status: Status, console: Console) -> None:
    """Print the status."""
    lines = list(rows(status))
    if not console.is_terminal:
        for row in lines:
            console.print(f"{row.name}: {row.text}", markup=False, highlight=False, soft_wrap=True)
        return
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    before = ""
    for row in lines:
        table.add_row(
            Text("" if row.name == before else row.name, "dim"), Text(row.text, row.style)
        )
        before = row.name
    console.print(table)


def rows(status: Status) -> Iterator[Row]:
    """Yield the rows, top to bottom. What others have said is made harmless to a terminal."""
    now = status.overview
    version = f"{status.version.version} {status.version.revision}".rstrip()
    yield Row("supernode", printable(f"{version} at {status.node}"), "bold")
    if status.ready:
        yield Row("ready", "yes", "green")
    else:
        yield Row("ready", printable(f"no: {status.trouble}"), "red")
    yield Row("up", f"{_age(now.started, now.time)}, {printable(status.checks.get('sockets', ''))}")
    if now.disk is None:
        yield Row("disk", "not known yet")
    else:
        disk = now.disk
        cached, free, total = map(human, (disk.cached, disk.free, disk.total))
        yield Row("disk", f"{cached} of pieces, {free} of {total} free")
    came = now.bytes_from
    given = came.seed + came.peers
    share = f" ({round(100 * came.peers / given)} % of what was given)" if given else ""
    yield Row(
        "bytes",
        f"{human(came.origin)} from origins, {human(came.seed)} from the seed, "
        f"{human(came.peers)} from peers{share}",
    )
    peers = now.peers
    yield Row(
        "peers",
        f"{peers.known} known, {peers.silent} silent, {peers.quarantined} quarantined",
        "yellow" if peers.quarantined else "",
    )
    paused = f", {now.paused} paused" if now.paused else ""
    yield Row("tasks", _counts(now.tasks) + paused)
    yield Row("preheats", _counts(now.preheats))
    yield Row("downloads", f"{now.running} running, {now.leases} pieces on their way")
    for task in status.running:
        yield Row("running", _running(task))
    for failure in status.failures:
        yield Row("failed", _failure(failure), "red")


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(counts.items())) or "none"


def _running(task: Running) -> str:
    total = "?" if task.piece_total is None else task.piece_total
    text = f"{task.url}  {task.pieces_cached} of {total} pieces here"
    if task.clients:
        text += f", {task.clients} downloading"
    return printable(f"{text}; {task.waits_for}" if task.waits_for else text)


def _failure(failure: Failure) -> str:
    return printable(f"{failure.what} of {_clock(failure.asked_at)}: {failure.url}  {failure.why}")


def _clock(moment: str) -> str:
    """Return a moment as the reader's clock shows it."""
    try:
        return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return "?"


def _age(since: str, until: str) -> str:
    try:
        age = datetime.fromisoformat(until) - datetime.fromisoformat(since)
    except ValueError:
        return "?"
    hours, seconds = divmod(int(age.seconds), 3600)
    minutes, seconds = divmod(seconds, 60)
    if age.days:
        return f"{age.days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
