"""What the doctor finds in a machine, with real sockets, and what it says to do."""

import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
import trustme

from supernode.config.load import load
from supernode.config.settings import Config
from supernode.doctor import contacts, examination, machine, network
from supernode.doctor.examination import checks, examined
from supernode.doctor.finding import Check, Finding, Verdict
from tests.integration.http_stub import StubAnswer, StubRequest, http_stub
from tests.integration.scripted_registry import refusal, scripted_registry

BROKEN, DOUBTFUL, FINE = Verdict.BROKEN, Verdict.DOUBTFUL, Verdict.FINE


def configured(state: Path, text: str = "", **flags: object) -> Config:
    file = state / "supernode.toml"
    file.write_text(text)
    settings = {name.replace("__", "."): value for name, value in flags.items()}
    usual = {"http.host": "127.0.0.1", "disk.state_dir": str(state), "http.port": 0}
    return load(usual | settings, {}, file=str(file)).config


@contextmanager
def taken() -> Iterator[int]:
    """Somebody else listens on the port that is yielded."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def free() -> int:
    with taken() as port:
        return port


async def a_supernode(_request: StubRequest) -> StubAnswer:
    return 200, b'{"Version": "9.9"}'


async def test_a_port_is_free_anothers_or_a_supernodes(tmp_path: Path) -> None:
    with trio.fail_after(20):
        found = await network.control_port(configured(tmp_path, http__port=free()))
        assert found.verdict is FINE
        with taken() as port:
            found = await network.control_port(configured(tmp_path, http__port=port))
        assert (found.verdict, str(port) in found.seen) == (BROKEN, True)
        assert "[http] port" in found.advice
        async with http_stub(a_supernode) as port:
            found = await network.control_port(configured(tmp_path, http__port=port))
        assert (found.verdict, found.seen) == (FINE, f"port {port} is served by supernode 9.9")


async def test_the_data_port_may_be_taken_only_while_a_supernode_runs(tmp_path: Path) -> None:
    with trio.fail_after(20), taken() as data:
        alone = configured(tmp_path, data__port=data, http__port=free())
        found = await network.data_port(alone)
        assert (found.verdict, "[data] port" in found.advice) == (BROKEN, True)
        async with http_stub(a_supernode) as port:
            found = await network.data_port(configured(tmp_path, data__port=data, http__port=port))
        assert found.verdict is FINE


async def test_the_address_that_clients_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "CONNECT_SECONDS", 0.5)
    told = partial(configured, tmp_path, http__port=free(), data__port=free())
    with trio.fail_after(20):
        for ip, why in (("127.0.0.1", "only this machine"), ("198.51.100.7", "no address of this")):
            found = await network.advertised(told(data__advertise_ip=ip))
            assert (found.verdict, ip in found.seen, why in found.seen) == (DOUBTFUL, True, True)
            assert "advertise_ip" in found.advice


async def test_a_running_supernode_whose_pieces_nobody_reaches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The only addresses that every machine has are loopback's, of which more is known.
    monkeypatch.setattr("ipaddress.IPv4Address.is_loopback", False)
    with trio.fail_after(20):
        async with http_stub(a_supernode) as port:
            config = configured(
                tmp_path, http__port=port, data__port=free(), data__advertise_ip="127.0.0.1"
            )
            found = await network.advertised(config)
    assert (found.verdict, "firewall" in found.advice) == (BROKEN, True)


async def test_a_state_directory_that_cannot_be(tmp_path: Path) -> None:
    config = configured(tmp_path)
    assert (await machine.state_directory(config)).verdict is FINE
    assert os.listdir(tmp_path) == ["supernode.toml"]
    found = await machine.state_directory(configured(tmp_path, disk__state_dir="/proc/supernode"))
    assert (found.verdict, "[disk] state_dir" in found.advice) == (BROKEN, True)


@pytest.mark.parametrize(
    ("total", "free", "verdict", "said"),
    [
        (100 << 30, 50 << 30, FINE, "50.0 GiB of 100.0 GiB free"),
        (100 << 30, 5 << 30, DOUBTFUL, "high water mark"),
        (100 << 30, 5 << 20, BROKEN, "5.0 MiB of"),
    ],
)
async def test_a_disk_that_is_full(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    total: int,
    free: int,
    verdict: Verdict,
    said: str,
) -> None:
    monkeypatch.setattr("supernode.storage.disk_space.measure", lambda _: (total, free))
    found = await machine.disk(configured(tmp_path))
    assert (found.verdict, said in found.seen) == (verdict, True)


async def test_a_limit_of_open_files_is_compared_with_the_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    found = await machine.open_files(configured(tmp_path))
    assert (found.verdict, "LimitNOFILE=9216" in found.advice) == (BROKEN, True)
    few = configured(tmp_path, "[http]\nmax_connections = 1000\n")
    assert (await machine.open_files(few)).verdict is FINE


async def test_a_clock_that_went_back(tmp_path: Path) -> None:
    config = configured(tmp_path)
    assert (await machine.clock(config)).verdict is FINE
    journal = tmp_path / "supernode.db"
    journal.touch()
    assert (await machine.clock(config)).verdict is FINE
    os.utime(journal, (4e9, 4e9))
    found = await machine.clock(config)
    assert (found.verdict, "journal" in found.seen) == (BROKEN, True)


async def test_a_proxy_that_does_not_answer(tmp_path: Path) -> None:
    with trio.fail_after(20), taken() as port:
        config = configured(tmp_path, f'[origin]\nproxy = "http://me:s3cret@127.0.0.1:{port}"\n')
        assert (await contacts.proxy(config)).verdict is FINE
    found = await contacts.proxy(config)
    assert (found.verdict, "[origin] proxy" in found.advice) == (BROKEN, True)
    assert "s3cret" not in found.seen + found.advice


async def test_a_registry_must_be_there_and_be_trusted(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with trio.fail_after(20):
        async with scripted_registry(authority) as scripted:
            scripted.guard = lambda _: refusal("Basic")  # nobody has said who we are
            name = scripted.url.partition("//")[2]
            table = f'[registries."{name}"]\n'
            trusting = configured(tmp_path, f'{table}ca = "{tmp_path}/ca.pem"\n')
            trusted = await contacts.registry(trusting, name)
            distrusted = await contacts.registry(
                configured(tmp_path, f'{table}username = "u"\npassword = "s3cret"\n'), name
            )
        gone = await contacts.registry(trusting, name)
    assert trusted.verdict is FINE
    assert (distrusted.verdict, "its ca" in distrusted.advice) == (BROKEN, True)
    assert (gone.verdict, "firewall" in gone.advice) == (BROKEN, True)


async def test_a_check_that_hangs_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang() -> Finding:
        await trio.sleep_forever()
        raise AssertionError

    monkeypatch.setattr(examination, "MOST_SECONDS", 0.01)
    with trio.fail_after(10):
        assert (await examined(Check("disk", hang))).verdict is BROKEN


def test_every_registry_is_looked_at(tmp_path: Path) -> None:
    registries = "r.example", "s.example:5000"
    config = configured(
        tmp_path, "".join(f'[registries."{name}"]\ninsecure = true\n' for name in registries)
    )
    names = [check.name for check in checks(config)]
    assert len(set(names)) == len(names)
    assert {f"registry {name}" for name in registries} <= set(names)
