"""The command line: ``supernode COMMAND``. A command's code is loaded when it is called."""

import importlib
import sys
from typing import ClassVar

import click

COMMANDS = {
    "serve": "supernode.serve:command",
    "dfget": "supernode.dfget.command:command",
    "dfget-uploader": "supernode.dfget.command:uploader_command",
    "preheat": "supernode.preheat.command:command",
    "events": "supernode.follow.command:command",
    "status": "supernode.status.command:command",
    "doctor": "supernode.doctor.command:command",
    "demo": "supernode.demo.command:command",
    "simulate": "supernode.simulation.command:command",
    "check-config": "supernode.config.command:command",
    "debug": "supernode.debug:command",
    "version": "supernode.cli:version",
}

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
def version() -> None:
    """Print the version, and the commit that the executable was made from."""
    from supernode.version import REVISION, VERSION

    click.echo(f"{VERSION} {REVISION}".rstrip())


def main() -> None:
    """Run the command line."""
    cli.main(prog_name="supernode")
