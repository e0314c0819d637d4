"""Paths of operations: variable parts, and where they are besides the root.

That is under ``/api/v1`` and behind ``/v{x.y}``, as in v1.
"""

import re

V1 = "/api/v1"
VARIABLE = re.compile(r"{(\w+)}")
"""A variable part of an operation's path."""

_PREFIX = re.compile(r"(?:/v[0-9.]+)?(?P<v1>/api/v1)?(?=/)")


def at_the_root(path: str) -> tuple[str, bool]:
    """Return where ``path`` is at the root, and whether v1's answers are asked for.

    The version of the engine's interface that v1's own client writes in front means nothing.
    """
    prefix = _PREFIX.match(path)
    if prefix is None:
        return path, False
    return path[prefix.end() :], prefix["v1"] is not None
