"""The configuration file that packages install."""

import re
import tomllib
from pathlib import Path

from supernode.config.catalogue import SETTINGS, TABLES
from supernode.config.load import load
from supernode.config.settings import Config
from supernode.config.template import template

TEXT = "\n".join(template())
WITH_ALL = re.sub(r"^#(?=[\[a-z])", "", TEXT, flags=re.MULTILINE)
KNOWN_TO_THE_MACHINE = ("advertise_ip", "state_dir")


def configuration(text: str, directory: Path) -> Config:
    file = directory / "supernode.toml"
    file.write_text(text)
    return load({}, {"STATE_DIRECTORY": str(directory)}, file=str(file)).config


def test_it_changes_nothing(tmp_path: Path) -> None:
    assert configuration(TEXT, tmp_path) == configuration("", tmp_path)


def test_every_setting_stands_in_it() -> None:
    tables = tomllib.loads(WITH_ALL)
    (registry,) = tables.pop("registries").values()
    assert list(registry) == list(TABLES["registries"].settings)
    assert [f"{name}.{key}" for name, table in tables.items() for key in table] == list(SETTINGS)


def test_the_values_in_it_are_the_defaults(tmp_path: Path) -> None:
    text, _, registries = WITH_ALL.partition('[registries."')
    for key in KNOWN_TO_THE_MACHINE:
        text, found = re.subn(rf'^{key} = ""$', "", text, flags=re.MULTILINE)
        assert found == 1
    assert configuration(text, tmp_path) == configuration("", tmp_path)
    heading, _, _ = registries.partition("\n")
    assert (
        configuration(f'[registries."{registries}', tmp_path).registries
        == configuration(f'[registries."{heading}\ninsecure = false', tmp_path).registries
    )


def test_it_says_what_a_setting_is_for_and_its_unit() -> None:
    assert (
        "\n# How long a client may stop reading. A duration such as 30s, 5m or 24h.\n"
        '#write_timeout = "30s"\n' in TEXT
    )
    assert (
        "\n# Bandwidth from one origin. A rate such as 100MiB/s. Default: unlimited.\n"
        '#rate_per_origin = ""\n' in TEXT
    )
