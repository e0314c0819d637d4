"""The swarm: origin, supernode and peers, started in this order and ended in the reverse one."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import trio

from supernode.demo import origin
from supernode.demo.ledger import EndEvent, Event, Ledger, PeerAccount, PieceEvent
from supernode.demo.processes import Child, child, end_uploaders
from supernode.dfget.http import HttpClient, HttpError

READY_SECONDS = 30.0
"""Until when the supernode must answer."""
ASK_SECONDS = 1.0
LOOK_AGAIN_SECONDS = 0.02
PEER_GRACE = 5.0
UPLOADER_GRACE = 5.0
SUPERNODE_GRACE = 20.0
"""More than the supernode's own drain and forced end together."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the supernode listens on loopback."""

    control: int
    data: int


async def run(ledger: Ledger, ports: Ports, directory: Path) -> None:
    """Let every peer download the file; fill the ledger, the digests' verdict included.

    Whatever happens, every process is gone when this returns.

    Raises:
        ProcessFailed: a process did not do its part; possibly in a group.
        OSError: the disk refuses; possibly in a group.
    """
    ledger.phase = "writing a file of random bytes"
    file, homes = directory / "file.bin", directory / "peers"
    homes.mkdir()
    digest = await origin.write_file(file, ledger.size)
    async with trio.open_nursery() as nursery:
        port = await nursery.start(origin.serve, file, ledger.sent_by_origin)
        url = f"http://127.0.0.1:{port}/{file.name}"
        ledger.phase = "starting the supernode"
        async with _supernode(ports, directory):
            await _download(ledger, url, ports.control, homes)
            ledger.phase = "checking every digest"
            for peer in ledger.peers:
                actual = await trio.to_thread.run_sync(_sha256, _output(homes, peer))
                peer.digest_ok = actual == digest
            ledger.phase = "ending every process"
        nursery.cancel_scope.cancel()
    ledger.phase = "done"


@asynccontextmanager
async def _supernode(ports: Ports, directory: Path) -> AsyncIterator[None]:
    """Run a supernode; raise ProcessFailed if it does not come up, stay up, and end with 0."""
    async with child(
        "the supernode",
        directory / "supernode.log",
        "serve",
        "--config=/dev/null",  # whatever supernode this machine is set up for, this is another
        "--host=127.0.0.1",
        f"--port={ports.control}",
        f"--data-port={ports.data}",
        "--advertise-ip=127.0.0.1",
        f"--state-dir={directory / 'supernode'}",
        "--allow-origin=127.0.0.0/8",
        grace=SUPERNODE_GRACE,
    ) as supernode:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_fail_if_it_ends, supernode)
            await _answering(supernode, ports.control)
            yield
            nursery.cancel_scope.cancel()
        await supernode.end(SUPERNODE_GRACE)
        if status := supernode.process.returncode:
            raise supernode.failure(f"ended with {status} when told to stop")


async def _fail_if_it_ends(process: Child) -> None:
    raise process.failure(f"ended with {await process.process.wait()}")


async def _answering(supernode: Child, port: int) -> None:
    """Wait until the supernode answers."""
    http = HttpClient()
    with trio.move_on_after(READY_SECONDS):
        while True:
            try:
                await http.request(("127.0.0.1", port), "GET", "/_ping", timeout=ASK_SECONDS)
            except HttpError:
                await trio.sleep(LOOK_AGAIN_SECONDS)
            else:
                http.close()
                return
    raise supernode.failure(f"does not answer within {READY_SECONDS:g} s")


async def _download(ledger: Ledger, url: str, control: int, homes: Path) -> None:
    """Run every peer to its end, all at once; their uploaders share until the last is done."""
    ledger.phase = "downloading"
    try:
        async with trio.open_nursery() as nursery:
            for peer in ledger.peers:
                nursery.start_soon(partial(_peer, ledger, peer, url, control, homes))
    finally:
        await end_uploaders(homes, UPLOADER_GRACE)


async def _peer(ledger: Ledger, peer: PeerAccount, url: str, control: int, homes: Path) -> None:
    """Run one dfget and enter what it says."""
    limits = [f"--locallimit={ledger.rate}", f"--totallimit={ledger.rate}"] if ledger.rate else []
    peer.started = trio.current_time()
    async with child(
        f"peer {peer.name}",
        homes / f"{peer.name}.log",
        "dfget",
        f"--url={url}",
        f"--output={_output(homes, peer)}",
        f"--node=127.0.0.1:{control}",
        f"--home={homes / peer.name}",
        "--ip=127.0.0.1",
        f"--port={peer.port}",
        "--notbs",  # what cannot be had from the swarm is to be missed
        "--json",
        "--console",
        *limits,
        grace=PEER_GRACE,
    ) as dfget:
        async for line in dfget.lines():
            if event := _event(dfget, line):
                ledger.hear(peer, event, trio.current_time())
        status = await dfget.process.wait()
    peer.remark = "".join(dfget.said()[-1:])
    if status != 0 or peer.ended is None:
        raise dfget.failure(f"ended with {status}: {peer.error or 'no reason given'}")


class _AnyEvent(msgspec.Struct):
    event: str


_KNOWN = {"piece": PieceEvent, "end": EndEvent}


def _event(dfget: Child, line: bytes) -> Event | None:
    """Return what a line says, if it is of interest."""
    try:
        kind = _KNOWN.get(msgspec.json.decode(line, type=_AnyEvent).event)
        return msgspec.json.decode(line, type=kind) if kind else None
    except msgspec.MsgspecError as error:
        raise dfget.failure(f"prints what makes no sense: {line[:200]!r}") from error


def _output(homes: Path, peer: PeerAccount) -> Path:
    return homes / f"{peer.name}.bin"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
