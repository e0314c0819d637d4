"""``GET /peer/service/down``: an uploader does not offer a file any longer."""

from supernode.api.dfget_1_0.answers import say
from supernode.api.dfget_1_0.codes import Code
from supernode.api.dfget_1_0.queries import download
from supernode.core.commands import PieceResult, Pull, PullStatus, RemovePeer
from supernode.core.errors import NotFound
from supernode.core.model import DownloadStatus
from supernode.dispatch import Dispatcher
from supernode.exchange import Answer, Request


class Goodbyes:
    """The operation.

    Args:
        dispatch: the door to the tracker.
    """

    def __init__(self, dispatch: Dispatcher) -> None:
        self._dispatch = dispatch

    def down(self, request: Request) -> Answer:
        """``GET /peer/service/down``: its client, if it is still at it, goes on downloading.

        An uploader gives up single files only when they are complete; if it gives up one that is
        not, it is about to end.
        """
        task_id, client = download(request, "cid")
        leaving = self._dispatch.tracker.task(task_id).downloads.get(client)
        if leaving is None:
            raise NotFound("client", client)
        if leaving.peer is not None and leaving.status is DownloadStatus.RUNNING:
            self._dispatch(RemovePeer(peer=leaving.peer))
        elif leaving.peer is not None:
            status, result = PullStatus.FINISHED, PieceResult.FAILED
            self._dispatch(Pull(task=task_id, client=client, status=status, result=result))
        return say(Code.PEER_DOWN)
