"""The settings as data, derived from the tree: what can be set, by which names."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

from msgspec import Struct
from msgspec.structs import fields

from supernode.config.kinds import Kind, Whole, YesOrNo
from supernode.config.settings import About, Config


@dataclass(frozen=True)
class Setting:
    """One setting, as its section defines it."""

    section: str
    key: str
    kind: Kind[Any]
    about: About
    many: bool
    """Whether its value is a list."""
    optional: bool
    """Whether it may have no value."""
    default: object
    """None: no value, or what the machine says."""
    name: str = ""
    """Of what it is set for, in a section that has a table for each such thing."""

    @property
    def path(self) -> str:
        """``section.key``, or ``section.name.key``; a name may have dots, a key has none."""
        return ".".join(filter(None, (self.section, self.name, self.key)))

    @property
    def heading(self) -> str:
        """What its table is called in a file."""
        return f"{self.section}.{json.dumps(self.name)}" if self.name else self.section

    @property
    def default_text(self) -> str:
        """What the default is, for people; nothing if it is to do nothing."""
        return self.about.default or ", ".join(self.texts(self.default))

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"SUPERNODE_{self.section}__{self.key}".upper()

    def value(self, config: Config) -> object:
        """Return its value."""
        table = getattr(config, self.section)
        return getattr(table[self.name] if self.name else table, self.key)

    def __str__(self) -> str:
        """Return what it is called in a file."""
        return f"[{self.heading}] {self.key}"

    def read(self, raw: object) -> object:
        """Return the value that ``raw`` stands for.

        A list may also be text, its parts separated by commas. No text means no value.

        Raises:
            ValueError: none; the message is for people.
        """
        if self.optional and raw == "":
            return None
        if not self.many:
            return self.kind.read(raw)
        if isinstance(raw, str):
            raw = [part for part in map(str.strip, raw.split(",")) if part]
        if not isinstance(raw, list | tuple):
            raise ValueError(f"{raw!r} is not a list")
        return tuple(self.kind.read(part) for part in raw)

    def texts(self, value: object) -> list[str]:
        """Return the text that ``read`` makes ``value`` of, secrets masked.

        That is one text, one for each part of a list, or none if there is no value.
        """
        if value is None:
            return []
        parts = value if self.many and isinstance(value, tuple) else (value,)
        return [self.kind.show(part) for part in parts]

    def toml(self, value: object) -> str:
        """Return ``value`` as TOML has it, text like JSON; secrets masked."""
        texts = self.texts(value)
        if not isinstance(self.kind, Whole | YesOrNo):
            texts = [json.dumps(text, ensure_ascii=False) for text in texts]
        if self.many:
            return f"[{', '.join(texts)}]"
        return texts[0] if texts else '""'


class Table(NamedTuple):
    """What may be set for each thing that a section is about.

    Args:
        names: how such a thing is called.
        struct: what is set.
        settings: the same as data, without a name, by key.
    """

    names: Kind[str]
    struct: type[Struct]
    settings: Mapping[str, Setting]


def _settings(section: str, struct: type[Struct]) -> Iterator[Setting]:
    defaults = {field.name: field.default for field in fields(struct) if not field.required}
    for key, hint in get_type_hints(struct, include_extras=True).items():
        value, *notes = get_args(hint)
        many, optional = get_origin(value) is tuple, type(None) in get_args(value)
        if many or optional:  # the kind is within
            notes = [*get_args(get_args(value)[0]), *notes]
        *_, kind, about = notes
        yield Setting(section, key, kind, about, many, optional, defaults.get(key))


def _table(section: str, names: Any, struct: type[Struct]) -> Table:  # noqa: ANN401 - a type hint
    settings = {setting.key: setting for setting in _settings(section, struct)}
    return Table(get_args(names)[1], struct, settings)


_HINTS = get_type_hints(Config, include_extras=True)
SECTIONS: Mapping[str, type[Struct]] = MappingProxyType(
    {section: hint for section, hint in _HINTS.items() if not get_args(hint)}
)
TABLES: Mapping[str, Table] = MappingProxyType(
    {
        section: _table(section, *get_args(hint))
        for section, hint in _HINTS.items()
        if get_args(hint)
    }
)
"""The sections that have a table for each thing, by name."""
SETTINGS = MappingProxyType(
    {
        setting.path: setting
        for section, struct in SECTIONS.items()
        for setting in _settings(section, struct)
    }
)
"""Those of other sections by path, in the order of their definition."""


def setting_at(path: str) -> Setting:
    """Return the setting of any section; there is one."""
    if path in SETTINGS:
        return SETTINGS[path]
    section, _, rest = path.partition(".")
    name, _, key = rest.rpartition(".")
    return replace(TABLES[section].settings[key], name=name)


def settings_of(config: Config) -> Iterator[Setting]:
    """Yield every setting, in the order of a file."""
    for section in _HINTS:
        if section in TABLES:
            for name in getattr(config, section):
                for setting in TABLES[section].settings.values():
                    yield replace(setting, name=name)
        else:
            yield from (each for each in SETTINGS.values() if each.section == section)
