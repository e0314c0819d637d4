"""``supernode check-config`` as an operator runs it; and ``serve`` refuses what it refuses."""

import os
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.e2e.neighbours import SUPERNODE


def supernode(
    command: str, *arguments: object, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command, with no configuration but what is given here."""
    ours = {name: value for name, value in os.environ.items() if "SUPERNODE_" not in name}
    return subprocess.run(
        [*SUPERNODE, command, *map(str, arguments)],
        env=ours | {"SUPERNODE_CONFIG": os.devnull} | environment,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_it_prints_every_setting_and_where_it_is_from(tmp_path: Path) -> None:
    file = tmp_path / "supernode.toml"
    file.write_text('[http]\nport = 9002\n\n[origin]\nproxy = "http://me:secret@proxy:3128"\n')
    arguments = ("--config", file, "--state-dir", tmp_path, "--host", "127.0.0.1")
    ended = supernode("check-config", *arguments, SUPERNODE_PEERS__TTL="10m")
    assert (ended.returncode, ended.stderr) == (0, "")
    said = tomllib.loads(ended.stdout)
    assert said["http"]["host"] == "127.0.0.1"
    assert said["http"]["port"] == 9002
    assert said["data"]["advertise_ip"] == "127.0.0.1"
    assert said["disk"]["state_dir"] == str(tmp_path)
    assert said["origin"]["proxy"] == "http://me:****@proxy:3128"
    assert said["peers"]["ttl"] == "10m"
    places = dict(line.split("  # ") for line in ended.stdout.splitlines() if " = " in line)
    assert {line.rstrip(): place for line, place in places.items()}.items() >= {
        'host = "127.0.0.1"': "--host",
        "port = 9002": f"{file}:2",
        'proxy = "http://me:****@proxy:3128"': f"{file}:5",
        'ttl = "10m"': "SUPERNODE_PEERS__TTL",
        "seed_slots = 4": "default",
    }.items()


def test_the_flags_of_version_1_are_understood(tmp_path: Path) -> None:
    ended = supernode(
        "check-config",
        *(f"--home-dir={tmp_path}", "--port=8008", "--advertise-ip=127.0.0.1"),
        *("--download-port=8009", "--external-data-port", "--up-limit=7", "-D"),
    )
    said = tomllib.loads(ended.stdout)
    assert said["disk"]["state_dir"] == str(tmp_path)
    assert said["http"]["port"] == 8008
    assert said["data"] == {"port": 0, "advertise_ip": "127.0.0.1", "advertise_port": 8009}
    assert said["scheduler"]["peer_slots"] == 7
    assert said["log"]["level"] == "debug"


@pytest.mark.parametrize(
    ("text", "arguments", "complaint"),
    [
        ("[http]\nport =\n", [], "{file}:2:7: Invalid value"),
        ("[http]\nprot = 1\n", [], "{file}:2: [http] prot: no such setting; did you mean port?"),
        ("", ["--deny-origin", "10.0.0.0/99"], "--deny-origin: '10.0.0.0/99' is not a network"),
        ("[http]\nport = " + "9" * 5000, [], "{file}:2: this is a number too long"),
        ("", ["--host", "203.0.113.7"], "--host: 203.0.113.7: Cannot assign requested address"),
        ("", ["--tls-cert", "/nonexistent"], "--tls-cert: tls_cert and tls_key need each other"),
        ("[disk]\nlow = '99%'\n", [], "{file}:2: [disk] low: low = 99% and high = 90%: low must"),
    ],
)
def test_it_refuses_what_serve_refuses(
    tmp_path: Path, text: str, arguments: list[str], complaint: str
) -> None:
    file = tmp_path / "supernode.toml"
    file.write_text(text)
    arguments = ["--config", str(file), "--state-dir", str(tmp_path / "state"), *arguments]
    checked, served = supernode("check-config", *arguments), supernode("serve", *arguments)
    assert checked.returncode == served.returncode == 78
    assert checked.stderr == served.stderr
    assert checked.stderr.startswith(f"supernode: {complaint.format(file=file)}")
    assert checked.stdout == ""
    assert not (tmp_path / "state").exists()
