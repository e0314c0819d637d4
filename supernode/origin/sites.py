"""What an operator says beforehand of one origin: whom to trust to be it, and who we are to it."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from supernode.core.reasons import Reason
from supernode.origin.errors import OriginError

Stamp = tuple[int, int, int]
"""What tells one content of a file from another: time of change in ns, size, inode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """How an origin proves itself, and we to it. The files, all in PEM, are read when they change.

    Args:
        insecure: its certificate is not verified.
        ca: authorities to trust besides the system's.
        client_cert: our certificate chain; wants ``client_key``.
        client_key: its private key.
    """

    insecure: bool = False
    ca: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None

    @property
    def files(self) -> list[Path]:
        """Every file that says something."""
        return [path for path in (self.ca, self.client_cert, self.client_key) if path is not None]


def stamps(files: Iterable[Path]) -> tuple[Stamp, ...]:
    """Return what tells the files from earlier or later ones. Blocks: for a thread.

    Raises:
        OriginError: SETTING_UNUSABLE.
    """
    found = []
    for path in files:
        try:
            seen = os.stat(path)
        except OSError as error:
            raise unusable(path, error.strerror or "it cannot be read") from None
        found.append((seen.st_mtime_ns, seen.st_size, seen.st_ino))
    return tuple(found)


def read(path: Path) -> str:
    """Return a file's text. Blocks: for a thread.

    Raises:
        OriginError: SETTING_UNUSABLE.
    """
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise unusable(path, error.strerror or "it cannot be read") from None
    except UnicodeError:
        raise unusable(path, "it is not text in UTF-8") from None


def unusable(path: Path, problem: str) -> OriginError:
    """Return what to raise when a file is not what the configuration says it is."""
    return OriginError(Reason.SETTING_UNUSABLE, f"{path}: {problem}")
