"""Starting processes: this program's own commands, and other programs.

Our one-file executable unpacks itself into a temporary folder, removes that when it ends, and tells
child processes of it by environment variables. Whoever starts anything has to mind them.
"""

import os
import sys
from pathlib import Path

import supernode


def command(*arguments: str) -> list[str]:
    """Return the command line of ``supernode ARGUMENTS…``.

    To be run in ``folder()``, in a session of its own. In the executable it takes our own
    environment to mean that it may run from what we have unpacked.
    """
    if _is_executable():
        return [sys.executable, *arguments]
    return [sys.executable, "-m", "supernode", *arguments]


def folder() -> Path:
    """Return where ``command()`` must be run: not wherever the user is.

    Python's ``-m`` imports from the current directory before any other, so that must be ours. And
    whoever started us may want to unmount where that was.
    """
    return Path("/") if _is_executable() else Path(supernode.__file__).resolve().parents[1]


def clean_environment() -> dict[str, str]:
    """Return the environment for what must not depend on the files we have unpacked.

    That is every other program, which would load our libraries instead of the system's, and
    whatever outlives us.
    """
    environment = dict(os.environ)
    if _is_executable():
        environment["PYINSTALLER_RESET_ENVIRONMENT"] = "1"
        environment.pop("LD_LIBRARY_PATH", None)
        if original := environment.pop("LD_LIBRARY_PATH_ORIG", None):
            environment["LD_LIBRARY_PATH"] = original
    return environment


def _is_executable() -> bool:
    return getattr(sys, "frozen", False)
