"""What a supernode promises whose process is killed, and which of it was not kept."""

import enum
from collections import Counter, defaultdict


class Promise(enum.StrEnum):
    """What holds after every restart."""

    PEERS = "an acknowledged peer is known"
    TASKS = "an acknowledged task is known"
    PAUSED = "a task that was paused is paused"
    DOWNLOADS = "downloads go on under the same client IDs"
    PREHEATS = "an acknowledged preheat is known, and how it ended"
    GONE = "what was removed stays away"
    SEALED = "a sealed piece is kept, right, and not fetched again"
    TWICE = "of a fetch, at most five pieces' worth of bytes come twice per kill"
    NUMBERS = "event numbers never go back"
    WHOLE = "a task that is said to be complete is, and no file is nobody's"
    ENDS = "what was begun ends as it should"
    FILES = "every dfget ends with the right file"
    ORIGIN = "no dfget goes to the origin itself"
    REFUSALS = "no client of a held socket is refused"


class Promises:
    """Keeps account of what was looked at, and of what was wrong."""

    def __init__(self) -> None:
        self.looked: Counter[Promise] = Counter()
        self.broken: defaultdict[Promise, list[str]] = defaultdict(list)

    def look(self, promise: Promise, kept: bool, what: str) -> None:
        """Take note of whether a promise was kept; ``what`` says in which case."""
        self.looked[promise] += 1
        if not kept:
            self.broken[promise].append(what)
