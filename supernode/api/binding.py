"""An operation bound to whatever carries requests: how its answers read is the same everywhere."""

from dataclasses import dataclass, replace

from supernode.api.negotiation import prefers_plain_text
from supernode.api.operations import Operation
from supernode.exchange import Answer, Request, Responder, Wait

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Binding:
    """One operation, ready to be asked.

    Args:
        operation: what is asked.
        responder: turns what its handler says into answers.
    """

    operation: Operation
    responder: Responder

    def ask(self, request: Request) -> Answer | Wait:
        """Return what the operation says to a request: at once, or that this takes a while."""
        return self.responder.ask(self.operation.handler, request)

    async def answer(self, request: Request, outcome: Answer | Wait) -> Answer:
        """Return the answer that ``outcome`` comes to, as this request is to be answered."""
        answer = self.operation.in_dialect(await self.responder.answer(outcome), request)
        return as_preferred(answer, request.headers.get("accept", ""))


def as_preferred(answer: Answer, accept: str) -> Answer:
    """Return the answer, JSON as plain text for a client that prefers that."""
    if accept and answer.content_type == JSON and prefers_plain_text(accept):
        return replace(answer, content_type="text/plain")
    return answer
