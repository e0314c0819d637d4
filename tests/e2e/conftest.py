"""Fixtures of the end-to-end tests."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.neighbours import Daemon, Origin, daemon, nginx

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def executable() -> str:
    """The executable, newly made."""
    subprocess.run([ROOT / "packaging/build"], check=True, timeout=600)
    return str(ROOT / "dist/supernode")


@pytest.fixture
def supernode(tmp_path: Path) -> Iterator[Daemon]:
    """A supernode that may fetch from loopback."""
    with daemon(tmp_path / "supernode") as running:
        yield running


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[Origin]:
    """A real nginx as origin."""
    with nginx(tmp_path / "origin") as running:
        yield running
