"""Starting this very program's commands as processes, and ending them, every one."""

import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from supernode import program
from supernode.dfget.uploader import PORTS

TAIL_LINES = 15
LONGEST_LINE = 1 << 20


class ProcessFailed(Exception):
    """A process did not end as it should; the message ends with what it said."""


@dataclass(slots=True)
class Child:
    """A process of ours.

    Args:
        title: what a person calls it.
        log: what it writes on standard error.
    """

    title: str
    process: trio.Process
    log: Path

    async def lines(self) -> AsyncIterator[bytes]:
        """Yield what it prints, line by line, until it prints no more."""
        assert self.process.stdout is not None
        buffer = bytearray()
        async for data in self.process.stdout:
            buffer += data
            *lines, buffer = buffer.split(b"\n")
            if len(buffer) > LONGEST_LINE:
                raise ProcessFailed(f"{self.title} prints a line without end")
            for line in lines:
                yield bytes(line)

    def said(self) -> list[str]:
        """Return the last of what it has written on standard error."""
        return self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:]

    def failure(self, why: str) -> ProcessFailed:
        """Return an error that tells why, and the last of what the process said."""
        return ProcessFailed("\n  ".join([f"{self.title} {why}", *self.said()]))

    async def end(self, grace: float) -> None:
        """Ask it to end, force it after ``grace`` seconds; see it gone. Not cancellable."""
        with trio.CancelScope(shield=True):
            if self.process.poll() is None:
                self.process.terminate()
            with trio.move_on_after(grace):
                await self.process.wait()
            if self.process.poll() is None:
                self.process.kill()
            await self.process.wait()


@asynccontextmanager
async def child(title: str, log: Path, *arguments: str, grace: float) -> AsyncIterator[Child]:
    """Run ``supernode ARGUMENTS…`` for as long as the context lasts.

    Settings in our environment are not meant for it.

    Args:
        title: what a person calls it.
        log: a file for its standard error.
        arguments: command, options; paths are absolute.
        grace: seconds it may take to end when it is no longer wanted.
    """
    with log.open("wb") as stderr:
        process = await trio.lowlevel.open_process(
            program.command(*arguments),
            cwd=program.folder(),
            env={n: v for n, v in os.environ.items() if not n.startswith("SUPERNODE_")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,  # a Ctrl-C is for us: we end the others, in order
        )
    started = Child(title, process, log)
    assert process.stdout is not None
    try:
        yield started
    finally:
        await started.end(grace)
        await trio.aclose_forcefully(process.stdout)


async def end_uploaders(homes: Path, grace: float) -> None:
    """End the uploaders of all homes below a directory, and see them gone. Not cancellable.

    They are nobody's children by now. Their command lines tell them for certain, also those that
    have come up too late to be found in their home's lock file.
    """
    with trio.CancelScope(shield=True):
        async with trio.open_nursery() as nursery:
            for pid in filter(str.isdigit, os.listdir("/proc")):
                if _is_uploader(int(pid), homes):
                    nursery.start_soon(_end_uploader, int(pid), homes, grace)


def _is_uploader(pid: int, homes: Path) -> bool:
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    home = os.fsencode(f"--home={homes}/")
    return b"dfget-uploader" in arguments and any(a.startswith(home) for a in arguments)


async def _end_uploader(pid: int, homes: Path, grace: float) -> None:
    with ExitStack() as stack:
        try:
            process = os.pidfd_open(pid)
            stack.callback(os.close, process)
            if not _is_uploader(pid, homes):  # looked at again: from here on the pid is its own
                return
            signal.pidfd_send_signal(process, signal.SIGTERM)
            with trio.move_on_after(grace) as patience:
                await trio.lowlevel.wait_readable(process)
            if patience.cancelled_caught:
                signal.pidfd_send_signal(process, signal.SIGKILL)
                await trio.lowlevel.wait_readable(process)
        except ProcessLookupError:
            return


@contextmanager
def reserved_ports(count: int) -> Iterator[list[int]]:
    """Yield free loopback ports that a peer may have; nobody comes first meanwhile.

    They are bound, but not listened on: who sets SO_REUSEADDR, as servers do, can listen there.
    """
    with ExitStack() as stack:
        ports: list[int] = []
        while len(ports) < count:
            held = stack.enter_context(socket.socket())
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.bind(("127.0.0.1", 0))
            port = held.getsockname()[1]
            if PORTS[0] <= port <= PORTS[1]:
                ports.append(port)
        yield ports
