"""The handlers bound to Quart: routing, bodies and errors of the web framework's side."""

from collections.abc import Awaitable, Callable, Sequence
from typing import cast

import structlog
from quart import Response, has_websocket_context, request, websocket
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from supernode.api.errors import failure
from supernode.api.negotiation import prefers_plain_text
from supernode.api.routes import Route
from supernode.core.pieces import MIB
from supernode.exchange import Answer, Request, Responder

LARGEST_BODY = MIB
BODY_SECONDS = 20
"""How long a request's body may take to arrive."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def create_app(routes: Sequence[Route], responder: Responder) -> QuartTrio:
    """Return the web app that serves ``routes``."""
    app = QuartTrio("supernode", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY
    app.config["BODY_TIMEOUT"] = BODY_SECONDS
    for route in routes:
        name = f"{route.method} {route.path}"
        app.add_url_rule(
            route.path,
            name,
            _bound(route, responder),
            methods=[route.method],
            provide_automatic_options=False,
        )
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _defect)
    return app


def _bound(route: Route, responder: Responder) -> Callable[..., Awaitable[Response]]:
    async def view(**path_fields: str) -> Response:
        if request.method != route.method:  # HEAD, which the framework takes for GET
            raise MethodNotAllowed([route.method])
        asked = Request(
            path_fields=path_fields,
            query_string=request.query_string.decode("latin-1"),
            headers={name.lower(): _header(name) for name in request.headers.keys()},  # noqa: SIM118
            body=cast("bytes", await request.get_data()),
        )
        return _response(await responder.respond(route.handler, asked))

    return view


def _response(answer: Answer) -> Response:
    """Return the answer; JSON as plain text to a client that prefers that."""
    response = Response(answer.body, answer.status, dict(answer.headers))
    if not answer.body:
        response.headers.pop("Content-Type", None)
    elif answer.content_type == "application/json" and prefers_plain_text(_header("Accept")):
        response.content_type = "text/plain"
    else:
        response.content_type = answer.content_type
    return response


def _header(name: str) -> str:
    """Return a header of the present request; its lines are one list (RFC 9110 §5.3)."""
    present = websocket if has_websocket_context() else request
    return ", ".join(present.headers.getlist(name))


async def _http_error(error: Exception) -> Response:
    """Give the framework's own errors (404, 405, 413, …) the shape of ours."""
    assert isinstance(error, HTTPException)
    response = _response(failure(error.code or 500, error.description or error.name))
    if allow := error.get_response().headers.get("Allow"):
        response.headers["Allow"] = allow
    return response


async def _defect(error: Exception) -> Response:
    log.error("a request failed", exc_info=error)
    return _response(failure(500, "the supernode has a defect; its log says more"))
