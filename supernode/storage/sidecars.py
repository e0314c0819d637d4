"""The two text files that Dragonfly v1 keeps beside a complete piece file: ``.meta`` and ``.md5``.

Supernode writes them so that v1 and other tools understand the cache; it does not read its own.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from supernode.core.identity import TaskId
from supernode.core.pieces import PieceDigest


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a complete file came from, as ``.meta`` tells it.

    Args:
        url: the task's URL, filtered.
        identifier: the client's own name for the version, or empty.
        md5: the MD5 that the client expected, or empty.
        real_md5: the MD5 of the content.
        http_length: length of the content in bytes.
        last_modified_ms: the origin's ``Last-Modified``, milliseconds since the epoch; 0: none.
        etag: the origin's ``ETag``, or empty.
        accessed_ms: last access, milliseconds since the epoch.
    """

    url: str
    identifier: str
    md5: str
    real_md5: str
    http_length: int
    last_modified_ms: int
    etag: str
    accessed_ms: int


def meta_json(task: TaskId, piece_size: int, framed_length: int, origin: Provenance) -> bytes:
    """Return the text of ``.meta`` for a file that is complete."""
    return msgspec.json.encode(
        {
            "taskID": task,
            "url": origin.url,
            "pieceSize": piece_size,
            "httpFileLen": origin.http_length,
            "bizId": origin.identifier,
            "accessTime": origin.accessed_ms,
            "interval": 0,
            "fileLength": framed_length,
            "md5": origin.md5,
            "realMd5": origin.real_md5,
            "lastModified": origin.last_modified_ms,
            "eTag": origin.etag,
            "finish": True,
            "success": True,
        }
    )


def md5_text(digests: Sequence[PieceDigest], real_md5: str) -> bytes:
    """Return the text of ``.md5``: the pieces' digests, the content's MD5, a SHA-1 over both."""
    lines = [*digests, real_md5]
    checksum = hashlib.sha1("".join(lines).encode()).hexdigest()
    return "\n".join([*lines, checksum]).encode()
