"""The uploader of a home directory: a process that outlives the downloads and shares their files.

Comes with the first download of its home, forgets each file some time after its last use, and
leaves when there has been no work for a while, signing its peers off.
"""

import contextlib
import hashlib
import logging
import math
import os
import random
import shutil
import signal
import socket
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import trio

from supernode.core.pieces import pack_pieces
from supernode.dfget import control
from supernode.dfget.content import sweep
from supernode.dfget.http import HttpClient
from supernode.dfget.listen import accept_each
from supernode.dfget.options import Node
from supernode.dfget.piece_server import PieceServer
from supernode.dfget.rate import TokenBucket
from supernode.dfget.shelf import SharedFile, Shelf
from supernode.dfget.supernode import (
    FAILED,
    PeerRequest,
    Rejected,
    Supernode,
    Unreachable,
)

log = logging.getLogger(__name__)

PORTS = (15000, 65000)
"""Dragonfly's limits, inclusive."""
PORT_TRIES = 50
LOCK_SECONDS = 5.0
"""How long to wait for an uploader that is leaving."""
FIRST_WORD_SECONDS = 10.0
"""How long to wait for the download that started us."""
LEAVE_SECONDS = 3.0
TELL_SECONDS = 5.0
HEARTBEAT_SECONDS = 60.0
MAX_DOWNLOADS = 256
LONGEST_SOCKET_PATH = 100
SHORT_FOLDER = "/tmp"  # noqa: S108 - a private folder is made in it; TMPDIR may be long


_MESSAGE: msgspec.json.Decoder[control.Message] = msgspec.json.Decoder(control.Message)


class NoPort(Exception):
    """There is no port to listen on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploaderSettings:
    """How to share.

    Args:
        ip: the address to bind to; empty: every one.
        port: 0: any free one that Dragonfly allows.
    """

    home: Path
    ip: str
    port: int


async def run_uploader(settings: UploaderSettings) -> None:
    """Be the uploader of the home until there is no work; return at once if another one is.

    Raises:
        NoPort: nothing to listen on.
        OSError: the home cannot be used.
    """
    home = settings.home
    (home / "data").mkdir(parents=True, exist_ok=True)
    lock = control.UploaderLock(home)
    try:
        if not await _acquire(lock, home):
            return
        await trio.to_thread.run_sync(sweep, home / "data")
        with _socket_path(home) as path:
            pieces, port = await _listen(settings.ip, settings.port)
            local = _listen_locally(path)
            await Uploader(settings, port, lock).run(pieces, local, path)
    finally:
        lock.close()


async def _acquire(lock: control.UploaderLock, home: Path) -> bool:
    """Get the lock, waiting for a predecessor that is leaving; not if one is there to stay."""
    with trio.move_on_after(LOCK_SECONDS):
        while not lock.acquire():
            if control.whereabouts(home) is not None:
                return False
            await trio.sleep(0.05)
        return True
    return False


async def _listen(ip: str, port: int) -> tuple[list[trio.SocketListener], int]:
    chance = random.SystemRandom()
    ports = [port] if port else [chance.randint(*PORTS) for _ in range(PORT_TRIES)]
    for candidate in ports:
        try:
            return await trio.open_tcp_listeners(candidate, host=ip or None), candidate
        except OSError as error:
            problem = error
    raise NoPort(f"cannot listen on {ip or '*'}:{ports[-1]}: {problem}")


@contextlib.contextmanager
def _socket_path(home: Path) -> Iterator[Path]:
    """Yield a path for the control socket, short enough for one; removed afterwards."""
    path = home / "uploader.sock"
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)
        return
    folder = _short_folder(home)
    try:
        yield folder / "s"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _short_folder(home: Path) -> Path:
    """Make a private folder for this home, or take the one that a killed predecessor left."""
    user = os.geteuid()
    sign = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    folder = Path(SHORT_FOLDER, f"dfget-{user}-{sign}")
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_mode & 0o077 or status.st_uid != user:
        raise PermissionError(f"{folder} is not a private folder of ours")
    return folder


def _listen_locally(path: Path) -> trio.SocketListener:
    path.unlink(missing_ok=True)  # a killed predecessor's; we hold the lock
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(path))
    path.chmod(0o600)  # before anyone can connect
    listening.listen(64)
    return trio.SocketListener(trio.socket.from_stdlib_socket(listening))


class Uploader:
    """One uploader at work.

    Args:
        settings: how to share.
        port: where the pieces are served.
        lock: held; says where we are.
    """

    def __init__(self, settings: UploaderSettings, port: int, lock: control.UploaderLock) -> None:
        self._settings = settings
        self._port = port
        self._lock = lock
        self._shelf = Shelf()
        self._limit = TokenBucket(0)
        self._server = PieceServer(self._shelf, self._limit, self._spoiled)
        self._http = HttpClient()
        self._peers: dict[tuple[Node, str], PeerRequest] = {}
        self._downloads = 0
        self._worked_at = trio.current_time()
        self._alive_time: float | None = None  # until a download says
        self._stop = False
        self._changed = trio.Event()
        self._in_doubt = trio.Event()
        self._tasks: trio.Nursery | None = None

    async def run(
        self, pieces: list[trio.SocketListener], local: trio.SocketListener, path: Path
    ) -> None:
        """Share until told to stop or idle, then sign off. Owns the listeners."""
        with contextlib.closing(self._http):
            await self._run(pieces, local, path)

    async def _run(
        self, pieces: list[trio.SocketListener], local: trio.SocketListener, path: Path
    ) -> None:
        async with trio.open_nursery() as tasks:
            self._tasks = tasks
            await tasks.start(self._watch_signals)
            for listener in pieces:
                tasks.start_soon(self._server.run, listener)
            conversations = trio.CancelScope()
            tasks.start_soon(self._converse_until, conversations, local)
            tasks.start_soon(self._beat)
            self._lock.publish(control.Whereabouts(os.getpid(), str(path), self._port))
            log.info("up: pieces at %s:%d", self._settings.ip or "*", self._port)
            await self._until_idle()
            self._lock.retract()
            conversations.cancel()
            await self._leave()
            tasks.cancel_scope.cancel()

    async def _watch_signals(self, task_status: trio.TaskStatus[None]) -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            task_status.started()
            async for number in signals:
                log.info("told to stop by %s", signal.Signals(number).name)
                self._stop = True
                self._changed.set()

    async def _until_idle(self) -> None:
        while not self._stop:
            self._changed = trio.Event()
            now = trio.current_time()
            for shared in self._shelf.expired(now):
                self._give_up(shared, "nobody wants it any more")
            worked_at = max(self._worked_at, self._server.worked_at)
            patience = FIRST_WORD_SECONDS if self._alive_time is None else self._alive_time
            leave_at = math.inf if self._downloads else worked_at + patience
            if now >= leave_at:
                log.info("no work")
                return
            with trio.move_on_at(min(leave_at, self._shelf.next_expiry())):
                await self._changed.wait()

    async def _leave(self) -> None:
        """Sign off everywhere, let responses under way finish, remove the files."""
        with trio.move_on_after(LEAVE_SECONDS):
            async with trio.open_nursery() as goodbyes:
                for node, peer_id in self._peers:
                    goodbyes.start_soon(self._sign_off, node, peer_id)
            await self._server.idle()
        for shared in self._shelf:
            self._shelf.remove(shared)
        log.info("left")

    async def _sign_off(self, node: Node, peer_id: str) -> None:
        try:
            await Supernode(node, self._http).remove_peer(peer_id)
        except (Unreachable, Rejected) as error:
            log.warning("cannot sign off: %s", error)

    # conversations with downloaders

    async def _converse_until(self, scope: trio.CancelScope, local: trio.SocketListener) -> None:
        with scope:
            await accept_each(local, self._converse, at_most=MAX_DOWNLOADS)

    async def _converse(self, stream: trio.SocketStream) -> None:
        """Listen to one downloader for as long as it lives; it may be silent for long."""
        download = _Conversation(self)
        self._downloads += 1
        try:
            lines = control.Lines(stream)
            while line := await lines.receive():
                reply = download.hear(_MESSAGE.decode(line))
                with trio.fail_after(TELL_SECONDS):
                    await lines.send(reply)
        except (
            OSError,
            trio.BrokenResourceError,
            trio.TooSlowError,
            control.BadLine,
            msgspec.MsgspecError,
        ) as error:
            log.warning("a downloader broke off: %s", error)
        finally:
            if download.shared is not None:
                self._give_up(download.shared, "its download ended early")
            self._downloads -= 1
            self._worked_at = trio.current_time()
            self._changed.set()

    # what conversations do

    @property
    def address(self) -> tuple[str, int]:
        """Where pieces are served: the bound address, empty for every one, and the port."""
        return self._settings.ip, self._port

    def hello(self, message: control.Hello) -> None:
        """Take over how the download wants its uploader to be."""
        self._alive_time = max(self._alive_time or 0.0, message.alive_time)
        self._limit.rate = message.total_limit

    def joined(self, message: control.Joined) -> None:
        """Remember to sign a peer off; see to it that its files are known."""
        node = Node(message.host, message.port, message.tls)
        self._peers[node, message.peer_id] = message.peer
        if message.again:
            self._doubt(node)
            self._in_doubt.set()

    def share(self, message: control.Share) -> SharedFile:
        """Take a file up."""
        shared = SharedFile(
            name=message.name,
            data=Path(message.data),
            piece_size=message.piece_size,
            node=Node(message.host, message.port, message.tls),
            task=message.task,
            request=message.request,
            expire_time=message.expire_time,
            used_at=trio.current_time(),
        )
        self._shelf.add(shared)
        log.info("sharing %s of task %s", shared.name, shared.task)
        return shared

    def finished(self, shared: SharedFile) -> None:
        """Keep a file whose download has ended."""
        shared.finish()
        shared.used_at = trio.current_time()
        self._changed.set()

    def drop(self, shared: SharedFile) -> None:
        """Forget a file that its downloader gave up."""
        self._shelf.remove(shared)

    # giving up files

    def _spoiled(self, shared: SharedFile) -> None:
        self._shelf.remove(shared)
        self._give_up(shared, "it is not what was downloaded any more")

    def _give_up(self, shared: SharedFile, why: str) -> None:
        log.info("giving up %s: %s", shared.name, why)
        shared.expire_time = math.inf  # nobody else need see to it
        assert self._tasks is not None
        self._tasks.start_soon(self._withdraw, shared)

    async def _withdraw(self, shared: SharedFile) -> None:
        """Tell the supernode first, so that nobody is sent here for a file that is gone."""
        try:
            with trio.move_on_after(TELL_SECONDS):
                supernode = Supernode(shared.node, self._http)
                await supernode.finish(shared.task, shared.request.client, holds=False)
        except (Unreachable, Rejected) as error:
            log.info("cannot withdraw %s: %s", shared.name, error)
        finally:
            self._shelf.remove(shared)

    # staying known

    def _doubt(self, node: Node) -> None:
        """A supernode has forgotten us: our files are to be offered to it again.

        A download under way sees to that itself.
        """
        for shared in self._shelf:
            if shared.node == node and shared.seal is not None:
                shared.is_offered = False

    async def _beat(self) -> None:
        """Ask after our peers each minute: it keeps them alive; a forgotten one joins again."""
        while True:
            with trio.move_on_after(HEARTBEAT_SECONDS):
                await self._in_doubt.wait()
            self._in_doubt = trio.Event()
            for (node, peer_id), peer in list(self._peers.items()):
                supernode = Supernode(node, self._http)
                try:
                    known_as = peer_id
                    if not await supernode.knows_peer(peer_id):
                        known_as = await self._rejoin(supernode, peer_id, peer)
                    await self._offer_again(supernode, known_as)
                except (Unreachable, Rejected) as error:
                    log.info("supernode %s: %s", node, error)

    async def _rejoin(self, supernode: Supernode, forgotten: str, peer: PeerRequest) -> str:
        peer_id = await supernode.register_peer(peer)
        del self._peers[supernode.node, forgotten]
        self._peers[supernode.node, peer_id] = peer
        self._doubt(supernode.node)
        return peer_id

    async def _offer_again(self, supernode: Supernode, peer_id: str) -> None:
        """Offer the files that the supernode may have forgotten, but never cause a fetch."""
        for shared in self._shelf:
            if shared.node != supernode.node or shared.is_offered:
                continue
            try:
                if await _is_wanted(supernode, shared.task):
                    await self._offer(supernode, shared, peer_id)
            except Rejected as error:
                self._give_up(shared, f"the supernode does not want it: {error}")

    async def _offer(self, supernode: Supernode, shared: SharedFile, peer_id: str) -> None:
        """Register a whole file's download again, with all that it has."""
        shared.request = msgspec.structs.replace(
            shared.request, peer=peer_id, pieces=pack_pieces(shared.pieces)
        )
        await supernode.register_task(shared.request, wait=0)
        await supernode.finish(shared.task, shared.request.client, holds=True)
        shared.is_offered = True


async def _is_wanted(supernode: Supernode, task: str) -> bool:
    """Tell whether a supernode has a file, or is fetching it."""
    try:
        return (await supernode.task(task)).status not in FAILED
    except Rejected as error:
        if error.status != 404:
            raise
        return False  # somebody may ask for it before it expires here


class _Conversation:
    """What one downloader has told so far."""

    def __init__(self, uploader: Uploader) -> None:
        self.shared: SharedFile | None = None
        self._uploader = uploader

    def hear(self, message: control.Message) -> control.Reply:
        """Act on one message."""
        match message:
            case control.Hello():
                self._uploader.hello(message)
                return control.Reply("", *self._uploader.address)
            case control.Joined():
                self._uploader.joined(message)
            case control.Share():
                if self.shared is not None:
                    self._uploader.drop(self.shared)
                self.shared = self._uploader.share(message)
            case control.Piece() if self.shared is not None:
                self.shared.pieces[message.number] = message.length
            case control.Finished() if self.shared is not None:
                self._uploader.finished(self.shared)
                self.shared = None
            case _:
                return control.Reply("nothing is shared yet")
        return control.Reply()
