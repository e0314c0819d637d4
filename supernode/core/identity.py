"""Identity: which URL is which task and of which origin, which machine is which peer.

Task IDs are computed exactly as Dragonfly v1 does, so that every client, whatever its dialect,
meets in the same swarm. Peer IDs are stable: the same host name, address and port is the same peer.
"""

import hashlib
import re
from collections.abc import Collection, Iterable
from typing import NewType

TaskId = NewType("TaskId", str)
PeerId = NewType("PeerId", str)
ClientId = NewType("ClientId", str)
"""One download by one peer; chosen by the client."""

PreheatId = NewType("PreheatId", str)
PartId = NewType("PartId", str)
"""One file of a preheat."""

SEED_PREFIX = "cdnnode:"

_TASK_KEY = ">I$pg-~AS~sP'rqu_`Oh&lz#9]\"=;nE%"
_CREDENTIALS = re.compile(r"^([a-z]+://)[^/?#]*@", re.IGNORECASE)
_TASK_ID = re.compile(r"[0-9a-f]{64}")
_BLOB = re.compile(r"[^?#]*/v2/[^?#]+/blobs/sha256:(?P<sha256>[0-9a-f]{64})")
_MANIFESTS = "/manifests/"
_NUMBER_BITS = 52


def task_url(raw_url: str, filters: Iterable[str]) -> str:
    """Return ``raw_url`` without the query parameters named in ``filters``.

    Case-sensitive and without decoding, as v1: a fragment counts as part of the last value.
    """
    drop = frozenset(filters)
    base, mark, query = raw_url.partition("?")
    if not drop or not mark or not query.strip():
        return raw_url
    kept = [part for part in query.split("&") if part.partition("=")[0] not in drop]
    return f"{base}?{'&'.join(kept)}" if kept else base


def without_credentials(url: str) -> str:
    """Return the URL as it may be shown: ``http://user:secret@host/`` keeps them to itself."""
    return _CREDENTIALS.sub(r"\1", url)


def origin_key(url: str) -> str:
    """Return what the URLs of one origin have in common: host and port, in lower case.

    Cheap, for whoever has many URLs to tell apart. It takes any text; what is no URL has some key,
    too.
    """
    scheme, _, rest = url.partition("://")
    place = rest.partition("/")[0].partition("?")[0].partition("#")[0].rpartition("@")[2].lower()
    if ":" in place.rpartition("]")[2]:
        return place
    return f"{place}:443" if scheme.lower() == "https" else f"{place}:80"


def task_id(
    url: str,
    *,
    md5: str = "",
    identifier: str = "",
    byte_range: str | None = None,
    trust: str = "",
) -> TaskId:
    """Return the ID of the task that downloads ``url`` (already filtered).

    ``md5`` beats ``identifier``; one that is blank counts as absent. ``byte_range`` is the value of
    the origin header ``Range`` if the request carries one. ``trust`` is what :func:`trust_mark`
    returns, so that nobody is given what was fetched on somebody else's trust.
    """
    sign = md5 if md5.strip() else identifier if identifier.strip() else ""
    text = f"{_TASK_KEY}{url}{sign}{byte_range or ''}{_TASK_KEY}{trust}"
    return TaskId(hashlib.sha256(text.encode()).hexdigest())


def trust_mark(*, insecure: bool, root_cas: Collection[str]) -> str:
    """Return what tells one way to trust an origin from another; empty for the usual one."""
    if insecure:
        return "insecure"
    if not root_cas:
        return ""
    return hashlib.sha256("".join(sorted(set(root_cas))).encode()).hexdigest()


def blob_sha256(url: str) -> str:
    """Return the SHA-256 that the URL of a registry's blob is made of; empty: it is no such URL."""
    match = _BLOB.fullmatch(url)
    return match["sha256"] if match else ""


def manifest_url(url: str, digest: str) -> str:
    """Return where the registry has a manifest under its digest, which never changes.

    Args:
        url: of a manifest, by tag or digest.
        digest: the manifest's; empty: not known, the URL is all there is.
    """
    before, mark, _ = url.rpartition(_MANIFESTS)
    return f"{before}{mark}{digest}" if mark and digest else url


def preheat_id(chance: int) -> PreheatId:
    """Return the ID that a random number of 52 bits makes, the same as text and as an integer.

    Some clients take only the one, some only the other. The integer is one that every JSON decoder
    keeps exactly.
    """
    return PreheatId(f"{chance | 1 << _NUMBER_BITS:x}")


def preheat_number(preheat: PreheatId) -> int:
    """Return the integer that is as good as the ID."""
    return int(preheat, 16)


def part_id(preheat: PreheatId, number: int) -> PartId:
    """Return the ID of one of a preheat's files, which are numbered from 0."""
    return PartId(f"{preheat}-{number}")


def is_task_id(text: str) -> bool:
    """Tell whether ``text`` has the form of a task ID, and so is safe as a file name."""
    return _TASK_ID.fullmatch(text) is not None


def peer_id(host_name: str, ip: str, port: int) -> PeerId:
    """Return the ID of the peer at this address; a host name and an address are safe in a URL."""
    return PeerId(f"{host_name}-{ip}-{port}")


def seed_id(advertise_ip: str, task: TaskId) -> str:
    """Return the name under which the supernode itself is the holder of a task's pieces."""
    return f"{SEED_PREFIX}{advertise_ip}~{task}"


def download_path(task: TaskId) -> str:
    """Return the path on the data port that serves a task's pieces."""
    return f"/download/{task[:3]}/{task}"
