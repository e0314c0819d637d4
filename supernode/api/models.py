"""The specification's models, spelled as it spells them.

Every field is optional there; what cannot work without is checked where it is used. A default of
``None`` in an answer leaves the field out while its value is unknown.
"""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta, field

from supernode.core.commands import PieceResult, PullStatus
from supernode.core.model import CdnStatus

Text = Annotated[str, Meta(max_length=8192)]
MOST_REPORTS = 256


class Model(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Base of all models."""


class PeerCreateRequest(Model):
    """A peer introduces itself."""

    ip: Text = field(default="", name="IP")
    host_name: Text = field(default="", name="hostName")
    port: Annotated[int, Meta(ge=15000, le=65000)] | None = None
    version: Text = ""


class PeerCreateResponse(Model):
    """The peer's ID."""

    id: str = field(name="ID")


class PeerInfo(Model):
    """A peer as it introduced itself."""

    id: str = field(name="ID")
    ip: str = field(name="IP")
    host_name: str = field(name="hostName")
    port: int
    created: datetime
    """When it did so first; RFC 3339, UTC, milliseconds."""
    version: str = ""


class TaskCreateRequest(Model):
    """A client wants a file. ``peerID`` is an extension: without it, it only downloads."""

    raw_url: Text = field(default="", name="rawURL")
    client_id: Text = field(default="", name="cID")
    peer_id: Text = field(default="", name="peerID")
    path: Text = ""
    md5: Text = ""
    identifier: Text = ""
    filter: Annotated[list[Text], Meta(max_length=64)] = field(default_factory=list)
    headers: Annotated[dict[Text, Text], Meta(max_length=64)] = field(default_factory=dict)
    call_system: Text = field(default="", name="callSystem")
    dfdaemon: bool = False


class TaskCreateResponse(Model):
    """The task's ID, and its measures once the origin has answered."""

    id: str = field(name="ID")
    file_length: int | None = field(default=None, name="fileLength")
    piece_size: int | None = field(default=None, name="pieceSize")


class TaskInfo(Model):
    """A task as it is now. ``sha256``, ``reason`` and ``detail`` are extensions."""

    id: str = field(name="ID")
    cdn_status: CdnStatus = field(name="cdnStatus")
    raw_url: str = field(name="rawURL")
    task_url: str = field(name="taskURL")
    file_length: int | None = field(default=None, name="fileLength")
    http_file_length: int | None = field(default=None, name="httpFileLength")
    piece_size: int | None = field(default=None, name="pieceSize")
    piece_total: int | None = field(default=None, name="pieceTotal")
    md5: str = ""
    real_md5: str = field(default="", name="realMd5")
    sha256: str = ""
    identifier: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    call_system: str = field(default="", name="callSystem")
    dfdaemon: bool = False
    reason: str = ""
    detail: str = ""


class PieceReport(Model):
    """One report among several: an extension."""

    piece_range: Text = field(default="", name="pieceRange")
    dst_pid: Text = field(default="", name="dstPID")
    piece_result: PieceResult | None = field(default=None, name="pieceResult")


class PiecePullRequest(PieceReport):
    """A client reports and asks for pieces."""

    status: PullStatus = field(default=PullStatus.RUNNING, name="dfgetTaskStatus")
    reports: Annotated[list[PieceReport], Meta(max_length=MOST_REPORTS)] = field(
        default_factory=list
    )


class PieceUpdateRequest(Model):
    """A client reports one piece."""

    client_id: Text = field(default="", name="clientID")
    dst_pid: Text = field(default="", name="dstPID")
    piece_status: PieceResult | None = field(default=None, name="pieceStatus")


class PieceInfo(msgspec.Struct, kw_only=True):
    """A piece to fetch, and from whom."""

    peer_id: str = field(name="pID")
    path: str
    peer_ip: str = field(name="peerIP")
    peer_port: int = field(name="peerPort")
    piece_md5: str = field(name="pieceMD5")
    piece_range: str = field(name="pieceRange")
    piece_size: int = field(name="pieceSize")


class ErrorBody(Model):
    """What is wrong, for programs and for people. ``reason`` is an extension."""

    code: int
    message: str
    reason: str = ""
