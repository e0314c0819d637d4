"""A supernode that is killed again and again while clients rely on it.

Everything goes on at once: downloads by real dfget processes, at a limited rate from a throttled
origin; bursts of registrations; preheats; evictions. The process is killed at a moment that chance
chooses, started again, and asked for everything that it has acknowledged.
"""

import enum
import itertools
import json
import random
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio
from trio_websocket import ConnectionClosed, HandshakeError, wrap_client_stream

from supernode.clock import Clock
from supernode.demo.processes import end_uploaders
from tests.e2e.acknowledged import PIECE, Acknowledged, Verification
from tests.e2e.downloading import File, Machines
from tests.e2e.neighbours import MIB, Daemon, Origin, Served, daemon, nginx
from tests.e2e.persistent_client import Endured, PersistentClient
from tests.e2e.promises import Promise, Promises
from tests.e2e.registering import Registering

CONFIG = '[disk]\nhigh = "80MiB"\nlow = "60MiB"\n'
"""Little enough that some file must always go."""
GROUPS = ("a", "b")
MACHINES = 2
"""In each group; all of a group download the same."""
RATE = "8M"
GRACE_SECONDS = 10.0
SETTLE_SECONDS = 60.0
LOOK_AGAIN_SECONDS = 0.1
CALLERS = 4
"""Clients that call while nobody is there."""
MOST_TWICE = 5 * PIECE


class Moment(enum.StrEnum):
    """When it is killed."""

    STARTUP = "while it starts"
    FETCH = "in a slow fetch"
    RUSH = "in a fetch at full speed"
    ANSWER = "right after an acknowledgement"
    BURST = "in a burst of registrations"
    EVICTION = "in an eviction"


@dataclass
class Report:
    """What came of it.

    Args:
        seed: repeats the choices, though not the timing.
        held: whether the sockets outlived the process.
        starts: seconds from each exec to the first answer.
        twice: bytes that came from the origin twice, for each fetch and kill that it went on after.
    """

    seed: int
    held: bool
    promises: Promises = field(default_factory=Promises)
    kills: Counter[Moment] = field(default_factory=Counter)
    starts: list[float] = field(default_factory=list)
    twice: list[int] = field(default_factory=list)
    endured: Endured = field(default_factory=Endured)
    downloads: int = 0
    downloads_refused: int = 0

    def lines(self) -> Iterator[str]:
        """Yield it for people."""
        sockets = "held by a parent" if self.held else "its own"
        moments = ", ".join(f"{count} {moment}" for moment, count in self.kills.items())
        yield f"seed {self.seed}; sockets: {sockets}; {self.kills.total()} kills: {moments}"
        yield (
            f"from exec to the first answer: median {statistics.median(self.starts):.2f} s, "
            f"longest {max(self.starts):.2f} s"
        )
        calls = self.endured
        yield (
            f"calls in the gaps: {calls.calls}, of which {calls.unnoticed} noticed nothing, "
            f"{calls.broken} were repeated, {calls.refused} refused"
        )
        yield f"dfgets: {self.downloads}, {self.downloads_refused} of them refused for a while"
        yield (
            f"fetched twice: {sum(self.twice) / MIB:.1f} MiB in {len(self.twice)} resumptions, "
            f"at most {max(self.twice, default=0) / MIB:.1f} MiB"
        )
        for promise in Promise:
            broken = self.promises.broken.get(promise, [])
            yield f"{promise.name:9} {len(broken):5} of {self.promises.looked[promise]:6} broken"
            yield from (f"            {what}" for what in broken[:5])


async def kill_again_and_again(
    directory: Path,
    *,
    kills: int,
    seed: int,
    held: bool = True,
    tell: Callable[[str], None] = lambda _: None,
) -> Report:
    """Kill a supernode so often; return what came of it.

    Args:
        directory: for everything.
        kills: how often.
        seed: of every choice.
        held: whether its sockets outlive it.
        tell: is told of each kill that everything was looked at after.
    """
    report = Report(seed, held)
    config = directory / "supernode.toml"
    config.write_text(CONFIG)
    with (
        nginx(directory / "origin") as origin,
        daemon(directory / "supernode", f"--config={config}", held=held) as node,
    ):
        try:
            await Campaign(directory, node, origin, report, tell).run(kills)
        finally:
            await end_uploaders(directory, GRACE_SECONDS)
    return report


class Campaign:
    """The kills, and what goes on meanwhile.

    Args:
        directory: for the machines' homes.
        node: who is killed.
        origin: where its files come from.
        report: is written.
        tell: is told how it goes.
    """

    def __init__(
        self,
        directory: Path,
        node: Daemon,
        origin: Origin,
        report: Report,
        tell: Callable[[str], None],
    ) -> None:
        self._tell = tell
        self._node = node
        self._origin = origin
        self._report = report
        self._promises = report.promises
        self._chance = random.Random(report.seed)
        self._clock = Clock.started_now()
        self._began = self._clock.now()
        self._known = Acknowledged()
        self._call = PersistentClient(node.control, node.data)
        self._registering = Registering(
            self._call, self._known, self._promises, self._chance, origin.file("tiny", 1000)
        )
        self._slow = self._throttled(origin.file("slow", 12 * MIB))
        self._large = origin.file("large", 64 * MIB)
        self._machines = [
            Machines(
                name,
                directory,
                node.node,
                self._known,
                self._registering,
                self._promises,
                rate=RATE,
            )
            for name in GROUPS
        ]
        self._killed_at: list[float] = []
        self._dead = trio.Event()
        self._evicted = trio.Event()
        self._answers_left = 0
        self._number = 0
        """Of the last event that was read."""

    def _throttled(self, url: str) -> str:
        return f"http://127.0.0.1:{self._origin.port}/slow/{url.rpartition('/')[2]}"

    async def run(self, kills: int) -> None:
        """Kill, see to it that what was begun ends, and settle the account with the origin."""
        await self._kill_at_start()  # on an empty disk, so while everything is made
        await self._restart()
        async with trio.open_nursery() as machines:
            for group in self._machines:
                machines.start_soon(group.run, self._file(f"of-{group.name}"), MACHINES)
            for moment in itertools.islice(self._moments(), kills):
                if self._report.kills.total() >= kills:
                    break
                await self._round(moment)
            for group in self._machines:
                group.enough()
        await self._settle()
        await self._verify()
        self._account()
        for wrong in self._call.went_back:
            self._promises.look(Promise.NUMBERS, False, wrong)
        report = self._report
        report.endured = self._call.endured
        report.downloads = sum(group.downloads for group in self._machines)
        report.downloads_refused = sum(group.refused for group in self._machines)
        if report.held:
            refused = report.endured.refused + report.downloads_refused
            self._promises.look(Promise.REFUSALS, not refused, f"{refused} were")

    def _file(self, name: str) -> File:
        url = self._throttled(self._origin.file(name, 40 * MIB))
        return File(url, (self._origin.root / name).read_bytes())

    def _moments(self) -> Iterator[Moment]:
        """Yield moments for ever: all of them in an order that chance chooses, and again."""
        while True:
            yield from self._chance.sample(list(Moment), len(Moment))

    # one kill

    async def _round(self, moment: Moment) -> None:
        """Kill at a moment, start again, ask for everything."""
        self._dead, self._evicted = trio.Event(), trio.Event()
        self._answers_left = self._chance.randint(1, 20) if moment is Moment.ANSWER else 0
        reading = trio.CancelScope()
        async with trio.open_nursery() as clients:
            clients.start_soon(self._read_events, reading)
            clients.start_soon(self._registering.burst, self._acknowledged)
            await self._reach(moment)
            self._kill(moment)
            for _ in range(CALLERS):
                clients.start_soon(self._call, "GET", "/version")
            if moment is Moment.STARTUP:
                self._node.start()
                await self._kill_at_start()
            await self._restart()
            reading.cancel()
        await self._verify()
        broken = sum(map(len, self._promises.broken.values()))
        self._tell(
            f"{self._clock.now() - self._began:6.1f} s  {self._report.kills.total():4} kills, "
            f"the last {moment}; back after {self._report.starts[-1]:.2f} s; {broken} broken"
        )

    def _acknowledged(self) -> None:
        self._answers_left -= 1
        if self._answers_left == 0:
            self._kill(Moment.ANSWER)

    async def _reach(self, moment: Moment) -> None:
        chance, number = self._chance, self._report.kills.total()
        match moment:
            case Moment.STARTUP:
                pass  # it is killed twice
            case Moment.FETCH:
                await self._registering.download(
                    f"{self._slow}?fetch={number}", f"first-of-slow-{number}", wait=5
                )
                await trio.sleep(chance.uniform(0, 0.8))
            case Moment.RUSH:
                await self._registering.preheat(f"{self._large}?rush={number}")
                await trio.sleep(chance.uniform(0.02, 0.5))
            case Moment.ANSWER:
                await self._dead.wait()
            case Moment.BURST:
                await trio.sleep(chance.uniform(0, 0.06))
            case Moment.EVICTION:
                await self._registering.preheat(f"{self._large}?evict={number}")
                with trio.move_on_after(GRACE_SECONDS) as patience:
                    await self._evicted.wait()
                seen = not patience.cancelled_caught
                self._promises.look(Promise.ENDS, seen, "nothing was evicted")
                await trio.sleep(chance.uniform(0, 0.01))

    def _kill(self, moment: Moment) -> None:
        """Kill it, unless that is done."""
        if not self._dead.is_set():
            self._dead.set()
            self._node.kill()
            self._call.away()
            self._note(moment)

    async def _kill_at_start(self) -> None:
        """Kill it before it serves, or just then."""
        usual = statistics.median(self._report.starts) if self._report.starts else 1.0
        await trio.sleep(self._chance.uniform(0.2, 1.0) * usual)
        self._node.kill()
        self._call.away()
        self._note(Moment.STARTUP)

    def _note(self, moment: Moment) -> None:
        self._report.kills[moment] += 1
        self._killed_at.append(self._clock.now())

    async def _restart(self) -> None:
        began = trio.current_time()
        self._node.start()
        await self._call("GET", "/version")
        self._call.back()
        self._report.starts.append(trio.current_time() - began)

    async def _read_events(self, reading: trio.CancelScope) -> None:
        """Read along until the supernode is killed."""
        with reading, suppress(ConnectionClosed, HandshakeError, OSError):
            stream = await trio.open_tcp_stream("127.0.0.1", self._node.control)
            async with stream, trio.open_nursery() as nursery:
                events = await wrap_client_stream(nursery, stream, self._node.node, "/events")
                with suppress(ConnectionClosed):
                    while True:
                        self._read(json.loads(await events.get_message()))

    def _read(self, said: dict[str, Any]) -> None:
        """Take note of an event."""
        number = int(said["to"] if said["type"] == "gap" else said["seq"])
        what = f"{number} after {self._number}"
        self._promises.look(Promise.NUMBERS, number > self._number, what)
        self._number = max(number, self._number)
        if said.get("reason") == "task_evicted":
            self._evicted.set()

    # what must be

    async def _verify(self) -> None:
        verification = Verification(
            self._call, self._known, self._promises, self._chance, self._clock
        )
        await verification.run()

    async def _settle(self) -> None:
        """Wait until every fetch has ended; each must end well, and leave no file that is lost."""
        look = self._promises.look
        tasks = await self._tasks()
        with trio.move_on_after(SETTLE_SECONDS):
            while any(task["cdnStatus"] in ("WAITING", "RUNNING") for task in tasks):
                await trio.sleep(LOOK_AGAIN_SECONDS)
                tasks = await self._tasks()
        for task in tasks:
            ended = task["cdnStatus"] == "SUCCESS"
            look(Promise.ENDS, ended, f"{task['rawURL']}: {task['cdnStatus']} {task.get('reason')}")
        for preheat in await self._listed("/preheats"):
            what = f"preheat of {preheat['url']}: {preheat['status']} {preheat.get('reason')}"
            look(Promise.ENDS, preheat["status"] == "SUCCESS", what)
        strays = await self._strays()
        with trio.move_on_after(GRACE_SECONDS):
            while strays:
                await trio.sleep(LOOK_AGAIN_SECONDS)
                strays = await self._strays()
        look(Promise.WHOLE, not strays, f"nobody's: {sorted(strays)}")

    async def _tasks(self) -> list[dict[str, object]]:
        """Return the tasks whose fetch may begin."""
        return [task for task in await self._listed("/tasks") if not task.get("paused")]

    async def _listed(self, path: str) -> list[dict[str, object]]:
        listed: list[dict[str, object]] = []
        for number in itertools.count():
            page = (await self._call("GET", f"{path}?pageSize=1000&pageNum={number}")).body
            if not page:
                break
            listed += page
        return listed

    async def _strays(self) -> set[str]:
        """Return the files in the cache whose task is not known."""
        files = {path.name for path in (self._node.directory / "repo/download").glob("*/*")}
        known = {str(task["ID"]) for task in await self._listed("/tasks")}
        return {name for name in files if name.partition(".")[0] not in known}

    def _account(self) -> None:
        """Look what the origin has sent, and to whom."""
        fetches: defaultdict[str, list[Served]] = defaultdict(list)
        for served in self._origin.served():
            by_dfget = served.agent.startswith("dfget")
            if by_dfget:
                self._promises.look(Promise.ORIGIN, not self._report.held, served.target)
            else:
                fetches[served.target].append(served)
        for target, passes in fetches.items():
            complete = self._known.complete.get(target)
            for one in passes:
                again = complete is not None and one.began > complete
                self._promises.look(Promise.SEALED, not again, f"{target} was fetched again")
            for before, after in itertools.pairwise(passes):
                self._resumed(before, after)

    def _resumed(self, before: Served, after: Served) -> None:
        """Look how much of one pass over a file came again with the next."""
        kills = sum(before.began < killed <= after.began for killed in self._killed_at)
        end = min(before.first + before.size, after.first + after.size)
        twice = max(0, end - after.first)
        self._report.twice.append(twice)
        what = f"{twice / MIB:.1f} MiB of {after.target} for {kills} kills"
        self._promises.look(Promise.TWICE, twice <= kills * MOST_TWICE, what)
