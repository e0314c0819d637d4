"""The settings as data, derived from the tree: what can be set, by which names."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, get_args, get_origin, get_type_hints

from msgspec import Struct
from msgspec.structs import fields

from supernode.config.kinds import Kind
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

    @property
    def path(self) -> str:
        """``section.key``."""
        return f"{self.section}.{self.key}"

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
        return getattr(getattr(config, self.section), self.key)

    def __str__(self) -> str:
        """Return what it is called in a file."""
        return f"[{self.section}] {self.key}"

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


def _settings() -> Iterator[Setting]:
    for section, struct in SECTIONS.items():
        defaults = {field.name: field.default for field in fields(struct) if not field.required}
        for key, hint in get_type_hints(struct, include_extras=True).items():
            value, *notes = get_args(hint)
            many, optional = get_origin(value) is tuple, type(None) in get_args(value)
            if many or optional:  # the kind is within
                notes = [*get_args(get_args(value)[0]), *notes]
            *_, kind, about = notes
            yield Setting(section, key, kind, about, many, optional, defaults.get(key))


SECTIONS: Mapping[str, type[Struct]] = MappingProxyType(get_type_hints(Config))
SETTINGS = MappingProxyType({setting.path: setting for setting in _settings()})
"""By path, in the order of their definition."""
