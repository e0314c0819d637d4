"""What the client prefers: media types (RFC 9110 §12.5.1) and waiting (RFC 7240)."""

import re

LONGEST_WAIT = 30.0

_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?([0-9]+)\"?\s*(?=$|[,;])", re.IGNORECASE)


def prefers_plain_text(accept: str) -> bool:
    """Tell whether text/plain ranks above application/json; JSON wins a draw."""
    return _rank(accept, "text/plain") > _rank(accept, "application/json")


def names_json(accept: str) -> bool:
    """Tell whether the client asks for application/json by name."""
    return any(kind == "application/json" and q > 0 for kind, q in _ranges(accept))


def wanted_wait(prefer: str) -> float:
    """Return how many seconds the client is willing to wait, at most ``LONGEST_WAIT``."""
    match = _WAIT.search(prefer)
    return min(float(match[1]), LONGEST_WAIT) if match else 0.0


def _rank(accept: str, media_type: str) -> float:
    """Return the quality of the most specific range that fits; without any, everything fits."""
    ranges = dict(_ranges(accept)) or {"*/*": 1.0}
    group = media_type.partition("/")[0] + "/*"
    return ranges.get(media_type, ranges.get(group, ranges.get("*/*", 0.0)))


def _ranges(accept: str) -> list[tuple[str, float]]:
    ranges = []
    for part in accept.split(","):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if kind:
            ranges.append((kind, _quality(parameters)))
    return ranges


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return min(max(float(parameter[2:]), 0.0), 1.0)
            except ValueError:
                return 0.0
    return 1.0
