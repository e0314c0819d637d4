"""``supernode debug``: the flight recorder's dumps, written and replayed."""

import os
import sys
from pathlib import Path
from typing import NoReturn

import click

from supernode.config import errors as config_errors
from supernode.config.options import flags, loaded

EXIT_NOT_AS_RECORDED = 1
EXIT_UNUSABLE = 65
EXIT_UNAVAILABLE = 69
DUMP_SECONDS = 60.0
"""How long a running supernode is given to write a dump."""
POLL_SECONDS = 0.05


@click.group
def command() -> None:
    """Look into a supernode: what it did of late, and why it went wrong."""


@command.command(params=flags())
def dump(**given: object) -> None:
    """Have the running supernode dump its last commands; print the file's path.

    Takes the flags of `serve` and looks at the same file and environment: it is asked that
    supernode which runs with the same state directory. The dump has no secrets in it, but names
    peers and files.

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


@command.command
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--check", is_flag=True, help="Verify all invariants after each command.")
def replay(file: Path, check: bool) -> None:
    """Run a dump again, bit for bit, up to its end or to the command that fails.

    Use the version of the supernode that wrote it.

    Exit status: 0 everything went as recorded, 1 the core failed or did something else, or you
    interrupted it, 65 the file is no dump that can be replayed.
    """
    from supernode.recording.dump_file import DumpError
    from supernode.recording.replay import Ended
    from supernode.recording.replay import replay as run

    try:
        result = run(file, check=check)
    except DumpError as error:
        _fail(str(error), EXIT_UNUSABLE)
    click.echo(f"{result.commands} of {result.recorded} commands, {result.events} events")
    if result.ended is Ended.AS_RECORDED:
        click.echo(result.ended.value)
        return
    click.echo(f"command {result.commands}: {result.command}")
    click.echo(": ".join(filter(None, (result.ended.value, result.problem))))
    sys.exit(EXIT_NOT_AS_RECORDED)


def _fail(problem: str, status: int) -> NoReturn:
    click.echo(f"supernode: {problem}", err=True)
    sys.exit(status)
