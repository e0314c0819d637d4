"""How what the core knows looks as rows, and back. Columns in the order of the tables'.

Headers' values are in the clear: they are needed to go on with a fetch, and gone when it has ended.
Hence nobody else may read the file.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from supernode.core.identity import ClientId, PartId, PeerId, PreheatId, TaskId
from supernode.core.model import (
    Blob,
    CdnStatus,
    Download,
    DownloadStatus,
    OriginVersion,
    Part,
    PartStatus,
    Peer,
    Preheat,
    PreheatKind,
    PreheatStatus,
    Secrets,
    Source,
    Task,
    TaskSpec,
)
from supernode.core.pieces import unpack_pieces
from supernode.core.reasons import Reason
from supernode.core.swarm import bitset_bytes

Row: TypeAlias = tuple[Any, ...]

_REASONS: Mapping[str | None, Reason] = {reason.code: reason for reason in Reason}


def peer_row(peer: Peer) -> Row:
    """Return a peer's row."""
    return (
        *(peer.id, peer.ip, peer.port, peer.host_name, peer.version, peer.created),
        *(peer.strikes, int(peer.quarantined), peer.quarantined_until, peer.evidence),
    )


def peer_of(row: Row) -> Peer:
    """Return the peer of a row."""
    identity, ip, port, host_name, version, created, *found = row
    strikes, quarantined, until, evidence = found
    return Peer(
        id=PeerId(identity),
        ip=ip,
        port=port,
        host_name=host_name,
        version=version,
        created=created,
        last_seen=created,
        strikes=strikes,
        quarantined=bool(quarantined),
        quarantined_until=until,
        evidence=evidence,
    )


def task_row(task: Task, boot: str) -> Row:
    """Return a task's row, without its pieces.

    Args:
        boot: tells this start of the system from others.
    """
    version = task.version
    return (
        task.id,
        task.generation,
        _spec_text(task.spec),
        task.created,
        task.last_used,
        task.status,
        int(task.adopted),
        int(task.paused),
        int(task.pinned),
        _code(task.reason),
        task.detail,
        task.failures,
        task.retry_at,
        task.length,
        task.piece_size,
        task.md5,
        task.sha256,
        version.etag,
        version.last_modified,
        version.validator,
        task.checked,
        "" if task.swarm.lacking else boot,
    )


def task_of(row: Row) -> tuple[Task, str]:
    """Return the task of a row, and the boot in which its pieces were all verified or written."""
    *known, etag, last_modified, validator, checked, boot = row
    (
        identity,
        generation,
        spec,
        created,
        last_used,
        status,
        adopted,
        paused,
        pinned,
        reason,
        detail,
        failures,
        retry_at,
        length,
        piece_size,
        md5,
        sha256,
    ) = known
    task = Task(
        id=TaskId(identity),
        generation=generation,
        spec=_spec_of(spec),
        created=created,
        last_used=last_used,
        status=CdnStatus(status),
        adopted=bool(adopted),
        paused=bool(paused),
        pinned=bool(pinned),
        reason=_reason(reason),
        detail=detail,
        failures=failures,
        retry_at=retry_at,
        length=length,
        piece_size=piece_size,
        version=OriginVersion(etag=etag, last_modified=last_modified, validator=validator),
        checked=checked,
        md5=md5,
        sha256=sha256,
    )
    return task, boot


def download_row(download: Download) -> Row:
    """Return a download's row."""
    return (
        download.task,
        download.client,
        download.peer,
        download.path,
        download.created,
        download.status,
        _code(download.reason),
        download.detail,
        _packed(download.have),
        _packed(download.claimed),
        download.from_seed,
        download.from_peers,
    )


def download_of(row: Row) -> Download:
    """Return the download of a row."""
    task, client, peer, path, created, status, reason, detail, *amounts = row
    have, claimed, from_seed, from_peers = amounts
    return Download(
        task=TaskId(task),
        client=ClientId(client),
        peer=None if peer is None else PeerId(peer),
        path=path,
        index=-1,
        created=created,
        last_seen=created,
        status=DownloadStatus(status),
        reason=_reason(reason),
        detail=detail,
        have=unpack_pieces(have),
        claimed=unpack_pieces(claimed),
        from_seed=from_seed,
        from_peers=from_peers,
    )


def preheat_row(preheat: Preheat) -> Row:
    """Return a preheat's row, without its files."""
    return (
        preheat.id,
        preheat.task,
        _spec_text(preheat.spec),
        preheat.created,
        preheat.status,
        _code(preheat.reason),
        preheat.detail,
        preheat.finished,
        preheat.kind,
        msgspec.json.encode(preheat.platforms).decode(),
        preheat.manifest,
        int(preheat.is_resolved),
    )


def preheat_of(row: Row) -> Preheat:
    """Return the preheat of a row."""
    identity, task, spec, created, status, reason, detail, finished, *of_image = row
    kind, platforms, manifest, resolved = of_image
    return Preheat(
        id=PreheatId(identity),
        task=TaskId(task),
        spec=_spec_of(spec),
        created=created,
        status=PreheatStatus(status),
        reason=_reason(reason),
        detail=detail,
        finished=finished,
        kind=PreheatKind(kind),
        platforms=msgspec.json.decode(platforms, type=tuple[str, ...]),
        manifest=manifest,
        is_resolved=bool(resolved),
    )


def part_row(part: Part) -> Row:
    """Return the row of a preheat's file."""
    return (
        part.id,
        part.preheat,
        part.task,
        None if part.blob is None else msgspec.json.encode(part.blob).decode(),
        part.status,
        part.came_from,
        part.length,
        _code(part.reason),
        part.detail,
    )


def part_of(row: Row) -> Part:
    """Return the preheat's file of a row."""
    identity, preheat, task, blob, status, came_from, length, reason, detail = row
    return Part(
        id=PartId(identity),
        preheat=PreheatId(preheat),
        task=TaskId(task),
        blob=None if blob is None else msgspec.json.decode(blob, type=Blob),
        status=PartStatus(status),
        came_from=None if came_from is None else Source(came_from),
        length=length,
        reason=_reason(reason),
        detail=detail,
    )


def batch_row(batch: PreheatId, preheats: tuple[PreheatId, ...]) -> Row:
    """Return the row of preheats that were asked for at once."""
    return (batch, msgspec.json.encode(preheats).decode())


def batch_of(row: Row) -> tuple[PreheatId, tuple[PreheatId, ...]]:
    """Return what such a row tells."""
    batch, preheats = row
    return PreheatId(batch), msgspec.json.decode(preheats, type=tuple[PreheatId, ...])


def gone_row(task: TaskId, reason: Reason) -> Row:
    """Return the row that tells why a task is known no longer."""
    return (task, reason.code)


def gone_of(row: Row) -> tuple[TaskId, Reason]:
    """Return what such a row tells."""
    task, reason = row
    return TaskId(task), _reason(reason) or Reason.INTERNAL


def _packed(pieces: int) -> bytes:
    return pieces.to_bytes(bitset_bytes(pieces), "little")


def _code(reason: Reason | None) -> str | None:
    return None if reason is None else reason.code


def _reason(code: str | None) -> Reason | None:
    """Return the reason with a code; one that is known no longer was at least one."""
    return None if code is None else _REASONS.get(code, Reason.INTERNAL)


def _spec_text(spec: TaskSpec) -> str:
    said = {name: getattr(spec, name) for name in spec.__struct_fields__}
    return msgspec.json.encode(said | {"headers": spec.headers.reveal()}).decode()


def _spec_of(text: str) -> TaskSpec:
    said = msgspec.json.decode(text)
    headers = Secrets(said.pop("headers"))
    return TaskSpec(**said | {"root_cas": tuple(said["root_cas"]), "headers": headers})
