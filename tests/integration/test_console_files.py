"""The console's page and files as they are served; what they do is seen in a browser."""

import hashlib
import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import httpx2
import pytest

from supernode.api.app import create_app
from supernode.api.console.page import Console
from tests.inprocess import InProcess

ROOT = Path(__file__).parents[2]
FILES = ROOT / "supernode/api/console/files"
NAMES = sorted(
    path.relative_to(FILES).as_posix()
    for path in FILES.rglob("*")
    if path.is_file() and path.name != "index.html"
)


@pytest.fixture
async def browse() -> AsyncIterator[httpx2.AsyncClient]:
    """Somebody who reads files."""
    node = InProcess()
    node.app = create_app(Console().operations(), node.responder)
    async with node.browse() as client:
        yield client


@pytest.mark.parametrize("prefix", ["", "/api/v1", "/v1.24", "/v1.24/api/v1"])
async def test_the_page_finds_its_files(browse: httpx2.AsyncClient, prefix: str) -> None:
    page = await browse.get(f"{prefix}/console")
    assert page.status_code == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    named = re.findall(r'(?:src|href)="(console/[^"]+)"', page.text)
    assert len(named) > 4
    for name in named:
        file = await browse.get(urljoin(f"{prefix}/console", name))
        assert file.status_code == 200, name


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("js/")])
async def test_modules_find_each_other(browse: httpx2.AsyncClient, name: str) -> None:
    file = await browse.get(f"/console/{name}")
    assert file.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert file.headers["X-Content-Type-Options"] == "nosniff"
    for imported in re.findall(r'^(?:import|export) .*? from "([^"]+)";$', file.text, re.M | re.S):
        assert (FILES / name).parent.joinpath(imported).is_file(), imported


async def test_a_file_that_is_known_is_not_sent_again(browse: httpx2.AsyncClient) -> None:
    first = await browse.get("/console/js/main.js")
    assert first.headers["Cache-Control"] == "no-cache"
    tag = first.headers["ETag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = await browse.get("/console/js/main.js", headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b""), known
        assert again.headers["ETag"] == tag
    changed = await browse.get("/console/js/main.js", headers={"If-None-Match": '"other"'})
    assert changed.content == first.content


@pytest.mark.parametrize(
    "path",
    [
        "/console/index.html",
        "/console/js",
        "/console/js/",
        "/console/nothing.js",
        "/console/../docs",
        "/console/%2e%2e/page.py",
        "/console/js/..%2f..%2f..%2fpage.py",
    ],
)
async def test_nothing_else_is_served(browse: httpx2.AsyncClient, path: str) -> None:
    assert (await browse.get(path)).status_code == 404


async def test_a_slash_too_many_leads_to_the_page(browse: httpx2.AsyncClient) -> None:
    answer = await browse.get("/api/v1/console/")
    assert answer.status_code == 308
    assert urljoin("/api/v1/console/", answer.headers["Location"]) == "/api/v1/console"


async def test_the_page_may_use_nothing_but_this_site(browse: httpx2.AsyncClient) -> None:
    page = await browse.get("/console")
    policy = page.headers["Content-Security-Policy"].split("; ")
    assert "default-src 'none'" in policy
    assert not [rule for rule in policy if "unsafe" in rule or "http" in rule or "*" in rule]
    inline = _Inline()
    inline.feed(page.text)
    assert inline.found == []


class _Inline(HTMLParser):
    """Finds scripts and styles that are part of the page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = {name for name, _ in attrs}
        if tag == "style" or (tag == "script" and "src" not in names):
            self.found.append(tag)
        self.found += [name for name in names if name == "style" or name.startswith("on")]


@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith("LICENSE")])
def test_no_file_names_another_site(name: str) -> None:
    text = (FILES / name).read_text()
    assert set(re.findall(r"https?://[\w.-]+", text)) <= {
        "https://files.example",  # shown in a form
        "http://www.w3.org",  # the name of SVG, not an address
        "https://github.com",  # uPlot's own, in a comment
    }


def test_what_is_vendored_is_what_was_published() -> None:
    lines = (ROOT / "packaging/vendor.lock").read_text().splitlines()
    assert re.fullmatch(r"# uplot \S+ sha512-\S+", lines[0])
    locked = {name: digest for digest, name in map(str.split, lines[1:])}
    there = {
        path.relative_to(ROOT).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (FILES / "vendor").iterdir()
    }
    assert locked == there
