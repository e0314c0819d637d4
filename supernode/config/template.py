"""The configuration file of a new installation: every setting, what it is for, commented out."""

import textwrap
from collections.abc import Iterable, Iterator

from supernode.config.catalogue import SECTIONS, SETTINGS, TABLES, Setting

_WIDTH = 98
_HEAD = """
Configuration of supernode. Every setting stands here with its default, commented out.
A flag of "supernode serve" beats a variable such as SUPERNODE_HTTP__PORT, that beats this file.
"supernode check-config" says what holds, and where it was set, or what is wrong with this file.
A duration is such as 500ms, 30s or 1h30m, a number alone means seconds; a size is such as 10GiB or
500MB, a number alone means bytes; a rate is a size and "/s".
"""


def template() -> Iterator[str]:
    """Yield the lines. A setting without a default has an empty value, which it may not keep."""
    yield from _prose(_HEAD)
    for section, struct in SECTIONS.items():
        settings = (each for each in SETTINGS.values() if each.section == section)
        yield from ("", "", *_prose(struct.__doc__ or ""), f"[{section}]")
        yield from _explained(settings)
    for section, table in TABLES.items():
        about = f"{table.struct.__doc__} For each a table of its own, named for {table.names.form}."
        example = table.names.form.rpartition("such as ")[2].partition(" ")[0]
        yield from ("", "", *_prose(about), f'#[{section}."{example}"]')
        yield from _explained(table.settings.values())


def explanation(setting: Setting) -> str:
    """Return what a setting is for, what its value looks like, and its default in words."""
    form = setting.kind.form
    sentences = [setting.about.text, f"A list, each {form}." if setting.many else f"{form}."]
    if setting.about.default:
        sentences.append(f"default: {setting.about.default}.")
    return " ".join(sentence[0].upper() + sentence[1:] for sentence in sentences)


def _explained(settings: Iterable[Setting]) -> Iterator[str]:
    for setting in settings:
        yield from ("", *_prose(explanation(setting)))
        yield f"#{setting.key} = {setting.toml(setting.default)}"


def _prose(text: str) -> Iterator[str]:
    """Yield lines of a comment; those of settings have no space after the mark."""
    yield from (f"# {line}" for line in textwrap.wrap(" ".join(text.split()), _WIDTH))
