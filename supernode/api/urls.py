"""URLs as answers show them: without credentials, and without what a client says does not matter.

What a filter names is most often a signature or a token.
"""

from supernode.core.identity import without_credentials
from supernode.core.model import TaskSpec


def shown_task_url(spec: TaskSpec) -> str:
    """Return the URL without the parameters that were filtered out."""
    return without_credentials(spec.task_url)


def shown_raw_url(spec: TaskSpec) -> str:
    """Return the URL with ``***`` for the values of the parameters that were filtered out."""
    base, mark, query = spec.raw_url.partition("?")
    kept = {part.partition("=")[0] for part in spec.task_url.partition("?")[2].split("&")}
    parts = (part.partition("=") for part in query.split("&"))
    shown = "&".join(
        name + equals + (value if name in kept else value and "***")
        for name, equals, value in parts
    )
    return without_credentials(f"{base}{mark}{shown}")
