"""One demo from beginning to end: its directory, its deadline, its signals, its exit status."""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

import msgspec
import trio
from rich.console import Console

from supernode.demo import picture, swarm
from supernode.demo.guard import guarded
from supernode.demo.ledger import Ledger, Unexpected
from supernode.demo.processes import ProcessFailed, reserved_ports
from supernode.demo.summary import summarise
from supernode.dfget.progress import human
from supernode.supervision import first_of


class NobodyReads(Exception):
    """Who read what we print has gone, as ``head`` does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be shown.

    Args:
        size: bytes of the file.
        rate: bytes/s of each peer's up and down link; None: no limit.
        timeout: seconds for everything but the clearing up.
        as_json: print the figures as one JSON object; all else goes to standard error.
    """

    peers: int
    size: int
    rate: int | None
    timeout: float
    as_json: bool


async def run(plan: Plan) -> int:
    """Run the demo; return the exit status.

    SIGINT, SIGTERM, SIGHUP and a reader that goes away end it early.
    """
    signals: list[int] = []
    status = 1
    async with trio.open_nursery() as nursery:
        work = trio.CancelScope()
        await nursery.start(_watch_signals, signals, work)
        try:
            with work:
                status = await _perform(plan)
        except* NobodyReads:
            status = 128 + signal.SIGPIPE
        nursery.cancel_scope.cancel()
    if signals:
        print("interrupted: every process is ended, every file removed", file=sys.stderr)  # noqa: T201
        return 128 + signals[0]
    return status


class _Console(Console):
    def __init__(self, out: TextIO) -> None:
        if isinstance(out, TextIOWrapper):
            out.reconfigure(errors="replace")  # a terminal lacks a character: no reason to fail
        super().__init__(file=out)

    def on_broken_pipe(self) -> None:
        # What is still buffered must have somewhere to go, at the latest when Python exits.
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), self.file.fileno())
        raise NobodyReads


async def _watch_signals(
    seen: list[int], work: trio.CancelScope, task_status: trio.TaskStatus[None]
) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        task_status.started()
        async for number in signals:  # clearing up is bounded: further signals change nothing
            seen.append(number)
            work.cancel()


async def _perform(plan: Plan) -> int:
    console = _Console(sys.stderr if plan.as_json else sys.stdout)
    with reserved_ports(plan.peers + 2) as (control, data, *ports):
        ledger = Ledger(plan.size, ports, plan.rate)
        problem = ""
        try:
            with trio.fail_after(plan.timeout):
                async with _directory(plan) as directory, _shown(ledger, console):
                    await swarm.run(ledger, swarm.Ports(control, data), directory)
        except* (ProcessFailed, Unexpected, OSError) as errors:
            problem = str(first_of(errors))
        except* trio.TooSlowError:
            problem = f"not done within {plan.timeout:g} s, while {ledger.phase}"
    summary = summarise(ledger, ok=not problem)
    if ledger.received:
        console.print("", picture.result_table(ledger), "", sep="\n")
    if problem:
        print(f"demo: {problem}", file=sys.stderr)  # noqa: T201
    else:
        for sentence in picture.sentences(ledger, summary):
            console.print(sentence, highlight=False, markup=False, soft_wrap=True)
    if plan.as_json:
        _Console(sys.stdout).out(msgspec.json.encode(summary).decode(), highlight=False)
    return 0 if summary.ok else 1


@asynccontextmanager
async def _directory(plan: Plan) -> AsyncIterator[Path]:
    """Yield a temporary directory with room for everything; remove it whatever happens."""
    directory = Path(tempfile.mkdtemp(prefix="supernode-demo-"))
    try:
        needed = plan.size * (plan.peers + 2)
        free = shutil.disk_usage(directory).free
        if free < needed:
            raise OSError(f"{directory.parent} has {human(free)} free; this needs {human(needed)}")
        with guarded(directory):
            yield directory
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(shutil.rmtree, directory)


@asynccontextmanager
async def _shown(ledger: Ledger, console: Console) -> AsyncIterator[None]:
    """Show what happens for as long as the context lasts."""
    show = picture.show_live if console.is_interactive else picture.show_lines
    async with trio.open_nursery() as nursery:
        nursery.start_soon(show, ledger, console)
        yield
        nursery.cancel_scope.cancel()
