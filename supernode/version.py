"""Which supernode this is."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_REVISION_FILE = Path(__file__).with_name("REVISION")  # only in what packaging/build makes


def _version() -> str:
    try:
        return version("supernode")
    except PackageNotFoundError:  # a source tree that was not installed
        return "0"


def _revision() -> str:
    try:
        return _REVISION_FILE.read_text().strip()
    except FileNotFoundError:
        return ""


VERSION = _version()
REVISION = _revision()
"""The git commit the executable was made from, with ``-dirty`` if files had been changed; "" if
this is not the executable, or was not made in a git checkout."""
