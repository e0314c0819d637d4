"""Whether an origin still has the file that it sent before (RFC 9110 §13). No I/O."""

from collections.abc import Mapping

from supernode.core.model import OriginVersion

_GONE = (404, 410)


def conditional(headers: Mapping[str, str], version: OriginVersion) -> dict[str, str] | None:
    """Return what asks for a file unless it is of this version; None: nothing tells versions apart.

    Args:
        headers: the caller's; conditions of its own are left out.
        version: of which the file is.
    """
    asked = {"If-None-Match": version.etag, "If-Modified-Since": version.last_modified}
    conditions = {name: value for name, value in asked.items() if value}
    others = {name: value for name, value in headers.items() if not name.lower().startswith("if-")}
    return others | conditions if conditions else None


def is_fresh(status: int, headers: Mapping[str, str], version: OriginVersion) -> bool | None:
    """Return whether the file is still of this version; None: the answer does not say.

    Args:
        status: of the answer.
        headers: the answer's; names in any case.
        version: of which the file was.
    """
    if status == 304:
        return True
    if status in _GONE:
        return False
    if status not in (200, 206):
        return None
    # Not every origin heeds conditions.
    if version.etag:
        return headers.get("ETag") == version.etag
    return bool(version.last_modified) and headers.get("Last-Modified") == version.last_modified
