"""What a client said about a file, without its secrets: fit to be kept and carried elsewhere.

A file's ID is made of the secrets, too: of its URL with the credentials, of the range asked for, of
whom to trust. So the ID goes along.
"""

from typing import Any

import msgspec

from supernode.core.commands import AdoptTask, Command, CreatePreheat, RegisterTask
from supernode.core.identity import TaskId, task_id, trust_mark, without_credentials
from supernode.core.model import TaskSpec


class MaskedSpec(TaskSpec, frozen=True, kw_only=True):
    """A spec with names of headers, but neither values nor certificates nor credentials.

    Args:
        task: the ID of the task that the original stands for.
        means: how many bytes the original had that were there only for the fetch.
    """

    task: TaskId
    means: int

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
    return MaskedSpec(
        raw_url=without_credentials(spec.raw_url),
        task_url=without_credentials(spec.task_url),
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


def masked_command(command: Command[Any]) -> Command[Any]:
    """Return a command without the secrets of its spec, if it has one."""
    match command:
        case RegisterTask(spec=spec) | CreatePreheat(spec=spec):
            return msgspec.structs.replace(command, spec=masked(spec, _identity(spec)))
        case AdoptTask(spec=spec, task=task):
            return msgspec.structs.replace(command, spec=masked(spec, task))
    return command


def _identity(spec: TaskSpec) -> TaskId:
    """Return the ID of a spec's task, as :meth:`supernode.core.transitions.step.Step.identify`."""
    if isinstance(spec, MaskedSpec):
        return spec.task
    headers = spec.headers.reveal().items()
    return task_id(
        spec.task_url,
        md5=spec.md5,
        identifier=spec.identifier,
        byte_range=",".join(value for name, value in headers if name.lower() == "range"),
        trust=trust_mark(insecure=spec.insecure, root_cas=spec.root_cas),
    )
