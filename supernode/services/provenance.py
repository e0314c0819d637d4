"""What the sidecars of a complete file tell of its task, and the other way round."""

from email.utils import formatdate, parsedate_to_datetime

from supernode.core.identity import without_credentials
from supernode.core.model import OriginVersion, Task
from supernode.storage.sidecars import Provenance


def provenance(task: Task) -> Provenance:
    """Return where a task's file, whose length and digests are known, came from."""
    assert task.length is not None
    return Provenance(
        url=without_credentials(task.spec.task_url),
        identifier=task.spec.identifier,
        md5=task.spec.md5,
        real_md5=task.md5,
        sha256=task.sha256,
        http_length=task.length,
        last_modified_ms=_milliseconds(task.version.last_modified),
        etag=task.version.etag,
        accessed_ms=int(task.last_used * 1000),
        call_system=task.spec.call_system,
        dfdaemon=task.spec.dfdaemon,
    )


def version_of(origin: Provenance) -> OriginVersion:
    """Return by what the origin told the file from others, as far as the sidecars know."""
    seconds = origin.last_modified_ms / 1000
    return OriginVersion(
        etag=origin.etag, last_modified=formatdate(seconds, usegmt=True) if seconds > 0 else ""
    )


def _milliseconds(http_date: str) -> int:
    try:
        return int(parsedate_to_datetime(http_date).timestamp() * 1000)
    except (ValueError, OverflowError):
        return 0
