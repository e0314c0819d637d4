"""What a process takes up, as the kernel counts it."""

import os
import re
from pathlib import Path
from typing import NamedTuple


class Footprint(NamedTuple):
    """What one process takes up at a moment.

    Args:
        resident: memory, in MB.
        descriptors: open files.
    """

    resident: float
    descriptors: int
    threads: int


def footprint(pid: int) -> Footprint:
    """Return what a process takes up now."""
    status = Path(f"/proc/{pid}/status").read_text()
    resident, threads = (
        int(match[1]) for match in re.finditer(r"^(?:VmRSS|Threads):\s+(\d+)", status, re.MULTILINE)
    )
    return Footprint(resident / 1000, len(os.listdir(f"/proc/{pid}/fd")), threads)
