"""The files an uploader shares: which pieces of them may be served, and until when."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from supernode.core.pieces import content_size, framed_piece_length
from supernode.dfget.content import remove_abandoned
from supernode.dfget.options import Node
from supernode.dfget.supernode import TaskRequest


@dataclass(slots=True, kw_only=True)
class SharedFile:
    """One file; raw content of which some pieces, at the end all, may be served.

    Args:
        used_at: when it was last asked for, in Trio's time.
        pieces: content bytes of each piece that is there.
        is_offered: whether its supernode knows, as far as we do, that the whole file is here.
        seal: size and modification time when the download ended; None while it runs. Afterwards
            the output is the user's, and editing it must not make us serve wrong bytes.
    """

    name: str
    data: Path
    piece_size: int
    node: Node
    task: str
    request: TaskRequest
    expire_time: float
    used_at: float
    pieces: dict[int, int] = field(default_factory=dict)
    is_offered: bool = True
    seal: tuple[int, int] | None = None

    def open(self) -> int | None:
        """Open the content; None: it is not what was downloaded any more."""
        try:
            file = os.open(self.data, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        if self.seal is not None and _stamp(file) != self.seal:
            os.close(file)
            return None
        return file

    def finish(self) -> None:
        """The download has ended: from now on any change of the file is somebody else's."""
        file = self.open()
        if file is not None:
            self.seal = _stamp(file)
            os.close(file)

    def content_range(self, number: int) -> tuple[int, int] | None:
        """Return offset and length of a piece's content; None: the piece is not there."""
        length = self.pieces.get(number)
        return None if length is None else (number * content_size(self.piece_size), length)

    @property
    def framed_length(self) -> int | None:
        """The framed length of the whole file, once it is known."""
        if self.seal is None or not self.pieces:
            return None
        last = max(self.pieces)
        length = self.seal[0]
        return last * self.piece_size + framed_piece_length(last, length, self.piece_size)


class Shelf:
    """All shared files of a home, by name."""

    def __init__(self) -> None:
        self._files: dict[str, SharedFile] = {}

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[SharedFile]:
        return iter(list(self._files.values()))

    def find(self, name: str) -> SharedFile | None:
        """Return the file of this name."""
        return self._files.get(name)

    def add(self, file: SharedFile) -> None:
        """Share a file from now on."""
        self._files[file.name] = file

    def remove(self, file: SharedFile) -> None:
        """Forget a file and remove its data; responses under way finish from the open file.

        Until the download has ended the data is the downloader's, unless that has died.
        """
        if self._files.get(file.name) is file:
            del self._files[file.name]
        if file.seal is None:
            remove_abandoned(file.data)
        else:
            file.data.unlink(missing_ok=True)

    def expired(self, now: float) -> list[SharedFile]:
        """Return the finished files that nobody has asked for in time."""
        return [
            file
            for file in self._files.values()
            if file.seal is not None and now - file.used_at >= file.expire_time
        ]

    def next_expiry(self) -> float:
        """Return when the next file may expire; infinite: none will."""
        return min(
            (f.used_at + f.expire_time for f in self._files.values() if f.seal is not None),
            default=float("inf"),
        )


def _stamp(file: int) -> tuple[int, int]:
    status = os.fstat(file)
    return status.st_size, status.st_mtime_ns
