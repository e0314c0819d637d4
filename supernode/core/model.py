"""What the core knows: peers, tasks, downloads, leases. Plain records; ``state`` changes them."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from supernode.core.identity import (
    ClientId,
    PartId,
    PeerId,
    PreheatId,
    TaskId,
    blob_sha256,
    manifest_url,
    task_id,
    trust_mark,
    without_credentials,
)
from supernode.core.pieces import PieceDigest, PieceNumber, piece_count
from supernode.core.reasons import Reason
from supernode.core.swarm import Swarm


class CdnStatus(enum.StrEnum):
    """How far the supernode's own copy of a task is."""

    WAITING = "WAITING"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    SOURCE_ERROR = "SOURCE_ERROR"


class DownloadStatus(enum.StrEnum):
    """How far one client's download is."""

    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"


class PreheatKind(enum.StrEnum):
    """What a preheat is of."""

    FILE = "file"
    IMAGE = "image"


class PreheatStatus(enum.StrEnum):
    """How far a preheat is."""

    WAITING = "WAITING"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"


class PartStatus(enum.StrEnum):
    """How far one file of a preheat is."""

    WAITING = "WAITING"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"

    @property
    def has_ended(self) -> bool:
        """Whether nothing more is to be done about it."""
        return self not in (PartStatus.WAITING, PartStatus.RUNNING)


class Source(enum.StrEnum):
    """Where the bytes of a preheated file came from."""

    CACHE = "cache"
    """They were there already."""
    ORIGIN = "origin"
    """They were fetched, for this preheat or for somebody else."""
    COPY = "copy"
    """The same content was there under another URL."""


class Finding(enum.StrEnum):
    """What came of asking a peer for a piece that it offers."""

    RIGHT = "right"
    """The piece."""
    WRONG = "wrong"
    """Other bytes."""
    MISSING = "missing"
    """It says that it has not got it."""
    NO_ANSWER = "no_answer"
    """Nothing of use, or not in time."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the scheduler may hand out, and how much may be known. Seconds, bytes/s, counts."""

    seed_slots: int = 4
    """Concurrent uploads of the supernode itself, per task."""
    seed_repeats: int = 1
    """Only below so many uploads of a task does it repeat pieces that peers have or will have."""
    peer_slots: int = 3
    """Concurrent uploads of one peer, over all tasks."""
    client_leases: int = 32
    """Pieces one download may have in flight."""
    slowest_rate: int = 64 * 1024
    """A lease lasts as long as a piece takes at this rate …"""
    lease_grace: float = 10.0
    """… and this much longer."""
    overdue_factor: float = 3.0
    """A lease is overdue after so many times what a piece usually takes …"""
    overdue_grace: float = 1.0
    """… and this much longer."""
    writing: float = 2.0
    """A piece that has arrived counts as written after so long, if its client does not say so."""
    most_peers: int = 100_000
    most_tasks: int = 20_000
    most_downloads: int = 500_000
    """Of all tasks together."""
    avoid_peer: float = 60.0
    """How long a client is not sent again to a peer that failed it."""
    avoid_seed: float = 2.0
    """How long a client is not sent again to the seed after that failed it."""
    most_preheats: int = 1_000
    """That have not ended."""
    most_ended_preheats: int = 20_000
    """The oldest are forgotten before their time."""
    most_parts: int = 200_000
    """Files of all preheats together; the oldest ended preheats are forgotten to make room."""
    parts_at_once: int = 32
    """How many files of one preheat are asked for at a time; the others wait for their turn."""
    most_batches: int = 1_000
    """The oldest are forgotten."""
    most_spec_bytes: int = 256 << 20
    """What clients have said about the files that are not there yet: headers, certificates."""
    most_claim_bytes: int = 64 << 20
    """What clients may have said, as bitsets, that they have from before; more is not noted."""
    peer_ttl: float = 300.0
    """A peer or a download that was not heard of for so long is dropped …"""
    seen_every: float = 30.0
    """… give or take this: signs of life within so long count as one."""
    silent_after: float = 150.0
    """A peer that was not heard of for so long is offered last."""
    failed_task_ttl: float = 300.0
    """How long a failed task is remembered after its last client."""
    failed_origin_pause: float = 5.0
    """How long an origin is not asked again for a file that it did not deliver …"""
    failed_origin_longest_pause: float = 60.0
    """… up to so long: the pause doubles while it keeps failing."""
    recheck_after: float = 60.0
    """For how long an idle file counts as what its origin has, before the origin is asked."""
    most_accused: int = 1_000
    """Peers that are accused and not looked into yet."""
    distrust: float = 60.0
    """How long a client is not listened to after it accused a peer that was right; twice as long
    each further time."""
    quarantine: float = 60.0
    """How long a peer is offered to nobody after its second strike; twice as long each further
    one …"""
    most_strikes: int = 8
    """… up to this one."""
    strike_ttl: float = 600.0
    """In so long without another strike, or another false accusation, one is forgiven."""
    preheat_keep: float = 86_400.0
    """How long an ended preheat is remembered."""


class Secrets:
    """Origin header values: used to fetch, never shown, never encoded by accident."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def reveal(self) -> dict[str, str]:
        """Return the headers with their values; for the origin's eyes only."""
        return dict(self._values)

    def names(self) -> list[str]:
        """Return the header names, which are no secret."""
        return list(self._values)

    def emptied(self) -> "Secrets":
        """Return the same names without their values."""
        return Secrets(dict.fromkeys(self._values, ""))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secrets) and self._values == other._values

    def __hash__(self) -> int:
        return hash(frozenset(self._values))

    def __repr__(self) -> str:
        return f"Secrets({', '.join(self._values)})"


class TaskSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a client said about the file it wants.

    Headers' values and certificates are needed until the file is there, and forgotten then.
    """

    raw_url: str
    task_url: str
    md5: str = ""
    identifier: str = ""
    headers: Secrets = Secrets({})
    call_system: str = ""
    dfdaemon: bool = False
    path: str = ""
    """Where the first to ask for it serves it to other peers."""
    insecure: bool = False
    """Whether its origin need not prove who it is."""
    root_cas: tuple[str, ...] = ()
    """Certificate authorities, in PEM, that are trusted to vouch for its origin."""

    @property
    def identity(self) -> TaskId:
        """The ID of the file's task."""
        return task_id(
            self.task_url,
            md5=self.md5,
            identifier=self.identifier,
            byte_range=_byte_range(self.headers),
            trust=trust_mark(insecure=self.insecure, root_cas=self.root_cas),
        )

    @property
    def bytes_to_fetch_with(self) -> int:
        """How much of it is there only for the fetch."""
        headers = sum(map(len, self.headers.reveal().values()))
        return headers + sum(map(len, self.root_cas))

    @property
    def sha256(self) -> str:
        """What its content must hash to, where the URL says so: a blob's in a registry."""
        return "" if _byte_range(self.headers) is not None else blob_sha256(self.task_url)

    def without_means(self) -> "TaskSpec":
        """Return what is to be remembered when there is nothing left to fetch."""
        return msgspec.structs.replace(
            self,
            raw_url=without_credentials(self.raw_url),
            task_url=without_credentials(self.task_url),
            headers=self.headers.emptied(),
            root_cas=(),
        )


class OriginVersion(msgspec.Struct, frozen=True, kw_only=True):
    """By what the origin tells one version of a file from another, in its own words; "": not."""

    etag: str = ""
    last_modified: str = ""
    validator: str = ""
    """The one by which a fetch may go on where it broke off."""


def _byte_range(headers: Secrets) -> str | None:
    """Return which part of the file is asked for; in any case, for the origin heeds none."""
    ranges = [value for name, value in headers.reveal().items() if name.lower() == "range"]
    return ",".join(ranges) if ranges else None


@dataclass(slots=True)
class Peer:
    """A machine that downloads and uploads."""

    id: PeerId
    ip: str
    port: int
    host_name: str
    version: str
    created: float
    last_seen: float
    """When it last called, or somebody reported a piece from it."""
    silent: bool = False
    """Not heard of for long; every swarm it is in has a note of that."""
    serving: set[int] = field(default_factory=set)
    """Open leases that it serves, at most twice as many as it has slots."""
    slots_used: int = 0
    """How many of them are not overdue."""
    free: bool = True
    """Whether it has a free slot; every swarm it is in has a note of that."""
    failures: int = 0
    """Pieces it failed to deliver since the last one it delivered."""
    strikes: int = 0
    """How often it was found not to have what it offers, less what was forgiven."""
    quarantined_until: float = 0.0
    """When its last quarantine ends or ended; without one, when it had its last strike."""
    quarantined: bool = False
    """Offered to nobody: what it holds is in no swarm."""
    evidence: str = ""
    """What was found when it had its last strike."""
    downloads: set[tuple[TaskId, ClientId]] = field(default_factory=set)


class Accusation(msgspec.Struct, frozen=True, kw_only=True):
    """A client's word that it could not get a piece from a peer: no more than that.

    Args:
        holder: the peer's download by which it offers the piece.
        client: whose word it is.
    """

    peer: PeerId
    task: TaskId
    piece: PieceNumber
    holder: ClientId
    client: ClientId


@dataclass(slots=True)
class Lease:
    """One assignment of a piece: ends exactly once.

    One that takes much longer than usual is *overdue*: it stands until its deadline, but the slot
    it had and the copy it promised no longer count, for its client has probably vanished.
    """

    id: int
    task: TaskId
    client: ClientId
    piece: PieceNumber
    holder: ClientId | None
    """The download whose peer serves it; None: the seed."""
    began: float
    overdue_at: float
    deadline: float
    overdue: bool = False
    written_by: float | None = None
    """The client has got the piece; then at the latest others can have it from its peer."""

    @property
    def holds_slot(self) -> bool:
        """Whether its holder is taken to be uploading."""
        return not self.overdue and self.written_by is None

    @property
    def next_change(self) -> float:
        """When something happens to it by itself."""
        if self.written_by is not None:
            return self.written_by
        return self.deadline if self.overdue else self.overdue_at


@dataclass(slots=True)
class LastPull:
    """A client's last pull and what it got, so that a lost answer can be given again."""

    question: bytes
    """A digest of what it said."""
    leases: tuple[int, ...]


@dataclass(slots=True)
class Download:
    """One client's download of one task."""

    task: TaskId
    client: ClientId
    peer: PeerId | None
    path: str
    index: int
    """Its place in the swarm's bitsets."""
    created: float
    last_seen: float
    """When its client last called."""
    status: DownloadStatus = DownloadStatus.RUNNING
    reason: Reason | None = None
    detail: str = ""
    have: int = 0
    """Bitset of the pieces it has, and offers if it has a peer; they need not be known yet."""
    claimed: int = 0
    """Bitset of the pieces that it says it has from before: not given to it, and not offered."""
    claim: int | None = None
    """By which number its claim is to be checked, if it is."""
    from_seed: int = 0
    """Content bytes that the supernode gave it."""
    from_peers: int = 0
    """Content bytes that peers gave it."""
    leased: int = 0
    """Bitset of the pieces it is fetching."""
    leases: dict[PieceNumber, Lease] = field(default_factory=dict)
    avoided: dict[PeerId | None, float] = field(default_factory=dict)
    """Peer (None: the seed) → until when."""
    false_accusations: int = 0
    """How often it accused a peer that was right, less what was forgiven."""
    distrusted_until: float = 0.0
    """Until then what it says against peers counts for nothing but its own choice of them."""
    last_pull: LastPull | None = None

    @property
    def done(self) -> int:
        """Bitset of the pieces that it needs no longer."""
        return self.have | self.claimed

    @property
    def offers(self) -> bool:
        """Whether others may be sent to its peer."""
        return self.peer is not None and self.have != 0


@dataclass(slots=True)
class Task:
    """One file, its fetch and its swarm."""

    id: TaskId
    generation: int
    """Which of all fetches this is; an ID that is removed or fails comes back with another."""
    spec: TaskSpec
    created: float
    last_used: float
    status: CdnStatus = CdnStatus.WAITING
    adopted: bool = False
    """It was found on disk: there is nothing to fetch, only something to verify."""
    paused: bool = False
    """Nothing is handed out, and the fetch does not begin."""
    pinned: bool = False
    """It is not evicted."""
    reason: Reason | None = None
    detail: str = ""
    failures: int = 0
    """How often in a row its origin has failed."""
    retry_at: float = 0.0
    """Until then its origin is not asked again."""
    length: int | None = None
    """Content bytes, once the origin said so or all have come."""
    piece_size: int | None = None
    """Framed bytes; set once, with the origin's answer."""
    version: OriginVersion = field(default_factory=OriginVersion)
    checked: float = 0.0
    """When its origin last had it so."""
    doubted: bool = False
    """Nothing is handed out until the origin has said whether it still has it so."""
    md5: str = ""
    """Of the whole file, once fetched."""
    sha256: str = ""
    digests: dict[PieceNumber, PieceDigest] = field(default_factory=dict)
    serving: set[int] = field(default_factory=set)
    """Open leases that the seed serves, at most twice as many as it has slots."""
    slots_used: int = 0
    """How many of them are not overdue."""
    swarm: Swarm = field(default_factory=Swarm)
    downloads: dict[ClientId, Download] = field(default_factory=dict)
    running: int = 0
    """How many of them are running."""
    by_index: dict[int, Download] = field(default_factory=dict)
    """The downloads that are in the swarm, by their index there."""

    @property
    def in_use(self) -> bool:
        """Whether it is being fetched, is about to be, or is being downloaded."""
        return bool(self.running) or self.is_fetched

    @property
    def is_fetched(self) -> bool:
        """Whether its bytes are coming from the origin, or will."""
        return self.status in (CdnStatus.WAITING, CdnStatus.RUNNING) and not self.adopted

    @property
    def piece_total(self) -> int | None:
        """How many pieces the file has, once known."""
        if self.length is None or self.piece_size is None:
            return None
        return piece_count(self.length, self.piece_size)


class Blob(msgspec.Struct, frozen=True, kw_only=True):
    """One of the files that an image is made of.

    Args:
        digest: as the manifest has it, ``sha256:…``.
        size: bytes; None: the manifest does not say.
        platforms: of the images that it is a part of, as ``linux/amd64``; may be empty.
        skipped: why it is not fetched, in words; empty: it is.
    """

    url: str
    digest: str
    size: int | None = None
    media_type: str = ""
    platforms: tuple[str, ...] = ()
    skipped: str = ""


@dataclass(slots=True)
class Part:
    """One file that a preheat has fetched: the only one, or an image's blob."""

    id: PartId
    preheat: PreheatId
    task: TaskId
    blob: Blob | None
    """None: the file that the preheat is of."""
    status: PartStatus = PartStatus.WAITING
    awaits: TaskId | None = None
    """The task whose end is waited for: its own, or another one's that brings the same content."""
    came_from: Source | None = None
    """Where its bytes came from or, while it runs, are expected from."""
    length: int | None = None
    """Content bytes."""
    reason: Reason | None = None
    detail: str = ""

    @property
    def sha256(self) -> str:
        """What its content must hash to; empty: whatever the origin has."""
        return self.blob.digest.removeprefix("sha256:") if self.blob else ""

    @property
    def may_begin(self) -> bool:
        """Whether it is somebody's turn to do something about it."""
        return self.awaits is None and not self.status.has_ended


@dataclass(slots=True)
class Preheat:
    """A job that has files fetched before anybody asks for them: one, or those of an image."""

    id: PreheatId
    task: TaskId
    """The ID of what was asked for: the file's task, or what the manifest's would be."""
    spec: TaskSpec
    """The file or, of an image, the manifest."""
    created: float
    kind: PreheatKind = PreheatKind.FILE
    platforms: tuple[str, ...] = ()
    """Of an image's platforms only these; empty: all."""
    manifest: str = ""
    """The digest of an image's manifest, once known."""
    is_resolved: bool = False
    """Whether it is known of which files it consists."""
    parts: dict[PartId, Part] = field(default_factory=dict)
    open_parts: int = 0
    """How many of them have not ended."""
    status: PreheatStatus = PreheatStatus.WAITING
    reason: Reason | None = None
    detail: str = ""
    finished: float | None = None

    @property
    def key(self) -> str:
        """What preheats of the same content have in common.

        A tag is no content: it may stand for another one tomorrow.
        """
        if self.kind is PreheatKind.FILE:
            return self.task
        url = manifest_url(without_credentials(self.spec.task_url), self.manifest)
        named = task_id(url, identifier=self.spec.identifier)
        return " ".join((named, *self.platforms))

    @property
    def may_be_joined(self) -> bool:
        """Whether its content is, or will be, what somebody who asks the same now would get."""
        if self.kind is PreheatKind.FILE:
            return self.finished is None
        if not self.manifest:
            return self.status is PreheatStatus.WAITING
        return self.status is not PreheatStatus.FAILED

    def spec_of(self, part: Part) -> TaskSpec:
        """Return what is to be fetched for one of its parts.

        A blob's is what anybody who asks for its URL says, so that it is the same task; how it is
        got from the registry is a matter of the fetch.
        """
        if part.blob is None:
            return self.spec
        url = part.blob.url
        return TaskSpec(raw_url=url, task_url=url, call_system=self.spec.call_system)
