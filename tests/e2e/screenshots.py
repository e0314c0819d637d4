"""Makes the README's pictures of the console, for ``packaging/screenshots/make``."""

import re
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import ViewportSize, expect

from tests.e2e.browser import Console, chromium, console
from tests.e2e.machines import peers
from tests.e2e.neighbours import MIB, daemon, nginx

SIZE: ViewportSize = {"width": 1160, "height": 940}
LOW: ViewportSize = {"width": 1160, "height": 790}
LINKS = ("--notbs", "--locallimit", "6M", "--totallimit", "6M")


def main(directory: Path) -> None:
    """Write the pictures into a directory."""
    with ExitStack() as stack:
        state = Path(stack.enter_context(TemporaryDirectory()))
        origin = stack.enter_context(nginx(state / "origin"))
        supernode = stack.enter_context(daemon(state / "supernode"))
        browser = stack.enter_context(chromium())

        def open_console(**context: object) -> Console:
            return stack.enter_context(
                console(browser, supernode.node, viewport=SIZE, **context)
            ).open()

        light, dark = open_console(color_scheme="light"), open_console(color_scheme="dark")
        for name, size in (("checkpoint.safetensors", 48 * MIB), ("rootfs.tar.zst", 28 * MIB)):
            url = origin.file(name, size)
            for peer in stack.enter_context(peers(state / name, url, supernode.node, 3, *LINKS)):
                peer.finish()
        origin.file("debian-13.iso", 240 * MIB)
        url = f"http://127.0.0.1:{origin.port}/slow/debian-13.iso"
        stack.enter_context(peers(state / "peers", url, supernode.node, 9, *LINKS))
        light.page.get_by_role("link", name="debian-13.iso").click()
        part = re.compile(r"^[3-9]\d %$")
        expect(light.figure("Clients have")).to_have_text(part, timeout=120_000)
        light.page.screenshot(path=directory / "task.png")
        expect(dark.rows("Tasks")).to_have_count(3)
        dark.page.set_viewport_size(LOW)
        dark.page.screenshot(path=directory / "overview-dark.png")
        light.show("/")
        expect(light.page.locator(".chart canvas")).to_be_visible()
        light.page.set_viewport_size(LOW)
        light.page.screenshot(path=directory / "overview.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
