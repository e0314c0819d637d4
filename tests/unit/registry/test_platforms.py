"""Which platforms are wanted."""

import pytest

from supernode.registry.platforms import ALL, Platform, Platforms

AMD64 = Platform("linux", "amd64")


def test_everything_is_wanted_unless_something_is() -> None:
    for text in ("", " ", ","):
        assert Platforms.parse(text) == ALL
    assert ALL.want(AMD64)
    assert ALL.want(Platform("unknown", "unknown"))


@pytest.mark.parametrize(
    ("wanted", "offered", "is_wanted"),
    [
        ("linux/amd64", "linux/amd64", True),
        ("linux/amd64", "linux/amd64/v3", True),
        ("linux/amd64", "linux/arm64", False),
        ("linux/amd64", "windows/amd64", False),
        ("linux/amd64", "unknown/unknown", False),
        ("linux/x86_64, linux/aarch64", "linux/arm64", True),
        ("Linux/AMD64", "linux/amd64", True),
        ("linux/arm64/v8", "linux/arm64", True),
        ("linux/arm64", "linux/arm64/v8", True),
        ("linux/arm", "linux/arm/v6", True),
        ("linux/arm/v7", "linux/arm/v6", False),
        ("linux/arm/v7", "linux/arm", True),
        ("linux/arm/v6", "linux/arm", False),
        ("linux/riscv64/x", "linux/riscv64", False),
    ],
)
def test_who_gets_what(wanted: str, offered: str, is_wanted: bool) -> None:
    os, architecture, *variant = offered.split("/")
    platform = Platform(os, architecture, *variant)
    assert Platforms.parse(wanted).want(platform) is is_wanted
    assert str(platform) == offered


def test_what_does_not_say_for_whom_it_is_is_wanted() -> None:
    assert Platforms.parse("linux/amd64").want(None)


@pytest.mark.parametrize("text", ["linux", "linux/", "/amd64", "a/b/c/d", "linux amd64", "a/ü"])
def test_what_is_no_platform(text: str) -> None:
    with pytest.raises(ValueError, match="expected platforms such as linux/amd64"):
        Platforms.parse(f"linux/arm64,{text}")


def test_there_are_not_so_many() -> None:
    with pytest.raises(ValueError, match="65 platforms are too many"):
        Platforms.parse(",".join(f"os{n}/arch" for n in range(65)))
