"""The Debian package: what is in it, and what becomes of a clean system that it is installed in.

Needs root, as installing does.
"""

import hashlib
import re
import socket
import subprocess
import tarfile
import tomllib
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import click
import pytest

from supernode.cli import COMMANDS, cli
from supernode.config.catalogue import SECTIONS
from tests.e2e.clean_root import Root, clean_root, copy_of
from tests.e2e.neighbours import MIB, Origin

ROOT = Path(__file__).parents[2]
UNITS = ("supernode.service", "supernode.socket", "supernode-data.socket")
SECONDS = 60


def package(revision: int) -> Path:
    subprocess.run([ROOT / "packaging/deb", str(revision)], check=True, timeout=300)
    made = (ROOT / "dist").glob(f"supernode_*-{revision}_*.deb")
    return max(made, key=lambda path: path.stat().st_mtime)


@pytest.fixture(scope="module")
def first(executable: str) -> Path:
    """The package."""
    return package(1)


@pytest.fixture(scope="module")
def second(executable: str) -> Path:
    """One that is newer."""
    return package(2)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Root]:
    """A clean system."""
    with clean_root(tmp_path_factory.mktemp("clean") / "root", "systemd") as root:
        yield root


@pytest.fixture
def root(pristine: Root, tmp_path: Path) -> Iterator[Root]:
    """A clean system of the test's own."""
    with copy_of(pristine, tmp_path / "root") as root:
        yield root


@pytest.fixture(scope="module")
def installed(
    pristine: Root, first: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Root]:
    """A system with the package, for tests that change nothing."""
    with copy_of(pristine, tmp_path_factory.mktemp("installed") / "root") as root:
        root.install(first)
        yield root


def analyze(root: Root, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", f"--root={root.path}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)


def test_lintian_finds_nothing(first: Path) -> None:
    command = ["lintian", "--allow-root", "--fail-on", "error,warning", str(first)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr


def test_it_is_the_same_every_time(first: Path) -> None:
    before = hashlib.sha256(first.read_bytes()).hexdigest()
    assert hashlib.sha256(package(1).read_bytes()).hexdigest() == before


def test_what_is_in_it_belongs_to_root_and_is_the_program(first: Path, executable: str) -> None:
    contents = subprocess.check_output(["dpkg-deb", "--fsys-tarfile", first])
    with tarfile.open(fileobj=BytesIO(contents)) as archive:
        members = {member.name: member for member in archive}
        program = archive.extractfile("./usr/bin/supernode")
        assert program
        assert program.read() == Path(executable).read_bytes()
    assert {(member.uname, member.gname) for member in members.values()} == {("root", "root")}
    modes = {name: member.mode for name, member in members.items() if member.isfile()}
    assert modes.pop("./usr/bin/supernode") == 0o755
    assert set(modes.values()) == {0o644}
    assert {f"./usr/lib/systemd/system/{unit}" for unit in UNITS} < modes.keys()


def test_every_command_has_a_page_in_the_manual(installed: Root) -> None:
    context = click.Context(cli)
    commands = {name: cli.get_command(context, name) for name in COMMANDS}
    shown = {
        f"supernode-{name}.1.gz" for name, each in commands.items() if each and not each.hidden
    }
    pages = {path.name for path in (installed.path / "usr/share/man/man1").iterdir()}
    assert shown < pages
    settings = installed.path / "usr/share/man/man5/supernode.toml.5.gz"
    shown_page = subprocess.check_output(["man", "--local-file", settings], text=True)
    assert all(f"[{section}]" in shown_page for section in SECTIONS)


def test_a_shell_completes_its_commands(installed: Root) -> None:
    script = """
        . /usr/share/bash-completion/completions/supernode
        COMP_WORDS=(supernode check) COMP_CWORD=1
        _supernode_completion supernode
        echo "${COMPREPLY[@]}"
    """
    assert installed.run("bash", "-euc", script) == "check-config\n"


def test_its_configuration_is_read_and_changes_nothing(installed: Root) -> None:
    said = installed.run("supernode", "check-config")
    assert said.startswith("# /etc/supernode/supernode.toml was read\n")
    tomllib.loads(said)
    remarks = {line.split("  # ")[1] for line in said.splitlines() if " = " in line}
    assert all(remark.startswith("default") for remark in remarks)


def test_systemd_understands_the_units_where_they_are_installed(installed: Root) -> None:
    verified = analyze(installed, "verify", "--man=no", *UNITS)
    assert (verified.returncode, verified.stderr) == (0, "")
    judged = analyze(installed, "security", "--offline=yes", "--threshold=20", UNITS[0])
    assert judged.returncode == 0, judged.stdout


def test_it_is_to_start_with_the_system_but_its_sockets_only_if_asked(installed: Root) -> None:
    wants = installed.path / "etc/systemd/system"
    enabled = {str(path.relative_to(wants)) for path in wants.rglob("supernode*")}
    assert enabled == {"multi-user.target.wants/supernode.service"}


def test_an_upgrade_keeps_what_it_knows_and_what_was_set(
    root: Root, first: Path, second: Path
) -> None:
    root.install(first)
    kept = state(root)
    settings = root.path / "etc/supernode/supernode.toml"
    settings.write_text("[http]\nport = 9002\n")
    root.run("systemctl", "disable", "supernode.service")
    root.install(second)
    assert root.run("dpkg-query", "-Wf", "${Version}", "supernode").endswith("-2")
    assert kept.read_text() == "pieces"
    assert settings.read_text() == "[http]\nport = 9002\n"
    assert not list((root.path / "etc/systemd/system").rglob("supernode*"))


def test_removed_it_leaves_state_and_settings_and_purged_nothing(root: Root, first: Path) -> None:
    before = root.files()
    root.install(first)
    kept = state(root)
    root.run("dpkg", "--remove", "supernode")
    assert kept.exists()
    assert (root.path / "etc/supernode/supernode.toml").exists()
    assert not (root.path / "usr/bin/supernode").exists()
    root.run("dpkg", "--purge", "supernode")
    assert root.files() == before


def state(root: Root) -> Path:
    """Make a piece, where systemd has the daemon keep them."""
    kept = root.path / "var/lib/private/supernode/repo"
    kept.mkdir(parents=True)
    (root.path / "var/lib/supernode").symlink_to("private/supernode")
    (kept / "piece").write_text("pieces")
    return kept / "piece"


@contextmanager
def served(root: Root) -> Iterator[tuple[socket.socket, subprocess.Popen[bytes]]]:
    """Start the daemon as the unit does; yield the manager's socket, and its process."""
    unit = (root.path / "usr/lib/systemd/system/supernode.service").read_text()
    (program,) = re.findall(r"^ExecStart=(.+)$", unit, re.MULTILINE)
    (root.path / "var/lib/supernode").mkdir()
    (root.path / "var/lib/supernode").chmod(0o777)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(root.path / "run/notify"))
        manager.settimeout(SECONDS)
        (root.path / "run/notify").chmod(0o666)
        variables = ("NOTIFY_SOCKET=/run/notify", "WATCHDOG_USEC=2000000")
        settings = ("STATE_DIRECTORY=/var/lib/supernode", "SUPERNODE_HTTP__PORT=0")
        command = root.command("env", *variables, *settings, *program.split(), user="65534")
        with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
            try:
                yield manager, process
            finally:
                process.terminate()


def test_installed_it_serves_its_manager_and_downloads(
    root: Root, first: Path, origin: Origin
) -> None:
    root.install(first)
    url = origin.file("file", 10 * MIB + 17)
    (root.path / "etc/supernode/supernode.toml").write_text(
        '[http]\nhost = "127.0.0.1"\n[data]\nport = 8901\n[origin]\nallow = ["127.0.0.0/8"]\n'
    )
    with served(root) as (manager, process):
        ready = manager.recv(4096).decode()
        while "READY=1" not in ready:
            ready = manager.recv(4096).decode()
        (port,) = re.findall(r"port (\d+)", ready)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/_ping", timeout=SECONDS) as answer:
            assert answer.status == 200
        while manager.recv(4096) != b"WATCHDOG=1":
            pass
        root.run(
            *("supernode", "dfget", f"--node=127.0.0.1:{port}", f"--url={url}", "--notbs"),
            *("--output=/tmp/file", "--ip=127.0.0.1", "--home=/tmp/home", "--alivetime=0s"),
        )
        digest = hashlib.sha256((root.path / "tmp/file").read_bytes()).hexdigest()
        assert digest == origin.digests["file"]
        process.terminate()
        while not manager.recv(4096).startswith(b"STOPPING=1"):
            pass
        assert process.wait(SECONDS) == 0
