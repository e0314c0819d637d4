"""The two text files that Dragonfly v1 keeps beside a complete piece file: ``.meta`` and ``.md5``.

Written so that v1 and other tools understand the cache, read to know it again after a restart; one
that v1 wrote is as good. Supernode adds keys of its own to ``.meta``, which v1 ignores. Whoever may
read the cache may read them, so they tell no secret.
"""

import hashlib
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from supernode.core.identity import TaskId, task_id, without_credentials
from supernode.core.pieces import (
    FRAME_BYTES,
    LARGEST_PIECE,
    SMALLEST_PIECE,
    PieceDigest,
    digest_length,
    framed_length,
    framed_piece_length,
    piece_count,
)
from supernode.storage.errors import Damaged

META, MD5 = ".meta", ".md5"
UNFINISHED = ".new"
"""A sidecar that is being written has this behind its name."""

SUFFIXES = tuple(sidecar + end for sidecar in (META, MD5) for end in ("", UNFINISHED))
"""What may lie beside a piece file. The sidecars say that it is complete, so they go first."""

_LARGEST_TEXT = 16 * 1024 * 1024
"""Bytes of a sidecar; enough for a million pieces."""

_DIGEST = re.compile(r"[0-9a-f]{32}:[0-9]{1,9}")
_MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a complete file came from, and who asked for it, as ``.meta`` tells it.

    Args:
        url: the task's URL, filtered.
        identifier: the client's own name for the version, or empty.
        md5: the MD5 that the client expected, or empty.
        real_md5: the MD5 of the content.
        sha256: the SHA-256 of the content, or empty.
        http_length: length of the content in bytes.
        last_modified_ms: the origin's ``Last-Modified``, milliseconds since the epoch; 0: none.
        etag: the origin's ``ETag``, or empty.
        accessed_ms: last access, milliseconds since the epoch.
        call_system: what the first client said it is part of, or empty.
        dfdaemon: whether the first client was a dfdaemon.
    """

    url: str
    identifier: str
    md5: str
    real_md5: str
    sha256: str = ""
    http_length: int
    last_modified_ms: int
    etag: str
    accessed_ms: int
    call_system: str = ""
    dfdaemon: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecars:
    """What the two files say.

    Args:
        piece_size: framed bytes from the start of one piece to that of the next.
        framed_length: framed bytes of the whole file.
        digests: the pieces', in order.
        origin: where the file came from.
        boot_id: of the boot in which supernode wrote or verified the file; empty: unknown.
    """

    piece_size: int
    framed_length: int
    digests: tuple[PieceDigest, ...]
    origin: Provenance
    boot_id: str

    @property
    def length(self) -> int:
        """Content bytes of the whole file."""
        return self.framed_length - FRAME_BYTES * len(self.digests)


_Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class _Meta(msgspec.Struct, kw_only=True, frozen=True):
    """The keys of ``.meta``: v1's in v1's order, then supernode's."""

    task: str = msgspec.field(name="taskID")
    url: str
    piece_size: _Int64 = msgspec.field(name="pieceSize", default=0)
    http_length: _Int64 = msgspec.field(name="httpFileLen", default=0)
    identifier: str = msgspec.field(name="bizId", default="")
    accessed_ms: _Int64 = msgspec.field(name="accessTime", default=0)
    interval_ms: _Int64 = msgspec.field(name="interval", default=0)
    framed_length: _Int64 = msgspec.field(name="fileLength")
    md5: str = ""
    real_md5: str = msgspec.field(name="realMd5")
    last_modified_ms: _Int64 = msgspec.field(name="lastModified", default=0)
    etag: str = msgspec.field(name="eTag", default="")
    finish: bool
    success: bool
    sha256: str = ""
    boot_id: str = msgspec.field(name="bootId", default="")
    call_system: str = msgspec.field(name="callSystem", default="")
    dfdaemon: bool = False
    withheld: bool = False
    """The task's ID depends on something that is not told here, such as the URL's credentials."""


def meta_json(
    task: TaskId, piece_size: int, framed_length: int, origin: Provenance, boot_id: str
) -> bytes:
    """Return the text of ``.meta`` for a file that is complete; the URL's credentials stay out."""
    url = without_credentials(origin.url)
    return msgspec.json.encode(
        _Meta(
            task=task,
            url=url,
            piece_size=piece_size,
            http_length=origin.http_length,
            identifier=origin.identifier,
            accessed_ms=origin.accessed_ms,
            framed_length=framed_length,
            md5=origin.md5,
            real_md5=origin.real_md5,
            last_modified_ms=origin.last_modified_ms,
            etag=origin.etag,
            finish=True,
            success=True,
            sha256=origin.sha256,
            boot_id=boot_id,
            call_system=origin.call_system,
            dfdaemon=origin.dfdaemon,
            withheld=task_id(url, md5=origin.md5, identifier=origin.identifier) != task,
        )
    )


def md5_text(digests: Sequence[PieceDigest], real_md5: str) -> bytes:
    """Return the text of ``.md5``: the pieces' digests, the content's MD5, a SHA-1 over both."""
    lines = [*digests, real_md5]
    return "\n".join([*lines, _checksum(lines)]).encode()


def parse(task: TaskId, meta_text: bytes, md5_text: bytes) -> Sidecars:
    """Return what the sidecars of a task say if they agree with themselves and with each other.

    Raises:
        Damaged: they do not, or the file is not complete.
    """
    meta = _parse_meta(meta_text)
    if not (meta.finish and meta.success):
        raise Damaged(f"{META} says that the file is not complete")
    digests, real_md5 = _parse_md5(md5_text)
    if real_md5 != meta.real_md5:
        raise Damaged(f"{META} and {MD5} tell different MD5s of the whole file")
    if meta.md5.strip() and meta.md5.strip().lower() != real_md5:
        raise Damaged("the file has another MD5 than was asked for")
    expected = task_id(meta.url, md5=meta.md5, identifier=meta.identifier)
    if meta.task != task or not (meta.withheld or expected == task):
        raise Damaged(f"{META} is about another task")
    sidecars = Sidecars(
        piece_size=meta.piece_size or SMALLEST_PIECE,
        framed_length=meta.framed_length,
        digests=digests,
        origin=Provenance(
            url=meta.url,
            identifier=meta.identifier,
            md5=meta.md5,
            real_md5=real_md5,
            sha256=meta.sha256,
            http_length=meta.framed_length - FRAME_BYTES * len(digests),
            last_modified_ms=meta.last_modified_ms,
            etag=meta.etag,
            accessed_ms=meta.accessed_ms,
            call_system=meta.call_system,
            dfdaemon=meta.dfdaemon,
        ),
        boot_id=meta.boot_id,
    )
    _check_lengths(sidecars, meta.http_length)
    return sidecars


def read(path: Path) -> tuple[bytes, bytes]:
    """Return the texts of ``.meta`` and ``.md5`` beside a piece file. Blocks: for a thread.

    Raises:
        OSError: one is not there or cannot be read.
        Damaged: one is far too long.
    """
    return _read(path, META), _read(path, MD5)


def write(path: Path, texts: dict[str, bytes]) -> None:
    """Write sidecars beside a piece file, each whole or not at all. Blocks: for a thread.

    Not flushed to the disk: a rename is atomic for every reader, and after a power loss the
    digests tell what is good.

    Args:
        path: of the piece file.
        texts: by suffix.

    Raises:
        OSError: the disk did not take it.
    """
    for suffix, text in texts.items():
        unfinished = path.with_name(path.name + suffix + UNFINISHED)
        try:
            unfinished.write_bytes(text)
            unfinished.rename(path.with_name(path.name + suffix))
        except OSError:
            with suppress(OSError):
                unfinished.unlink()
            raise


def _read(path: Path, suffix: str) -> bytes:
    with open(f"{path}{suffix}", "rb", buffering=0) as file:
        if os.fstat(file.fileno()).st_size > _LARGEST_TEXT:
            raise Damaged(f"{suffix} is longer than it can be")
        return file.readall()


def _parse_meta(text: bytes) -> _Meta:
    try:
        return msgspec.json.decode(text, type=_Meta)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Damaged(f"{META} cannot be read: {error}") from None


def _parse_md5(text: bytes) -> tuple[tuple[PieceDigest, ...], str]:
    try:
        *lines, checksum = text.decode("ascii").strip().split("\n")
    except UnicodeError:
        raise Damaged(f"{MD5} is no text") from None
    if len(lines) < 2 or checksum != _checksum(lines):
        raise Damaged(f"{MD5} has been altered or cut short")
    *digests, real_md5 = lines
    if not _MD5.fullmatch(real_md5) or not all(map(_DIGEST.fullmatch, digests)):
        raise Damaged(f"{MD5} contains something that is no digest")
    return tuple(map(PieceDigest, digests)), real_md5


def _check_lengths(sidecars: Sidecars, http_length: int) -> None:
    """Raise Damaged if lengths, number of pieces and piece size contradict each other."""
    size, length, digests = sidecars.piece_size, sidecars.length, sidecars.digests
    if not SMALLEST_PIECE <= size <= LARGEST_PIECE:
        raise Damaged(f"pieces of {size} bytes cannot be")
    if length < 0 or piece_count(length, size) != len(digests):
        raise Damaged(f"{len(digests)} pieces are not {sidecars.framed_length} bytes")
    if framed_length(length, size) != sidecars.framed_length:
        raise Damaged(f"a file of {sidecars.framed_length} framed bytes cannot be")
    if http_length > 0 and http_length != length:  # 0 and less: v1 did not know it
        raise Damaged(f"the origin had {http_length} bytes, this are {length}")
    for number, digest in enumerate(digests):
        if digest_length(digest) != framed_piece_length(number, length, size):
            raise Damaged(f"the digest of piece {number} is of another length")


def _checksum(lines: Sequence[str]) -> str:
    return hashlib.sha1("".join(lines).encode()).hexdigest()
