"""``supernode dfget`` as a program: exit codes, what it leaves, and the uploader it starts."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trustme

import supernode
from supernode.dfget import control
from supernode.dfget.errors import Exit
from tests.integration.http_stub import StubAnswer, StubRequest, http_stub
from tests.integration.scripted_tracker import ScriptedTracker
from tests.integration.tls_terminator import tls_in_front_of

ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(Path(supernode.__file__).parent.parent),
    "PYTHONUNBUFFERED": "",  # as users have it: what is left in a buffer is written at exit
}
CONTENT = random.Random(1).randbytes(200_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Machine:
    """A home, an output directory and the programs run there."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.out = folder / "out"
        self.out.mkdir()
        self.output = self.out / "f.bin"
        self.tracker = ScriptedTracker(CONTENT)
        self.origin_asked = 0
        self.origin_headers: dict[str, str] = {}

    async def answer(self, request: StubRequest) -> StubAnswer | None:
        if request.target == "/origin":
            self.origin_asked += 1
            self.origin_headers = request.headers
            return 200, CONTENT
        return await self.tracker.answer(request)

    def command(self, *flags: str, output: Path | None = None) -> list[str]:
        return [
            *(sys.executable, "-P", "-m", "supernode", "dfget", "--json"),
            *("--home", str(self.home), "-o", str(output or self.output)),
            *("-u", f"http://127.0.0.1:{self.tracker.port}/origin", "--ip", "127.0.0.1"),
            *flags,
        ]

    async def dfget(
        self, *flags: str, output: Path | None = None, cwd: Path | None = None
    ) -> tuple[int, dict[str, object], list[dict[str, object]]]:
        """Run a download to its end; return exit code, end event and the other events."""
        process = await trio.run_process(
            self.command("-n", f"127.0.0.1:{self.tracker.port}", *flags, output=output),
            cwd=cwd,
            env=ENVIRONMENT,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
        assert process.stderr == b""
        *events, end = [json.loads(line) for line in process.stdout.splitlines()]
        assert end["event"] == "end"
        assert end["exit"] == process.returncode
        return process.returncode, end, events

    async def start(self, *flags: str, nohup: bool = False) -> trio.Process:
        """Start a download whose standard output the test reads."""
        command = self.command("-n", f"127.0.0.1:{self.tracker.port}", *flags)
        return await trio.lowlevel.open_process(
            ["nohup", *command] if nohup else command,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
        )

    @property
    def data(self) -> list[str]:
        return sorted(os.listdir(self.home / "data"))

    async def uploader_gone(self) -> None:
        """Wait until no uploader holds the lock."""
        lock = control.UploaderLock(self.home)
        try:
            while not lock.acquire():  # noqa: ASYNC110 - another process
                await trio.sleep(0.02)
        finally:
            lock.close()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine whose uploader is stopped at the end."""
    it = Machine(tmp_path)
    yield it
    where = control.whereabouts(it.home)
    if where is not None:
        os.kill(where.pid, signal.SIGTERM)


@asynccontextmanager
async def served(machine: Machine) -> AsyncIterator[None]:
    with trio.fail_after(30):
        async with http_stub(machine.answer) as machine.tracker.port:
            yield


async def test_a_download_and_its_uploader(machine: Machine) -> None:
    async with served(machine):
        code, end, events = await machine.dfget("--digest", f"sha256:{SHA256}")
        assert code == Exit.OK
        assert machine.output.read_bytes() == CONTENT
        assert end["bytes"] == {"seed": len(CONTENT), "peers": 0, "origin": 0}
        assert end["digest_ok"] is True
        assert end["requests"] == sum(machine.tracker.calls.values())
        assert {event["event"] for event in events} == {"piece"}
        assert sorted(int(str(e["number"])) for e in events) == list(range(machine.tracker.total))
        assert os.listdir(machine.out) == ["f.bin"]
        assert machine.tracker.ended == ["SUCCESS"]
        assert len(machine.tracker.peers) == 1

        first = control.whereabouts(machine.home)
        assert first is not None
        assert os.getsid(first.pid) == first.pid  # no terminal's hang-up reaches it
        assert len(machine.data) == 1
        code, _, _ = await machine.dfget(output=machine.out / "second")
        assert code == Exit.OK
        assert control.whereabouts(machine.home) == first  # the same uploader, found again
        assert len(machine.data) == 2
        assert len(machine.tracker.peers) == 1

        os.kill(first.pid, signal.SIGTERM)
        await machine.uploader_gone()
        assert machine.tracker.peers == set()  # signed off
        assert machine.data == []
        assert machine.output.read_bytes() == CONTENT  # its other name stays


async def test_a_supernode_under_tls(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setitem(ENVIRONMENT, "SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    async with served(machine), tls_in_front_of(machine.tracker.port, authority) as port:
        code, end, _ = await machine.dfget("--node", f"https://127.0.0.1:{port}", "--notbs")
        assert code == Exit.OK
        assert machine.output.read_bytes() == CONTENT
        assert end["requests"] == sum(machine.tracker.calls.values())
        assert len(machine.tracker.peers) == 1
        uploader = control.whereabouts(machine.home)
        assert uploader is not None
        os.kill(uploader.pid, signal.SIGTERM)
        await machine.uploader_gone()
        assert machine.tracker.peers == set()  # signed off, under TLS too


async def test_trust_in_the_origin_is_none_in_the_supernode(
    machine: Machine, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    async with served(machine), tls_in_front_of(machine.tracker.port, authority) as port:
        flags = ("--cacerts", str(tmp_path / "ca.pem"), "--insecure", "--notbs")
        code, end, _ = await machine.dfget("--node", f"https://127.0.0.1:{port}", *flags)
        assert code == Exit.NO_SUPERNODE
        assert "certificate verify failed" in str(end["error"])
        assert not machine.tracker.calls


async def test_two_at_once_share_one_uploader(machine: Machine) -> None:
    codes: list[int] = []

    async def one(name: str) -> None:
        code, _, _ = await machine.dfget(output=machine.out / name)
        codes.append(code)

    async with served(machine):
        async with trio.open_nursery() as nursery:
            for name in ("a", "b", "c"):
                nursery.start_soon(one, name)
        assert codes == [Exit.OK] * 3
        assert len(machine.tracker.peers) == 1
        assert len(machine.data) == 3


async def test_not_staying(machine: Machine) -> None:
    async with served(machine):
        code, _, _ = await machine.dfget("--alivetime", "0s")
        assert code == Exit.OK
        assert machine.tracker.ended[0] == "FAILED"  # nobody is to come for its pieces
        await machine.uploader_gone()
        assert machine.tracker.peers == set()
    assert machine.data == []
    assert machine.output.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, Exit.INTERRUPTED),
        (signal.SIGTERM, Exit.TERMINATED),
        (signal.SIGHUP, Exit.HUNG_UP),
    ],
)
async def test_interrupted_it_leaves_nothing(
    machine: Machine, number: signal.Signals, code: Exit
) -> None:
    machine.output.write_bytes(b"what was there before")
    machine.tracker.known = 3
    async with served(machine):
        process = await machine.start()
        assert process.stdout is not None
        received = b""
        while received.count(b'"piece"') < 3:
            data = await process.stdout.receive_some()
            assert data, received
            received += data
        process.send_signal(number)
        async for data in process.stdout:
            received += data
        assert await process.wait() == code
        await process.stdout.aclose()
        assert machine.data == []
        assert machine.tracker.ended[0] == "FAILED"
    assert json.loads(received.splitlines()[-1])["exit"] == code
    assert machine.output.read_bytes() == b"what was there before"
    assert os.listdir(machine.out) == ["f.bin"]


async def test_killed_outright_its_uploader_clears_up(machine: Machine) -> None:
    machine.tracker.known = 3
    async with served(machine):
        process = await machine.start()
        assert process.stdout is not None
        received = b""
        while received.count(b'"piece"') < 3:
            data = await process.stdout.receive_some()
            assert data, received
            received += data
        process.kill()
        await process.wait()
        await process.stdout.aclose()
        while machine.data:  # noqa: ASYNC110 - another process
            await trio.sleep(0.02)
    assert os.listdir(machine.out) == []


async def test_without_a_supernode_the_origin_is_asked(machine: Machine) -> None:
    async with served(machine):
        code, end, events = await machine.dfget("-n", "127.0.0.1:1")
        assert code == Exit.OK
        assert machine.output.read_bytes() == CONTENT
        assert end["bytes"] == {"seed": 0, "peers": 0, "origin": len(CONTENT)}
        assert "falling back to the origin" in str(events[0]["text"])
    assert machine.data == []
    assert os.listdir(machine.out) == ["f.bin"]


async def test_without_a_supernode_and_forbidden_to_ask_the_origin(machine: Machine) -> None:
    async with served(machine):
        code, _, _ = await machine.dfget("-n", "127.0.0.1:1", "--notbs")
        assert code == Exit.NO_SUPERNODE
        assert machine.origin_asked == 0
    assert os.listdir(machine.out) == []


async def test_the_next_supernode_is_tried(machine: Machine) -> None:
    async with served(machine):
        both = f"127.0.0.1:1=1000,127.0.0.1:{machine.tracker.port}"
        code, end, _ = await machine.dfget("-n", both, "--notbs")
        assert code == Exit.OK
        assert end["bytes"] == {"seed": len(CONTENT), "peers": 0, "origin": 0}


async def test_a_failed_task_falls_back_and_says_why(machine: Machine) -> None:
    machine.tracker.refusal = (403, "url_forbidden")
    async with served(machine):
        code, _, _ = await machine.dfget("--notbs")
        assert code == Exit.FAILED
        code, _, events = await machine.dfget()
        assert code == Exit.OK
        assert "the policy forbids to contact this origin" in str(events[0]["text"])
        assert machine.output.read_bytes() == CONTENT


async def test_a_wrong_digest(machine: Machine) -> None:
    machine.output.write_bytes(b"what was there before")
    wrong = f"sha256:{'0' * 64}"
    async with served(machine):
        code, end, _ = await machine.dfget("--digest", wrong, "--notbs")
        assert (code, end["digest_ok"]) == (Exit.DIGEST, False)
        assert machine.origin_asked == 0
        code, end, _ = await machine.dfget("--digest", wrong)
        assert (code, end["digest_ok"]) == (Exit.DIGEST, False)
        assert machine.origin_asked == 1
        assert machine.data == []
    assert machine.output.read_bytes() == b"what was there before"
    assert os.listdir(machine.out) == ["f.bin"]


async def test_a_whole_that_is_not_the_supernodes_is_not_accepted(machine: Machine) -> None:
    machine.tracker.sha256 = "0" * 64
    async with served(machine):
        code, _, _ = await machine.dfget("--notbs")
        assert code == Exit.DIGEST
    assert os.listdir(machine.out) == []


async def test_the_whole_has_a_deadline(machine: Machine) -> None:
    machine.tracker.known = 3
    async with served(machine):
        code, _, _ = await machine.dfget("--timeout", "1500ms")
        assert code == Exit.TIMEOUT
    assert os.listdir(machine.out) == []


async def test_where_it_cannot_write(machine: Machine) -> None:
    async with served(machine):
        code, end, _ = await machine.dfget(output=machine.out / "no" / "such" / "folder")
        assert code == Exit.CANNOT_WRITE
        assert "No such file or directory" in str(end["error"])
        code, end, _ = await machine.dfget(output=machine.out / ("x" * 300))
        assert code == Exit.CANNOT_WRITE
        assert "File name too long" in str(end["error"])
        assert not machine.tracker.calls  # known before anything is transferred
        assert machine.origin_asked == 0


async def test_a_home_that_cannot_be_used(machine: Machine) -> None:
    machine.home.mkdir()
    (machine.home / "logs").touch()
    async with served(machine):
        code, end, _ = await machine.dfget()
        assert code == Exit.CANNOT_WRITE
        assert "File exists" in str(end["error"])
    assert os.listdir(machine.out) == []


async def test_what_lies_where_the_user_is_is_not_imported(
    machine: Machine, tmp_path: Path
) -> None:
    (tmp_path / "trio.py").write_text("raise SystemExit('imported by the uploader')")
    async with served(machine):
        code, _, events = await machine.dfget(cwd=tmp_path)
        assert code == Exit.OK
        assert {event["event"] for event in events} == {"piece"}  # no note that nothing is shared


async def test_another_port_than_asked_for_is_told(machine: Machine) -> None:
    async with served(machine):
        await machine.dfget()
        where = control.whereabouts(machine.home)
        assert where is not None
        other = 15000 + (where.port == 15000)
        _, _, events = await machine.dfget("--port", str(other), output=machine.out / "second")
        assert f"at port {where.port}" in str(events[0]["text"])


async def test_the_origin_gets_the_users_headers_once(machine: Machine) -> None:
    async with served(machine):
        flags = [
            *("--header", "User-Agent: mine", "--header", "Accept-Encoding: gzip"),
            *("--header", "Host: elsewhere", "--header", "X-Name: Jürgen"),
        ]
        code, _, _ = await machine.dfget("-n", "a..b:1", *flags)
        assert code == Exit.OK
    asked = machine.origin_headers
    assert asked["user-agent"] == "mine"
    assert asked["accept-encoding"] == "identity"
    assert asked["host"] == f"127.0.0.1:{machine.tracker.port}"
    assert asked["x-name"] == "Jürgen"


async def test_the_fall_back_trusts_whom_the_user_trusts(machine: Machine, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    both = f"{tmp_path}/other.pem,{tmp_path}/ca.pem"
    async with served(machine), tls_in_front_of(machine.tracker.port, authority) as port:
        flags = ("-n", "127.0.0.1:1", "-u", f"https://127.0.0.1:{port}/origin")
        untrusted: list[tuple[str, ...]] = [(), ("--cacerts", str(tmp_path / "other.pem"))]
        for trust in untrusted:
            code, end, _ = await machine.dfget(*flags, *trust)
            assert code == Exit.FAILED
            assert "certificate verify failed" in str(end["error"])
        assert machine.origin_asked == 0
        trusted: list[tuple[str, ...]] = [("--cacerts", both), ("--insecure",)]
        for trust in trusted:
            code, end, _ = await machine.dfget(*flags, *trust)
            assert code == Exit.OK
            assert end["bytes"] == {"seed": 0, "peers": 0, "origin": len(CONTENT)}
            assert machine.output.read_bytes() == CONTENT


async def test_without_an_uploader_the_fall_back_clears_up(machine: Machine) -> None:
    (machine.home / "data").mkdir(parents=True)
    (machine.home / "data" / "orphan").touch()
    async with served(machine):
        await machine.dfget("-n", "127.0.0.1:1")
    assert machine.data == []


async def test_the_fall_back_leaves_alone_what_an_uploader_shares(machine: Machine) -> None:
    async with served(machine):
        await machine.dfget()
        before = machine.data
        await machine.dfget("-n", "127.0.0.1:1", output=machine.out / "second")
        assert machine.data == before != []


async def test_nobody_need_watch(machine: Machine) -> None:
    async with served(machine):
        process = await machine.start()
        assert process.stdout is not None
        await process.stdout.aclose()
        assert await process.wait() == Exit.OK
    assert machine.output.read_bytes() == CONTENT


@pytest.mark.parametrize("flag", [(), ("--showbar",)], ids=["lines", "bar"])
async def test_nor_any_screen_be_there(flag: tuple[str, ...], machine: Machine) -> None:
    async with served(machine):
        command = machine.command("-n", f"127.0.0.1:{machine.tracker.port}", *flag)
        command.remove("--json")
        closed = ["sh", "-c", 'exec "$@" 2>&-', "sh", *command]
        assert (await trio.run_process(closed, env=ENVIRONMENT)).returncode == Exit.OK
    assert machine.output.read_bytes() == CONTENT


async def test_whoever_ignores_a_hang_up_is_not_stopped_by_it(machine: Machine) -> None:
    machine.tracker.known = 3
    async with served(machine):
        process = await machine.start(nohup=True)
        assert process.stdout is not None
        received = b""
        while received.count(b'"piece"') < 3:
            data = await process.stdout.receive_some()
            assert data, received
            received += data
        process.send_signal(signal.SIGHUP)
        machine.tracker.known = None
        async for _ in process.stdout:
            pass
        assert await process.wait() == Exit.OK
        await process.stdout.aclose()


async def test_the_md5_and_the_labels_reach_the_supernode(machine: Machine) -> None:
    md5 = hashlib.md5(CONTENT).hexdigest()
    async with served(machine):
        code, _, _ = await machine.dfget(
            *("-m", md5, "-i", "me", "-f", "a&b", "--header", "X-A: 1", "--header", "X-A: 2"),
            *("--callsystem", "test", "--dfdaemon"),
        )
        assert code == Exit.OK
    asked = next(body for body in machine.tracker.bodies if "rawURL" in body)
    assert asked["md5"] == md5
    assert asked["identifier"] == "me"
    assert asked["filter"] == ["a", "b"]
    assert asked["headers"] == {"X-A": "1,2"}
    assert asked["callSystem"] == "test"
    assert asked["dfdaemon"] is True
    assert not {"insecure", "rootCAs"} & asked.keys()
    assert str(asked["path"]).startswith("/peer/file/f.bin-")


@pytest.mark.parametrize(
    "flags",
    [
        (),
        ("-u", "ftp://x/f"),
        ("-u", "http://x/"),
        ("-u", "http://x/f", "-s", "fast"),
        ("-u", "http://x/f", "-o", "/"),
        ("-u", "http://x/f", "-o", "/dev/null"),
        ("-u", "http://x/f", "--digest", "crc:1"),
        ("-u", "http://x/f", "-m", "xyz"),
        ("-u", "http://x/f", "--port", "80"),
        ("-u", "http://x/f", "--ip", "not an ip"),
        ("-u", "http://x/f", "--cacerts", "/dev/null"),
        ("-u", "http://[::1/x"),
        ("-u", "http://x:99999/f"),
        ("-u", "http://x/f\udcff"),
    ],
)
async def test_a_command_line_without_sense(flags: tuple[str, ...]) -> None:
    from click.testing import CliRunner

    from supernode.dfget.command import command

    result = CliRunner().invoke(command, flags)
    assert result.exit_code == Exit.USAGE, result.output
    assert "Usage:" in result.output


def test_an_interrupt_before_the_download_has_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    from supernode.dfget import command

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_one_digest", interrupted)
    result = CliRunner().invoke(command.command, ["-u", "http://x/f"])
    assert result.exit_code == Exit.INTERRUPTED
