"""What a registry wants to see: the header ``WWW-Authenticate`` (RFC 9110 §11.6.1). Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

MOST_PARAMETERS = 64
"""Of one challenge. There are three of use."""

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_END = r"(?=[\s,]|$)"
_SEPARATORS = re.compile(r"[\s,]*")
_SCHEME = re.compile(rf"({_WORD}){_END}")
_PARAMETER = re.compile(rf"({_WORD})\s*=\s*({_QUOTED}|[^\s\",]+){_END}", re.DOTALL)
_TOKEN68 = re.compile(rf"\s+[A-Za-z0-9._~+/-]+=*{_END}")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


class Challenge(NamedTuple):
    """One of the ways to prove who we are.

    Args:
        scheme: in lower case, such as ``bearer``.
        parameters: by name in lower case; the first of each counts.
    """

    scheme: str
    parameters: Mapping[str, str]


def parse(headers: Iterable[str]) -> list[Challenge]:
    """Return the challenges in headers, each of which may have several.

    What cannot be read ends its header, and the challenge it is part of is left out.

    Args:
        headers: the value of every ``WWW-Authenticate``.
    """
    return [challenge for header in headers for challenge in _challenges(header)]


def _challenges(header: str) -> Iterator[Challenge]:
    found: Challenge | None = None
    parameters: dict[str, str] = {}
    at = _beyond(_SEPARATORS, header, 0)
    while at < len(header):
        if found and (parameter := _PARAMETER.match(header, at)):
            if len(parameters) < MOST_PARAMETERS:
                parameters.setdefault(parameter[1].lower(), _plain(parameter[2]))
            at = parameter.end()
        elif scheme := _SCHEME.match(header, at):
            if found:
                yield found
            parameters = {}
            found = Challenge(scheme[1].lower(), parameters)
            at = scheme.end()
            if not _PARAMETER.match(header, _beyond(_SEPARATORS, header, at)):
                at = _beyond(_TOKEN68, header, at)
        else:
            return
        at = _beyond(_SEPARATORS, header, at)
    if found:
        yield found


def _beyond(what: re.Pattern[str], header: str, at: int) -> int:
    """Return where ``what`` ends, if it is at ``at``; else ``at``."""
    match = what.match(header, at)
    return match.end() if match else at


def _plain(value: str) -> str:
    return _ESCAPED.sub(r"\1", value[1:-1]) if value.startswith('"') else value
