"""Under which address each client reaches the supernode.

A client says so when it registers, and is told the same with every piece that it shall take from
here: an address that others use may lead nowhere where it is. Most say what they also send as
``Host``, which comes with every request, so that only the others need to be remembered; those that
a restart, or very many others, have made us forget are taken at their ``Host``, too.
"""

import re
from collections import OrderedDict

from supernode.core.identity import ClientId, TaskId
from supernode.exchange import Request

MOST_REMEMBERED = 10_000

_PORT = re.compile(r":[0-9]*$")


class Addresses:
    """What clients have said.

    Args:
        usual: the address for a client of which nothing is known.
    """

    def __init__(self, usual: str) -> None:
        self._usual = usual
        self._said: OrderedDict[tuple[TaskId, ClientId], str] = OrderedDict()

    def note(self, task: TaskId, client: ClientId, said: str, request: Request) -> None:
        """Remember what a client has said, if there is a need."""
        self._said.pop((task, client), None)
        if said and said != self._from_host(request):
            self._said[task, client] = said
            if len(self._said) > MOST_REMEMBERED:
                self._said.popitem(last=False)

    def of(self, task: TaskId, client: ClientId, request: Request) -> str:
        """Return the address under which this client of the task reaches us."""
        return self._said.get((task, client)) or self._from_host(request) or self._usual

    def _from_host(self, request: Request) -> str:
        return _PORT.sub("", request.headers.get("host", ""))
