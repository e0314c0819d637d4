"""On which line of a TOML text something is set."""

import tomllib
from collections.abc import Mapping


def lines_of(text: str) -> Mapping[tuple[str, ...], int]:
    """Return, for every key and table of ``text``, the line on which it begins, counted from 1.

    ``tomllib`` keeps no positions. So it is asked what is new with each line: lines that can be
    read without those that follow are whole statements, whatever way they are written.

    Args:
        text: valid TOML.
    """
    found: dict[tuple[str, ...], int] = {}
    lines = text.split("\n")
    begin = 0
    for end in range(1, len(lines) + 1):
        try:
            document = tomllib.loads("\n".join(lines[:end]) + "\n")
        except tomllib.TOMLDecodeError:
            continue  # within a statement of several lines
        _note(document, begin + 1, found)
        begin = end
    return found


def line_beyond_reading(text: str) -> int:
    """Return the line, counted from 1, with what ``tomllib`` gives up on rather than finds wrong.

    Args:
        text: ``tomllib`` raised ValueError itself, or RecursionError.
    """
    lines = text.split("\n")
    for end in range(1, len(lines)):
        try:
            tomllib.loads("\n".join(lines[:end]) + "\n")
        except tomllib.TOMLDecodeError:
            continue
        except (ValueError, RecursionError):
            return end
    return len(lines)


def _note(document: Mapping[str, object], line: int, found: dict[tuple[str, ...], int]) -> None:
    """Note where everything is that has no place yet. No recursion: tables may be deep."""
    tables: list[tuple[tuple[str, ...], Mapping[str, object]]] = [((), document)]
    for path, table in tables:
        for key, value in table.items():
            found.setdefault((*path, key), line)
            if isinstance(value, dict):
                tables.append(((*path, key), value))
