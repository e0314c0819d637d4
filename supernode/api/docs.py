"""``/openapi.json`` and ``/docs``: the interface described for programs and for people."""

import base64
import hashlib
from collections.abc import Iterable

import msgspec

from supernode.api.docs_page import page
from supernode.api.docs_style import STYLE
from supernode.api.openapi import document
from supernode.api.operations import Operation
from supernode.exchange import Answer, Request


class Docs:
    """The handlers; what they answer is made once.

    Args:
        operations: what to describe.
        version: the program's.
    """

    def __init__(self, operations: Iterable[Operation], version: str) -> None:
        described = document(operations, version)
        self._document = Answer(200, msgspec.json.encode(described))
        self._page = Answer(
            200,
            page(described, STYLE).encode(),
            "text/html; charset=utf-8",
            {
                "Content-Security-Policy": _policy(STYLE),
                "Referrer-Policy": "no-referrer",
                "X-Content-Type-Options": "nosniff",
            },
        )

    def openapi(self, _request: Request) -> Answer:
        """``GET /openapi.json``."""
        return self._document

    def page(self, _request: Request) -> Answer:
        """``GET /docs``."""
        return self._page

    def operations(self) -> list[Operation]:
        """Return both as operations, to be served beside those that they describe."""
        return [
            Operation(
                method="GET",
                path="/openapi.json",
                handler=self.openapi,
                summary="get this interface as an OpenAPI document",
                tag="System",
                extension=True,
            ),
            Operation(
                method="GET",
                path="/docs",
                handler=self.page,
                summary="read about this interface",
                tag="System",
                extension=True,
            ),
        ]


def _policy(style: str) -> str:
    """Return a policy under which a page is text with this style, and nothing else."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
