"""The one way in which an origin fails."""

from supernode.core.reasons import Reason


class OriginError(Exception):
    """The origin did not deliver, or was not asked.

    Args:
        reason: what went wrong.
        detail: what exactly was seen; names hosts, addresses and paths, never user names, query
            strings or header values.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason.text}: {detail}")
        self.reason = reason
        self.detail = detail
