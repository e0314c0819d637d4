"""What a client says about the file it wants, checked, whatever dialect it was said in."""

from collections.abc import Mapping, Sequence

from supernode.api import validation
from supernode.core.model import Secrets, TaskSpec


def task_spec(
    *,
    raw_url: str,
    task_url: str,
    md5: str,
    identifier: str,
    headers: Mapping[str, str],
    call_system: str,
    dfdaemon: bool,
    path: str,
    insecure: bool,
    root_cas: Sequence[str],
) -> TaskSpec:
    """Return the spec of a task; ``task_url`` and ``path`` are the caller's to check.

    Raises:
        BadField: named as the specification does.
    """
    return TaskSpec(
        raw_url=validation.url("rawURL", raw_url),
        task_url=task_url,
        md5=validation.md5("md5", md5),
        identifier=validation.plain("identifier", identifier),
        headers=Secrets(validation.headers("headers", headers)),
        call_system=validation.plain("callSystem", call_system),
        dfdaemon=dfdaemon,
        path=path,
        insecure=insecure,
        root_cas=validation.certificates("rootCAs", root_cas),
    )
