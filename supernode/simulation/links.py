"""Links and the transfers that share them, as a fluid: no packets, only rates.

Every transfer passes one uplink and one downlink. Rates are max-min fair, which is what many TCP
connections come to: nobody can have more without taking it from somebody who has no more. Each link
has a *share*, the most that any of its transfers may have, such that its capacity is just used up;
a transfer gets the smaller share of its two links. When a transfer begins or ends, the shares of
its links change, then those of the links that feel it, and so on for as long as a change is worth
mentioning. So an event costs what it changes, whatever the number of links. Capacity may be left
unused for want of news, at most about ``_WORTH_MENTIONING`` of it, but is never exceeded.
"""

from collections import OrderedDict
from collections.abc import Callable

from supernode.simulation.agenda import Agenda

_WORTH_MENTIONING = 0.02
_INSTANT = 1e-9


class Link:
    """One direction of a host's connection.

    Args:
        capacity: bytes/s.
    """

    __slots__ = ("capacity", "heard", "is_cut", "share", "transfers")

    def __init__(self, capacity: float) -> None:
        self.capacity = capacity
        self.share = capacity
        """The most that one of its transfers may have, bytes/s."""
        self.heard = capacity
        """The share that the other links of its transfers reckon with, nearly."""
        self.transfers: dict[Transfer, Link] = {}
        """What passes it, with the link at the other end."""
        self.is_cut = False
        """Nothing may begin on it any more."""


class Transfer:
    """Bytes under way from one host to another."""

    __slots__ = ("down", "due", "finished", "left", "rate", "since", "stalled", "up")

    def __init__(
        self,
        up: Link,
        down: Link,
        size: float,
        finished: Callable[[], None],
        stalled: Callable[[], None],
    ) -> None:
        self.up = up
        self.down = down
        self.left = size
        """Bytes that were to come when the rate was last set."""
        self.rate = 0.0
        self.since = 0.0
        """When the rate was last set."""
        self.due = float("inf")
        """When to look whether all have come."""
        self.finished = finished
        self.stalled = stalled


class Network:
    """All links, and who uses them.

    Args:
        agenda: the clock.
    """

    def __init__(self, agenda: Agenda) -> None:
        self._agenda = agenda
        self._unsettled: dict[Link, None] = {}

    def start(
        self,
        up: Link,
        down: Link,
        size: float,
        finished: Callable[[], None],
        stalled: Callable[[], None],
    ) -> Transfer:
        """Begin a transfer.

        Args:
            up: the uplink.
            down: the downlink.
            size: bytes.
            finished: called when all have come.
            stalled: called if the uplink is cut.
        """
        transfer = Transfer(up, down, size, finished, stalled)
        transfer.since = self._agenda.now
        up.transfers[transfer] = down
        down.transfers[transfer] = up
        self._unsettle(up, down)
        return transfer

    def stop(self, transfer: Transfer) -> None:
        """End a transfer early, unless it has ended; ``left`` is what is missing."""
        if transfer in transfer.up.transfers:
            self._progress(transfer)
            self._remove(transfer)

    def cut(self, link: Link) -> None:
        """End all that passes a link, for good, without a word to those who receive it."""
        link.is_cut = True
        for transfer in list(link.transfers):
            self.stop(transfer)
            if transfer.up is link:
                transfer.stalled()

    def _remove(self, transfer: Transfer) -> None:
        del transfer.up.transfers[transfer]
        del transfer.down.transfers[transfer]
        self._unsettle(transfer.up, transfer.down)

    def _unsettle(self, *links: Link) -> None:
        if not self._unsettled:
            self._agenda.after(0.0, self._settle)
        self._unsettled.update(dict.fromkeys(links))

    def _settle(self) -> None:
        """Bring all shares, and so all rates, in line with what has begun and ended."""
        changed, self._unsettled = self._unsettled, {}
        queue = OrderedDict(changed)
        while queue:
            link, _ = queue.popitem(last=False)
            before, share = link.share, _fair_share(link)
            if before <= share <= before * (1 + _WORTH_MENTIONING):
                continue
            link.share = share
            changed[link] = None
            if share > before or share < link.heard * (1 - _WORTH_MENTIONING):
                link.heard = share
                least = min(before, share)
                for other in link.transfers.values():
                    if other.share > least:
                        queue[other] = None
        for link in changed:
            for transfer in link.transfers:
                self._set_rate(transfer)

    def _set_rate(self, transfer: Transfer) -> None:
        rate = min(transfer.up.share, transfer.down.share)
        if rate == transfer.rate:
            return
        self._progress(transfer)
        transfer.rate = rate
        due = self._agenda.now + transfer.left / rate
        if due < transfer.due:  # else it is looked at too early, which does no harm
            self._look_again(transfer, due)

    def _progress(self, transfer: Transfer) -> None:
        now = self._agenda.now
        transfer.left = max(0.0, transfer.left - transfer.rate * (now - transfer.since))
        transfer.since = now

    def _look_again(self, transfer: Transfer, due: float) -> None:
        transfer.due = due

        def look() -> None:
            if transfer.due != due or transfer not in transfer.up.transfers:
                return
            finish = transfer.since + transfer.left / transfer.rate
            if finish > self._agenda.now + _INSTANT:
                self._look_again(transfer, finish)
                return
            transfer.left = 0.0
            self._remove(transfer)
            transfer.finished()

        self._agenda.at(due, look)


def _fair_share(link: Link) -> float:
    """Return the most that each transfer may have, if those that get less elsewhere leave the rest.

    O(k log k) for k transfers.
    """
    left, sharers = link.capacity, len(link.transfers)
    for elsewhere in sorted([other.share for other in link.transfers.values()]):
        if elsewhere * sharers >= left:
            return left / sharers
        left -= elsewhere
        sharers -= 1
    return link.capacity
