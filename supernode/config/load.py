"""From sources to the configuration: the last source that sets something has its way."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supernode.config import checks, machine
from supernode.config.catalogue import SECTIONS, SETTINGS
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
        naming = sources[blamed].naming(SETTINGS[blamed])
        raise ConfigError(f"{naming}: {error}") from None
    return Loaded(config, sources, chosen.path if chosen else None)


def _built(values: Mapping[str, object]) -> Config:
    """Return the tree with these leaves."""
    parts: dict[str, dict[str, object]] = {section: {} for section in SECTIONS}
    for path, setting in SETTINGS.items():
        parts[setting.section][setting.key] = values[path]
    tree: dict[str, Any] = {section: SECTIONS[section](**part) for section, part in parts.items()}
    return Config(**tree)
