"""What can be wrong with a command. Raised before anything changes; ``api`` knows the HTTP side."""

from supernode.core.reasons import Reason


class DomainError(Exception):
    """A command that cannot be carried out; nothing has changed."""


class NotFound(DomainError):
    """The command names something that does not exist.

    Args:
        kind: what was looked for: ``task``, ``peer``, ``client`` or ``preheat``.
        name: under which ID.
        reason: why it is there no longer, as far as that is remembered.
    """

    def __init__(self, kind: str, name: str, reason: Reason | None = None) -> None:
        why = f" ({reason.text})" if reason else ""
        super().__init__(f"no such {kind}: {name[:256]}{why}")
        self.kind = kind
        self.name = name
        self.reason = reason


class BadField(DomainError):
    """A value cannot be used.

    Args:
        field: its name as the client spelled it, with a path such as ``reports[3].pieceRange``.
        problem: what is wrong with it.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class Forbidden(DomainError):
    """The supernode's operator does not want this done."""


class TaskConflict(DomainError):
    """The task is not in a state, or not for a file, that allows this."""


class PreheatEnded(DomainError):
    """The preheat has ended already."""


class TaskEnded(DomainError):
    """The task has failed; there is nothing to wait for.

    Args:
        reason: why it failed.
        detail: what exactly was seen, free of secrets.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason.text}: {detail}" if detail else reason.text)
        self.reason = reason


class Full(DomainError):
    """There is no room for another one.

    Args:
        kind: what there are too many of: ``peers``, ``tasks``, ``downloads`` or ``preheats`` …
    """

    def __init__(self, kind: str) -> None:
        super().__init__(f"the supernode knows as many {kind} as it can")


class InvariantError(AssertionError):
    """The core contradicts itself: a defect. Never caught below the daemon."""
