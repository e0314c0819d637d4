"""The handlers bound to Quart: routing, bodies and errors of the web framework's side."""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import cast

import structlog
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope, Scope
from quart import Response, has_websocket_context, request, websocket
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from supernode.api.access import note_handler, recorded
from supernode.api.binding import Binding, as_preferred
from supernode.api.errors import defect, failure
from supernode.api.operations import Operation
from supernode.api.paths import V1, VARIABLE, at_the_root
from supernode.core.pieces import MIB
from supernode.exchange import Answer, Request, Responder
from supernode.metrics.requests import RequestMetrics

BODY_SECONDS = 20
"""How long a request's body may take to arrive."""

_IS_V1 = "supernode.is_v1"
"""Key of the scope: whether the request came under ``/api/v1``."""
_VARIABLE_RULE = re.compile(r"<(\w+)>")

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class App(QuartTrio):
    """The web app. Routes know the paths at the root only; every request is on the record."""

    requests: RequestMetrics
    """Count every one of them, too."""

    async def asgi_app(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Serve one connection's request, or the lifespan."""
        if scope["type"] == "lifespan":
            await super().asgi_app(scope, receive, send)
        else:
            await recorded(self._at_the_root, scope, receive, send, self.requests)

    async def _at_the_root(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        assert scope["type"] != "lifespan"
        path, is_v1 = at_the_root(scope["path"])
        await super().asgi_app(cast("Scope", {**scope, "path": path, _IS_V1: is_v1}), receive, send)


def create_app(
    operations: Sequence[Operation],
    responder: Responder,
    *,
    requests: RequestMetrics | None = None,
    largest_body: int = MIB,
) -> App:
    """Return the web app that serves ``operations``.

    Args:
        operations: what there is to serve.
        responder: turns what handlers say into answers.
        requests: where they are counted; None: nobody wants to know.
        largest_body: of a request, in bytes; a larger one is answered 413.
    """
    app = App("supernode", static_folder=None)
    app.requests = requests or RequestMetrics()
    app.config["MAX_CONTENT_LENGTH"] = largest_body
    app.config["BODY_TIMEOUT"] = BODY_SECONDS
    app.url_map.merge_slashes = False  # it would redirect, with a page of HTML
    for operation in operations:
        app.add_url_rule(
            VARIABLE.sub(r"<\1>", operation.path),
            f"{operation.method} {operation.path}",
            _bound(Binding(operation, responder)),
            methods=[operation.method],
            provide_automatic_options=False,
        )
    app.before_request(_note_handler)
    for rule in app.url_map.iter_rules():
        assert rule.methods
        rule.methods.discard("HEAD")  # which the framework takes for GET
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _defect)
    return app


def _bound(binding: Binding) -> Callable[..., Awaitable[Response]]:
    async def view(**path_fields: str) -> Response:
        asked = Request(
            path_fields=path_fields,
            query_string=request.query_string.decode("latin-1"),
            headers={name.lower(): _header(name) for name in request.headers.keys()},  # noqa: SIM118
            body=cast("bytes", await request.get_data()),
            is_v1=cast("dict[str, bool]", request.scope)[_IS_V1],
        )
        return _response(await binding.answer(asked, binding.ask(asked)))

    return view


async def _note_handler() -> None:
    """Note which operation a request is for, if there is one, before that is asked."""
    if request.url_rule is not None:
        scope = cast("HTTPScope", request.scope)
        path = _VARIABLE_RULE.sub(r"{\1}", request.url_rule.rule)
        is_v1 = cast("dict[str, bool]", scope)[_IS_V1]
        note_handler(scope, V1 + path if is_v1 else path)


def _response(answer: Answer) -> Response:
    response = Response(answer.body, answer.status, dict(answer.headers))
    if answer.body:
        response.content_type = answer.content_type
    else:
        response.headers.pop("Content-Type", None)
    return response


def _header(name: str) -> str:
    """Return a header of the present request; its lines are one list (RFC 9110 §5.3)."""
    present = websocket if has_websocket_context() else request
    return ", ".join(present.headers.getlist(name))


async def _http_error(error: Exception) -> Response:
    """Give the framework's own errors (404, 405, 413, …) the shape of ours."""
    assert isinstance(error, HTTPException)
    problem = failure(error.code or 500, error.description or error.name)
    response = _response(as_preferred(problem, _header("Accept")))
    if allow := error.get_response().headers.get("Allow"):
        response.headers["Allow"] = allow
    return response


async def _defect(error: Exception) -> Response:
    log.error("a request failed", exc_info=error)
    return _response(as_preferred(defect(), _header("Accept")))
