"""From sources to the configuration: the last source that sets something has its way."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from supernode.config import checks, machine
from supernode.config.catalogue import SECTIONS, SETTINGS, TABLES, setting_at
from supernode.config.errors import ConfigError, Unusable
from supernode.config.settings import Config
from supernode.config.sources import (
    DEFAULT_FILE,
    DEFAULTS,
    Environment,
    ExternalDataPort,
    Flags,
    Source,
    find_file,
)


@dataclass(frozen=True)
class Loaded:
    """A configuration that ``serve`` can run with, and where it is from.

    Args:
        config: the settings.
        sources: what set each of them, by path.
        file: the file that was read, if any.
    """

    config: Config
    sources: Mapping[str, Source]
    file: Path | None


def load(
    flags: Mapping[str, object],
    environment: Mapping[str, str],
    *,
    file: str | None = None,
    default_file: Path = DEFAULT_FILE,
    external_data_port: bool = False,
) -> Loaded:
    """Return the configuration that flags, environment and file make together.

    Args:
        flags: what the command line sets, by the path of the setting.
        environment: all of it.
        file: the one to read, instead of the one that the environment names, or the default one.
        default_file: need not exist.
        external_data_port: Dragonfly v1's way to say that the data port is another server's.

    Raises:
        ConfigError: something cannot be used; the first that is found.
    """
    chosen = find_file(file, environment, default_file)
    values = {path: setting.default for path, setting in SETTINGS.items()}
    sources = dict.fromkeys(SETTINGS, DEFAULTS)

    def add(source: Source) -> None:
        values.update(source.read())
        sources.update(dict.fromkeys(source.values, source))

    if chosen:
        add(chosen)
        for path in chosen.values:
            _add_siblings(path, values, sources)
    add(Environment(environment))
    add(Flags(flags))
    if external_data_port:
        add(ExternalDataPort(values))
    if values["disk.state_dir"] is None:
        values["disk.state_dir"] = machine.state_directory(environment)
    if values["data.advertise_ip"] is None:
        values["data.advertise_ip"] = machine.own_address(str(values["http.host"]))
    config = _built(values)
    try:
        checks.check(config)
    except Unusable as error:
        # What somebody set is to blame, rather than the default that it does not agree with.
        blamed = min(error.settings, key=lambda path: sources[path] is DEFAULTS)
        naming = sources[blamed].naming(setting_at(blamed))
        raise ConfigError(f"{naming}: {error}") from None
    return Loaded(config, sources, chosen.path if chosen else None)


def _add_siblings(path: str, values: dict[str, object], sources: dict[str, Source]) -> None:
    """Add the defaults of what may be set for the same thing, if ``path`` is of a named one."""
    setting = setting_at(path)
    if setting.name:
        for sibling in TABLES[setting.section].settings.values():
            other = replace(sibling, name=setting.name)
            values.setdefault(other.path, other.default)
            sources.setdefault(other.path, DEFAULTS)


def _built(values: Mapping[str, object]) -> Config:
    """Return the tree with these leaves."""
    parts: dict[str, dict[str, object]] = {section: {} for section in SECTIONS}
    named: dict[str, dict[str, dict[str, object]]] = {section: {} for section in TABLES}
    for path, value in values.items():
        setting = setting_at(path)
        if setting.name:
            named[setting.section].setdefault(setting.name, {})[setting.key] = value
        else:
            parts[setting.section][setting.key] = value
    tree: dict[str, Any] = {section: SECTIONS[section](**part) for section, part in parts.items()}
    for section, tables in named.items():
        struct = TABLES[section].struct
        tree[section] = {name: struct(**part) for name, part in tables.items()}
    return Config(**tree)
