"""For which machines an image is wanted: ``linux/amd64,linux/arm64``. Pure."""

import re
from collections.abc import Mapping
from typing import NamedTuple

_PART = r"[A-Za-z0-9_.+-]{1,64}"
_PLATFORM = re.compile(rf"({_PART})/({_PART})(?:/({_PART}))?")
_SAME: Mapping[str, str] = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64"}
_USUAL_VARIANT: Mapping[str, str] = {"amd64": "v1", "arm64": "v8", "arm": "v7"}
MOST_PLATFORMS = 64


class Platform(NamedTuple):
    """A kind of machine.

    Args:
        os: such as linux.
        architecture: such as amd64.
        variant: such as v7; "": it does not matter, or is the usual one.
    """

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(filter(None, self))


class Platforms(NamedTuple):
    """Those that are wanted; none: all."""

    wanted: tuple[Platform, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Platforms":
        """Return what a list such as ``linux/amd64,linux/arm/v7`` asks for; "" for all.

        Raises:
            ValueError: it is not such a list; the message is for people.
        """
        parts = [part for part in map(str.strip, text.split(",")) if part]
        if len(parts) > MOST_PLATFORMS:
            raise ValueError(f"{len(parts)} platforms are too many, at most {MOST_PLATFORMS}")
        return cls(tuple(map(_parsed, parts)))

    def want(self, platform: Platform | None) -> bool:
        """Tell whether what is for ``platform`` is wanted; None: it does not say what it is for.

        Who asks for no variant gets every one.
        """
        if not self.wanted or platform is None:
            return True
        return any(_covers(each, _plain(platform)) for each in self.wanted)

    def __str__(self) -> str:
        return ",".join(map(str, self.wanted))


ALL = Platforms()


def _parsed(text: str) -> Platform:
    match = _PLATFORM.fullmatch(text)
    if match is None:
        expected = "expected platforms such as linux/amd64 or linux/arm/v7"
        raise ValueError(f"{expected}, separated by commas, got {text[:64]!r}")
    return _plain(Platform(match[1], match[2], match[3] or ""))


def _plain(platform: Platform) -> Platform:
    """Return a platform with its names as Go has them."""
    os, architecture, variant = map(str.lower, platform)
    return Platform(os, _SAME.get(architecture, architecture), variant)


def _covers(wanted: Platform, offered: Platform) -> bool:
    if wanted[:2] != offered[:2]:
        return False
    usual = _USUAL_VARIANT.get(wanted.architecture, "")
    return not wanted.variant or wanted.variant == (offered.variant or usual)
