"""Commands and what came of them, encoded as they happen: in memory, a command is a few bytes."""

import zlib
from collections.abc import Sequence
from typing import Any

from supernode.core.commands import Command, CreateBatch
from supernode.core.errors import DomainError
from supernode.core.events import Event
from supernode.recording import plain
from supernode.recording.masks import without_secrets

_KINDS: dict[str, type[Command[Any]]] = {kind.__name__: kind for kind in Command.__subclasses__()}
_WITH_SPEC = {kind for kind in _KINDS.values() if "spec" in kind.__struct_fields__} | {CreateBatch}


def encoded(command: Command[Any], now: float) -> bytes:
    """Return a command without secrets, and when it was executed, as few bytes."""
    kind = type(command)
    if kind in _WITH_SPEC:
        command = without_secrets(command)
    return plain.encoded((now, kind.__name__, command))


def decoded(data: bytes) -> tuple[Command[Any], float]:
    """Return a command and when it was executed.

    Raises:
        LookupError: there is no such command, or a field is missing.
        ValueError, TypeError: a field has another type.
    """
    now, kind, fields = plain.decoded(data)
    command: Command[Any] = plain.build(_KINDS[kind], fields)
    return command, now


def digest(answer: object, events: Sequence[Event]) -> int:
    """Return what tells an answer, or a refusal, and its events from any others."""
    if isinstance(answer, DomainError):
        answer = [type(answer).__name__, str(answer)]
    return zlib.crc32(plain.encoded([answer, list(map(without_secrets, events))]))
