"""``supernode doctor``."""

import sys

import click

from supernode.config import errors as config_errors
from supernode.config.options import flags, loaded

EXIT_BROKEN = 1


@click.command(
    params=[
        *flags(),
        click.Option(["--json", "as_json"], is_flag=True, help="One JSON object a line."),
    ]
)
def command(*, as_json: bool, **given: object) -> None:
    """Look for what usually goes wrong, and say what to do about it. Changes nothing.

    Takes the flags of `serve` and looks at the same file and environment, whether the supernode
    runs or not. Run it as the supernode's user: others may write and open other things.

    Exit status: 0 nothing must be mended, 1 something must be, 78 a setting cannot be used.
    """
    import msgspec
    import trio

    from supernode.doctor.examination import checks, examined
    from supernode.doctor.finding import Finding, Verdict
    from supernode.printable import printable

    def tell(name: str, finding: Finding) -> None:
        if as_json:
            about = {"check": name, **msgspec.to_builtins(finding)}
            click.echo(msgspec.json.encode(about))
            return
        colour = {Verdict.FINE: "green", Verdict.DOUBTFUL: "yellow", Verdict.BROKEN: "red"}
        verdict = click.style(f"{finding.verdict:8}", colour[finding.verdict])
        click.echo(f"{verdict}  {name}: {printable(finding.seen)}")
        if finding.advice:
            click.echo(f"{'':8}  → {printable(finding.advice)}")

    async def examine() -> bool:
        """Tell of every finding as it comes; return whether nothing is broken."""
        well = True
        for check in checks(config):
            finding = await examined(check)
            tell(check.name, finding)
            well = well and finding.verdict is not Verdict.BROKEN
        return well

    try:
        config = loaded(given).config
    except config_errors.ConfigError as error:
        click.echo(f"supernode: {error}", err=True)
        sys.exit(config_errors.EXIT_STATUS)
    sys.exit(0 if trio.run(examine) else EXIT_BROKEN)
