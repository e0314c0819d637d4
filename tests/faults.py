"""Faults: what goes wrong, what comes of it, and that the tests which say so have seen it.

A test that makes a fault carries ``@fault(...)`` with the outcome it expects, and hands the outcome
it saw to the fixture ``seen``. The two have to be equal. The README's table is made of these
decorators (see ``fault_table``), its words of the very fields that were compared: a row cannot say
what no test has seen. Several tests, or parameters of one, may hold one row.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

import pytest

from supernode.core.model import CdnStatus
from supernode.core.reasons import Actor, Reason


class Group(Enum):
    """Where it goes wrong: one table each. The value is what its rows begin with."""

    ORIGIN = "The origin …"
    DISK = "The disk and the cache"
    JOURNAL = "The journal"
    PEERS = "A peer …"


class Outcome:
    """What comes of a fault.

    Attributes:
        text: what the supernode does.
        told: what clients, events and the log say; "" if nobody has to know.
        actor: who can do something about it; None: nobody has to.
    """

    @property
    def text(self) -> str:
        """See above."""
        raise NotImplementedError

    @property
    def told(self) -> str:
        """See above."""
        return ""

    @property
    def actor(self) -> Actor | None:
        """See above."""
        return None


@dataclass(frozen=True)
class Fails(Outcome):
    """The task ends, and everybody who waits is told why.

    Args:
        status: how it ends.
        reason: and why.
        asked: how often the origin was, once it was at fault.
    """

    status: CdnStatus
    reason: Reason
    asked: int

    @property
    def text(self) -> str:
        """See above."""
        if self.asked == 1:
            return "the task fails"
        return f"the origin is asked {self.asked} times, then the task fails"

    @property
    def told(self) -> str:
        """See above."""
        return _named(self.reason)

    @property
    def actor(self) -> Actor:
        """See above."""
        return self.reason.actor


class Recovery(Enum):
    """How a file is had in spite of a fault."""

    REST = "the fetch goes on with the first missing piece"
    ANEW = "the fetch begins anew, and compares every piece that is there"
    PIECE = "that piece is fetched again, if the origin still gives it to who has no credentials"
    LATER = "the origin is asked again after the time it wants"
    AS_IT_CAME = "what has come is the file; only `md5` tells if that is not all"


@dataclass(frozen=True)
class Recovers(Outcome):
    """The file is whole in the end."""

    how: Recovery

    @property
    def text(self) -> str:
        """See above."""
        return self.how.value


@dataclass(frozen=True)
class Discarded(Outcome):
    """A cached file goes; nothing of it that is not what it was has been served.

    Args:
        reason: what they are told who wait for it; None: nobody does.
    """

    reason: Reason | None

    @property
    def text(self) -> str:
        """See above."""
        return "no wrong byte is served; the file is discarded, and fetched when asked for again"

    @property
    def told(self) -> str:
        """See above."""
        return "" if self.reason is None else _named(self.reason)

    @property
    def actor(self) -> Actor | None:
        """See above."""
        return None if self.reason is None else self.reason.actor


@dataclass(frozen=True)
class GoesOn(Outcome):
    """The daemon serves on, and its log says that something is not as usual.

    Args:
        says: the line of the log; "": none, for there is nothing to act on.
        does: what it does; the test has to assert it, for it is not compared.
    """

    says: str
    does: str = field(default="", compare=False)

    @property
    def text(self) -> str:
        """See above."""
        return self.does

    @property
    def told(self) -> str:
        """See above."""
        return f"log: “{self.says}”" if self.says else ""

    @property
    def actor(self) -> Actor | None:
        """See above."""
        return Actor.OPERATOR if self.says else None


@dataclass(frozen=True)
class StaysDown(Outcome):
    """The daemon does not start.

    Args:
        status: of its exit.
        says: the last line on stderr, without the state directory's path.
    """

    status: int
    says: str

    @property
    def text(self) -> str:
        """See above."""
        return f"the daemon does not start: exit status {self.status}"

    @property
    def told(self) -> str:
        """See above."""
        return f"stderr: “{self.says}”"

    @property
    def actor(self) -> Actor:
        """See above."""
        return Actor.OPERATOR


def _named(reason: Reason) -> str:
    return f"`{reason.code}`: {reason.text}"


@dataclass(frozen=True)
class Fault:
    """One way to go wrong.

    Args:
        group: which table it is in.
        what: goes wrong; ``{}`` where ``case`` goes.
        outcome: what comes of it.
        case: tells it from others that are the same in everything else: they share a row.
    """

    group: Group
    what: str
    outcome: Outcome
    case: str = ""


def fault(group: Group, what: str, outcome: Outcome, *, case: str = "") -> pytest.MarkDecorator:
    """Return what a test is decorated with, or the ``marks`` of a parameter; see :class:`Fault`."""
    assert ("{}" in what) == bool(case)
    return pytest.mark.fault(Fault(group, what, outcome, case))


def fault_of(item: pytest.Item) -> Fault | None:
    """Return the fault that a test makes, if it makes one."""
    mark = item.get_closest_marker("fault")
    return None if mark is None else mark.args[0]


class Seen:
    """What a test hands over what it saw to."""

    def __init__(self, expected: Fault) -> None:
        self._expected = expected
        self.anything = False

    def __call__(self, outcome: Outcome) -> None:
        """Compare an outcome, made of what was observed, with the one that the table promises."""
        self.anything = True
        assert outcome == self._expected.outcome, f"{self._expected}, but {outcome}"


def rows(faults: Iterable[Fault]) -> dict[Group, list[list[str]]]:
    """Return the cells of the rows per table, in the order in which they came.

    Raises:
        ValueError: two tests disagree on what comes of a fault.
    """
    outcomes: dict[tuple[Group, str, str], Outcome] = {}
    cases: dict[Fault, list[str]] = {}
    for each in faults:
        known = outcomes.setdefault((each.group, each.what, each.case), each.outcome)
        if known != each.outcome:
            raise ValueError(f"{each.what!r} ({each.case}): {known} and {each.outcome}")
        names = cases.setdefault(Fault(each.group, each.what, each.outcome), [])
        if each.case not in names:
            names.append(each.case)
    found: dict[Group, list[list[str]]] = {group: [] for group in Group}
    for each, names in cases.items():
        *others, last = names
        what = each.what.replace("{}", f"{', '.join(others)} or {last}" if others else last)
        outcome = each.outcome
        actor = "" if outcome.actor is None else outcome.actor.value
        found[each.group].append([what, outcome.text, outcome.told, actor])
    return {group: table for group, table in found.items() if table}
