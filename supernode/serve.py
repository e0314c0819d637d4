"""``supernode serve``."""

import faulthandler
import sys

import click

from supernode.config import errors as config_errors
from supernode.config.options import flags, loaded

EXIT_UNAVAILABLE = 69
EXIT_GAVE_UP = 70


@click.command(
    params=flags(),
    epilog="A flag beats a variable such as SUPERNODE_HTTP__PORT, that beats the file. "
    "`supernode check-config` shows all settings; many have no flag.",
)
def command(**given: object) -> None:
    """Run the supernode until SIGTERM or SIGINT.

    Exit status: 0 stopped, 69 a port is taken, a directory or the journal cannot be used, 70 gave
    up after repeated crashes, 78 a setting cannot be used.
    """
    import trio

    from supernode import daemon, logs
    from supernode.core.errors import InvariantError
    from supernode.journal.errors import JournalError
    from supernode.supervision import ServiceGaveUp, first_of

    # A manager whose watchdog we have not heeded aborts us: say where we were.
    faulthandler.enable(sys.__stderr__ or 2)
    status = 0
    problem: BaseExceptionGroup | None = None
    try:
        config = loaded(given).config
        logs.set_up(config.log.level)
        trio.run(daemon.run, config)
    except* config_errors.ConfigError as errors:
        status, problem = config_errors.EXIT_STATUS, errors
    except* (OSError, JournalError) as errors:
        status, problem = EXIT_UNAVAILABLE, errors
    except* (ServiceGaveUp, InvariantError, daemon.CoreBroken) as errors:
        status, problem = EXIT_GAVE_UP, errors
    if problem is not None:
        click.echo(f"supernode: {first_of(problem)}", err=True)
    sys.exit(status)
