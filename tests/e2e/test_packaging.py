"""The newcomer's commands, from a checkout."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("pyproject.toml", "packaging/run", "packaging/environment.sh", "packaging/*.lock")
STAMP = """
root=$1
. "$root/packaging/environment.sh"
stamp_of runtime >"$venv/runtime.stamp"
"""
PROGRAM = """#!/bin/sh
printf '%s\\n' "$$" "$@"
exit 78
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with an environment that fits its lock, and in it a program that tells on us."""
    root = tmp_path / "check out"
    (root / "packaging").mkdir(parents=True)
    for pattern in SOURCES:
        for source in ROOT.glob(pattern):
            shutil.copy(source, root / source.relative_to(ROOT))
    programs = root / ".venv/bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to(sys.executable)
    (programs / "supernode").write_text(PROGRAM)
    (programs / "supernode").chmod(0o755)
    subprocess.run(["sh", "-euc", STAMP, "sh", str(root)], check=True)
    return root


def test_run_becomes_the_program(checkout: Path) -> None:
    # As somebody might call it: by a link, from elsewhere.
    link = checkout / "link"
    link.symlink_to("packaging/run")
    with subprocess.Popen(
        [link, "serve", "--data-port", "a b", ""],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
        # Whatever is missing is not to be installed by a test.
        env=os.environ | {"PIP_NO_INDEX": "1"},
    ) as process:
        said, complaints = process.communicate(timeout=30)
    assert said.splitlines() == [str(process.pid), "serve", "--data-port", "a b", ""]
    assert complaints == ""
    assert process.returncode == 78


def test_the_lock_pins_everything_by_hash() -> None:
    lines = (ROOT / "packaging/requirements.lock").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith((" ", "#"))]
    assert pins
    assert all("==" in pin for pin in pins)
    assert sum("--hash=sha256:" in line for line in lines) >= len(pins)
