"""Which operation is where: one table for every binding."""

from typing import NamedTuple

from supernode.api.rest import Rest
from supernode.exchange import Handler


class Route(NamedTuple):
    """One operation.

    Args:
        method: in capitals.
        path: with its variable parts in angle brackets, as ``/tasks/<id>``.
    """

    method: str
    path: str
    handler: Handler


def routes(rest: Rest) -> list[Route]:
    """Return the specification's operations that are served."""
    return [
        Route("GET", "/_ping", rest.ping),
        Route("POST", "/peers", rest.create_peer),
        Route("GET", "/peers/<id>", rest.get_peer),
        Route("DELETE", "/peers/<id>", rest.delete_peer),
        Route("POST", "/tasks", rest.create_task),
        Route("GET", "/tasks/<id>", rest.get_task),
        Route("GET", "/tasks/<id>/pieces", rest.pull_pieces),
        Route("PUT", "/tasks/<id>/pieces/<pieceRange>", rest.update_piece),
    ]
