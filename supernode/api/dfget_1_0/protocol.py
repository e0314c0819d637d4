"""The operations of the protocol, to be served beside those of the specification."""

from supernode.api.answers import as_json
from supernode.api.call_systems import CallSystems
from supernode.api.dfget_1_0.addresses import Addresses
from supernode.api.dfget_1_0.answers import in_codes
from supernode.api.dfget_1_0.goodbyes import Goodbyes
from supernode.api.dfget_1_0.outcomes import Outcomes
from supernode.api.dfget_1_0.pulls import Pulls
from supernode.api.dfget_1_0.registration import Registration
from supernode.api.dfget_1_0.reports import Reports
from supernode.api.holders import SeedAddress
from supernode.api.operations import Operation
from supernode.dispatch import Dispatcher
from supernode.exchange import Answer, Handler, Request
from supernode.metrics.clients import ClientMetrics

_PIECE_ERROR = "/tasks/{id}/pieces/{pieceRange}/error"
_EVERYBODY = CallSystems()


def operations(
    dispatch: Dispatcher,
    seed: SeedAddress,
    *,
    call_systems: CallSystems = _EVERYBODY,
    abort_without_credentials: bool = False,
    metrics: ClientMetrics,
) -> list[Operation]:
    """Return every operation.

    Args:
        dispatch: the door to the tracker.
        seed: the data port's address as clients are told.
        call_systems: who may ask for files.
        abort_without_credentials: whether clients give up if the origin wants others than theirs.
        metrics: where it is counted what they say of their downloads.
    """
    addresses = Addresses(seed.ip)
    registration = Registration(
        dispatch, call_systems, addresses, abort_without_credentials=abort_without_credentials
    )
    reports = Reports(dispatch)
    register = in_codes(registration.register, registration.code_of)
    return [
        _operation("POST", "/peer/registry", register, "ask for a file"),
        _operation(
            "GET", "/peer/task", in_codes(Pulls(dispatch, seed, addresses).pull), "pull pieces"
        ),
        _operation("GET", "/peer/piece/suc", in_codes(reports.success), "report a piece"),
        _operation("GET", "/peer/piece/error", in_codes(reports.error), "accuse a holder"),
        _operation("GET", "/peer/service/down", in_codes(Goodbyes(dispatch).down), "leave"),
        _operation("POST", "/task/metrics", in_codes(Outcomes(metrics).report), "tell how it went"),
        _operation("POST", "/peer/network", _network, "nothing; no client asks"),
        _operation("POST", "/peer/heartbeat", _heartbeat, "nothing; no client asks"),
        _operation("GET", _PIECE_ERROR, reports.rest_error, "accuse a holder"),
        _operation("POST", _PIECE_ERROR, reports.rest_error, "accuse a holder"),
    ]


def _operation(method: str, path: str, handler: Handler, summary: str) -> Operation:
    return Operation(
        method=method,
        path=path,
        handler=handler,
        summary=summary,
        tag="dfget 1.0",
        extension=True,
        hot=True,
    )


def _network(_request: Request) -> Answer:
    """``POST /peer/network``: which supernodes there are besides; none that we knew of."""
    return as_json(200, {"nodes": None})


def _heartbeat(_request: Request) -> Answer:
    """``POST /peer/heartbeat``: which tasks a peer shall be a seed of; none."""
    return as_json(200, {"seedTaskIDs": None})
