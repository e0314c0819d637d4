"""The console with a thousand peers, and what it makes of a thousand events a second."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.browser import Console, chromium, console
from tests.e2e.busy import Busy, busy_node

PEERS = 1000
PIECES = 700


@pytest.fixture(scope="module")
def busy() -> Iterator[Busy]:
    with busy_node(PEERS, PIECES, events=1000) as node:
        yield node


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def shown(browser: Browser, busy: Busy) -> Iterator[Console]:
    with console(browser, busy.node) as page:
        yield page


def see_events(shown: Console, number: int) -> None:
    """Wait until so many more events have come."""
    shown.page.wait_for_function(
        "seen => supernodeConsole.model.log.seen > seen",
        arg=shown.page.evaluate("supernodeConsole.model.log.seen") + number,
    )


def test_a_thousand_peers_are_shown(shown: Console, busy: Busy) -> None:
    shown.open(f"/tasks/{busy.task}")
    expect(shown.page.get_by_text("1\N{EN DASH}20 of 1\u202f000")).to_be_visible()
    see_events(shown, 3000)
    shown.button("Next").click()
    expect(shown.page.get_by_text("21\N{EN DASH}40 of 1\u202f000")).to_be_visible()
    expect(shown.rows("Clients")).to_have_count(20)
    shown.show("/peers")
    expect(shown.rows("Peers")).to_have_count(50)
    shown.page.get_by_placeholder("Host or address").fill("node-0777")
    expect(shown.rows("Peers")).to_have_count(1)


def test_events_are_gathered_before_anything_is_drawn(shown: Console, busy: Busy) -> None:
    shown.open(f"/tasks/{busy.task}")
    expect(shown.rows("Clients")).to_have_count(20)
    shown.page.evaluate("supernodeConsole.frames.costs.length = 0")
    see_events(shown, 4000)
    drawn = shown.page.evaluate("supernodeConsole.frames.costs.length")
    assert 0 < drawn < 400


def test_events_make_of_one_snapshot_the_next(shown: Console, busy: Busy) -> None:
    """And back: what a replay begins with."""
    shown.open()
    wrong = shown.page.evaluate(
        """async task => {
            const { Swarm } = await import("/console/js/swarm.js");
            const look = async () => {
                const answer = await fetch(`/tasks/${task}/swarm`);
                return [Number(answer.headers.get("Supernode-Seq")), await answer.json()];
            };
            const facts = swarm => ({
                seeded: swarm.seededCount, copies: [...swarm.copies],
                leases: [...swarm.leases.keys()].sort((a, b) => a - b),
                underWay: [...swarm.underWay],
                clients: [...swarm.clients.values()].sort((a, b) => a.id < b.id ? -1 : 1).map(
                    client => [client.id, client.count, client.leases, client.fromSeed,
                               client.fromPeers, client.have.join("")]),
            });
            const { log } = supernodeConsole.model;
            const wait = async seq => {
                while (!log.events.length || log.events.at(-1).seq < seq)
                    await new Promise(resume => setTimeout(resume, 50));
            };
            await wait(0);
            const [first, before] = await look();
            await wait(first + 3000);
            const [last, after] = await look();
            await wait(last);
            const events = log.after(first).filter(event => event.seq <= last);
            const forth = new Swarm(before), back = new Swarm(after);
            for (const event of events) forth.apply(event, Date.parse(event.time));
            for (const event of [...events].reverse()) back.rewind(event, Date.parse(event.time));
            const wrong = [];
            for (const [way, made, told] of [["forth", forth, after], ["back", back, before]]) {
                const [one, other] = [facts(made), facts(new Swarm(told))];
                for (const name of Object.keys(one))
                    if (JSON.stringify(one[name]) !== JSON.stringify(other[name]))
                        wrong.push(`${way}: ${name}`);
            }
            return events.length > 2000 ? wrong : ["too few events"];
        }""",
        busy.task,
    )
    assert wrong == []


# what needs no swarm


def values(shown: Console, module: str, *expressions: str) -> list[Any]:
    """Return the values of expressions in which a module's exports are known as ``it``."""
    asked = ", ".join(expressions)
    found: list[Any] = shown.page.evaluate(
        f"async () => {{ const it = await import('/console/js/{module}.js'); return [{asked}] }}"
    )
    return found


NUMBERS = {
    "it.bytes(0)": "0 B",
    "it.bytes(999)": "999 B",
    "it.bytes(1023)": "1.00 KiB",
    "it.bytes(10239999)": "9.77 MiB",
    "it.bytes(1.5 * 2 ** 40)": "1.50 TiB",
    "it.bytes(null)": "\N{EN DASH}",
    "it.percent(0.999)": ">99 %",
    "it.percent(1)": "100 %",
    "it.percent(0.001)": "<1 %",
    "it.duration(3.14159)": "3.1 s",
    "it.duration(200)": "3 min 20 s",
    "it.duration(7500)": "2 h 5 min",
    "it.duration(Infinity)": "\N{EN DASH}",
    "it.count(1234567)": "1\u202f234\u202f567",
    "it.plural(1, 'peer')": "1 peer",
    "it.fileName('https://o.example/a/b%20c.iso?token=1')": "b c.iso",
    "it.fileName('https://o.example/a/%zz')": "%zz",
    "it.decoded('%')": "%",
}


def test_numbers_as_people_read_them(shown: Console) -> None:
    shown.open()
    assert dict(zip(NUMBERS, values(shown, "format", *NUMBERS), strict=True)) == NUMBERS


WORDS = {
    "it.waitingClients({links: 6, peer_slots: 4}, 10)": "4 of 10 clients wait: peer slots; 6 with "
    "as many pieces under way as they may have.",
    "it.waitingClients({}, 0)": "",
    "it.cause('disk')[0]": "Disk",
    "it.cause('something new')[0]": "something new",
    "it.detail({type: 'gap', from: 3, to: 7})": "events 3 to 7 were missed",
    "it.detail({type: 'new.kind', seq: 1, task: 't', piece: 4, to: 'x'})": "piece 4, to x",
    "it.status('SUCCESS')[0]": "complete",
    "it.status('RUNNING', true)[0]": "paused",
}


def test_what_is_said(shown: Console) -> None:
    shown.open()
    assert dict(zip(WORDS, values(shown, "words", *WORDS), strict=True)) == WORDS


def test_a_gap_makes_the_page_read_everything_anew(shown: Console) -> None:
    shown.open()
    (stale,) = values(
        shown,
        "model",
        """(() => {
            const model = new it.Model();
            model.apply([{type: "gap", from: 1, to: 9}]);
            return [...model.stale].sort();
        })()""",
    )
    assert stale == ["overview", "peers", "preheats", "swarm", "tasks"]


def test_a_part_takes_only_events_that_are_later_than_it(shown: Console) -> None:
    shown.open()
    (tasks,) = values(
        shown,
        "model",
        """(() => {
            const model = new it.Model();
            const event = (seq, task) => ({
                type: "task.registered", seq, task, taskURL: "http://o/x",
                time: "2026-01-01T00:00:00.000Z",
            });
            model.apply([event(1, "a"), event(2, "b"), event(3, "c")]);
            model.loadTasks({seq: 2, data: [{ID: "read"}]});
            model.apply([event(4, "d")]);
            return [...model.tasks.keys()];
        })()""",
    )
    assert tasks == ["read", "c", "d"]
