"""A file of an origin under TLS, through a real supernode: the user says whom to trust."""

import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio
import trustme

from tests.e2e.neighbours import SUPERNODE, Daemon
from tests.integration.http_stub import StubRequest, http_stub
from tests.integration.tls_terminator import tls_in_front_of

CONTENT = random.Random(2).randbytes(100_000)


@asynccontextmanager
async def origin(authority: trustme.CA) -> AsyncIterator[str]:
    """Serve the content under TLS, whatever is asked for; yield the URL up to the file's name."""

    async def answer(request: StubRequest) -> tuple[int, bytes]:
        return 200, CONTENT

    async with http_stub(answer) as plain, tls_in_front_of(plain, authority) as port:
        yield f"https://127.0.0.1:{port}"


async def dfget(home: Path, node: str, url: str, *flags: str) -> dict[str, object]:
    """Download through the supernode only; return the last thing dfget says."""
    process = await trio.run_process(
        [
            *(*SUPERNODE, "dfget", "--json", "--notbs", "--alivetime", "0s", "--ip", "127.0.0.1"),
            *("--home", str(home), "-o", str(home / "out"), "-n", node, "-u", url, *flags),
        ],
        capture_stdout=True,
        check=False,
    )
    end: dict[str, object] = json.loads(process.stdout.splitlines()[-1])
    return end


async def test_the_supernode_trusts_whom_the_user_trusts(supernode: Daemon, tmp_path: Path) -> None:
    authority = trustme.CA()
    pem = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(pem))
    home = tmp_path / "home"
    home.mkdir()
    with trio.fail_after(60):
        async with origin(authority) as url:
            refused = await dfget(home, supernode.node, f"{url}/usual")
            assert not refused["ok"]
            assert "certificate" in str(refused["error"])
            assert not (home / "out").exists()
            for name, flags in (
                ("vouched", ("--cacerts", str(pem))),
                ("unverified", ("--insecure",)),
            ):
                end = await dfget(home, supernode.node, f"{url}/{name}", *flags)
                assert end["ok"], end
                assert end["bytes"] == {"seed": len(CONTENT), "peers": 0, "origin": 0}
                assert (home / "out").read_bytes() == CONTENT
                (home / "out").unlink()
            refused = await dfget(home, supernode.node, f"{url}/vouched")
            assert not refused["ok"], "it was fetched on somebody else's trust"
            assert "certificate" in str(refused["error"])
