"""The newcomer's commands, from a checkout."""

import os
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``packaging/run``; its environment is built if it is not there yet."""
    return subprocess.run(
        [str(ROOT / "packaging/run"), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ | environment,
        cwd="/",
    )


def test_run_says_nothing_of_its_own_on_stdout() -> None:
    expected = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert run("version").stdout == f"{expected}\n"


def test_run_passes_the_exit_status_on() -> None:
    assert run("serve", "--data-port", "0").returncode == 78


def test_the_lock_pins_everything_by_hash() -> None:
    lines = (ROOT / "packaging/requirements.lock").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith((" ", "#"))]
    assert pins
    assert all("==" in pin for pin in pins)
    assert sum("--hash=sha256:" in line for line in lines) >= len(pins)
