"""Real peers, each a process of its own, get a file through a real supernode from a real nginx."""

from pathlib import Path

import pytest

from tests.e2e.machines import peers
from tests.e2e.neighbours import MIB, Daemon, Origin, listening_socket


def test_one_peer_alone(supernode: Daemon, origin: Origin, tmp_path: Path) -> None:
    url = origin.file("f", 10 * MIB + 17)
    with peers(tmp_path, url, supernode.node, 1, "--notbs") as (peer,):
        end = peer.finish()
        assert end["ok"]
        assert peer.right(origin.digests["f"])
    assert origin.bytes_sent() == 10 * MIB + 17


@pytest.mark.parametrize("size", [0, 1, 4 * MIB - 5, 4 * MIB - 4, 12 * MIB - 15])
def test_sizes_around_the_piece(
    supernode: Daemon, origin: Origin, tmp_path: Path, size: int
) -> None:
    url = origin.file("f", size)
    with peers(tmp_path, url, supernode.node, 2, "--notbs") as both:
        for peer in both:
            assert peer.finish()["ok"]
            assert peer.right(origin.digests["f"])
    assert origin.bytes_sent() == size


def test_the_origin_sends_a_file_once_to_many(
    supernode: Daemon, origin: Origin, tmp_path: Path
) -> None:
    url = origin.file("f", 48 * MIB)
    with peers(tmp_path, url, supernode.node, 5, "--notbs") as swarm:
        ends = [peer.finish() for peer in swarm]
        assert all(end["ok"] for end in ends)
        assert all(peer.right(origin.digests["f"]) for peer in swarm)
    assert origin.bytes_sent() == 48 * MIB
    from_peers = sum(end["bytes"]["peers"] for end in ends)  # type: ignore[index]
    assert from_peers > 0


def test_peers_killed_in_mid_transfer_do_not_stop_the_rest(
    supernode: Daemon, origin: Origin, tmp_path: Path
) -> None:
    url = origin.file("f", 64 * MIB)
    # Slow enough that everyone is in the middle of it when two of them go.
    limits = ("--notbs", "--locallimit", "16M", "--totallimit", "16M")
    with peers(tmp_path, url, supernode.node, 5, *limits) as swarm:
        for peer in swarm:
            peer.first_piece()
        for peer in swarm[:2]:
            peer.kill()
        for peer in swarm[2:]:
            assert peer.finish()["ok"]
            assert peer.right(origin.digests["f"])
    assert origin.bytes_sent() == 64 * MIB
    assert not any(peer.output.exists() for peer in swarm[:2])


def test_a_file_that_is_not_there_ends_with_its_reason(
    supernode: Daemon, origin: Origin, tmp_path: Path
) -> None:
    url = f"http://127.0.0.1:{origin.port}/nothing"
    with peers(tmp_path, url, supernode.node, 3, "--notbs") as swarm:
        for peer in swarm:
            end = peer.finish()
            assert not end["ok"]
            assert "no such file" in str(end["error"])
            assert not peer.output.exists()


def test_without_a_supernode_it_goes_to_the_origin(origin: Origin, tmp_path: Path) -> None:
    url = origin.file("f", 3 * MIB)
    with listening_socket() as free:
        nobody = f"127.0.0.1:{free.getsockname()[1]}"
    with peers(tmp_path, url, nobody, 1) as (peer,):
        end = peer.finish()
        assert end["bytes"] == {"seed": 0, "peers": 0, "origin": 3 * MIB}
        assert peer.right(origin.digests["f"])


def test_without_a_supernode_notbs_fails(origin: Origin, tmp_path: Path) -> None:
    url = origin.file("f", 3 * MIB)
    with listening_socket() as free:
        nobody = f"127.0.0.1:{free.getsockname()[1]}"
    with peers(tmp_path, url, nobody, 1, "--notbs") as (peer,):
        assert not peer.finish()["ok"]
        assert peer.process.returncode == 69
        assert not peer.output.exists()
    assert origin.bytes_sent() == 0
