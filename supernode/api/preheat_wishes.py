"""What is wanted to be preheated, in whichever dialect it is asked for, checked as far as possible.

Nobody is contacted for it: what only a registry can tell is found out by the preheat.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from supernode.api import validation
from supernode.api.call_systems import CallSystems
from supernode.core.commands import CreatePreheat
from supernode.core.errors import BadField
from supernode.core.identity import task_url
from supernode.core.model import PreheatKind, Secrets, TaskSpec
from supernode.registry import reference
from supernode.registry.platforms import Platforms
from supernode.registry.reference import BadReference, Reference

FILE, IMAGE = "file", "image"
_IMAGES_PATH = "/manifests/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One file or image, as somebody asks for it.

    Args:
        url: of the file, or of the image's manifest, or an image's short name.
        named: what ``url`` is called, for error messages.
        digest: of the image's manifest, if it was said.
    """

    url: str
    named: str = "url"
    filter: str = ""
    identifier: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    call_system: str = ""
    platform: str = ""
    digest: str = ""


class Wishes:
    """Turns what is asked for into commands.

    Args:
        call_systems: who may ask for files.
        forbidden: tells why a URL must not be fetched, as far as the URL itself shows it.
        parse_image: returns which image a text names; raises BadReference.
    """

    def __init__(
        self,
        call_systems: CallSystems,
        forbidden: Callable[[str], str | None],
        parse_image: Callable[[str], Reference] = reference.parse,
    ) -> None:
        self._call_systems = call_systems
        self._forbidden = forbidden
        self._parse_image = parse_image

    def file(self, wish: Wish) -> CreatePreheat:
        """Return how to have a file fetched. Raises BadField, Forbidden."""
        url = validation.url(wish.named, wish.url)
        filtered = task_url(url, validation.plain("filter", wish.filter).split("&"))
        return CreatePreheat(spec=self._spec(wish, url, filtered))

    def image(self, wish: Wish) -> CreatePreheat:
        """Return how to have an image fetched. Raises BadField, Forbidden."""
        text = validation.plain(wish.named, validation.required(wish.named, wish.url))
        try:
            image = self._parse_image(text)
        except BadReference as error:
            raise BadField(wish.named, str(error)) from None
        try:
            platforms = Platforms.parse(wish.platform)
        except ValueError as error:
            raise BadField("platform", str(error)) from None
        with suppress(BadReference):  # without a digest that can be verified the URL counts
            image = image.pinned(wish.digest)
        url = image.manifest_url_of(image.tag or image.digest)
        return CreatePreheat(
            spec=self._spec(wish, url, url),
            kind=PreheatKind.IMAGE,
            platforms=tuple(sorted(set(map(str, platforms.wanted)))),
            manifest=image.digest,
        )

    def either(self, wish: Wish) -> CreatePreheat:
        """Return how to have fetched what is an image if its URL looks like one's, else a file."""
        return self.image(wish) if _IMAGES_PATH in wish.url else self.file(wish)

    def _spec(self, wish: Wish, url: str, filtered: str) -> TaskSpec:
        if why := self._forbidden(url):
            raise BadField(wish.named, why)
        spec = TaskSpec(
            raw_url=url,
            task_url=filtered,
            identifier=validation.plain("identifier", wish.identifier),
            headers=Secrets(validation.headers("headers", wish.headers)),
            call_system=validation.plain("callSystem", wish.call_system),
        )
        self._call_systems.check(spec.call_system)
        return spec
