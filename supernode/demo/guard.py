"""What clears up when the demo itself is killed: a shell that waits for nothing else.

``PR_SET_PDEATHSIG`` would not do: it watches the thread that started a process, and Trio starts
processes in threads that come and go. Nor would it reach the uploaders, or remove a file.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from supernode import program

# Standard input ends with the demo, however that ends.
_CLEAR_UP = """
read -r _
for signal in TERM KILL; do
    for process in /proc/[0-9]*; do
        if grep -qsaF -- "=$1/" "$process/cmdline"; then kill -s $signal "${process#/proc/}"; fi
    done
    sleep 2
done
rm -rf -- "$1"
"""


@contextmanager
def guarded(directory: Path) -> Iterator[None]:
    """Should this process be killed meanwhile, end whom it started and remove ``directory``.

    Args:
        directory: our own; whoever has an option ``--…=DIRECTORY/…`` is ours, too.
    """
    with subprocess.Popen(
        ["sh", "-c", _CLEAR_UP, "sh", str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=program.clean_environment(),
        start_new_session=True,  # who kills our group does not kill the guard
    ) as guard:
        try:
            yield
        finally:
            guard.kill()
