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
        processor: seconds it has computed.
    """

    resident: float
    descriptors: int
    threads: int
    processor: float


def footprint(pid: int) -> Footprint:
    """Return what a process takes up now."""
    status = Path(f"/proc/{pid}/status").read_text()
    resident, threads = (
        int(match[1]) for match in re.finditer(r"^(?:VmRSS|Threads):\s+(\d+)", status, re.MULTILINE)
    )
    times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(times[11]) + int(times[12])  # of itself, and of the kernel for it
    return Footprint(
        resident / 1000,
        len(os.listdir(f"/proc/{pid}/fd")),
        threads,
        ticks / os.sysconf("SC_CLK_TCK"),
    )
