"""The flags of ``serve`` and ``check-config``, as click options made of the settings."""

import os
from collections.abc import Mapping
from typing import Any

import click

from supernode.config.catalogue import SETTINGS, Setting
from supernode.config.kinds import Choice, Whole, Written
from supernode.config.load import Loaded, load
from supernode.config.sources import DEFAULT_FILE


def flags() -> list[click.Parameter]:
    """Return every flag. What a command gets from them is for ``loaded``."""
    return [
        click.Option(
            ["--config", "file"],
            metavar="FILE",
            help=f"Configuration, in TOML.  [default: $SUPERNODE_CONFIG or {DEFAULT_FILE}]",
        ),
        *(_option(setting) for setting in SETTINGS.values() if setting.about.flags),
        click.Option(["-D", "--debug"], is_flag=True, help="The same as --log-level debug."),
        click.Option(
            ["--external-data-port"],
            is_flag=True,
            help="Do not listen on the data port, only advertise it.",
        ),
    ]


def loaded(given: Mapping[str, Any]) -> Loaded:
    """Return the configuration of a command that was called with these flags.

    Raises:
        ConfigError: see ``load``.
    """
    values = {path: given.get(_parameter(setting)) for path, setting in SETTINGS.items()}
    settings = {path: value for path, value in values.items() if value not in (None, ())}
    if given["debug"]:
        settings.setdefault("log.level", "debug")
    return load(
        settings,
        os.environ,
        file=given["file"],
        external_data_port=given["external_data_port"],
    )


def _option(setting: Setting) -> click.Option:
    """Return the flag of a setting. Numbers and choices are left to click, which explains them."""
    metavar = None
    match setting.kind:
        case Whole(low, high):
            kind: click.ParamType[Any] = click.IntRange(low, high)
        case Choice(words):
            kind = click.Choice(words)
        case Written():
            kind, metavar = click.STRING, setting.kind.metavar
    text = setting.about.text + (" May be repeated." if setting.many else "")
    if setting.default_text:
        text += f"  [default: {setting.default_text}]"
    return click.Option(
        [*setting.about.flags, _parameter(setting)],
        type=kind,
        metavar=metavar,
        multiple=setting.many,
        help=text,
    )


def _parameter(setting: Setting) -> str:
    return f"{setting.section}__{setting.key}"
