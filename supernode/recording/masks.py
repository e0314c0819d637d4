"""What a client said about a file, without its secrets: fit to be kept and carried elsewhere.

A file's ID is made of the secrets, too: of its URL with the credentials, of the range asked for, of
whom to trust. So the ID goes along.
"""

from typing import TypeVar

import msgspec

from supernode.core.commands import Command, CreateBatch
from supernode.core.events import Event
from supernode.core.identity import TaskId, without_credentials
from supernode.core.model import TaskSpec

S = TypeVar("S", bound="Command | Event")  # type: ignore[type-arg]  # whatever it answers


class MaskedSpec(TaskSpec, frozen=True, kw_only=True):
    """A spec with names of headers, but neither values nor certificates nor credentials.

    Args:
        task: the ID of the task that the original stands for.
        means: how many bytes the original had that were there only for the fetch.
    """

    task: TaskId
    means: int

    @property
    def identity(self) -> TaskId:
        """The ID of the original's task."""
        return self.task

    @property
    def bytes_to_fetch_with(self) -> int:
        """How much of the original was there only for the fetch."""
        return self.means

    def without_means(self) -> "MaskedSpec":
        """Return what is to be remembered when there is nothing left to fetch."""
        return msgspec.structs.replace(self, means=0)


def masked(spec: TaskSpec, task: TaskId) -> MaskedSpec:
    """Return a spec without its secrets.

    Args:
        task: the ID of its task.
    """
    if isinstance(spec, MaskedSpec):
        return spec
    shown = without_credentials(spec.task_url)
    return MaskedSpec(
        raw_url=shown,  # what is filtered out of the other one is most often a signature
        task_url=shown,
        md5=spec.md5,
        identifier=spec.identifier,
        headers=spec.headers.emptied(),
        call_system=spec.call_system,
        dfdaemon=spec.dfdaemon,
        path=spec.path,
        insecure=spec.insecure,
        task=task,
        means=spec.bytes_to_fetch_with,
    )


def without_secrets(said: S) -> S:
    """Return a command or an event without the secrets of its spec, if it has one."""
    if isinstance(said, CreateBatch):
        wishes = tuple(map(without_secrets, said.wishes))
        return msgspec.structs.replace(said, wishes=wishes)
    spec: TaskSpec | None = getattr(said, "spec", None)
    if spec is None:
        return said
    task = getattr(said, "task", None) or spec.identity
    return msgspec.structs.replace(said, spec=masked(spec, task))
