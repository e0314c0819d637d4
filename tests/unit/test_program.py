"""How this program starts processes, from its source and from its executable."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from supernode import program


@pytest.fixture
def executable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let us be the executable, with the environment that its first process makes."""
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", "/usr/bin/supernode")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/tmp/unpacked")


def test_from_source_it_runs_this_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "supernode.py").write_text("raise SystemExit(3)")
    command = program.command("version", "--help")
    subprocess.run(command, cwd=program.folder(), check=True, timeout=30)


def test_from_source_the_environment_is_as_it_was() -> None:
    assert program.clean_environment() == dict(os.environ)


@pytest.mark.usefixtures("executable")
def test_the_executable_runs_itself() -> None:
    assert program.command("dfget", "-h") == ["/usr/bin/supernode", "dfget", "-h"]


@pytest.mark.usefixtures("executable")
@pytest.mark.parametrize("users", [None, "/opt/lib"])
def test_other_programs_do_not_load_what_the_executable_unpacked(
    users: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LD_LIBRARY_PATH_ORIG", raising=False)
    if users is not None:
        monkeypatch.setenv("LD_LIBRARY_PATH_ORIG", users)
    assert program.clean_environment().get("LD_LIBRARY_PATH") == users
