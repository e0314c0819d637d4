"""A supernode somewhere, as commands ask it: JSON over HTTP, as anybody could."""

from typing import Any, TypeVar

import click
import msgspec

from supernode.dfget.http import Answer, HttpClient, HttpError
from supernode.dfget.options import Node, parse_nodes

T = TypeVar("T")

ANSWER_SECONDS = 30.0
_FULL = 503


class _Trouble(msgspec.Struct):
    message: str = ""


class Unreachable(Exception):
    """The supernode gives no answer now; it may later."""


class Rejected(Exception):
    """The supernode answered that it will not; the text says why."""


class Remote:
    """One supernode.

    Args:
        node: where it is.
        http: the connections to use.
    """

    def __init__(self, node: Node, http: HttpClient) -> None:
        self.node = node
        self._http = http

    async def ask(self, method: str, target: str, kind: type[T], body: object = None) -> T:
        """Return what a success carries.

        Raises:
            Unreachable: no answer in time, or none that makes sense.
            Rejected: any other answer than a success.
        """
        answer = await self.request(method, target, body)
        try:
            if answer.status < 300:
                return msgspec.json.decode(answer.body, type=kind)
            trouble = msgspec.json.decode(answer.body, type=_Trouble).message
        except msgspec.MsgspecError:
            trouble = ""
        problem = trouble or f"status {answer.status}"
        if answer.status >= 500 and answer.status != _FULL:
            raise Unreachable(f"supernode {self.node}: {problem}")
        raise Rejected(problem)

    async def request(self, method: str, target: str, body: object = None) -> Answer:
        """Return the answer, whatever its status.

        Raises:
            Unreachable: there is none in time.
        """
        try:
            return await self._http.request(
                (self.node.host, self.node.port),
                method,
                target,
                body=b"" if body is None else msgspec.json.encode(body),
                timeout=ANSWER_SECONDS,
                tls=self.node.tls,
            )
        except HttpError as error:
            raise Unreachable(f"supernode {self.node}: {error}") from error


class NodeType(click.ParamType[Node]):
    """A command line option's supernode."""

    name = "[https://]host[:port]"

    def convert(
        self,
        value: Any,  # noqa: ANN401 - as click has it
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Node:
        """Return where it is, or fail as click does."""
        try:
            ((node, _),) = parse_nodes(value)
        except ValueError:
            self.fail(f"{value!r} is not host[:port] or https://host[:port]", param, ctx)
        return node
