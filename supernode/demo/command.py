"""``supernode demo``."""

import sys

import click

from supernode.demo.amounts import Amount

PATIENCE_SECONDS = 300.0
MOST_PEERS = 52
"""As many as there are letters."""


@click.command
@click.option(
    "--peers",
    type=click.IntRange(1, MOST_PEERS),
    default=6,
    show_default=True,
    help="How many, each a real dfget process.",
)
@click.option(
    "--size",
    type=Amount(),
    default="200MiB",
    show_default=True,
    help="Of the file; units are 1024-based. Each peer's copy takes as much disk.",
)
@click.option(
    "--rate",
    type=Amount(),
    help="Limit each peer's up and down link to so many bytes a second.  [default: no limit]",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Give up after this time.  [default: 300 and what --rate demands]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
def command(peers: int, size: int, rate: int | None, timeout: float | None, as_json: bool) -> None:
    """Watch a file go from an origin through a supernode to several peers, on this machine.

    Everything is real: an HTTP origin, `supernode serve` and `supernode dfget` processes, on
    loopback and in a temporary directory. Nothing is left when it ends.

    Exit status: 0 every file is right, 1 something went wrong, 130 interrupted,
    141 nobody reads the output any more.
    """
    if timeout is None:
        timeout = PATIENCE_SECONDS + (2 * size / rate if rate else 0.0)
    try:
        import trio

        from supernode.demo.run import Plan, run

        plan = Plan(peers=peers, size=size, rate=rate, timeout=timeout, as_json=as_json)
        status = trio.run(run, plan)
    except KeyboardInterrupt:  # before or after the demo took care of signals
        status = 130
    sys.exit(status)
