"""The fields of a query. Their names are in one case; of one that is repeated the first counts."""

from supernode.api import validation
from supernode.core.identity import ClientId, TaskId
from supernode.exchange import Request


def field(request: Request, name: str) -> str:
    """Return a field, empty if it is not there. Raises BadField for ``query``."""
    values = request.query.get(name)
    return values[0] if values else ""


def download(request: Request, client: str) -> tuple[TaskId, ClientId]:
    """Return which download it is about.

    Args:
        request: names the task, and the client in the field
        client: of this name.

    Raises:
        BadField: it does not say.
    """
    task = validation.required("taskId", field(request, "taskId"))
    return TaskId(task), ClientId(validation.required(client, field(request, client)))
