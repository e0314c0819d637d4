"""The root of a file system with nothing but Debian's essentials, and programs run in it."""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SECONDS = 300
VARIES = ("dev", "proc", "run", "sys", "tmp", "var/cache", "var/lib/dpkg", "var/log")
"""Below these it is not we who leave something."""
ENTER = 'mount --rbind /proc "$0/proc" && exec chroot --userspec="$1" "$0" "${@:2}"'
"""Needs a mount namespace of its own, so that nothing stays mounted."""


@dataclass
class Root:
    """Such a file system."""

    path: Path

    def command(self, *arguments: str, user: str = "root") -> list[str]:
        """Return the command that runs a program within."""
        enter = ["unshare", "--mount", "bash", "-euc", ENTER, str(self.path)]
        return [*enter, f"{user}:", "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", *arguments]

    def run(self, *arguments: str) -> str:
        """Run a program within, which must succeed; return what it says."""
        ended = subprocess.run(
            self.command(*arguments), capture_output=True, text=True, timeout=SECONDS, check=False
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def install(self, package: Path) -> None:
        """Install a package's file."""
        shutil.copy(package, self.path / "tmp")
        self.run("dpkg", "--install", f"/tmp/{package.name}")

    def files(self) -> set[str]:
        """Return the paths of all that is there."""
        found = (str(path.relative_to(self.path)) for path in self.path.rglob("*"))
        return {path for path in found if not path.startswith(VARIES)}


@contextmanager
def clean_root(path: Path, *packages: str) -> Iterator[Root]:
    """Make one with ``packages`` besides; remove it at the end."""
    include = [f"--include={','.join(packages)}"] if packages else []
    suite = subprocess.check_output(["sh", "-c", ". /etc/os-release; echo $VERSION_CODENAME"])
    command = ["mmdebstrap", "--quiet", "--variant=essential", *include, suite.decode().strip()]
    try:
        subprocess.run([*command, path], check=True, timeout=SECONDS)
        yield Root(path)
    finally:
        shutil.rmtree(path)


@contextmanager
def copy_of(root: Root, path: Path) -> Iterator[Root]:
    """Make another, as the first is now; remove it at the end."""
    copying: Sequence[str | Path] = ["cp", "--archive", "--reflink=auto", root.path, path]
    try:
        subprocess.run(copying, check=True, timeout=SECONDS)
        yield Root(path)
    finally:
        shutil.rmtree(path)
