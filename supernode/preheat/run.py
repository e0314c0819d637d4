"""One preheat from the command line: asked for, and followed to its end."""

import signal
import sys
from dataclasses import dataclass

import trio
from rich.console import Console

from supernode.dfget.errors import Exit
from supernode.dfget.http import HttpClient
from supernode.dfget.options import Node
from supernode.dfget.progress import human
from supernode.preheat.asking import ENDED, DryRun, Preheat, Preheats, Wish
from supernode.preheat.faces import amounts, face, name_of
from supernode.remote import Rejected, Remote, Unreachable

LOOK_AGAIN_SECONDS = 0.5
_SIGNALS = {signal.SIGINT: Exit.INTERRUPTED, signal.SIGTERM: Exit.TERMINATED}
PATIENCE_SECONDS = 60.0
"""How long a supernode may be away while its preheat is followed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the user asked for.

    Args:
        wait: whether to follow it to its end.
        dry_run: whether only to tell what would be fetched.
        timeout: seconds to follow it.
    """

    wish: Wish
    node: Node
    wait: bool
    dry_run: bool
    timeout: float


async def run(order: Order) -> Exit:
    """Carry the order out; return the exit status. What goes wrong is told on stderr."""
    http = HttpClient(user_agent="supernode-preheat")
    try:
        with trio.open_signal_receiver(*_SIGNALS) as signals:
            ended = Exit.FAILED

            async def end_when_told() -> None:
                nonlocal ended
                ended = _SIGNALS[signal.Signals(await anext(signals))]
                nursery.cancel_scope.cancel("told to end")

            async with trio.open_nursery() as nursery:
                nursery.start_soon(end_when_told)
                ended = await _carry_out(order, Preheats(Remote(order.node, http)))
                nursery.cancel_scope.cancel("done")
            return ended
    finally:
        http.close()


async def _carry_out(order: Order, preheats: Preheats) -> Exit:
    try:
        if order.dry_run:
            return _tell(await preheats.dry_run(order.wish))
        identity = await preheats.create(order.wish)
        print(identity, flush=True)  # noqa: T201 - it is what the command answers
        if not order.wait:
            return Exit.OK
        with trio.fail_after(order.timeout):
            return _judge(await _followed(identity, preheats))
    except Rejected as error:
        return _complain(Exit.FAILED, str(error))
    except Unreachable as error:
        return _complain(Exit.NO_SUPERNODE, str(error))
    except trio.TooSlowError:
        return _complain(Exit.TIMEOUT, "it goes on, but --timeout has passed")


async def _followed(identity: str, preheats: Preheats) -> Preheat:
    """Show how far a preheat is until it has ended; return it. Raises Rejected, Unreachable."""
    shown = face(Console(stderr=True))
    heard = trio.current_time()
    try:
        while True:
            try:
                preheat = await preheats.look(identity)
            except Unreachable:  # it may be being restarted, and goes on then
                if trio.current_time() - heard > PATIENCE_SECONDS:
                    raise
            else:
                heard = trio.current_time()
                shown.show(preheat)
                if preheat.status in ENDED:
                    return preheat
            await trio.sleep(LOOK_AGAIN_SECONDS)
    finally:
        shown.close()


def _judge(preheat: Preheat) -> Exit:
    if preheat.status != "SUCCESS":
        return _complain(Exit.FAILED, preheat.error or preheat.status)
    if preheat.blobs:
        print(f"{preheat.digest}: {amounts(preheat.blobs)}", file=sys.stderr)  # noqa: T201
    return Exit.OK


def _tell(found: DryRun) -> Exit:
    if not found.admitted:
        return _complain(Exit.FAILED, f"{found.reason}: {found.detail}")
    for blob in found.blobs:
        size = "?" if blob.size is None else f"{human(blob.size)}"
        print(f"{name_of(blob)}\t{size}\t{blob.came_from or blob.skipped}")  # noqa: T201
    sums = f"{human(found.to_fetch)} to fetch, {human(found.cached)} cached"
    print(f"{human(found.total)}: {sums}")  # noqa: T201
    return Exit.OK


def _complain(ended: Exit, problem: str) -> Exit:
    print(f"supernode preheat: {problem}", file=sys.stderr)  # noqa: T201 - it is for the user
    return ended
