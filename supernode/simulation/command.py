"""``supernode simulate``."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import click
from rich.console import Console

from supernode.recording import dump_file
from supernode.recording.dump_file import DumpError
from supernode.recording.replay import Ended, replay
from supernode.simulation import options
from supernode.simulation.picture import sentences, table
from supernode.simulation.plan import Arrivals, Failure, Plan, Slowness
from supernode.simulation.run import simulate

T = TypeVar("T")
MOST_PEERS = 20_000
EXIT_NOT_AS_RECORDED = 1
EXIT_UNUSABLE = 65


class _Parsed(click.ParamType[T], Generic[T]):
    """An option's value as one of the parsers reads it."""

    def __init__(self, name: str, parse: Callable[[str], T]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> T:
        """Return the value, or fail as click does."""
        try:
            return self._parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


_RATE = _Parsed("rate", options.parse_rate)


def _replay(ctx: click.Context, _: click.Parameter, file: Path | None) -> None:
    """Instead of a simulation, run a dump again."""
    if file is None:
        return
    try:
        dump = dump_file.read(file)
        result = replay(dump)
    except (DumpError, OSError) as error:
        click.echo(f"supernode: {error}", err=True)
        ctx.exit(EXIT_UNUSABLE)
    click.echo(f"dump of supernode {dump.supernode}: {dump.cause}")
    click.echo(f"{result.commands} of {result.recorded} commands, {result.events} events")
    if result.ended is Ended.AS_RECORDED:
        click.echo(result.ended.value)
        ctx.exit()
    click.echo(f"command {result.commands}: {result.command}")
    click.echo(": ".join(filter(None, (result.ended.value, result.problem))))
    ctx.exit(EXIT_NOT_AS_RECORDED)


@click.command(
    epilog="Exit status of --replay: 0 everything happened as recorded, 1 the core failed or did "
    "something else, or you interrupted it, 65 the file is no dump that can be replayed."
)
@click.option("--peers", type=click.IntRange(1, MOST_PEERS), required=True, help="How many.")
@click.option(
    "--size",
    type=_Parsed("size", options.parse_size),
    required=True,
    help="Of the file; units are 1024-based.",
)
@click.option(
    "--peer-up",
    type=_RATE,
    required=True,
    help="Each peer's uplink, such as 12MiB/s or 100Mbit/s.",
)
@click.option("--peer-down", type=_RATE, help="Each peer's downlink.  [default: as --peer-up]")
@click.option("--seed-up", type=_RATE, required=True, help="The supernode's uplink.")
@click.option(
    "--origin-rate",
    type=_RATE,
    help="How fast the file comes from its origin.  [default: the supernode has it already]",
)
@click.option(
    "--rtt",
    type=click.FloatRange(0, 10_000),
    default=1.0,
    show_default=True,
    metavar="MS",
    help="Milliseconds from a request to its answer.",
)
@click.option(
    "--arrivals",
    type=_Parsed("arrivals", options.parse_arrivals),
    default="all",
    show_default=True,
    help="When the peers begin: all, uniform:SECONDS or poisson:PEERS_PER_SECOND.",
)
@click.option(
    "--fail",
    type=_Parsed("failure", options.parse_failure),
    metavar="K@SHARE",
    help="So many peers vanish when this share of all bytes has been delivered, such as 3@0.5.",
)
@click.option(
    "--slow",
    type=_Parsed("slowness", options.parse_slowness),
    metavar="K@RATE",
    help="So many peers have this uplink instead, such as 3@1MiB/s.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of all chance.")
@click.option(
    "--replay",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    is_eager=True,
    expose_value=False,
    callback=_replay,
    metavar="FILE",
    help="Instead, run a dump of a supernode of this version again, bit for bit, up to its end or "
    "to the command that fails.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
def command(
    peers: int,
    size: int,
    peer_up: float,
    peer_down: float | None,
    seed_up: float,
    origin_rate: float | None,
    rtt: float,
    arrivals: Arrivals,
    fail: Failure | None,
    slow: Slowness | None,
    seed: int,
    as_json: bool,
) -> None:
    """Simulate a swarm: the real tracker, with virtual peers and links on a virtual clock.

    The same options give the same figures, bit for bit.
    """
    plan = Plan(
        peers=peers,
        size=size,
        peer_up=peer_up,
        peer_down=peer_down or peer_up,
        seed_up=seed_up,
        origin_rate=origin_rate,
        rtt=rtt / 1000,
        arrivals=arrivals,
        failure=fail,
        slowness=slow,
        seed=seed,
    )
    figures = simulate(plan)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(figures)))
        return
    console = Console()
    console.print(table(figures))
    for sentence in sentences(figures):
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)
