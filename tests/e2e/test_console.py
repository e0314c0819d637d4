"""The console in a real browser, watching a real swarm."""

import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.browser import PHONE, Console, chromium, console
from tests.e2e.machines import Peer, peers
from tests.e2e.neighbours import MIB, Daemon, Origin, daemon, until

FILE = "system image.iso"
PIECES = 8
SIZE = PIECES * (4 * MIB - 5)
SLOW = ("--notbs", "--locallimit", "8M", "--totallimit", "8M")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def shown(browser: Browser, supernode: Daemon) -> Iterator[Console]:
    with console(browser, supernode.node) as page:
        yield page


@pytest.fixture
def url(origin: Origin) -> str:
    origin.file(FILE, SIZE)
    return f"http://127.0.0.1:{origin.port}/{FILE.replace(' ', '%20')}"


@pytest.fixture
def swarm(supernode: Daemon, url: str, tmp_path: Path) -> Iterator[list[Peer]]:
    """Three peers that are in the middle of a download."""
    with peers(tmp_path, url, supernode.node, 3, *SLOW) as running:
        for peer in running:
            peer.first_piece()
        yield running


def task_of(supernode: Daemon) -> str:
    ((task),) = cast("list[dict[str, str]]", supernode.get("/tasks?pageSize=9"))
    return task["ID"]


def test_the_overview_tells_what_peers_saved(shown: Console, swarm: list[Peer]) -> None:
    shown.open()
    for peer in swarm:
        assert peer.finish()["ok"]
    expect(shown.figure("From origins")).to_have_text("32.0 MiB")
    expect(shown.figure("Given by peers")).to_have_text(re.compile(r"^[1-9]\d? %$"))
    expect(shown.page.get_by_text("96.0 MiB to clients in all")).to_be_visible()
    (row,) = shown.rows("Tasks").all()
    expect(row).to_contain_text(FILE)
    expect(row).to_contain_text("complete")
    chart = shown.page.get_by_role("img", name=re.compile("^Bytes per second"))
    expect(chart.locator("canvas")).to_be_visible()


def test_a_task_is_shown_piece_by_piece(
    shown: Console, supernode: Daemon, swarm: list[Peer]
) -> None:
    shown.open()
    shown.page.get_by_role("link", name=FILE).click()
    expect(shown.page.get_by_role("heading", level=1)).to_have_text(FILE)
    expect(shown.rows("Clients")).to_have_count(3)
    expect(shown.page.locator(".why strong")).to_have_text(
        re.compile("^(Links|Peer slots|Seed slots|Origin)$")
    )
    graph = shown.page.get_by_role("img", name=re.compile("^3 clients; the supernode is giving"))
    expect(graph).to_be_visible()
    for peer in swarm:
        assert peer.finish()["ok"]
    expect(shown.figure("Clients have")).to_have_text("100 %")
    expect(shown.page.locator(".why strong")).to_have_text("Nobody")
    expect(shown.figure("Of the best there can be")).to_have_text(re.compile("%"))
    # What the events have made of it is what the supernode knows.
    task = task_of(supernode)
    until(lambda: same_swarm(shown, task))


def same_swarm(shown: Console, task: str) -> bool:
    """Tell whether the page's swarm is the supernode's."""
    same: bool = shown.page.evaluate(
        """async task => {
            const { Swarm } = await import("/console/js/swarm.js");
            const told = new Swarm(await (await fetch(`/tasks/${task}/swarm`)).json());
            const facts = swarm => JSON.stringify([
                swarm.seededCount, [...swarm.copies], swarm.leases.size,
                [...swarm.clients.values()].sort((a, b) => a.id < b.id ? -1 : 1).map(client =>
                    [client.id, client.peer, client.status, [...client.have],
                     client.fromSeed, client.fromPeers]),
            ]);
            return facts(told) === facts(supernodeConsole.model.swarm);
        }""",
        task,
    )
    return same


def test_the_pieces_are_read_with_the_arrow_keys(
    shown: Console, supernode: Daemon, swarm: list[Peer]
) -> None:
    for peer in swarm:
        assert peer.finish()["ok"]
    shown.open(f"/tasks/{task_of(supernode)}")
    pieces = shown.page.get_by_role("application", name=re.compile("^Pieces"))
    pieces.focus()
    said = shown.page.locator(".readout")
    for key, piece in (("ArrowRight", 0), ("ArrowRight", 1), ("End", 7), ("ArrowLeft", 6)):
        pieces.press(key)
        expect(said).to_have_text(f"Piece {piece}: at the supernode, at 3 peers")


def test_an_operator_pauses_and_resumes(
    shown: Console, supernode: Daemon, swarm: list[Peer]
) -> None:
    task = task_of(supernode)
    shown.open(f"/tasks/{task}")
    shown.button("Pause").click()
    dialog = shown.page.get_by_role("dialog")
    expect(dialog).to_contain_text(f"Pause {FILE}?")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_have_count(0)
    assert "paused" not in cast("dict[str, object]", supernode.get(f"/tasks/{task}"))
    shown.button("Pause").click()
    dialog.get_by_role("button", name="Pause", exact=True).click()
    expect(shown.page.locator(".titled .badge")).to_have_text("paused")
    expect(shown.page.locator(".why strong")).to_have_text("Paused")
    shown.button("Resume").click()
    dialog.get_by_role("button", name="Resume", exact=True).click()
    expect(shown.page.locator(".titled .badge")).not_to_have_text("paused")
    for peer in swarm:
        assert peer.finish()["ok"]


def test_an_operator_deletes_a_task_and_removes_a_peer(
    shown: Console, supernode: Daemon, swarm: list[Peer]
) -> None:
    for peer in swarm:
        assert peer.finish()["ok"]
    shown.open("/peers")
    expect(shown.rows("Peers")).to_have_count(3)
    shown.rows("Peers").first.get_by_role("link").click()
    expect(shown.rows("Holds")).to_contain_text([FILE])
    shown.button("Remove").click()
    dialog = shown.page.get_by_role("dialog")
    dialog.get_by_role("button", name="Remove the peer").click()
    expect(shown.rows("Peers")).to_have_count(2)
    shown.show(f"/tasks/{task_of(supernode)}")
    shown.button("Delete").click()
    dialog.get_by_role("button", name="Delete the task").click()
    expect(shown.page.get_by_text("No tasks.")).to_be_visible()
    assert supernode.get("/tasks?pageSize=9") == []


def test_an_operator_preheats(shown: Console, origin: Origin, url: str) -> None:
    shown.excused = "400"  # which is what the browser calls a refusal
    shown.open("/preheats")
    shown.button("Start a preheat").click()
    dialog = shown.page.get_by_role("dialog")
    address = dialog.get_by_label("URL")
    address.fill("ftp://files.example/x")
    dialog.get_by_role("button", name="Start").click()
    expect(dialog.get_by_role("alert")).to_contain_text("url")
    address.fill(url)
    dialog.get_by_role("button", name="Start").click()
    expect(dialog).to_have_count(0)
    card = shown.page.get_by_role("article")
    expect(card).to_contain_text(FILE)
    expect(card.locator(".badge").first).to_have_text("complete")
    expect(card).to_contain_text("100 %")
    assert origin.bytes_sent() == SIZE


IMAGE = {
    "ID": "p1",
    "type": "image",
    "url": "https://registry.example/v2/app/manifests/1.0",
    "status": "RUNNING",
    "startTime": "2026-01-01T00:00:00.000Z",
    "blobsTotal": 3,
    "blobsDone": 2,
}
BLOBS = [
    {
        "taskID": "a",
        "digest": "sha256:" + "a" * 64,
        "size": 300,
        "state": "SUCCESS",
        "from": "copy",
    },
    {
        "taskID": "b",
        "digest": "sha256:" + "b" * 64,
        "size": 600,
        "state": "RUNNING",
        "bytesDone": 300,
    },
    {
        "taskID": "c",
        "digest": "sha256:" + "c" * 64,
        "size": 100,
        "state": "SKIPPED",
        "detail": "why",
    },
]


def test_an_image_is_preheated_layer_by_layer(shown: Console) -> None:
    seq = {"Supernode-Seq": "0"}
    shown.page.route("**/preheats?*", lambda route: route.fulfill(json=[IMAGE], headers=seq))
    shown.page.route(
        "**/preheats/p1", lambda route: route.fulfill(json=IMAGE | {"blobs": BLOBS}, headers=seq)
    )
    shown.open("/preheats")
    card = shown.page.get_by_role("article")
    expect(card).to_contain_text("70 %")
    expect(card).to_contain_text("2 of 3 files")
    layers = card.get_by_role("listitem")
    expect(layers).to_contain_text(
        [
            re.compile("aaa….*complete.*was there under another URL"),
            re.compile("bbb….*600 B.*running"),
            re.compile("ccc….*skipped.*why"),
        ]
    )
    expect(layers.nth(1).get_by_role("meter")).to_have_attribute("aria-valuenow", "50")


def test_events_are_filtered_and_held(shown: Console, url: str, swarm: list[Peer]) -> None:
    shown.open("/events")
    events = shown.rows("Events")
    expect(events.filter(has_text="piece.finished").first).to_be_visible()
    shown.page.get_by_label("Kind of event").select_option("piece")
    search = shown.page.get_by_placeholder(re.compile("^Type, piece"))
    search.fill("piece.cached")
    for peer in swarm:
        assert peer.finish()["ok"]
    types = events.locator(".type")
    until(lambda: set(types.all_inner_texts()) <= {"piece.cached"})
    search.fill("nothing like that")
    expect(events).to_have_count(0)
    search.fill("")
    until(lambda: {"piece.assigned", "piece.finished"} <= set(types.all_inner_texts()))
    shown.button("Hold").click()
    expect(shown.button("Go on")).to_have_attribute("aria-pressed", "true")


def test_what_has_happened_is_replayed(
    shown: Console, supernode: Daemon, swarm: list[Peer]
) -> None:
    for peer in swarm:
        assert peer.finish()["ok"]
    # The page was not there when it happened.
    shown.open(f"/tasks/{task_of(supernode)}")
    expect(shown.figure("Clients have")).to_have_text("100 %")
    shown.button("Replay").click()
    time = shown.page.get_by_role("slider", name="Time")
    expect(time).to_be_focused()
    time.press("Home")
    expect(shown.page.get_by_text("Nobody downloads it.")).to_be_visible()
    assert shown.page.evaluate("supernodeConsole.view.replay.swarm.seededCount") == 0
    last = int(time.get_attribute("max") or 0)
    shown.page.evaluate("index => supernodeConsole.view.replay.seek(index)", last // 2)
    expect(shown.figure("Clients have")).to_have_text(re.compile(r"^[1-9]\d? %$"))
    assert shown.page.evaluate("supernodeConsole.view.replay.swarm.leases.size") > 0
    time.press("End")
    expect(shown.figure("Clients have")).to_have_text("100 %")
    assert shown.page.evaluate("supernodeConsole.view.replay.swarm.leases.size") == 0
    shown.button("Back to live").click()
    expect(shown.button("Replay")).to_be_focused()


def test_the_page_comes_back_when_the_supernode_does(
    browser: Browser, supernode: Daemon, url: str, tmp_path: Path
) -> None:
    with console(browser, supernode.node) as shown:
        shown.excused = "WebSocket connection|ERR_"
        shown.open()
        supernode.kill()
        expect(shown.page.locator("#link")).to_contain_text("connection lost")
        supernode.start()
        shown.is_live()
        with peers(tmp_path, url, supernode.node, 2, "--notbs") as both:
            for peer in both:
                assert peer.finish()["ok"]
        expect(shown.rows("Tasks")).to_contain_text([FILE])
        expect(shown.figure("From origins")).to_have_text("32.0 MiB")
        numbers: list[int] = shown.page.evaluate(
            "supernodeConsole.model.log.events.map(event => event.seq ?? event.to)"
        )
        assert numbers == sorted(set(numbers))


def test_the_page_comes_back_when_the_supernode_has_lost_its_memory(
    browser: Browser, url: str, tmp_path: Path
) -> None:
    with daemon(tmp_path / "supernode") as supernode, console(browser, supernode.node) as shown:
        shown.excused = "WebSocket connection|ERR_"
        with peers(tmp_path, url, supernode.node, 1, "--notbs") as (peer,):
            assert peer.finish()["ok"]
        shown.open()
        expect(shown.rows("Tasks")).to_have_count(1)
        supernode.kill()
        for file in supernode.directory.glob("supernode.db*"):
            file.unlink()
        for file in (supernode.directory / "repo").rglob("*"):
            if file.is_file():
                file.unlink()
        supernode.start()
        shown.is_live()
        expect(shown.page.get_by_text("No tasks.")).to_be_visible()


def test_a_task_that_is_not_there(shown: Console) -> None:
    shown.excused = "404"
    shown.open(f"/tasks/{'0' * 64}")
    expect(shown.page.get_by_role("alert").filter(has_text="no such task")).to_be_visible()


# for everybody


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_kept_out(
    browser: Browser, supernode: Daemon, swarm: list[Peer], scheme: str
) -> None:
    with console(browser, supernode.node, color_scheme=scheme) as shown:
        shown.open()
        task = task_of(supernode)
        (peer, *_) = cast("list[dict[str, str]]", json.loads(read(supernode, "/peers?pageSize=9")))
        for view, there in VIEWS:
            shown.show(view.format(task=task, peer=peer["ID"]))
            expect(shown.page.locator(there).first).to_be_visible()
            assert shown.barriers() == [], view
        shown.show("/preheats")
        shown.button("Start a preheat").click()
        assert shown.barriers() == []


VIEWS = [
    ("/", ".chart canvas"),
    ("/tasks/{task}", ".piece-map canvas"),
    ("/peers", "tbody tr"),
    ("/peers/{peer}", "tbody tr"),
    ("/preheats", ".empty"),
    ("/events", "tbody tr"),
]


def read(supernode: Daemon, path: str) -> bytes:
    """Return an answer, whatever success it is."""
    with urllib.request.urlopen(f"http://{supernode.node}{path}", timeout=10) as answer:
        return cast("bytes", answer.read())


def test_a_phone_has_room_for_every_view(
    browser: Browser, supernode: Daemon, swarm: list[Peer]
) -> None:
    with console(browser, supernode.node, viewport=PHONE) as shown:
        shown.open()
        task = task_of(supernode)
        (peer, *_) = cast("list[dict[str, str]]", json.loads(read(supernode, "/peers?pageSize=9")))
        for view, there in VIEWS:
            shown.show(view.format(task=task, peer=peer["ID"]))
            expect(shown.page.locator(there).first).to_be_visible()
            assert shown.overflow() == 0, view
        box = shown.page.locator(".log .type").first.bounding_box()
        assert box
        assert box["width"] > 3 * box["height"], "a word is in one line"


def test_the_keyboard_is_enough(shown: Console, supernode: Daemon, swarm: list[Peer]) -> None:
    shown.open()
    keyboard = shown.page.keyboard
    keyboard.press("Tab")
    expect(shown.page.get_by_text("Skip to the content")).to_be_focused()
    for _ in range(3):
        keyboard.press("Tab")
    expect(shown.page.get_by_role("link", name="Peers")).to_be_focused()
    keyboard.press("Enter")
    expect(shown.page.get_by_role("heading", name="Peers")).to_be_visible()
    expect(shown.page.locator("main")).to_be_focused()
    heading = shown.page.get_by_role("columnheader", name="Host")
    heading.get_by_role("button").press("Enter")
    expect(heading).to_have_attribute("aria-sort", "ascending")
    shown.show(f"/tasks/{task_of(supernode)}")
    shown.button("Delete").press("Enter")
    dialog = shown.page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(shown.button("Delete")).to_be_focused()


def test_nothing_moves_for_those_who_want_that(browser: Browser, supernode: Daemon) -> None:
    moving = """[...document.querySelectorAll("*")].filter(element => {
        const style = getComputedStyle(element);
        return style.animationName !== "none" || parseFloat(style.transitionDuration) > 0;
    }).length"""
    with console(browser, supernode.node, reduced_motion="no-preference") as shown:
        assert shown.open().page.evaluate(moving) > 0
    with console(browser, supernode.node, reduced_motion="reduce") as shown:
        assert shown.open().page.evaluate(moving) == 0
