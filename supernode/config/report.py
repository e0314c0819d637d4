"""What ``check-config`` prints: the configuration as a TOML file that says where it is from."""

from collections.abc import Iterator
from itertools import groupby

import click

from supernode.config.catalogue import Setting, settings_of
from supernode.config.load import Loaded
from supernode.config.sources import DEFAULTS, Source

_MOST_WIDTH = 50
"""A longer line pushes its own remark to the right, and not those of all."""


def report(loaded: Loaded) -> Iterator[str]:
    """Yield the lines, with what is not a default made bold. Secrets are masked."""
    lines = {
        setting: f"{setting.key} = {setting.toml(setting.value(loaded.config))}"
        for setting in settings_of(loaded.config)
    }
    width = max(len(line) for line in lines.values() if len(line) <= _MOST_WIDTH)
    yield f"# {loaded.file} was read" if loaded.file else "# no file was read"
    for heading, settings in groupby(lines, lambda setting: setting.heading):
        yield f"\n[{heading}]"
        for setting in settings:
            source = loaded.sources[setting.path]
            text = f"{lines[setting]:{width}}  # {_remark(setting, source)}"
            yield text if source is DEFAULTS else click.style(text, bold=True)


def _remark(setting: Setting, source: Source) -> str:
    place = source.place(setting)
    if source is DEFAULTS and setting.about.default:
        return f"{place}: {setting.about.default}"
    return place
