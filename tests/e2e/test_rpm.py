"""The .rpm: what is in it, what it needs, and what it does when it comes and goes."""

import hashlib
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNITS = "supernode.socket supernode-data.socket supernode.service"


def package() -> Path:
    subprocess.run([ROOT / "packaging/rpm"], check=True, timeout=300)
    made = (ROOT / "dist").glob("supernode-*-1.*.rpm")
    return max(made, key=lambda path: path.stat().st_mtime)


@pytest.fixture(scope="module")
def rpm(executable: str) -> Path:
    """The package."""
    return package()


def query(rpm: Path, *arguments: str) -> str:
    return subprocess.check_output(["rpm", "-qp", *arguments, rpm], text=True)


def test_it_has_the_program_as_it_is(rpm: Path, executable: str) -> None:
    digest = hashlib.sha256(Path(executable).read_bytes()).hexdigest()
    lines = query(rpm, "--qf", "[%{FILENAMES} %{FILEDIGESTS}\n]").splitlines()
    assert f"/usr/bin/supernode {digest}" in lines


def test_its_files_belong_to_root_and_only_the_program_may_be_run(rpm: Path) -> None:
    form = "[%{FILEUSERNAME}:%{FILEGROUPNAME} %{FILEMODES:perms} %{FILENAMES}\n]"
    lines = [line.rsplit(" ", 1) for line in query(rpm, "--qf", form).splitlines()]
    files = {path: whose for whose, path in lines}
    assert files.pop("/usr/bin/supernode") == "root:root -rwxr-xr-x"
    assert set(files.values()) == {"root:root -rw-r--r--", "root:root drwxr-xr-x"}
    assert {
        "/etc/supernode/supernode.toml",
        "/usr/lib/systemd/system/supernode.service",
        "/usr/lib/systemd/system/supernode.socket",
        "/usr/lib/systemd/system/supernode-data.socket",
        "/usr/share/man/man1/supernode-serve.1.gz",
        "/usr/share/man/man5/supernode.toml.5.gz",
        "/usr/share/bash-completion/completions/supernode",
    } < files.keys()


def test_an_upgrade_keeps_what_was_set(rpm: Path) -> None:
    flags = query(rpm, "--qf", "[%{FILENAMES} %{FILEFLAGS:fflags}\n]").splitlines()
    assert "/etc/supernode/supernode.toml cn" in flags  # a configuration file, not to be replaced


def test_it_needs_a_c_library_and_nothing_else_but_a_shell(rpm: Path) -> None:
    needed = {line.split()[0] for line in query(rpm, "--requires").splitlines()}
    assert {each for each in needed if not each.startswith("rpmlib(")} == {"/bin/sh", "glibc"}


@pytest.mark.parametrize(
    ("script", "left", "told"),
    [
        ("POSTIN", 1, "--no-reload preset supernode.service\n"),
        ("POSTIN", 2, ""),
        ("PREUN", 1, ""),
        ("PREUN", 0, f"--no-reload disable {UNITS}\n"),
        ("POSTUN", 1, ""),
        ("POSTUN", 0, ""),
    ],
)
def test_its_scripts_enable_the_unit_once_and_disable_it_at_the_end(
    rpm: Path, tmp_path: Path, script: str, left: int, told: str
) -> None:
    text = query(rpm, "--qf", f"%{{{script}}}")
    recorder, record = tmp_path / "systemctl", tmp_path / "told"
    recorder.write_text(f'#!/bin/sh\necho "$@" >>{record}\n')
    recorder.chmod(0o755)
    record.touch()
    # As where no systemd runs, wherever this does.
    text = text.replace("/run/systemd/system", "/nonexistent")
    command = ["/bin/sh", "-euc", text, script, str(left)]
    subprocess.run(command, env={"PATH": str(tmp_path)}, check=True, timeout=30)
    assert record.read_text() == told


def test_its_scripts_do_nothing_where_there_is_no_systemd(rpm: Path) -> None:
    for script in ("POSTIN", "PREUN", "POSTUN"):
        for left in ("0", "1", "2"):
            text = query(rpm, "--qf", f"%{{{script}}}").replace(
                "/run/systemd/system", "/nonexistent"
            )
            command = ["/bin/sh", "-euc", text, script, left]
            subprocess.run(command, env={"PATH": "/nonexistent"}, check=True, timeout=30)


def test_it_is_the_same_every_time(rpm: Path) -> None:
    before = hashlib.sha256(rpm.read_bytes()).hexdigest()
    assert hashlib.sha256(package().read_bytes()).hexdigest() == before
