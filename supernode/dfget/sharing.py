"""The downloader's side of sharing: finds or starts the uploader of its home and feeds it.

Sharing is a courtesy to others: whatever goes wrong with it, the download goes on.
"""

import logging
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import trio

from supernode import program
from supernode.dfget import control
from supernode.dfget.options import Node, Order
from supernode.dfget.supernode import PeerRequest, TaskRequest

log = logging.getLogger(__name__)

START_SECONDS = 20.0
"""Until when a new uploader must answer; it takes half a second unless the machine is busy."""
REPLY_SECONDS = 5.0
RESTART_SECONDS = 2.0
"""How long to wait before the next start when one ended at once: it met one that was leaving."""


class NotShared(Exception):
    """There is no uploader to share with."""


class Sharing:
    """The connection to the uploader; messages are answered one by one, in order."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._lines = control.Lines(stream)
        self._turn = trio.Lock()
        self.alive = True
        self.ip = ""
        self.port = 0

    async def hello(self, order: Order) -> None:
        """Begin; learn where the uploader listens. Raises NotShared."""
        reply = await self._tell(control.Hello(order.alive_time, order.total_limit))
        self.ip, self.port = reply.ip, reply.port

    async def joined(self, node: Node, peer: PeerRequest, peer_id: str, *, again: bool) -> None:
        """Tell that this machine is a supernode's peer, perhaps one that was forgotten."""
        await self._try(control.Joined(node.host, node.port, peer, peer_id, node.tls, again))

    async def share(
        self, order: Order, node: Node, task: str, request: TaskRequest, data: Path, piece_size: int
    ) -> None:
        """Tell which file pieces will come of."""
        await self._try(
            control.Share(
                name=data.name,
                data=str(data),
                piece_size=piece_size,
                host=node.host,
                port=node.port,
                task=task,
                request=request,
                expire_time=order.expire_time,
                tls=node.tls,
            )
        )

    async def piece(self, number: int, length: int) -> None:
        """Tell that a piece may be served; when this returns, it is."""
        await self._try(control.Piece(number, length))

    async def finished(self) -> bool:
        """Hand the file over; tell whether the uploader has taken it."""
        await self._try(control.Finished())
        return self.alive

    async def _try(self, message: control.Message) -> None:
        if not self.alive:
            return
        try:
            await self._tell(message)
        except NotShared as error:
            self.alive = False
            log.warning("sharing ends: %s", error)

    async def _tell(self, message: control.Message) -> control.Reply:
        try:
            # Shielded: a message without its reply would put all later ones out of step.
            with trio.fail_after(REPLY_SECONDS, shield=True):
                async with self._turn:
                    await self._lines.send(message)
                    line = await self._lines.receive()
            reply = msgspec.json.decode(line, type=control.Reply)
        except (
            OSError,
            trio.TooSlowError,
            trio.BrokenResourceError,
            control.BadLine,
            msgspec.MsgspecError,
        ) as error:
            raise NotShared(f"the uploader does not answer ({type(error).__name__})") from error
        if reply.error:
            raise NotShared(reply.error)
        return reply


@asynccontextmanager
async def shared(order: Order, note: Callable[[str], None]) -> AsyncIterator[Sharing | None]:
    """Connect to the uploader of the home, starting it if there is none; None if that fails.

    Args:
        order: the download; says how a new uploader is to be.
        note: tells the user what is otherwise than he asked for.
    """
    sharing: Sharing | None = None
    stream: trio.SocketStream | None = None
    try:
        with trio.fail_after(START_SECONDS):
            stream, sharing = await _find_or_start(order)
        if order.port not in (0, sharing.port):
            note(f"the uploader of this home is up already, at port {sharing.port}")
        if order.ip and sharing.ip not in ("", order.ip):
            note(f"the uploader of this home is up already, at address {sharing.ip}")
    except (NotShared, OSError, trio.TooSlowError) as error:
        problem = f"nothing will be shared: {str(error) or 'no uploader came up'}"
        log.warning("%s", problem)
        note(problem)
    try:
        yield sharing
    finally:
        if stream is not None:
            stream.socket.close()


async def _find_or_start(order: Order) -> tuple[trio.SocketStream, Sharing]:
    process: subprocess.Popen[bytes] | None = None
    tried_at = -RESTART_SECONDS
    while True:
        if found := await _find(order):
            return found
        now = trio.current_time()
        ended = None if process is None else process.poll()
        if ended:
            log_file = f"{order.home}/logs/uploader.log"
            raise NotShared(f"the uploader ended with {ended}; see {log_file}")
        if process is None or (ended == 0 and now - tried_at > RESTART_SECONDS):
            process, tried_at = _start(order), now
        await trio.sleep(0.02)


async def _find(order: Order) -> tuple[trio.SocketStream, Sharing] | None:
    """Connect to the running uploader; an answered hello keeps it from leaving."""
    where = control.whereabouts(order.home)
    if where is None:
        return None
    try:
        stream = await trio.open_unix_socket(where.socket)
    except OSError:
        return None
    sharing = Sharing(stream)
    try:
        await sharing.hello(order)
    except NotShared:
        stream.socket.close()
        return None
    except BaseException:
        stream.socket.close()
        raise
    return stream, sharing


def _start(order: Order) -> subprocess.Popen[bytes]:
    """Start an uploader that outlives us. If another one is up already, it ends at once."""
    return subprocess.Popen(
        program.command(
            "dfget-uploader",
            f"--home={order.home}",
            f"--ip={order.ip}",
            f"--port={order.port}",
        ),
        cwd=program.folder(),
        env=program.clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
