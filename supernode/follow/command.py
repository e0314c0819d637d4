"""``supernode events``."""

import os
import signal
import sys
from collections.abc import Sequence

import click
import trio
from rich.console import Console

from supernode.dfget.errors import Exit
from supernode.dfget.options import Node
from supernode.follow.follower import Follower, Message, NotFollowed
from supernode.follow.lines import line
from supernode.remote import NodeType

_SIGNALS = {signal.SIGINT: Exit.INTERRUPTED, signal.SIGTERM: Exit.TERMINATED}


@click.command(
    epilog="Exit status: 0 whoever reads the output has had enough, 2 the command line makes no "
    "sense, 64 the supernode says so of what was asked for, 69 there is none, or it refuses, 130 "
    "interrupted, 143 terminated."
)
@click.option("-n", "--node", type=NodeType(), default="127.0.0.1", help="Which supernode.")
@click.option("--task", multiple=True, help="Only what is about this task; may be repeated.")
@click.option("--peer", multiple=True, help="Only what names this peer; may be repeated.")
@click.option(
    "--type",
    "types",
    multiple=True,
    metavar="TYPE",
    help="Only events of this type, such as task.finished or piece.*; may be repeated.",
)
@click.option(
    "--since",
    type=click.IntRange(min=0),
    help="First what happened after the event of this number; 0: all that is kept.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, as in a pipe.")
def command(
    node: Node,
    task: tuple[str, ...],
    peer: tuple[str, ...],
    types: tuple[str, ...],
    since: int | None,
    as_json: bool,
) -> None:
    """Follow what happens at a supernode.

    When the connection breaks, it is made again, and goes on after the last event that was shown.
    """
    names = [("task", task), ("peer", peer), ("type", types)]
    filters = [(name, value) for name, values in names for value in values]
    try:
        sys.exit(trio.run(_follow, node, filters, since, as_json))
    except NotFollowed as problem:
        _notice(str(problem))
        sys.exit(Exit.USAGE if problem.usage else Exit.NO_SUPERNODE)


class _Output:
    """Where the messages go, until nobody reads them any more."""

    def __init__(self, *, as_json: bool) -> None:
        self._console = Console(highlight=False)
        self._as_json = as_json or not self._console.is_terminal
        self.unread = trio.Event()

    def show(self, text: str, message: Message) -> None:
        try:
            if self._as_json:
                sys.stdout.write(text + "\n")
                sys.stdout.flush()
            else:
                self._console.print(line(message), no_wrap=True, overflow="ellipsis", crop=True)
        except BrokenPipeError:
            # What is left in its buffer goes nowhere when Python ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            self.unread.set()


async def _follow(
    node: Node,
    filters: Sequence[tuple[str, str]],
    since: int | None,
    as_json: bool,
) -> Exit:
    """Follow until there is a reason not to; return the exit status. Raises NotFollowed."""
    output = _Output(as_json=as_json)
    status = Exit.OK
    problem: NotFollowed | None = None

    async def follow() -> None:
        nonlocal problem
        try:
            await Follower(node, filters, since, output.show, _notice).run()
        except NotFollowed as error:
            problem = error
        nursery.cancel_scope.cancel()

    async def until_told() -> None:
        nonlocal status
        status = _SIGNALS[signal.Signals(await anext(signals))]
        nursery.cancel_scope.cancel()

    with trio.open_signal_receiver(*_SIGNALS) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow)
            nursery.start_soon(until_told)
            await output.unread.wait()
            nursery.cancel_scope.cancel()
    if problem:
        raise problem
    return status


def _notice(text: str) -> None:
    click.echo(f"supernode: {text}", err=True)
