"""The ways in which an origin fails."""

from supernode.core.reasons import Reason


class OriginError(Exception):
    """The origin did not deliver, or was not asked.

    Args:
        reason: what went wrong.
        detail: what exactly was seen; names hosts, addresses and paths, never user names, query
            strings or header values.
        may_pass: whether asking again, a little later, may help.
        retry_after: how much later, in seconds, if the origin said so.
    """

    def __init__(
        self,
        reason: Reason,
        detail: str,
        *,
        may_pass: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{reason.text}: {detail}")
        self.reason = reason
        self.detail = detail
        self.may_pass = may_pass
        self.retry_after = retry_after


class NotContinued(OriginError):
    """The origin sends the rest of a file, but not of this one, or not where it broke off.

    Args:
        detail: as above.
    """

    def __init__(self, detail: str) -> None:
        super().__init__(Reason.ORIGIN_STATUS, detail, may_pass=True)
