"""The models of what can be watched: the supernode at a glance, a swarm, what a peer does.

None of them is the specification's.
"""

from typing import Annotated

from msgspec import Meta, field

from supernode.api.models import DfGetTaskStatus, Int32, Int64, Model, Moment, PeerInfo
from supernode.core.model import CdnStatus

MOST_CLIENTS = 1000
"""Of how many clients a swarm is shown."""


def _about(description: str) -> Meta:
    return Meta(description=description)


Bitset = Annotated[
    bytes,
    _about("Pieces, in base64: the least significant bit of the first byte is piece 0."),
]
HolderId = Annotated[str, _about("ID of a peer, or `seed`: the supernode itself.")]


class BytesBySource(Model, kw_only=True):
    """Content bytes by where they came from: what the supernode fetched, what clients were given.

    What came from peers is what neither the origin nor the supernode had to send.
    """

    origin: Int64
    seed: Int64
    peers: Int64


# the supernode at a glance


class PeerCounts(Model, kw_only=True):
    """How many peers there are."""

    known: int
    silent: Annotated[int, _about("Of those, how many were not heard of for long.")]
    quarantined: Annotated[int, _about("Of those, how many are offered to nobody.")]


class DiskInfo(Model, kw_only=True):
    """How full the disk is. Bytes."""

    total: Annotated[Int64, _about("What the file system can hold.")]
    free: Int64
    cached: Annotated[Int64, _about("What pieces take up.")]


class TrafficHistory(Model, kw_only=True):
    """Content bytes of each of the last seconds, oldest first."""

    until: Annotated[
        int, _about("When the last of them, the present one, began: seconds since the epoch.")
    ]
    origin: list[Int64]
    seed: list[Int64]
    peers: list[Int64]


class Overview(Model, kw_only=True):
    """The supernode at a glance."""

    started: Annotated[Moment, _about("When this process began to count.")]
    time: Moment
    peers: PeerCounts
    tasks: Annotated[dict[str, int], _about("How many there are, by their `cdnStatus`.")]
    paused: Annotated[int, _about("How many of them are paused.")]
    preheats: Annotated[dict[str, int], _about("How many there are, by their status.")]
    running: Annotated[int, _about("How many downloads run.")]
    leases: Annotated[int, _about("How many pieces are assigned to somebody.")]
    seed_slots: Annotated[Int32, _about("Uploads of the supernode at once, of each task.")] = field(
        name="seedSlots"
    )
    peer_slots: Annotated[Int32, _about("Uploads of a peer at once.")] = field(name="peerSlots")
    bytes_from: Annotated[BytesBySource, _about("Since `started`.")] = field(name="bytesFrom")
    traffic: TrafficHistory
    disk: Annotated[DiskInfo | None, _about("Left out while it is not known.")] = None


# a swarm


class SwarmClient(Model, kw_only=True):
    """One client of a swarm."""

    client_id: str = field(name="cID")
    peer_id: Annotated[str, _about("Who serves to others what it has got; none: nobody.")] = field(
        default="", name="peerID"
    )
    status: DfGetTaskStatus
    started: Moment
    pieces: Annotated[Bitset, _about("What it has, as `pieces` of the swarm.")]
    from_seed: Int64 = field(name="fromSeed")
    from_peers: Int64 = field(name="fromPeers")
    rate: Annotated[
        float | None, _about("Bytes/s in the time in which it was being given pieces.")
    ] = None


class LeaseInfo(Model, kw_only=True):
    """A piece that is on its way, as far as is known."""

    lease: int
    task_id: str = field(name="taskID")
    client_id: str = field(name="cID")
    piece: int
    holder: HolderId
    began: Moment
    overdue: Annotated[bool, _about("It takes so long that nobody counts on it.")] = False


class SwarmInfo(Model, kw_only=True):
    """Who has which pieces of a task, and who is being given which by whom."""

    task_id: str = field(name="taskID")
    generation: Annotated[int, _about("Of all fetches, which one this is about.")]
    status: CdnStatus = field(name="cdnStatus")
    paused: bool = False
    length: Annotated[Int64 | None, _about("The origin's bytes.")] = field(
        default=None, name="httpFileLength"
    )
    piece_size: Annotated[Int32 | None, _about("Framed bytes.")] = field(
        default=None, name="pieceSize"
    )
    piece_total: Int32 | None = field(default=None, name="pieceTotal")
    pieces: Annotated[Bitset, _about("What the supernode can give.")]
    copies: Annotated[list[int], _about("How many peers offer each piece, from piece 0 on.")]
    clients_total: Annotated[int, _about("How many clients there are, shown or not.")] = field(
        name="clientsTotal"
    )
    clients: Annotated[
        list[SwarmClient], _about(f"At most {MOST_CLIENTS}; those that still download come first.")
    ]
    leases: Annotated[list[LeaseInfo], _about("Those of the clients that are shown.")]


class Waiting(Model, kw_only=True):
    """What a swarm waits for."""

    cause: Annotated[
        str,
        _about(
            "`idle`, `paused`, `queue` (other fetches come first), `check` (the origin is asked "
            "whether the file has changed), `disk`, `origin`, `seed_slots`, `peer_slots`, or "
            "`links` (nobody waits for anything but the links)."
        ),
    ]
    text: Annotated[str, _about("The same in words.")]
    clients: Annotated[dict[str, int], _about("How many clients wait for what.")]


class BusyRates(Model, kw_only=True):
    """Bytes/s while there was something to carry, or at best; what is not known is left out."""

    origin: float | None = None
    seed: Annotated[float | None, _about("All uploads of the supernode together.")] = None
    peers: Annotated[float, _about("The sum of the peers' uploads.")]
    fastest: Annotated[float | None, _about("Of the fastest client's downloads.")] = None


class SwarmProgress(Model, kw_only=True):
    """How far a swarm is, what holds it up, and how near it is to the best there can be.

    Counts from when somebody began to download while nobody else did.
    """

    task_id: str = field(name="taskID")
    waiting: Waiting
    running: Annotated[Int32, _about("How many clients download.")]
    clients: Annotated[Int32, _about("How many did or do, without those that failed.")]
    bytes_from: BytesBySource = field(name="bytesFrom")
    bytes_left: Annotated[
        Int64 | None, _about("What those who download still lack; left out while not known.")
    ] = field(default=None, name="bytesLeft")
    rate: Annotated[float, _about("Bytes/s that clients were given in the last seconds.")]
    seconds: Annotated[float | None, _about("Since the first began, until the last ended.")] = None
    seconds_left: Annotated[float | None, _about("How long it still takes at this rate.")] = field(
        default=None, name="secondsLeft"
    )
    rates: BusyRates
    lower_bound: Annotated[
        float | None,
        _about(
            "Seconds in which no swarm of such links could do it: the largest of F/u_origin (if "
            "the origin is read), F/u_seed, F/d and N·F/(u_seed + Σu), at the rates that are known."
        ),
    ] = field(default=None, name="lowerBound")
    efficiency: Annotated[
        float | None, _about("That bound, as far as they have got, divided by the seconds.")
    ] = None


# a peer


class Holding(Model, kw_only=True):
    """What a peer has, or gets, of a task."""

    task_id: str = field(name="taskID")
    task_url: str = field(name="taskURL")
    client_id: str = field(name="cID")
    status: DfGetTaskStatus
    path: str = ""
    pieces_done: Int32 = field(name="piecesDone")
    piece_total: Int32 | None = field(default=None, name="pieceTotal")
    from_seed: Int64 = field(name="fromSeed")
    from_peers: Int64 = field(name="fromPeers")


class PeerActivity(Model, kw_only=True):
    """What a peer holds, serves and fails. Looking at it is no sign of the peer's life."""

    peer: PeerInfo
    silent: Annotated[bool, _about("It was not heard of for long.")] = False
    slots: Annotated[Int32, _about("How many uploads at once it is asked for.")]
    failures: Annotated[Int32, _about("Pieces it failed to give since the last one it gave.")]
    strikes: Annotated[Int32, _about("How often it was found not to have what it offers.")]
    holds: Annotated[list[Holding], Meta(max_length=MOST_CLIENTS)]
    serves: Annotated[list[LeaseInfo], _about("What it is giving to others at the moment.")]
