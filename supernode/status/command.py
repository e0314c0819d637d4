"""``supernode status``."""

import sys

import click

from supernode.dfget.options import Node
from supernode.remote import NodeType

EXIT_NOT_READY = 1
EXIT_UNAVAILABLE = 69


@click.command(
    epilog="Exit status: 0 it is ready, 1 it is not, 69 it does not answer, or is no supernode."
)
@click.option(
    "-n",
    "--node",
    type=NodeType(),
    default="127.0.0.1:8002",
    show_default=True,
    help="Which supernode.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of the screen.")
def command(node: Node, as_json: bool) -> None:
    """Show what a supernode does.

    Whether it is ready, its disk, where bytes came from, the tasks under way and what they wait
    for, and what failed last. On a terminal it is a screen, in a pipe one line for each thing.
    """
    import msgspec
    import trio
    from rich.console import Console

    from supernode.dfget.http import HttpClient
    from supernode.remote import Rejected, Remote, Unreachable
    from supernode.status.looking import Status, look
    from supernode.status.screen import show

    async def looked() -> Status:
        http = HttpClient(user_agent="supernode-status")
        try:
            return await look(Remote(node, http))
        finally:
            http.close()

    try:
        status = trio.run(looked)
    except (Rejected, Unreachable) as problem:
        click.echo(f"supernode: {problem}", err=True)
        sys.exit(EXIT_UNAVAILABLE)
    if as_json:
        click.echo(msgspec.json.encode(status))
    else:
        show(status, Console())
    sys.exit(0 if status.ready else EXIT_NOT_READY)
