"""How long the scheduler takes to choose."""

from collections.abc import Iterable
from typing import Any

from prometheus_client.core import Metric

from supernode.core.commands import Command, Pull
from supernode.core.tracker import Tracker
from supernode.metrics.series import Histogram, doubling

_MILLISECONDS = doubling(0.01, 2, 7)


class DecisionMetrics:
    """Times the pulls.

    Args:
        tracker: knows whose they are.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._milliseconds = Histogram(
            "dragonfly_supernode_schedule_duration_milliseconds",
            "How long it took to choose pieces for a client; peer: its machine's address",
            _MILLISECONDS,
            ("peer",),
        )

    def note(self, command: Command[Any], seconds: float) -> None:
        """Count a command that has just been carried out, if it is a pull."""
        if type(command) is not Pull:
            return
        state = self._tracker.state
        task = state.tasks.get(command.task)
        download = task.downloads.get(command.client) if task else None
        peer = state.peers.get(download.peer) if download and download.peer else None
        self._milliseconds.observe(seconds * 1000, peer.ip if peer else "")

    def families(self) -> Iterable[Metric]:
        """Yield what is exposed."""
        yield self._milliseconds.family()
