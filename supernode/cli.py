"""The command line: ``supernode COMMAND``. A command's code is loaded when it is called."""

import importlib
import sys
from pathlib import Path
from typing import ClassVar

import click

COMMANDS = {
    "serve": "supernode.cli:serve",
    "dfget": "supernode.dfget.command:command",
    "dfget-uploader": "supernode.dfget.command:uploader_command",
    "demo": "supernode.demo.command:command",
    "version": "supernode.cli:version",
}

EXIT_UNAVAILABLE = 69
EXIT_GAVE_UP = 70
EXIT_CONFIG = 78
EXIT_INTERRUPTED = 130


class LazyGroup(click.Group):
    """Commands that are imported only when needed: ``dfget`` starts without the web server."""

    commands_by_name: ClassVar[dict[str, str]] = COMMANDS

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order they are documented."""
        return list(self.commands_by_name)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        where = self.commands_by_name.get(cmd_name)
        if where is None:
            return None
        module, _, name = where.partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; interrupted while it is still being imported, end as a shell expects."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            sys.exit(EXIT_INTERRUPTED)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Get the same large file to many machines at once, and fetch it only once."""


@click.command
@click.option("--host", default="0.0.0.0", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8002, show_default=True, help="Control port."
)
@click.option(
    "--data-port",
    type=click.IntRange(0, 65535),
    default=8001,
    show_default=True,
    help="Port that serves pieces; 0: another server does, see --advertise-data-port.",
)
@click.option(
    "--advertise-ip", help="Address under which clients reach this machine. [default: its own]"
)
@click.option(
    "--advertise-data-port",
    type=click.IntRange(1, 65535),
    help="Port under which clients reach the data port. [default: --data-port]",
)
@click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where pieces are kept. [default: $STATE_DIRECTORY or ~/.local/state/supernode]",
)
@click.option(
    "--allow-origin",
    multiple=True,
    metavar="CIDR",
    help="Fetch from this network, too, though it is loopback or link-local. May be repeated.",
)
@click.option(
    "--deny-origin",
    multiple=True,
    metavar="CIDR",
    help="Never fetch from this network; beats --allow-origin. May be repeated.",
)
@click.option(
    "--seed-slots",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="Uploads of one file that the supernode itself makes at once.",
)
@click.option(
    "--log-level",
    type=click.Choice(("debug", "info", "warning", "error")),
    default="info",
    show_default=True,
)
def serve(**settings: object) -> None:
    """Run the supernode until SIGTERM or SIGINT.

    Exit status: 0 stopped, 69 a port is taken or a directory cannot be made, 70 gave up after
    repeated crashes, 78 a setting cannot be used.
    """
    import msgspec
    import trio

    from supernode import daemon, logs
    from supernode.config import Config, ConfigError
    from supernode.core.errors import InvariantError
    from supernode.supervision import ServiceGaveUp, first_of

    status = 0
    problem: BaseExceptionGroup | None = None
    try:
        config = msgspec.convert(settings, Config)
        logs.set_up(config.log_level)
        trio.run(daemon.run, config)
    except* (ConfigError, msgspec.ValidationError) as errors:
        status, problem = EXIT_CONFIG, errors
    except* OSError as errors:
        status, problem = EXIT_UNAVAILABLE, errors
    except* (ServiceGaveUp, InvariantError, daemon.CoreBroken) as errors:
        status, problem = EXIT_GAVE_UP, errors
    if problem is not None:
        click.echo(f"supernode: {first_of(problem)}", err=True)
    sys.exit(status)


@click.command
def version() -> None:
    """Print the version."""
    from importlib.metadata import version as installed

    click.echo(installed("supernode"))


def main() -> None:
    """Run the command line."""
    cli.main(prog_name="supernode")
