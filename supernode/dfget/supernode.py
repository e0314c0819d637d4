"""The supernode's REST API as a peer uses it."""

from typing import TypeVar
from urllib.parse import quote

import msgspec

from supernode.dfget.http import Answer, HttpClient, HttpError
from supernode.dfget.options import Node

T = TypeVar("T")

ANSWER_SECONDS = 10.0
"""How long a supernode may take to answer, beyond a wait that was asked for."""
FAILED = ("FAILED", "SOURCE_ERROR")
"""What the status of a task is whose file will not come."""
_TRANSIENT = frozenset({408, 429, 500, 503, 504})


class PeerRequest(msgspec.Struct, frozen=True, rename={"ip": "IP", "host_name": "hostName"}):
    """This machine as a peer: where its uploader is."""

    ip: str
    host_name: str
    port: int
    version: str


class TaskRequest(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={
        "raw_url": "rawURL",
        "client": "cID",
        "call_system": "callSystem",
        "peer": "peerID",
        "root_cas": "rootCAs",
    },
):
    """A download by one client; ``headers`` may hold secrets, ``root_cas`` are PEM texts.

    ``pieces`` are those that it has already, packed.
    """

    raw_url: str
    client: str
    path: str
    peer: str = ""
    pieces: bytes = b""
    filter: tuple[str, ...] = ()
    headers: dict[str, str] = {}
    identifier: str = ""
    md5: str = ""
    call_system: str = ""
    dfdaemon: bool = False
    insecure: bool = False
    root_cas: tuple[str, ...] = ()


class Ticket(
    msgspec.Struct,
    frozen=True,
    rename={"task": "ID", "framed_length": "fileLength", "piece_size": "pieceSize"},
):
    """What a registration answers; lengths are framed and None while unknown."""

    task: str
    framed_length: int | None = None
    piece_size: int | None = None


class PieceReport(
    msgspec.Struct,
    frozen=True,
    rename={"piece_range": "pieceRange", "holder": "dstPID", "result": "pieceResult"},
):
    """What became of one piece: ``SUCCESS`` or ``FAILED``."""

    piece_range: str
    holder: str
    result: str


class Assignment(
    msgspec.Struct,
    frozen=True,
    rename={
        "holder": "pID",
        "ip": "peerIP",
        "port": "peerPort",
        "digest": "pieceMD5",
        "piece_range": "pieceRange",
        "piece_size": "pieceSize",
    },
):
    """One piece to fetch, and from whom."""

    holder: str
    path: str
    ip: str
    port: int
    digest: str
    piece_range: str
    piece_size: int


class TaskInfo(
    msgspec.Struct,
    frozen=True,
    rename={
        "task": "ID",
        "status": "cdnStatus",
        "framed_length": "fileLength",
        "piece_size": "pieceSize",
        "piece_total": "pieceTotal",
        "md5": "realMd5",
    },
):
    """How far the supernode's own copy is; what it does not know yet is None."""

    task: str
    status: str
    framed_length: int | None = None
    piece_size: int | None = None
    piece_total: int | None = None
    md5: str | None = None
    sha256: str | None = None
    reason: str = ""
    detail: str = ""


class _Pull(
    msgspec.Struct,
    omit_defaults=True,
    rename={"status": "dfgetTaskStatus", "result": "pieceResult"},
):
    status: str
    result: str = ""
    reports: tuple[PieceReport, ...] = ()


class _Update(
    msgspec.Struct, rename={"client": "clientID", "holder": "dstPID", "result": "pieceStatus"}
):
    client: str
    holder: str
    result: str


class _Id(msgspec.Struct, rename={"id": "ID"}):
    id: str


class _Trouble(msgspec.Struct):
    message: str = ""
    reason: str = ""


class Unreachable(Exception):
    """The supernode gives no answer now; it may later."""


class Rejected(Exception):
    """The supernode answered that it will not.

    Args:
        status: the HTTP status.
        message: what it says.
        reason: the code of a :class:`supernode.core.reasons.Reason`, if it names one.
    """

    def __init__(self, status: int, message: str, reason: str) -> None:
        super().__init__(message or f"status {status}")
        self.status = status
        self.reason = reason


class Supernode:
    """One supernode.

    Every call raises :class:`Unreachable` or :class:`Rejected`.

    Args:
        node: where it is.
        http: the connections to use.
    """

    def __init__(self, node: Node, http: HttpClient) -> None:
        self.node = node
        self.requests = 0
        self._http = http

    async def register_peer(self, peer: PeerRequest) -> str:
        """Make this machine known and return its peer ID."""
        answer = await self._ask("POST", "/peers", msgspec.json.encode(peer))
        return _decoded(answer, _Id).id

    async def knows_peer(self, peer: str) -> bool:
        """Tell whether the supernode knows a peer; asking keeps the peer alive."""
        try:
            await self._ask("GET", f"/peers/{quote(peer)}")
        except Rejected as error:
            if error.status != 404:
                raise
            return False
        return True

    async def remove_peer(self, peer: str) -> None:
        """Take a peer out of the swarm; one that is unknown is out already."""
        try:
            await self._ask("DELETE", f"/peers/{quote(peer)}")
        except Rejected as error:
            if error.status != 404:
                raise

    async def register_task(self, task: TaskRequest, *, wait: int) -> Ticket:
        """Register a download; wait up to ``wait`` s for the origin to say how long the file is."""
        answer = await self._ask("POST", "/tasks", msgspec.json.encode(task), wait=wait)
        return _decoded(answer, Ticket)

    async def task(self, task: str) -> TaskInfo:
        """Return how far a task is."""
        return _decoded(await self._ask("GET", f"/tasks/{task}"), TaskInfo)

    async def pull(
        self,
        task: str,
        client: str,
        *,
        status: str,
        reports: tuple[PieceReport, ...],
        count: int,
        wait: int,
    ) -> list[Assignment]:
        """Report pieces and ask for up to ``count`` more; wait up to ``wait`` s for the first."""
        body = msgspec.json.encode(_Pull(status, reports=reports))
        target = f"/tasks/{task}/pieces?clientID={quote(client)}&num={count}"
        return _decoded(await self._ask("GET", target, body, wait=wait), list[Assignment])

    async def finish(
        self, task: str, client: str, *, holds: bool, reports: tuple[PieceReport, ...] = ()
    ) -> None:
        """End a download; tell whether others may go on taking pieces from this peer."""
        body = msgspec.json.encode(_Pull("FINISHED", "SUCCESS" if holds else "FAILED", reports))
        await self._ask("GET", f"/tasks/{task}/pieces?clientID={quote(client)}", body)

    async def report(self, task: str, client: str, report: PieceReport) -> None:
        """Report one piece, alone."""
        body = msgspec.json.encode(_Update(client, report.holder, report.result))
        await self._ask("PUT", f"/tasks/{task}/pieces/{report.piece_range}", body)

    async def _ask(self, method: str, target: str, body: bytes = b"", *, wait: int = 0) -> Answer:
        self.requests += 1
        headers = (f"Prefer: wait={wait}",) if wait else ()
        try:
            answer = await self._http.request(
                (self.node.host, self.node.port),
                method,
                target,
                body=body,
                headers=headers,
                timeout=ANSWER_SECONDS + wait,
                tls=self.node.tls,
            )
        except HttpError as error:
            raise Unreachable(f"supernode {self.node}: {error}") from error
        if answer.status in _TRANSIENT:
            raise Unreachable(f"supernode {self.node}: status {answer.status}")
        if answer.status >= 300:
            try:
                trouble = msgspec.json.decode(answer.body, type=_Trouble)
            except msgspec.MsgspecError:
                trouble = _Trouble()
            raise Rejected(answer.status, trouble.message, trouble.reason)
        return answer


def _decoded(answer: Answer, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except msgspec.MsgspecError as error:
        raise Rejected(answer.status, f"an answer that makes no sense: {error}", "") from error
