"""A connection whose first bytes were looked at reads as if they had not been."""

from trio.testing import memory_stream_pair

from supernode.wire.replay import Replayed


async def test_what_was_read_comes_again_and_then_the_rest() -> None:
    ours, theirs = memory_stream_pair()
    await theirs.send_all(b"the rest")
    replayed = Replayed(ours, b"first")  # type: ignore[arg-type]  # any stream will do
    assert await replayed.receive_some(2) == b"fi"
    assert await replayed.receive_some() == b"rst"
    assert await replayed.receive_some(3) == b"the"


def test_all_else_is_the_stream_s_own() -> None:
    ours, _ = memory_stream_pair()
    replayed = Replayed(ours, b"")  # type: ignore[arg-type]  # any stream will do
    assert replayed.send_all == ours.send_all
    assert not hasattr(replayed, "do_handshake"), "it would be taken for TLS"
