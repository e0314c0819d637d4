"""A real Chromium, and pages that must not complain."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

DEADLINE_MS = 20_000
AXE = (resources.files("axe_playwright_python") / "axe.min.js").read_text()
PHONE = {"width": 390, "height": 844}

expect.set_options(timeout=DEADLINE_MS)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run the system's Chromium."""
    program = shutil.which("chromium")
    assert program, "chromium is missing: ./packaging/test installs it"
    # Its sandbox cannot be had by root.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Console:
    """A browser's page with the console, and all that it complained about.

    Args:
        node: ``host:port`` of the supernode, which is all that the page may contact.
    """

    page: Page
    node: str
    complaints: list[str] = field(default_factory=list)
    excused: str = ""
    """Of which complaints nothing is made: a regular expression."""

    def __post_init__(self) -> None:
        self.page.set_default_timeout(DEADLINE_MS)
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self._on_request(request.url))
        self.page.on("websocket", lambda socket: self._on_request(socket.url))

    def _on_console(self, message: Any) -> None:  # noqa: ANN401 - its type is not exported
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _on_request(self, url: str) -> None:
        if urlsplit(url).netloc != self.node:
            self.complaints.append(f"asks for {url}")

    def open(self, view: str = "/") -> "Console":
        """Open a view and wait until it is live."""
        self.page.goto(f"http://{self.node}/console#{view}")
        self.is_live()
        return self

    def show(self, view: str) -> None:
        """Go to a view by the page's address."""
        self.page.evaluate("view => { location.hash = view }", view)

    def is_live(self) -> None:
        """Wait until events come in."""
        expect(self.page.locator("#link")).to_have_text("live")

    def figure(self, name: str) -> Locator:
        """Return the number that has this name."""
        named = self.page.locator(".figure").filter(
            has=self.page.locator("dt", has_text=re.compile(f"^{name}$"))
        )
        return named.locator("dd").first

    def rows(self, section: str) -> Locator:
        """Return the rows of the table in the section with this heading."""
        return self.page.get_by_role("region", name=section, exact=True).locator("tbody tr")

    def button(self, name: str) -> Locator:
        """Return a button."""
        return self.page.get_by_role("button", name=name, exact=True)

    def barriers(self) -> list[str]:
        """Return what keeps somebody from using what is shown."""
        self.page.evaluate(AXE)
        found = self.page.evaluate("async () => (await axe.run()).violations")
        return [
            f"{broken['id']}: {node['html'][:200]}" for broken in found for node in broken["nodes"]
        ]

    def overflow(self) -> int:
        """Return by how many pixels the page is wider than its window."""
        width: int = self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        return width

    def check(self) -> None:
        """Fail if the page has complained."""
        made = [text for text in self.complaints if not re.search(self.excused or "^$", text)]
        assert made == []


@contextmanager
def console(browser: Browser, node: str, **context: Any) -> Iterator[Console]:  # noqa: ANN401
    """A page of its own; when done, it must not have complained.

    Args:
        context: as of Playwright: ``color_scheme``, ``viewport``, …
    """
    with browser.new_context(**context) as place:
        shown = Console(place.new_page(), node)
        yield shown
        shown.check()
