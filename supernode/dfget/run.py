"""One run of dfget: from an order to its outcome.

Tries the supernodes, then, unless that is forbidden, the origin. However it ends, the output is
either whole and verified or as it was before.
"""

import contextlib
import itertools
import logging
import os
import random
import re
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from supernode.dfget import control
from supernode.dfget.content import ContentFile, check_output, sweep
from supernode.dfget.download import SwarmDownload
from supernode.dfget.errors import (
    MEANINGS,
    DfgetError,
    Exit,
    NoSupernode,
    SwarmDigestMismatch,
    SwarmError,
    TooLate,
    ungrouped,
)
from supernode.dfget.http import HttpClient, HttpError
from supernode.dfget.options import Digest, Node, Order
from supernode.dfget.origin import fetch_from_origin
from supernode.dfget.progress import Progress
from supernode.dfget.rate import TokenBucket
from supernode.dfget.sharing import Sharing, shared
from supernode.dfget.supernode import (
    PeerRequest,
    Rejected,
    Supernode,
    TaskInfo,
    TaskRequest,
    Unreachable,
)
from supernode.version import VERSION

log = logging.getLogger(__name__)

ROUNDS = 2
"""How often to try the supernodes before giving them up."""
ROUND_PAUSE_SECONDS = 1.0
GOODBYE_SECONDS = 2.0
"""How long to try to tell the supernode how the download ended."""
_attempts = itertools.count()
_EXITS = {
    signal.SIGHUP: Exit.HUNG_UP,
    signal.SIGINT: Exit.INTERRUPTED,
    signal.SIGTERM: Exit.TERMINATED,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Args:
        error: why without the file; empty if with it.
        digest_ok: whether the whole file's digest was right; None: there was none to compare.
    """

    exit: Exit
    error: str = ""
    digest_ok: bool | None = None


class Run:
    """One download; what has become of it.

    Args:
        order: what to download.
        progress: how it is shown.
    """

    def __init__(self, order: Order, progress: Progress) -> None:
        self._order = order
        self._progress = progress
        self._http = HttpClient(user_agent=f"dfget/{VERSION}")
        self._exit = Exit.FAILED
        self._error = ""
        self._digest_ok: bool | None = None

    async def run(self) -> Outcome:
        """Download; SIGINT, SIGTERM and SIGHUP end it early, with nothing left behind."""
        try:
            check_output(self._order.output)
            with contextlib.closing(self._http), ungrouped():
                await self._until_signal()
        except DfgetError as error:
            self._exit, self._error = error.exit, str(error)
            if self._exit is Exit.DIGEST:
                self._digest_ok = False
        return Outcome(self._exit, self._error, self._digest_ok)

    async def _until_signal(self) -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(self._watch_signals, nursery.cancel_scope)
            await self._download()
            nursery.cancel_scope.cancel()

    async def _watch_signals(
        self, scope: trio.CancelScope, task_status: trio.TaskStatus[None]
    ) -> None:
        # What was ignored from the start stays so: nohup.
        watched = [each for each in _EXITS if signal.getsignal(each) is not signal.SIG_IGN]
        with trio.open_signal_receiver(*watched) as signals:
            task_status.started()
            async for number in signals:
                if self._exit is not Exit.OK:
                    self._exit = _EXITS[signal.Signals(number)]
                    self._error = MEANINGS[self._exit]
                scope.cancel()

    async def _download(self) -> None:
        with trio.move_on_after(self._order.timeout) as scope:
            try:
                await self._from_swarm()
            except SwarmError as error:
                if not self._order.back_to_source:
                    raise
                self._progress.note(f"{error}; falling back to the origin")
                log.warning("%s; falling back to the origin", error)
                self._progress.restart()
                await self._from_origin()
        if scope.cancelled_caught and self._exit is not Exit.OK:
            raise TooLate(f"not done within {self._order.timeout:g} s")

    # from the swarm

    async def _from_swarm(self) -> None:
        order = self._order
        nodes = list(_in_turn(order))
        trouble: SwarmError = NoSupernode("no supernode is named")
        async with contextlib.AsyncExitStack() as stack:
            sharing: Sharing | None = None
            looked = False
            for round_number in range(ROUNDS):
                if round_number and nodes:
                    await trio.sleep(ROUND_PAUSE_SECONDS)
                for node in list(nodes):
                    try:
                        own = await self._http.local_address((node.host, node.port), tls=node.tls)
                        if not looked:
                            looked = True
                            sharing = await stack.enter_async_context(
                                shared(order, self._progress.note)
                            )
                        return await self._from_node(node, order.ip or own, sharing)
                    except HttpError as error:
                        trouble = NoSupernode(f"supernode {node}: {error}")
                    except NoSupernode as error:
                        trouble = error
                    except SwarmError as error:
                        trouble = error
                        nodes.remove(node)
                    log.warning("%s", trouble)
        raise trouble

    async def _from_node(self, node: Node, ip: str, sharing: Sharing | None) -> None:
        order = self._order
        self._progress.restart()
        supernode = Supernode(node, self._http)
        name, client = _names(order.output, ip)
        try:
            peer_id = await _join(supernode, ip, sharing)
            if not peer_id:
                sharing = None
            request = TaskRequest(
                raw_url=order.url,
                client=client,
                path=f"/peer/file/{name}",
                peer=peer_id,
                filter=order.filters,
                headers=_joined(order.headers),
                identifier=order.identifier,
                md5=order.digest.hex if order.digest and order.digest.algorithm == "md5" else "",
                call_system=order.call_system,
                dfdaemon=order.dfdaemon,
                insecure=order.insecure,
                root_cas=order.root_cas,
            )
            algorithm = order.digest.algorithm if order.digest else "sha256"
            with ContentFile(order.home / "data" / name, algorithm) as content:

                async def sized(task: str, piece_size: int) -> None:
                    if sharing is not None:
                        await sharing.share(order, node, task, request, content.path, piece_size)

                download = SwarmDownload(
                    supernode,
                    request,
                    content,
                    http=self._http,
                    limit=TokenBucket(order.local_limit),
                    progress=self._progress,
                    sharing=sharing,
                    sized=sized,
                    rejoin=partial(_join, supernode, ip, sharing, again=True),
                )
                await self._carry_out(download, content, sharing)
        except Unreachable as error:
            raise NoSupernode(str(error)) from error
        finally:
            self._progress.requests += supernode.requests

    async def _carry_out(
        self, download: SwarmDownload, content: ContentFile, sharing: Sharing | None
    ) -> None:
        """Get the pieces, verify the whole, put it in place, hand it to the uploader."""
        holds = False
        try:
            info = await download.run()
            self._digest_ok = await _verified(self._order.digest, info, content, download.length)
            await content.place(self._order.output)
            self._exit = Exit.OK
            if sharing is not None and self._order.alive_time:
                holds = await sharing.finished()
            if holds:
                content.keep()
        finally:
            with trio.move_on_after(GOODBYE_SECONDS, shield=True):
                await download.finish(holds=holds)

    # from the origin

    async def _from_origin(self) -> None:
        name, _ = _names(self._order.output, "")
        algorithm = self._order.digest.algorithm if self._order.digest else "sha256"
        with ContentFile(self._order.home / "data" / name, algorithm) as content:
            await trio.to_thread.run_sync(_clear_up, self._order.home)
            self._digest_ok = await fetch_from_origin(self._order, content, self._progress)
            await content.place(self._order.output)
            self._exit = Exit.OK


def _clear_up(home: Path) -> None:
    """Remove what killed runs left, unless there is an uploader: that does, and owns the rest."""
    lock = control.UploaderLock(home)
    try:
        if lock.acquire():
            sweep(home / "data")
    finally:
        lock.close()


def _in_turn(order: Order) -> Iterator[Node]:
    """Yield each supernode once, at random, the heavier the earlier."""
    chance = random.SystemRandom()
    keyed = [(chance.random() ** (1 / weight), node) for node, weight in order.nodes]
    return iter(dict.fromkeys(node for _, node in sorted(keyed, reverse=True)))


def _names(output: Path, ip: str) -> tuple[str, str]:
    """Return a name for the content, safe in a URL and a file system, and a client ID.

    The form is Dragonfly v1's; two attempts of one process differ by the time at least.
    """
    sign = f"{os.getpid()}-{time.time_ns() / 1e9 + next(_attempts) / 1e3:.3f}"
    base = re.sub(r"[^A-Za-z0-9._-]", "_", output.name)[:100]
    return f"{base}-{sign}", f"{ip}-{sign}"


def _joined(headers: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Return headers as a map; repeated ones are joined by commas."""
    joined: dict[str, str] = {}
    for name, value in headers:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


async def _join(
    supernode: Supernode, ip: str, sharing: Sharing | None, *, again: bool = False
) -> str:
    """Register this machine as a peer; empty: it will not be one, but can download all the same.

    Args:
        supernode: where.
        ip: the peer's address, unless the uploader has one of its own.
        sharing: the way to the uploader.
        again: whether the supernode has forgotten us.

    Raises:
        Unreachable: no answer.
    """
    if sharing is None:
        return ""
    host_name = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname()).strip("-.") or "localhost"
    peer = PeerRequest(sharing.ip or ip, host_name, sharing.port, VERSION)
    try:
        peer_id = await supernode.register_peer(peer)
    except Rejected as error:
        log.warning("not a peer, so nothing will be shared: %s", error)
        return ""
    await sharing.joined(supernode.node, peer, peer_id, again=again)
    return peer_id


async def _verified(
    wanted: Digest | None, info: TaskInfo, content: ContentFile, length: int
) -> bool | None:
    """Check the whole file against the user's digest, else the supernode's; None: there is none.

    Raises:
        SwarmDigestMismatch: it is another file.
    """
    if wanted is None and info.sha256:
        wanted = Digest("sha256", info.sha256)
    if wanted is None and info.md5:
        wanted = Digest("md5", info.md5)
    if wanted is None:
        return None
    actual = await content.digest(wanted.algorithm, length)
    if actual != wanted.hex:
        raise SwarmDigestMismatch(f"the swarm's file has {wanted.algorithm}:{actual}, not {wanted}")
    return True
