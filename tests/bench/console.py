"""The console in Chromium with 1,000 peers, 700 pieces and 1,000 events/s: is it fluid?

``python -m tests.bench.console [PEERS PIECES EVENTS]``. For each view: how long one drawing takes,
how far apart frames are (16.7 ms is what a browser aims for), how often the page was busy for more
than 50 ms, and how old an event is when it is known. Page, supernode and clients share the machine.
"""

import sys
import threading

from tests.e2e.browser import chromium, console
from tests.e2e.busy import busy_node

SECONDS = 10
VIEWS = {
    "overview": "/",
    "task": "/tasks/{task}",
    "peers": "/peers",
    "events": "/events",
}
BEGIN = """() => {
    globalThis.measured = {long: [], gaps: [], lags: [], began: performance.now(),
                           seen: supernodeConsole.model.log.seen};
    supernodeConsole.frames.costs.length = 0;
    globalThis.watcher ??= new PerformanceObserver(list => {
        for (const entry of list.getEntries()) measured.long.push(entry.duration);
    });
    watcher.observe({entryTypes: ["longtask"]});
    const {model} = supernodeConsole;
    let last = performance.now();
    const frame = at => {
        measured.gaps.push(at - last);
        last = at;
        const newest = model.log.events.at(-1);
        if (newest) measured.lags.push(model.now() - Date.parse(newest.time));
        requestAnimationFrame(frame);
    };
    if (!globalThis.watching) requestAnimationFrame(frame);
    globalThis.watching = true;
}"""
END = """() => ({
    ...measured,
    costs: supernodeConsole.frames.costs,
    events: (supernodeConsole.model.log.seen - measured.seen) * 1000
            / (performance.now() - measured.began),
    heap: performance.memory.usedJSHeapSize,
})"""


def share(values: list[float], part: float) -> float:
    """Return a percentile, by nearest rank."""
    ordered = sorted(values) or [0.0]
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def main(peers: int = 1000, pieces: int = 700, events: int = 1000) -> None:
    """Print a row for each view."""
    print(
        f"{peers} peers, {pieces} pieces; ms\n"
        "view      events/s  draw p50   p99  frame p50   p99   max  >50 ms  lag p99   heap MB"
    )
    with (
        busy_node(peers, pieces, events) as busy,
        chromium() as browser,
        console(browser, busy.node) as shown,
    ):
        shown.open()
        for name, view in VIEWS.items():
            shown.show(view.format(task=busy.task))
            threading.Event().wait(3)
            shown.page.evaluate(BEGIN)
            threading.Event().wait(SECONDS)
            seen = shown.page.evaluate(END)
            costs, gaps = seen["costs"], seen["gaps"]
            print(
                f"{name:9} {seen['events']:8.0f} {share(costs, 0.5):9.1f} {share(costs, 0.99):5.1f}"
                f" {share(gaps, 0.5):10.1f} {share(gaps, 0.99):5.0f} {max(gaps):5.0f}"
                f" {len(seen['long']):7} {share(seen['lags'], 0.99):8.0f} {seen['heap'] / 1e6:9.0f}"
            )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
