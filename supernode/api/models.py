"""The specification's models, spelled as it spells them.

One definition serves decoding, checking, answers and the published document. Every field of a body
is optional there; what cannot work without is checked where it is used. A default of ``None`` in
an answer leaves the field out while its value is unknown.
"""

import enum
from typing import Annotated

import msgspec
from msgspec import Meta, field

from supernode.core.commands import PieceResult, PullStatus
from supernode.core.model import CdnStatus, PartStatus, PreheatStatus, Source

MOST_REPORTS = 256
MOST_SORT_KEYS = 8
MOST_ENTRIES = 64
"""How many names one may filter by, and how many headers an origin may be sent."""
MOST_ROOT_CAS = 64
MOST_LISTED = 1000
"""How much of a list is answered at once, where one entry may be several KiB."""

MOST_CLAIM_BYTES = 64 << 10
"""Half a million pieces."""

_LARGEST = (1 << 63) - 1
_INT32: dict[str, object] = {"format": "int32"}
_INT64: dict[str, object] = {"format": "int64"}


def _about(description: str) -> Meta:
    """Describe a field in the published document."""
    return Meta(description=description)


def _extension(description: str) -> Meta:
    """Describe a field that the specification does not have."""
    return Meta(description=description, extra_json_schema={"x-extension": True})


Text = Annotated[str, Meta(max_length=8192)]
SomeText = Annotated[str, Meta(min_length=1, max_length=8192)]
Word = Annotated[str, Meta(max_length=512)]
SomeWord = Annotated[str, Meta(min_length=1, max_length=512)]
Path = Annotated[str, Meta(max_length=2048)]
SomePath = Annotated[str, Meta(min_length=1, max_length=2048)]
Version = Annotated[str, Meta(max_length=128)]
ParameterName = Annotated[str, Meta(max_length=256)]
Moment = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
"""RFC 3339, UTC, in milliseconds."""
Pem = Annotated[str, Meta(max_length=64 * 1024)]
HostName = Annotated[
    str, Meta(min_length=1, max_length=253, extra_json_schema={"format": "hostname"})
]
Port = Annotated[int, Meta(ge=15000, le=65000, extra_json_schema=_INT32)]
Int32 = Annotated[int, Meta(extra_json_schema=_INT32)]
Int64 = Annotated[int, Meta(extra_json_schema=_INT64)]
Natural = Annotated[int, Meta(ge=0, le=_LARGEST)]
Positive = Annotated[int, Meta(ge=1, le=_LARGEST)]
ParameterNames = Annotated[list[ParameterName], Meta(max_length=MOST_ENTRIES)]
Headers = Annotated[dict[Text, Text], Meta(max_length=MOST_ENTRIES)]
PieceRange = Annotated[Text, _about('the range of specific piece in the task, example "0-45565".')]

_HEADERS = "What the origin is sent, 16 KiB in all; the values are secrets."
_CALL_SYSTEM = "Who asks, in words that the supernode's operator may allow or deny."


class Model(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Base of all models."""


# lists


class SortDirection(enum.StrEnum):
    """Which way a list is sorted."""

    ASC = "ASC"
    DESC = "DESC"


class PartQuery(Model):
    """Which part of a list that has an order of its own."""

    page_size: Annotated[
        int, Meta(ge=1, le=MOST_LISTED), _extension("How many entries a page has.")
    ] = field(default=MOST_LISTED, name="pageSize")
    page_num: Annotated[Natural, _extension("From 0; a page beyond the end is empty.")] = field(
        default=0, name="pageNum"
    )


class PageQuery(Model):
    """Which page of a list, in which order; ties are in order of ID."""

    page_size: Positive = field(name="pageSize")
    page_num: Annotated[Natural, _about("From 0; a page beyond the end is empty.")] = field(
        default=0, name="pageNum"
    )
    sort_direct: Annotated[SortDirection, _about("Determine the direction of sorting rules")] = (
        field(default=SortDirection.ASC, name="sortDirect")
    )
    sort_key: Annotated[
        list[Text],
        Meta(max_length=MOST_SORT_KEYS),
        _about(
            "Fields of what is listed, repeated or separated by commas: those that are equal in "
            "the first are sorted by the second, and so on."
        ),
    ] = field(default_factory=list, name="sortKey")


class V1PageQuery(PageQuery):
    """As v1 has it: without a page size, or with 0, the list is not cut."""

    page_size: Natural = field(default=0, name="pageSize")


class TaskPageQuery(PageQuery):
    """As of any list, with pages of bounded size."""

    page_size: Annotated[int, Meta(ge=1, le=MOST_LISTED)] = field(name="pageSize")


class V1DeleteQuery(Model):
    """As v1 has it: unless ``full`` is true, the supernode's own copy of a whole file stays."""

    full: Text = ""


# peers


class PeerCreateRequest(Model):
    """A peer introduces itself."""

    ip: Annotated[Text, _about("IPv4 or IPv6.")] = field(default="", name="IP")
    host_name: HostName = field(default="", name="hostName")
    port: Annotated[Port | None, _about("Where it serves pieces to other peers.")] = None
    version: Version = ""


class PeerCreateResponse(Model):
    """The peer's ID."""

    id: str = field(name="ID")


class PeerGiven(Model, kw_only=True):
    """What a peer has given to others since the supernode started."""

    bytes: Annotated[Int64, _about("Of content.")]
    pieces: Int64
    failed: Annotated[Int64, _about("Pieces that somebody could not get from it.")]


class PeerInfo(Model, kw_only=True):
    """A peer as it introduced itself."""

    id: str = field(name="ID")
    ip: Annotated[str, _about("IPv4 or IPv6.")] = field(name="IP")
    host_name: HostName = field(name="hostName")
    port: Port
    created: Annotated[Moment, _about("When it did so first.")]
    version: str = ""
    quarantined_until: Annotated[
        Moment | None, _extension("Until then nobody is sent to it, for what `evidence` says.")
    ] = field(default=None, name="quarantinedUntil")
    evidence: Annotated[
        str | None, _extension("What it was found to offer wrongly, the last time.")
    ] = None
    last_seen: Annotated[Moment, _extension("When it last gave a sign of life.")] = field(
        name="lastSeen"
    )
    downloads: Annotated[int, _extension("How many downloads it has, running or done.")] = 0
    slots_used: Annotated[Int32, _extension("How many uploads it is at.")] = field(
        default=0, name="slotsUsed"
    )
    given: Annotated[
        PeerGiven | None, _extension("What it has given to others, as they report.")
    ] = None


# tasks


class TaskCreateRequest(Model):
    """A client wants a file."""

    raw_url: Annotated[Text, _about("http or https.")] = field(default="", name="rawURL")
    client_id: Annotated[
        Word, _about("Names this download among all of its task; the client chooses it.")
    ] = field(default="", name="cID")
    peer_id: Annotated[
        Text, _extension("Who will serve what this client has got; without it, nobody.")
    ] = field(default="", name="peerID")
    path: Annotated[Path, _about("Where that peer serves it.")] = ""
    pieces: Annotated[
        bytes,
        Meta(max_length=MOST_CLAIM_BYTES),
        _extension(
            "What the client has of the file already, as when the supernode has forgotten it: a "
            "bitset in base64, the least significant bit of its first byte is piece 0. The client "
            "is not given these pieces; its peer is offered as their holder once one of them, "
            "drawn by lot, has been found there."
        ),
    ] = b""
    md5: Annotated[Text, _about("What the file's MD5 must be, in hexadecimal digits.")] = ""
    identifier: Annotated[
        Word, _about("Makes another task of the same URL; unless there is an md5, which does.")
    ] = ""
    filter: Annotated[
        ParameterNames, _about("Names of query parameters that do not make another task of a URL.")
    ] = field(default_factory=list)
    headers: Annotated[Headers, _about(_HEADERS)] = field(default_factory=dict)
    call_system: Annotated[SomeWord, _about(_CALL_SYSTEM)] = field(default="", name="callSystem")
    dfdaemon: bool = False
    insecure: Annotated[bool, _extension("Do not verify the origin's certificate.")] = False
    root_cas: Annotated[
        list[Pem],
        Meta(max_length=MOST_ROOT_CAS),
        _extension(
            "Certificates in PEM that are trusted for this origin, besides the usual; at most "
            "64 KiB in all."
        ),
    ] = field(default_factory=list, name="rootCAs")


class TaskCreateResponse(Model):
    """The task's ID, and its measures once the origin has answered."""

    id: str = field(name="ID")
    file_length: Annotated[Int64 | None, _about("Framed bytes.")] = field(
        default=None, name="fileLength"
    )
    piece_size: Annotated[Int32 | None, _about("Framed bytes.")] = field(
        default=None, name="pieceSize"
    )


class TaskInfo(Model, kw_only=True):
    """A task as it is now."""

    id: str = field(name="ID")
    cdn_status: CdnStatus = field(name="cdnStatus")
    raw_url: Annotated[str, _about("With `***` for the values of what the filter names.")] = field(
        name="rawURL"
    )
    task_url: Annotated[str, _about("Without what the filter names.")] = field(name="taskURL")
    file_length: Annotated[Int64 | None, _about("Framed bytes.")] = field(
        default=None, name="fileLength"
    )
    http_file_length: Annotated[Int64 | None, _about("The origin's bytes.")] = field(
        default=None, name="httpFileLength"
    )
    piece_size: Annotated[Int32 | None, _about("Framed bytes.")] = field(
        default=None, name="pieceSize"
    )
    piece_total: Int32 | None = field(default=None, name="pieceTotal")
    md5: Annotated[str, _about("What was asked for.")] = ""
    real_md5: Annotated[str, _about("What has come.")] = field(default="", name="realMd5")
    sha256: Annotated[str, _extension("Of what has come.")] = ""
    identifier: str = ""
    headers: Annotated[dict[str, str], _about("Their names; the values are secrets.")] = field(
        default_factory=dict
    )
    path: Annotated[str, _about("Where the first to ask for it serves it.")] = ""
    call_system: SomeWord = field(default="", name="callSystem")
    dfdaemon: bool = False
    created: Annotated[Moment, _extension("When it was first asked for, or asked for anew.")]
    pieces_cached: Annotated[Int32, _extension("How many pieces the supernode has.")] = field(
        default=0, name="piecesCached"
    )
    running: Annotated[Int32, _extension("How many clients download it at the moment.")] = 0
    paused: Annotated[bool, _extension("Whether its pieces are kept back.")] = False
    pinned: Annotated[bool, _extension("Whether it never makes room for others.")] = False
    reason: Annotated[str, _extension("Why it failed, for programs.")] = ""
    detail: Annotated[str, _extension("What exactly was seen.")] = ""


class TaskUpdateRequest(Model):
    """What to change about a task; nothing said, nothing changed."""

    peer_id: Annotated[
        SomeText | None, _about("ID of the peer which has finished to download the whole task.")
    ] = field(default=None, name="peerID")
    path: Annotated[
        SomePath | None,
        _extension("Where that peer serves it, unless it said so when it asked for the task."),
    ] = None
    paused: Annotated[
        bool | None, _extension("true keeps the task's pieces back, false lets them go again.")
    ] = None
    pinned: Annotated[
        bool | None, _extension("true keeps the task from being evicted, false lets it be.")
    ] = None


class BytesFrom(Model):
    """Content bytes by where they came from."""

    seed: Int64
    peers: Int64


class DfGetTaskStatus(enum.StrEnum):
    """How far a client's download is."""

    WAITING = "WAITING"
    RUNNING = "RUNNING"
    FAILED = "FAILED"
    SUCCESS = "SUCCESS"


class DfGetTask(Model, kw_only=True):
    """One client's download of a task."""

    client_id: str = field(name="cID")
    path: str = ""
    peer_id: str = field(default="", name="peerID")
    piece_size: Annotated[Int32 | None, _about("Framed bytes.")] = field(
        default=None, name="pieceSize"
    )
    status: DfGetTaskStatus
    task_id: str = field(name="taskId")
    pieces_done: Annotated[Int32, _extension("How many pieces it has.")] = field(name="piecesDone")
    bytes_from: Annotated[BytesFrom, _extension("Who gave it what it has.")] = field(
        name="bytesFrom"
    )


# pieces


class PieceReport(Model):
    """What became of one piece."""

    piece_range: PieceRange = field(default="", name="pieceRange")
    dst_pid: Annotated[Text, _about("the uploader peerID")] = field(default="", name="dstPID")
    piece_result: PieceResult | None = field(default=None, name="pieceResult")


class PiecePullRequest(PieceReport):
    """A client reports and asks for pieces."""

    status: PullStatus = field(default=PullStatus.RUNNING, name="dfgetTaskStatus")
    reports: Annotated[
        list[PieceReport],
        Meta(max_length=MOST_REPORTS),
        _extension("More reports, applied in order before the pull: all of them or none."),
    ] = field(default_factory=list)


class PiecePullQuery(Model, kw_only=True):
    """Who asks, and for how many; the other fields stand in for a body, if there is none."""

    client_id: Word = field(name="clientID")
    num: Annotated[Positive, Meta(extra_json_schema=_INT64)] = 4
    status: Annotated[PullStatus, _extension("As in the body.")] = field(
        default=PullStatus.RUNNING, name="dfgetTaskStatus"
    )
    dst_pid: Annotated[Text, _extension("As in the body.")] = field(default="", name="dstPID")
    piece_range: Annotated[Text, _extension("As in the body.")] = field(
        default="", name="pieceRange"
    )
    piece_result: Annotated[PieceResult | None, _extension("As in the body.")] = field(
        default=None, name="pieceResult"
    )


class PieceUpdateRequest(Model):
    """A client reports one piece."""

    client_id: Word = field(default="", name="clientID")
    dst_pid: Annotated[Text, _about("the uploader peerID")] = field(default="", name="dstPID")
    piece_status: PieceResult | None = field(default=None, name="pieceStatus")


class PieceInfo(Model):
    """A piece to fetch, and from whom."""

    peer_id: str = field(name="pID")
    path: str
    peer_ip: str = field(name="peerIP")
    peer_port: Int32 = field(name="peerPort")
    piece_md5: Annotated[str, _about("Of the framed piece, and its length: `hex:length`.")] = field(
        name="pieceMD5"
    )
    piece_range: PieceRange = field(name="pieceRange")
    piece_size: Annotated[Int32, _about("Framed bytes.")] = field(name="pieceSize")


# preheats


class PreheatQuery(Model):
    """How a preheat is asked for."""

    dry_run: Annotated[
        bool, _extension("true: only tell what would be fetched, and from where.")
    ] = field(default=False, name="dryRun")


class PreheatCreateRequest(Model):
    """A file or an image to fetch before anybody asks for it."""

    type: Annotated[Text, _about("this must be image or file")] = ""
    url: Annotated[
        Text,
        _about(
            "http or https. An image's is that of its manifest, `https://registry/v2/name/"
            "manifests/tag`, by tag or digest, or short: `registry/name:tag`."
        ),
    ] = ""
    urls: Annotated[
        list[Text],
        Meta(max_length=MOST_LISTED),
        _extension("Several instead of one; all of them are taken, or none."),
    ] = field(default_factory=list)
    filter: Annotated[
        Text, _about("Names of query parameters that do not make another task, as `a&b`.")
    ] = ""
    identifier: Annotated[Word, _about("Makes another task of the same URL.")] = ""
    headers: Annotated[Headers, _about(_HEADERS)] = field(default_factory=dict)
    call_system: Annotated[SomeWord, _extension(_CALL_SYSTEM)] = field(
        default="", name="callSystem"
    )
    platform: Annotated[
        Text,
        _extension("Of an image only what is for these: `linux/amd64,linux/arm64`; all otherwise."),
    ] = ""
    digest: Annotated[
        Text,
        _extension(
            "An image's, as Harbor sends it: what is fetched whatever its tag stands for by then."
        ),
    ] = ""


class DryRunBlob(Model, kw_only=True):
    """A file that a preheat would have fetched."""

    url: str
    task_id: str = field(name="taskID")
    digest: str = ""
    size: Int64 | None = None
    media_type: str = field(default="", name="mediaType")
    platforms: list[str] = field(default_factory=list)
    came_from: Annotated[
        Source | None,
        _about(
            "Where it would come from: `cache`, it is there; `copy`, its content is, under "
            "another URL; `origin`."
        ),
    ] = field(default=None, name="from")
    skipped: Annotated[str, _about("Why it would not be fetched.")] = ""


class DryRun(Model, kw_only=True):
    """What a preheat would do; as much as could be found out."""

    can_authenticate: Annotated[
        bool, _about("Whether the origin lets us in; false also if it cannot be asked.")
    ] = field(name="canAuthenticate")
    digest: Annotated[str, _about("Of the image's manifest.")] = ""
    blobs: list[DryRunBlob] = field(default_factory=list)
    bytes_total: Int64 = field(default=0, name="bytesTotal")
    bytes_cached: Annotated[Int64, _about("Of them are there.")] = field(
        default=0, name="bytesCached"
    )
    bytes_to_fetch: Annotated[Int64, _about("Of them would be fetched, as far as known.")] = field(
        default=0, name="bytesToFetch"
    )
    reason: Annotated[str, _about("Why it would fail, for programs.")] = ""
    detail: Annotated[str, _about("What exactly was seen.")] = ""


class BatchedPreheat(Model, kw_only=True):
    """One of the preheats that were asked for at once."""

    url: str
    id: str = field(name="ID")
    status: Annotated[PreheatStatus | None, _about("How far it is, where that is told.")] = None


class PreheatCreateResponse(Model):
    """The preheat's ID, or the batch's with those of its preheats, or what a dry run found."""

    id: str = field(default="", name="ID")
    preheats: Annotated[
        list[BatchedPreheat], _extension("In the order of `urls`, if there were any.")
    ] = field(default_factory=list)
    dry_run: Annotated[
        DryRun | None, _extension("Nothing is fetched then, and there is no ID.")
    ] = field(default=None, name="dryRun")


class PreheatBlob(Model, kw_only=True):
    """A file of an image that is preheated."""

    url: str
    task_id: Annotated[str, _about("The task that fetches it.")] = field(name="taskID")
    state: PartStatus
    digest: str
    size: Int64 | None = None
    bytes_done: Annotated[Int64, _about("Of them are there.")] = field(default=0, name="bytesDone")
    media_type: str = field(default="", name="mediaType")
    platforms: Annotated[list[str], _about("It is for.")] = field(default_factory=list)
    came_from: Annotated[
        Source | None,
        _about(
            "Where its bytes came from: `cache`, they were there; `copy`, they were, under another "
            "URL; `origin`."
        ),
    ] = field(default=None, name="from")
    reason: Annotated[str, _about("Why it failed, for programs.")] = ""
    detail: Annotated[str, _about("What exactly was seen, or why it is skipped.")] = ""


class PreheatBytes(Model, kw_only=True, omit_defaults=False):
    """Content bytes of what is there by now, by where they came from."""

    cache: Int64 = 0
    origin: Int64 = 0
    copy: Int64 = 0


class PreheatInfo(Model, kw_only=True):
    """A preheat, or a batch of them, as it is now."""

    id: str = field(name="ID")
    status: PreheatStatus
    start_time: Moment = field(name="startTime")
    finish_time: Moment | None = field(default=None, name="finishTime")
    url: Annotated[str, _extension("What is fetched, without what the filter names.")] = ""
    type: Annotated[str, _extension("image, file or batch")]
    task_id: Annotated[str, _extension("The task that fetches a file.")] = field(
        default="", name="taskID"
    )
    digest: Annotated[str, _extension("Of an image's manifest, once known.")] = ""
    platform: Annotated[str, _extension("Of an image only what is for these.")] = ""
    blobs_total: Annotated[Int32 | None, _extension("How many files an image has.")] = field(
        default=None, name="blobsTotal"
    )
    blobs_done: Annotated[Int32 | None, _extension("Of them nothing more is to come.")] = field(
        default=None, name="blobsDone"
    )
    bytes_total: Annotated[Int64 | None, _extension("Of all files, as far as known.")] = field(
        default=None, name="bytesTotal"
    )
    bytes_from: Annotated[
        PreheatBytes | None, _extension("Content bytes of the files that are there.")
    ] = field(default=None, name="bytesFrom")
    blobs: Annotated[
        list[PreheatBlob], _extension("An image's files; not in lists of preheats.")
    ] = field(default_factory=list)
    preheats: Annotated[list[BatchedPreheat], _extension("A batch's.")] = field(
        default_factory=list
    )
    reason: Annotated[str, _extension("Why it failed, for programs.")] = ""
    detail: Annotated[str, _extension("What exactly was seen.")] = ""
    error_msg: Annotated[str, _extension("Why it failed, for people.")] = field(
        default="", name="errorMsg"
    )
    # Harbor before 2.8 takes no other word than FAIL for an end. It reads keys in any case, and of
    # two the later one, so this must come after ``status``.
    harbor_status: Annotated[str, _extension("`FAIL` if it failed, for Harbor.")] = field(
        default="", name="Status"
    )


# the supernode itself


class VersionInfo(Model, kw_only=True):
    """Which supernode this is, in v1's keys."""

    arch: str = field(name="Arch")
    os: str = field(name="OS")
    python_version: str = field(name="PythonVersion")
    revision: Annotated[str, _about("The commit it was built from, if that is known.")] = field(
        default="", name="Revision"
    )
    version: str = field(name="Version")


class Readiness(Model, kw_only=True):
    """What there is to say of each condition of being ready."""

    checks: Annotated[
        dict[str, str],
        _about("By what was looked at: `disk`, `journal`, `serving` and `sockets`."),
    ]


class ErrorBody(Model):
    """What is wrong, for programs and for people: the specification's two shapes at once."""

    code: Annotated[int, _about("As the status.")]
    message: str
    reason: Annotated[
        str, _extension("Why something failed or is there no longer, for programs.")
    ] = ""
