"""``supernode preheat``."""

import math
import sys

import click

from supernode.dfget.errors import Exit
from supernode.dfget.options import parse_duration, parse_header, parse_nodes

FILE, IMAGE = "file", "image"

_MEANINGS: dict[int, str] = {
    Exit.OK: "it is asked for; with --wait: every file is there",
    Exit.FAILED: "it failed, or the supernode refuses it",
    Exit.NO_SUPERNODE: "the supernode does not answer",
    Exit.TIMEOUT: "--timeout passed; the preheat goes on",
    Exit.INTERRUPTED: "interrupted (SIGINT); the preheat goes on",
    Exit.TERMINATED: "terminated (SIGTERM); the preheat goes on",
}
_USAGE = 2
"""Click's own exit status."""
_EPILOG = "\b\nExit status:\n" + "\n".join(
    f"  {code:3d}  {meaning}"
    for code, meaning in sorted((_MEANINGS | {_USAGE: "the command line makes no sense"}).items())
)


@click.command("preheat", epilog=_EPILOG)
@click.argument("url")
@click.option(
    "--type",
    "kind",
    type=click.Choice([FILE, IMAGE]),
    help="What it is.  [default: an image if URL is a manifest's or no URL but an image's name]",
)
@click.option(
    "--platform",
    default="",
    metavar="OS/ARCH,…",
    help="Of an image only what is for these, such as linux/amd64,linux/arm64.  [default: all]",
)
@click.option(
    "--header",
    "headers",
    multiple=True,
    metavar="'NAME: VALUE'",
    help="Header for the origin. May be repeated.",
)
@click.option(
    "-f",
    "--filter",
    "filters",
    default="",
    metavar="KEY&KEY…",
    help="Query parameters that do not matter for what the file is.",
)
@click.option("-i", "--identifier", default="", help="Sets this file apart from others.")
@click.option(
    "-n",
    "--node",
    default="127.0.0.1:8002",
    show_default=True,
    metavar="[https://]HOST[:PORT]",
    help="The supernode.",
)
@click.option("--wait", is_flag=True, help="Show how it goes, until every file is there.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be fetched, and from where.")
@click.option(
    "--timeout",
    default="0",
    metavar="DURATION",
    help="How long to wait, such as 90s or 2h.  [default: until it has ended]",
)
def command(
    url: str,
    kind: str | None,
    platform: str,
    headers: tuple[str, ...],
    filters: str,
    identifier: str,
    node: str,
    wait: bool,
    dry_run: bool,
    timeout: str,
) -> None:
    """Have a supernode fetch an image or a file before anybody asks for it.

    URL is a file's, that of an image's manifest, or an image's name such as
    registry.example/library/app:v1. Prints the preheat's ID.
    """
    try:
        pairs = dict(map(parse_header, headers))
        (found, _), *others = parse_nodes(node)
        seconds = parse_duration(timeout) or math.inf
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if others:
        raise click.UsageError("--node: one supernode has to do it")
    import trio

    from supernode.preheat.asking import Wish
    from supernode.preheat.run import Order, run

    wish = Wish(
        kind=kind or (IMAGE if _is_image(url) else FILE),
        url=url,
        platform=platform,
        headers=pairs,
        filter=filters,
        identifier=identifier,
    )
    order = Order(wish=wish, node=found, wait=wait, dry_run=dry_run, timeout=seconds)
    try:
        status = trio.run(run, order)
    except KeyboardInterrupt:  # before or after it took care of signals
        status = Exit.INTERRUPTED
    sys.exit(status)


def _is_image(url: str) -> bool:
    return "/manifests/" in url or "://" not in url
