"""Where values come from: a file, the environment, flags. They are found here, not yet read.

A source knows its values by the path of the setting, and for each the place where a person finds
it. What is no setting is refused, with the nearest thing that is one.
"""

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path

from supernode.config.catalogue import SECTIONS, SETTINGS, TABLES, Setting, setting_at
from supernode.config.errors import ConfigError
from supernode.config.toml_lines import line_beyond_reading, lines_of

DEFAULT_FILE = Path("/etc/supernode/supernode.toml")
_SYNTAX_ERROR = re.compile(r"(.*) \(at line (\d+), column (\d+)\)", re.DOTALL)


class Source:
    """What one source says: values as written, by the path of their setting."""

    def __init__(self, values: Mapping[str, object]) -> None:
        self.values = values

    def place(self, setting: Setting) -> str:
        """Return where a person finds what sets ``setting``."""
        return "default"

    def naming(self, setting: Setting) -> str:
        """Return the same for an error, which has to name the setting, too."""
        return str(setting)

    def read(self) -> dict[str, object]:
        """Return what the values stand for.

        Raises:
            ConfigError: one is not of the kind that it has to be.
        """
        found = {}
        for path, raw in self.values.items():
            setting = setting_at(path)
            try:
                found[path] = setting.read(raw)
            except ValueError as error:
                raise ConfigError(f"{self.naming(setting)}: {error}") from None
        return found


DEFAULTS = Source({})


class Flags(Source):
    """The command line."""

    def place(self, setting: Setting) -> str:
        """See ``Source``."""
        return setting.about.flags[0]

    naming = place


class ExternalDataPort(Source):
    """Dragonfly v1's flag: the data port is only advertised, another server listens there."""

    def __init__(self, values: Mapping[str, object]) -> None:
        changed: dict[str, object] = {"data.port": 0}
        if values["data.advertise_port"] is None:
            changed["data.advertise_port"] = values["data.port"]
        super().__init__(changed)

    def place(self, setting: Setting) -> str:
        """See ``Source``."""
        return "--external-data-port"

    naming = place


class Environment(Source):
    """Variables such as ``SUPERNODE_HTTP__PORT``. Others, even ``SUPERNODE_PORT``, are not ours.

    Raises:
        ConfigError: a variable is of this form, but there is no such setting.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        settings = {setting.variable: path for path, setting in SETTINGS.items()}
        values: dict[str, object] = {}
        for name, value in environment.items():
            if name.startswith("SUPERNODE_") and "__" in name:
                if name not in settings:
                    raise ConfigError(f"{name}: no such setting{_hint(name, settings)}")
                values[settings[name]] = value
        super().__init__(values)

    def place(self, setting: Setting) -> str:
        """See ``Source``."""
        return setting.variable

    naming = place


class File(Source):
    """A TOML file.

    Raises:
        ConfigError: it is not TOML, or sets what is no setting. Names the line.
    """

    def __init__(self, path: Path, content: bytes) -> None:
        self.path = path
        self._text = self._decoded(content)
        self._spelled: dict[str, str] = {}  # how the file spells a name
        super().__init__(dict(self._settings(self._parsed())))

    def place(self, setting: Setting) -> str:
        """See ``Source``."""
        if setting.name:
            return self._at(setting.section, self._spelled[setting.name], setting.key)
        return self._at(setting.section, setting.key)

    def naming(self, setting: Setting) -> str:
        """See ``Source``."""
        return f"{self.place(setting)}: {setting}"

    def _decoded(self, content: bytes) -> str:
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise ConfigError(f"{self.path}:{line}: this is not UTF-8") from None

    def _parsed(self) -> Mapping[str, object]:
        try:
            return tomllib.loads(self._text)
        except tomllib.TOMLDecodeError as error:
            if match := _SYNTAX_ERROR.fullmatch(str(error)):
                what, line, column = match.groups()
                raise ConfigError(f"{self.path}:{line}:{column}: {what}") from None
            last = self._text.rstrip("\n").count("\n") + 1
            raise ConfigError(f"{self.path}:{last}: {error}") from None
        except (ValueError, RecursionError) as error:
            what = "nested too deeply" if isinstance(error, RecursionError) else "a number too long"
            line = line_beyond_reading(self._text)
            raise ConfigError(f"{self.path}:{line}: this is {what}") from None

    def _settings(self, document: Mapping[str, object]) -> Iterator[tuple[str, object]]:
        for section, table in document.items():
            if section in TABLES:
                yield from self._named(section, table)
                continue
            if section not in SECTIONS and isinstance(table, dict):
                hint = _hint(f"[{section}]", [f"[{known}]" for known in (*SECTIONS, *TABLES)])
                raise ConfigError(f"{self._at(section)}: [{section}]: no such section{hint}")
            if section not in SECTIONS:
                hint = _nearest_key(section)
                raise ConfigError(f"{self._at(section)}: {section} stands in no section{hint}")
            if not isinstance(table, dict):
                raise ConfigError(f"{self._at(section)}: {section} is a section: [{section}]")
            for key, value in table.items():
                if f"{section}.{key}" not in SETTINGS:
                    naming = f"{self._at(section, key)}: [{section}] {key}"
                    raise ConfigError(f"{naming}: no such setting{_nearest_key(key, section)}")
                yield f"{section}.{key}", value

    def _named(self, section: str, tables: object) -> Iterator[tuple[str, object]]:
        """Yield the settings of a section that has a table for each thing."""
        if not isinstance(tables, dict):
            naming = f"{self._at(section)}: {section}"
            raise ConfigError(f'{naming} has a section for each: [{section}."name"]')
        settings = TABLES[section].settings
        for spelled, table in tables.items():
            at = f"{self._at(section, spelled)}: [{section}.{json.dumps(spelled)}]"
            try:
                name = TABLES[section].names.read(spelled)
            except ValueError as error:
                raise ConfigError(f"{at}: {error}") from None
            if name in self._spelled:
                raise ConfigError(f"{at}: it is there already, as {self._spelled[name]}")
            if not isinstance(table, dict) or not table:
                raise ConfigError(f"{at}: this sets nothing")
            self._spelled[name] = spelled
            for key, value in table.items():
                if key not in settings:
                    line = self._at(section, spelled, key)
                    naming = f"{line}: [{section}.{json.dumps(spelled)}] {key}"
                    hint = _hint(key, settings)
                    if isinstance(value, dict):
                        hint = "; a name with dots has to be in quotes"
                    raise ConfigError(f"{naming}: no such setting{hint}")
                yield f"{section}.{name}.{key}", value

    def _at(self, *path: str) -> str:
        return f"{self.path}:{self._lines[path]}"

    @cached_property
    def _lines(self) -> Mapping[tuple[str, ...], int]:
        return lines_of(self._text)


def find_file(
    flag: str | None, environment: Mapping[str, str], default: Path = DEFAULT_FILE
) -> File | None:
    """Return the file that ``--config`` or ``SUPERNODE_CONFIG`` names, or the one at ``default``.

    None: neither names one, and there is none at ``default``.

    Raises:
        ConfigError: it cannot be read, or see ``File``.
    """
    variable = environment.get("SUPERNODE_CONFIG") or None
    chosen = variable if flag is None else flag
    path = default if chosen is None else Path(chosen)
    try:
        content = path.read_bytes()
    except OSError as error:
        if chosen is None and isinstance(error, FileNotFoundError):
            return None
        by = "" if chosen is None else "SUPERNODE_CONFIG: " if flag is None else "--config: "
        raise ConfigError(f"{by}{path}: {error.strerror}") from None
    return File(path, content)


def _nearest_key(key: str, section: str = "") -> str:
    """Return a hint at a key: of the same section, or else of another."""
    ours = [setting.key for setting in SETTINGS.values() if setting.section == section]
    if hint := _hint(key, ours):
        return hint
    for setting in SETTINGS.values():
        if setting.key == key:
            return f"; did you mean {setting}?"
    return ""


def _hint(name: str, known: Iterable[str]) -> str:
    """Return a question after what is nearest to ``name``, if anything is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""
