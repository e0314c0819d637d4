"""Which callers' systems may ask for files."""

from collections.abc import Collection

from supernode.core.errors import Forbidden


class CallSystems:
    """Decides by the ``callSystem`` that clients name; it is a courtesy, nothing proves it.

    Args:
        allow: who may; empty: everybody, also those who do not say.
        deny: who may not; beats ``allow``.
    """

    def __init__(self, allow: Collection[str] = (), deny: Collection[str] = ()) -> None:
        self._allow = frozenset(allow)
        self._deny = frozenset(deny)

    def check(self, name: str) -> None:
        """Raise Forbidden if ``name`` may not ask; empty: it was not said."""
        if name in self._deny:
            raise Forbidden(f"callSystem: {name[:64]!r} is denied")
        if self._allow and name not in self._allow:
            said = f"{name[:64]!r} is not allowed" if name else "is required"
            raise Forbidden(f"callSystem: {said}")
