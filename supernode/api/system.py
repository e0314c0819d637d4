"""``/_ping`` and ``/version``."""

import platform
import sys

from supernode.api.answers import as_json
from supernode.api.models import VersionInfo
from supernode.api.negotiation import names_json
from supernode.exchange import Answer, Facts, Request
from supernode.version import REVISION, VERSION

_VERSION = VersionInfo(
    version=VERSION,
    revision=REVISION,
    os=sys.platform,
    arch=platform.machine(),
    python_version=platform.python_version(),
)


class System:
    """The operations about the supernode itself."""

    def ping(self, request: Request) -> Answer:
        """``GET /_ping``: v1's two bytes, or JSON for who asks for it by name."""
        if names_json(request.headers.get("accept", "")):
            return Answer(200, b'"OK"')
        return Answer(200, b"OK", "text/plain", rests_on=Facts.NONE)

    def version(self, _request: Request) -> Answer:
        """``GET /version``."""
        return as_json(200, _VERSION)
