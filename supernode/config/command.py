"""``supernode check-config``."""

import sys

import click

from supernode.config.errors import EXIT_STATUS, ConfigError
from supernode.config.options import flags, loaded
from supernode.config.report import report


@click.command(params=flags())
def command(**given: object) -> None:
    """Print every setting and where it was set, without serving anything.

    Takes the flags of `serve` and looks at the same file and environment. What it prints is a
    configuration file itself; a password in it is masked.

    Exit status: 0 `serve` can run with this, 78 it cannot, and stderr says why.
    """
    try:
        for line in report(loaded(given)):
            click.echo(line)
    except ConfigError as error:
        click.echo(f"supernode: {error}", err=True)
        sys.exit(EXIT_STATUS)
