"""Writes what a package has beside the program, all of it derived from the program itself.

That is the manual, made of the commands' own help and the settings' catalogue, completion for
shells, and the configuration file of a new installation. Run by packaging/tree.sh.
"""

import os
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from inspect import cleandoc
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from supernode.cli import cli
from supernode.config.catalogue import SECTIONS, SETTINGS, TABLES, Setting
from supernode.config.sources import DEFAULT_FILE
from supernode.config.template import explanation, template
from supernode.version import VERSION

NAME = "supernode"
COMPLETIONS = {"bash": NAME, "zsh": f"_{NAME}", "fish": f"{NAME}.fish"}
"""What a shell wants the file to be called that tells it how to complete our arguments."""


def main(directory: Path) -> None:
    """Write everything to a directory."""
    _write(directory / DEFAULT_FILE.name, template())
    for shell, file in COMPLETIONS.items():
        completion = get_completion_class(shell)
        assert completion
        source = completion(cli, {}, NAME, f"_{NAME.upper()}_COMPLETE").source()
        _write(directory / "completion" / shell / file, source.splitlines())
    whole = click.Context(cli, info_name=NAME, **cli.context_settings)
    for context in _contexts(whole):
        _write(directory / "man" / f"{_page(context)}.1", _command_page(context))
    _write(directory / "man" / f"{DEFAULT_FILE.name}.5", _settings_page())


def _write(file: Path, lines: Iterable[str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{line}\n" for line in lines))


def _contexts(context: click.Context) -> Iterator[click.Context]:
    """Yield the command of ``context`` and, below it, all that people are to know of."""
    yield context
    for below in _below(context):
        yield from _contexts(below)


def _below(context: click.Context) -> Iterator[click.Context]:
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            command = context.command.get_command(context, name)
            assert command
            if not command.hidden:
                yield click.Context(command, parent=context, info_name=name)


def _command_page(context: click.Context) -> Iterator[str]:
    """Yield the lines of a command's page."""
    command = context.command
    yield from _head(_page(context), 1, _summary(context).rstrip("."))
    yield f".B {_roff(context.command_path)}"
    yield _roff(" ".join(command.collect_usage_pieces(context)))
    yield ".SH DESCRIPTION"
    yield from _paragraphs(command.help)
    yield ".SH OPTIONS"
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record and isinstance(parameter, click.Option):
            yield from _item(*record)
    below = list(_below(context))
    if below:
        yield ".SH COMMANDS"
        for each in below:
            yield from _item(each.command_path, _summary(each))
    if command.epilog:
        yield ".SH NOTES"
        yield from _paragraphs(command.epilog)
    related = [f"{_page(each)}(1)" for each in (context.parent, *below) if each]
    yield from (".SH SEE ALSO", _roff(", ".join([*related, f"{DEFAULT_FILE.name}(5)"])))


def _settings_page() -> Iterator[str]:
    """Yield the lines of the configuration file's page."""
    yield from _head(DEFAULT_FILE.name, 5, "configuration of supernode")
    yield from (f".I {_roff(str(DEFAULT_FILE))}", ".SH DESCRIPTION")
    yield from _paragraphs(
        "A file in TOML. Every setting has a default; none is needed. A flag of `supernode serve` "
        "beats a variable such as SUPERNODE_HTTP__PORT, that beats the file. `supernode "
        "check-config` says what holds, and where it was set, or what is wrong with the file."
    )
    for section, struct in SECTIONS.items():
        yield f".SH [{_roff(section)}]"
        yield from _paragraphs(struct.__doc__)
        yield from _settings(each for each in SETTINGS.values() if each.section == section)
    for section, table in TABLES.items():
        yield f'.SH [{_roff(section)}."\\&..."]'
        yield from _paragraphs(table.struct.__doc__)
        yield from _paragraphs(f"For each a table of its own, named for {table.names.form}.")
        yield from _settings(table.settings.values())
    yield from (".SH SEE ALSO", _roff(f"{NAME}-serve(1), {NAME}-check-config(1)"))


def _settings(settings: Iterable[Setting]) -> Iterator[str]:
    for setting in settings:
        default = setting.toml(setting.default)
        said = "" if default in ('""', "[]") else f" Default: {default}."
        yield from _item(setting.key, explanation(setting) + said)


def _page(context: click.Context) -> str:
    return context.command_path.replace(" ", "-")


def _summary(context: click.Context) -> str:
    """Return the first paragraph of a command's help, in one line."""
    return " ".join(cleandoc(context.command.help or "").partition("\n\n")[0].split())


def _head(page: str, section: int, about: str) -> Iterator[str]:
    """Yield what every page begins with, its synopsis still to come."""
    changed = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), UTC)
    yield f'.TH "{_roff(page.upper())}" {section} "{changed:%Y-%m-%d}" "{NAME} {VERSION}"'
    yield from (".nh", ".ad l", ".SH NAME", f"{_roff(page)} \\- {_roff(about)}", ".SH SYNOPSIS")


def _item(term: str, about: str) -> Iterator[str]:
    yield from (".TP", f".B {_roff(term)}", _roff(" ".join(about.split())))


def _paragraphs(text: str | None) -> Iterator[str]:
    """Yield the lines of help as click has it: what a backspace precedes stays as it is."""
    for paragraph in cleandoc(text or "").split("\n\n"):
        lines = [_roff(line) for line in paragraph.splitlines()]
        if lines and lines[0] == "\b":
            yield from (".PP", ".nf", *lines[1:], ".fi")
        else:
            yield from (".PP", *lines)


def _roff(text: str) -> str:
    """Return text that the formatter leaves as it is."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text.startswith((".", "'")) else text


if __name__ == "__main__":
    main(Path(sys.argv[1]))
