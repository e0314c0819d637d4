"""``/console``: the page and its files, served from the package as they are.

The page talks to the public interface only, so nothing here knows the tracker.
"""

import hashlib
from collections.abc import Iterator
from functools import partial
from importlib import resources
from importlib.resources.abc import Traversable

from supernode.api.operations import Operation
from supernode.exchange import Answer, Handler, Request

PATH = "/console"
_PAGE = "index.html"
_FILES = resources.files("supernode.api.console") / "files"
_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "LICENSE": "text/plain; charset=utf-8",
}
_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
)
"""Under which the page is made of these files alone, and text never becomes markup."""


class Console:
    """The page and its files, read once."""

    def __init__(self) -> None:
        self._files = {name: _answer(name, file.read_bytes()) for name, file in _walk(_FILES)}

    def operations(self) -> list[Operation]:
        """Return one operation for each file, and where the page is with a slash too many."""
        served = [
            _operation(PATH if name == _PAGE else f"{PATH}/{name}", partial(_revalidated, answer))
            for name, answer in self._files.items()
        ]
        return [*served, _operation(f"{PATH}/", _without_slash)]


def _operation(path: str, handler: Handler) -> Operation:
    return Operation(
        method="GET",
        path=path,
        handler=handler,
        summary="watch the swarm",
        tag="System",
        extension=True,
    )


def _walk(directory: Traversable, above: str = "") -> Iterator[tuple[str, Traversable]]:
    """Yield the files below a directory, each with its path."""
    for entry in sorted(directory.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _walk(entry, f"{above}{entry.name}/")
        else:
            yield above + entry.name, entry


def _answer(name: str, content: bytes) -> Answer:
    headers = {
        "ETag": f'"{hashlib.sha256(content).hexdigest()[:32]}"',
        "Cache-Control": "no-cache",  # kept, but asked for anew: there may be another version
        "X-Content-Type-Options": "nosniff",
    }
    if name == _PAGE:
        headers |= {"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"}
    return Answer(200, content, _TYPES[name.rpartition(".")[2]], headers)


def _revalidated(answer: Answer, request: Request) -> Answer:
    """Return a file, unless the client has it already."""
    known = request.headers.get("if-none-match", "")
    tags = {tag.strip().removeprefix("W/") for tag in known.split(",")}
    if answer.headers["ETag"] in tags or "*" in tags:
        return Answer(304, headers=answer.headers)
    return answer


def _without_slash(_request: Request) -> Answer:
    return Answer(308, headers={"Location": "../console"})
