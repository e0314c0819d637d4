"""``supernode debug``: what a running supernode can tell about itself."""

import os
import sys
from pathlib import Path
from typing import NoReturn

import click

from supernode.config import errors as config_errors
from supernode.config.options import flags, loaded

EXIT_UNAVAILABLE = 69
DUMP_SECONDS = 60.0
"""How long a running supernode is given to write a dump."""
POLL_SECONDS = 0.05


@click.group
def command() -> None:
    """Look into a running supernode."""


@command.command(params=flags())
def dump(**given: object) -> None:
    """Have the running supernode dump its last commands; print the file's path.

    Takes the flags of `serve` and looks at the same file and environment: it is asked that
    supernode which runs with the same state directory. The dump has no secrets in it, but names
    peers and files; `supernode simulate --replay` runs it again.

    Exit status: 0 dumped, 69 none is running or it does not answer, 78 a setting cannot be used.
    """
    import trio

    try:
        state_dir = loaded(given).config.disk.state_dir
        click.echo(trio.run(_dumped, state_dir))
    except config_errors.ConfigError as error:
        _fail(str(error), config_errors.EXIT_STATUS)
    except OSError as error:
        _fail(str(error), EXIT_UNAVAILABLE)
    except trio.TooSlowError:
        _fail(f"no dump within {DUMP_SECONDS:.0f} s; its log says more", EXIT_UNAVAILABLE)


async def _dumped(state_dir: Path) -> Path:
    """Have a dump written; return its path. Raises OSError, trio.TooSlowError."""
    import trio

    from supernode.recording.dumps import ASKED, SIGNAL, Dumps

    dumps = Dumps(state_dir)
    owner = dumps.owner()
    if owner is None:
        raise OSError(f"no supernode runs with the state directory {state_dir}")
    before = set(dumps.files(ASKED))
    os.kill(owner, SIGNAL)
    with trio.fail_after(DUMP_SECONDS):
        while not (written := set(dumps.files(ASKED)) - before):  # noqa: ASYNC110 - by another process
            await trio.sleep(POLL_SECONDS)
    return written.pop()


def _fail(problem: str, status: int) -> NoReturn:
    click.echo(f"supernode: {problem}", err=True)
    sys.exit(status)
