"""Which source has its way, what cannot be used, and how both are told."""

import re
import socket
import ssl
import tomllib
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import click
import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from supernode.config import machine
from supernode.config.catalogue import SECTIONS, SETTINGS
from supernode.config.errors import ConfigError
from supernode.config.load import Loaded, load
from supernode.config.report import report
from supernode.config.tls import server_context
from supernode.origin.policy import Rule
from supernode.storage.disk_space import WaterMark

NOWHERE = Path("/nonexistent/supernode.toml")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "supernode.toml"


def loaded(
    text: str = "",
    environment: dict[str, str] | None = None,
    *,
    file: Path | None = None,
    external_data_port: bool = False,
    **flags: object,
) -> Loaded:
    """Load ``text`` as ``file``; a flag ``http__port`` is that of ``http.port``."""
    if file is not None:
        file.write_text(text)
    return load(
        {name.replace("__", ".", 1): value for name, value in flags.items()},
        environment or {},
        default_file=file or NOWHERE,
        external_data_port=external_data_port,
    )


def refusal(*args: str, **kwargs: object) -> str:
    """Return what is said of a configuration that cannot be used."""
    with pytest.raises(ConfigError) as caught:
        loaded(*args, **kwargs)  # type: ignore[arg-type]  # passed on as they are
    return str(caught.value)


def printed(of: Loaded) -> str:
    return click.unstyle("\n".join(report(of)))


def place(of: Loaded, path: str) -> str:
    return of.sources[path].place(SETTINGS[path])


# precedence


def test_defaults() -> None:
    config = loaded(environment={"HOME": "/home/me"}).config
    assert (config.http.host, config.http.port, config.data.port) == ("0.0.0.0", 8002, 8001)
    assert config.http.idle_timeout == 75.0
    assert config.http.max_header == 32 * 1024
    assert config.origin.rate is None
    assert config.disk.high == WaterMark(share=0.9)
    assert config.disk.state_dir == Path("/home/me/.local/state/supernode")
    assert config.peers.ttl == 300.0
    assert config.preheat.keep == 86400.0


def test_flags_beat_the_environment_that_beats_the_file_that_beats_defaults(file: Path) -> None:
    text = "[http]\nport = 1\nidle_timeout = '1m'\n[log]\nlevel = 'error'"
    environment = {"SUPERNODE_HTTP__PORT": "2", "SUPERNODE_HTTP__IDLE_TIMEOUT": "2m"}
    all_three = loaded(text, environment, file=file, http__port=3)
    assert all_three.config.http.port == 3
    assert all_three.config.http.idle_timeout == 120.0
    assert all_three.config.log.level == "error"
    assert all_three.config.http.write_timeout == 30.0
    assert all_three.file == file
    assert place(all_three, "http.port") == "--port"
    assert place(all_three, "http.idle_timeout") == "SUPERNODE_HTTP__IDLE_TIMEOUT"
    assert place(all_three, "log.level") == f"{file}:5"
    assert place(all_three, "http.write_timeout") == "default"


def test_what_is_overruled_must_still_make_sense(file: Path) -> None:
    assert refusal("[http]\nport = 'x'", file=file, http__port=3).startswith(
        f"{file}:2: [http] port:"
    )


def test_lists_are_commas_in_the_environment_and_replace_those_of_the_file(file: Path) -> None:
    environment = {"SUPERNODE_ORIGIN__ALLOW": "127.0.0.0/8, [::1]:80", "SUPERNODE_ORIGIN__DENY": ""}
    config = loaded("[origin]\nallow = ['10.1.2.3/8']\ndeny = ['1.1.1.1']", file=file).config
    assert config.origin.allow == (Rule(ip_network("10.0.0.0/8")),)
    config = loaded("[origin]\nallow = ['10.1.2.3/8']", environment, file=file).config
    assert config.origin.allow == (Rule(ip_network("127.0.0.0/8")), Rule(ip_network("::1"), 80))
    assert config.origin.deny == ()


def test_no_text_takes_an_optional_value_away(file: Path) -> None:
    environment = {"SUPERNODE_ORIGIN__PROXY": "", "SUPERNODE_ORIGIN__RATE": ""}
    text = "[origin]\nproxy = 'http://proxy:3128'\nrate = '1MB/s'"
    assert loaded(text, file=file).config.origin.rate == 10**6
    config = loaded(text, environment, file=file).config
    assert config.origin.proxy is None
    assert config.origin.rate is None


def test_other_variables_are_not_ours() -> None:
    kubernetes = {"SUPERNODE_PORT": "tcp://10.0.0.1:8002", "SUPERNODE_SERVICE_HOST": "10.0.0.1"}
    assert loaded(environment=kubernetes).config.http.port == 8002


# files


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    missing = str(tmp_path / "none")
    with pytest.raises(ConfigError, match=re.escape(f"--config: {missing}: No such file")):
        load({}, {}, file=missing)
    with pytest.raises(ConfigError, match=re.escape(f"SUPERNODE_CONFIG: {missing}: No such file")):
        load({}, {"SUPERNODE_CONFIG": missing})
    with pytest.raises(ConfigError, match="Is a directory"):
        load({}, {}, default_file=tmp_path)
    assert load({}, {}, default_file=Path(missing)).file is None


def test_the_flag_names_the_file_rather_than_the_environment(tmp_path: Path, file: Path) -> None:
    file.write_text("[http]\nport = 1")
    named = load({}, {"SUPERNODE_CONFIG": str(tmp_path / "none")}, file=str(file))
    assert named.config.http.port == 1
    assert load({}, {"SUPERNODE_CONFIG": str(file)}, default_file=NOWHERE).file == file


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[http]\nport == 1", ":2:7: "),
        ("[http]\nport = 1\nport = 2\n", ":3:9: "),
        ("[http]\nhosts = [\n'a',\n\n", ":3: "),
        ("[http]\nport = 'x'", ":2: [http] port: 'x' is not a port from 0 to 65535"),
        ("[http]\nport = 65536", ":2: [http] port: 65536 is not a port"),
        ("[http]\nport = true", ":2: [http] port: True is not a port"),
        ("[http]\nport = 1.5", ":2: [http] port: 1.5 is not a port"),
        ("[http]\nport = [1]", ":2: [http] port: [1] is not a port"),
        ("[http]\nmax_connections = 0", ":2: [http] max_connections: 0 is not a number from 1"),
        ("[http]\n\nhosts = [\n'a',\n'b c',\n]", ":3: [http] hosts: 'b c' is not a host name"),
        ("[http]\nhosts = 3", ":2: [http] hosts: 3 is not a list"),
        ("[http]\nidle_timeout = '3 s'", ":2: [http] idle_timeout: '3 s' is not a duration"),
        ("[http]\nidle_timeout = nan", ":2: [http] idle_timeout: nan is not a duration"),
        ("[http]\nmax_body = '1M'", ":2: [http] max_body: '1M' is not a size"),
        ("[http]\nhost = '1.2.3'", ":2: [http] host: '1.2.3' is not an IP address or a host name"),
        ('[http]\ntls_cert = "a\\u0000b"', ":2: [http] tls_cert: 'a\\x00b' is not the path"),
        ("[data]\nadvertise_ip = '::'", ":2: [data] advertise_ip: '::' is not an IP address that"),
        ("[data]\nadvertise_ip = '::ffff:0.0.0.0'", ":2: [data] advertise_ip: '::ffff:0.0.0.0' is"),
        ("[data]\nadvertise_ip = '255.255.255.255'", ":2: [data] advertise_ip: '255.255.255.255' "),
        ("[http]\n\nport = " + "9" * 5000, ":3: this is a number too long"),
        ("[http]\n\nhosts = " + "[" * 3000 + "]" * 3000, ":3: this is nested too deeply"),
        ("[origin]\nallow = [\n'::1',\n" + "[" * 3000 + "]" * 3000 + "]", ":4: this is nested too"),
        ("[http]\n\nport = 0x" + "f" * 9000, ":3: [http] port: "),
        ("http" + ".a" * 3000 + " = 1", ":1: [http] a: no such setting"),
        ("[origin]\nrate = '1MiB'", ":2: [origin] rate: '1MiB' is not a rate"),
        ("[origin]\nports = [80, 0]", ":2: [origin] ports: 0 is not a port from 1 to 65535"),
        ("[disk]\nhigh = '110%'", ":2: [disk] high: '110%' is not a water mark"),
        ("[preheat]\nkeep = '23h'", ":2: [preheat] keep: '23h' is not a duration of 24h or longer"),
        ("[log]\nlevel = 'loud'", ":2: [log] level: 'loud' is not one of debug, info"),
        ("http.prot = 1", ":1: [http] prot: no such setting; did you mean port?"),
        ("[http]\npeer_slots = 1", ":2: [http] peer_slots: no such setting; did you mean [sche"),
        ("[http]\nzzz = 1", ":2: [http] zzz: no such setting"),
        ("[htpp]\nport = 1", ":1: [htpp]: no such section; did you mean [http]?"),
        ("port = 1", ":1: port stands in no section; did you mean [http] port?"),
        ("\n[[http]]\nport = 1", ":2: http is a section: [http]"),
    ],
)  # fmt: skip
def test_errors_name_file_line_and_setting(file: Path, text: str, complaint: str) -> None:
    assert refusal(text, file=file).startswith(f"{file}{complaint}")


def test_a_file_that_is_not_text(file: Path) -> None:
    file.write_bytes(b"[http]\n# \xff\n")
    with pytest.raises(ConfigError, match=re.escape(f"{file}:2: this is not UTF-8")):
        load({}, {}, default_file=file)


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("SUPERNODE_HTTP__PORT", "x", "SUPERNODE_HTTP__PORT: 'x' is not a port"),
        ("SUPERNODE_HTTP__PROT", "1", "SUPERNODE_HTTP__PROT: no such setting; did you mean SUPERN"),
        ("SUPERNODE_HTPP__PORT", "1", "SUPERNODE_HTPP__PORT: no such setting; did you mean SUPERN"),
        ("SUPERNODE_A__B", "1", "SUPERNODE_A__B: no such setting"),
        ("SUPERNODE_HTTP__HOSTS", "a,b c", "SUPERNODE_HTTP__HOSTS: 'b c' is not"),
        ("SUPERNODE_DISK__STATE_DIR", "a\udcff", "SUPERNODE_DISK__STATE_DIR: 'a\\udcff' is not"),
    ],
)  # fmt: skip
def test_errors_name_the_variable(variable: str, value: str, complaint: str) -> None:
    assert refusal(environment={variable: value}).startswith(complaint)


# proxies have passwords


@pytest.mark.parametrize(
    "url", ["ftp://me:secret@proxy", "http://me:secret@", "me:secret@proxy", "http://me:secret@p:x",
            "http://me:secret@proxy/path", "http://me@proxy#secret", "http://me@proxy?secret",
            "http://me:secret#@proxy"]
)  # fmt: skip
def test_an_error_does_not_repeat_a_password(url: str) -> None:
    complaint = refusal(environment={"SUPERNODE_ORIGIN__PROXY": url})
    assert complaint.startswith("SUPERNODE_ORIGIN__PROXY: this is not a URL such as http://")
    assert "secret" not in complaint


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://me:secret@[fd00::1]:3128", "http://me:****@[fd00::1]:3128"),
        ("http://me:secret@x@proxy", "http://me:****@proxy"),
        ("https://secret@proxy", "https://****@proxy"),
        ("http://proxy:3128", "http://proxy:3128"),
    ],
)
def test_the_password_of_a_proxy_is_masked_in_the_report_alone(url: str, shown: str) -> None:
    both = loaded(environment={"SUPERNODE_ORIGIN__PROXY": url})
    assert both.config.origin.proxy == url
    said = printed(both)
    assert f'proxy = "{shown}"' in said
    assert "secret" not in said


# what does not go together


def test_one_of_two_ports_must_be_another(file: Path) -> None:
    assert refusal(data__port=8002) == "--data-port: control and data port are both 8002"
    complaint = refusal("[http]\nport = 8001", file=file)
    assert complaint == f"{file}:2: [http] port: control and data port are both 8001"


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("203.0.113.7", "203.0.113.7: Cannot assign requested address"),
        ("2001:db8::7", "2001:db8::7: Cannot assign requested address"),
        ("nowhere.test", "nowhere.test: Name or service not known"),
        ("elsewhere.test", "elsewhere.test: Cannot assign requested address"),
    ],
)
def test_the_host_must_be_this_machine(
    monkeypatch: pytest.MonkeyPatch, host: str, why: str
) -> None:
    real = socket.getaddrinfo

    def look_up(name: str, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        if name == "nowhere.test":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(name.replace("elsewhere.test", "192.0.2.9"), *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    assert refusal(http__host=host) == f"--host: {why}"


def test_a_host_may_be_a_name_and_its_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as running:
        port = running.getsockname()[1]
        assert loaded(http__host="localhost", http__port=port).config.http.host == "localhost"


def test_somebody_must_serve_pieces() -> None:
    assert "--advertise-data-port" in refusal(data__port=0)
    assert loaded(data__port=0, data__advertise_port=9).config.data.advertise_port == 9


def test_version_1_advertises_a_data_port_that_it_does_not_listen_on(file: Path) -> None:
    version_1 = loaded(data__port=9001, external_data_port=True)
    assert version_1.config.data.port == 0
    assert version_1.config.data.advertise_port == 9001
    assert place(version_1, "data.port") == "--external-data-port"
    assert loaded(external_data_port=True).config.data.advertise_port == 8001
    filed = loaded("[data]\nport = 9002", file=file, external_data_port=True).config.data
    assert (filed.port, filed.advertise_port) == (0, 9002)
    said = loaded(data__advertise_port=5, external_data_port=True)
    assert said.config.data.advertise_port == 5
    assert place(said, "data.advertise_port") == "--advertise-data-port"
    nobody = refusal(data__port=0, external_data_port=True)
    assert nobody.startswith("--external-data-port: 0 is not a port")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("low = '95%'", ":2: [disk] low: low = 95% and high = 90%: low must be below high"),
        ("high = '80%'", ":2: [disk] high: low = 80% and high = 80%: low must be below high"),
        ("high = '1GiB'", ":2: [disk] high: low = 80% and high = 1GiB: shares or sizes"),
        ("high = '1GiB'\nlow = '2GiB'", ":3: [disk] low: low = 2GiB and high = 1GiB: low must"),
    ],
)
def test_water_marks(file: Path, text: str, complaint: str) -> None:
    assert refusal(f"[disk]\n{text}", file=file).startswith(f"{file}{complaint}")


def test_state_needs_a_directory(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.touch()
    complaint = refusal(disk__state_dir=str(taken / "below"))
    assert complaint == f"--state-dir: {taken} is not a directory"
    fresh = tmp_path / "fresh" / "below"
    assert loaded(disk__state_dir=str(fresh)).config.disk.state_dir == fresh
    assert not fresh.parent.exists()


# TLS


class Pems:
    """Certificate and key as files."""

    def __init__(self, directory: Path) -> None:
        self.authority = trustme.CA()
        self.cert, self.key = directory / "cert.pem", directory / "key.pem"
        self.issued = self.authority.issue_cert("127.0.0.1")
        self.issued.private_key_and_cert_chain_pem.write_to_path(self.cert)
        self.issued.private_key_pem.write_to_path(self.key)

    def flags(self, **others: Path) -> dict[str, object]:
        paths = {"tls_cert": self.cert, "tls_key": self.key} | others
        return {f"http__{name}": str(path) for name, path in paths.items()}


@pytest.fixture
def pems(tmp_path: Path) -> Pems:
    return Pems(tmp_path)


def test_certificate_and_key_that_fit(pems: Pems) -> None:
    assert server_context(loaded().config.http) is None
    context = server_context(loaded(**pems.flags()).config.http)  # type: ignore[arg-type]  # flags
    assert isinstance(context, ssl.SSLContext)
    client, server = ssl.MemoryBIO(), ssl.MemoryBIO()
    trusting = ssl.create_default_context()
    pems.authority.configure_trust(trusting)
    ours = context.wrap_bio(client, server, server_side=True)
    theirs = trusting.wrap_bio(server, client, server_hostname="127.0.0.1")
    for _ in range(3):
        for side in (theirs, ours):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert theirs.version() in ("TLSv1.2", "TLSv1.3")


def test_certificate_and_key_that_do_not(pems: Pems, tmp_path: Path) -> None:
    other, locked = tmp_path / "other.pem", tmp_path / "locked.pem"
    trustme.CA().issue_cert("x.example").private_key_pem.write_to_path(other)
    key = serialization.load_pem_private_key(pems.issued.private_key_pem.bytes(), None)
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        )
    )
    none = tmp_path / "none"
    assert refusal(http__tls_cert=str(pems.cert)).startswith("--tls-cert: tls_cert and tls_key")
    assert refusal(http__tls_key=str(pems.key)).startswith("--tls-key: tls_cert and tls_key")
    for flags, complaint in [
        (pems.flags(tls_cert=none), f"--tls-cert: {none}: No such file or directory"),
        (pems.flags(tls_key=none), f"--tls-key: {none}: No such file or directory"),
        (pems.flags(tls_cert=other), f"--tls-cert: {other} has no certificate in PEM"),
        (pems.flags(tls_key=other), f"--tls-key: {other} is not the key of {pems.cert}"),
        (pems.flags(tls_key=locked), f"--tls-key: {locked} has no key in PEM that needs no pass"),
    ]:
        assert refusal(**flags).startswith(complaint)


# what the machine says


def test_the_address_that_is_advertised(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded(data__advertise_ip="10.1.2.3").config.data.advertise_ip == "10.1.2.3"
    assert loaded(data__advertise_ip="::ffff:10.1.2.3").config.data.advertise_ip == "10.1.2.3"
    assert loaded(http__host="127.0.0.2").config.data.advertise_ip == "127.0.0.2"
    assert loaded(http__host="::ffff:127.0.0.2").config.data.advertise_ip == "127.0.0.2"
    assert machine.own_address("fd00::1") == "fd00::1"
    monkeypatch.setitem(machine._ELSEWHERE, socket.AF_INET, "127.0.0.1")
    monkeypatch.setitem(machine._ELSEWHERE, socket.AF_INET6, "::1")
    assert loaded().config.data.advertise_ip == "127.0.0.1"
    assert loaded(http__host="::").config.data.advertise_ip == "::1"
    monkeypatch.setitem(machine._ELSEWHERE, socket.AF_INET, "255.255.255.255")  # refused: broadcast
    assert loaded().config.data.advertise_ip == "::1"


def test_where_state_goes() -> None:
    environment = {"HOME": "/home/me"}
    assert machine.state_directory(environment) == Path("/home/me/.local/state/supernode")
    environment |= {"XDG_STATE_HOME": "/state"}
    assert machine.state_directory(environment) == Path("/state/supernode")
    environment |= {"STATE_DIRECTORY": "/var/lib/supernode:/var/lib/other"}
    assert machine.state_directory(environment) == Path("/var/lib/supernode")


# the report


def test_the_report_is_a_file_that_says_the_same(file: Path, tmp_path: Path) -> None:
    everything = loaded(
        "[http]\nhosts = ['a', 'B.example']\nidle_timeout = 0.5\n[disk]\nhigh = '2TB'\nlow = 5\n",
        {
            "SUPERNODE_CLIENTS__DENY_CALL_SYSTEMS": 'a "b" \\c,ü',
            "SUPERNODE_ORIGIN__RATE": "100MiB/s",
        },
        file=file,
        origin__allow=("127.0.0.0/8", "127.0.0.1:80", "::1", "[::1]:80"),
    )
    again = tmp_path / "again.toml"
    again.write_text(printed(everything))
    repeated = load({}, {}, file=str(again))
    assert repeated.config == everything.config
    assert {place(repeated, path).partition(":")[0] for path in SETTINGS} == {str(again)}


def test_the_report_tells_where_each_value_is_from(file: Path) -> None:
    some = loaded("\n[http]\nport = 1", {"SUPERNODE_LOG__LEVEL": "debug"}, file=file)
    first, *lines = printed(some).splitlines()
    assert first == f"# {file} was read"
    settings = [line.partition("  # ") for line in lines if " = " in line]
    told = {line.rstrip(): place for line, _, place in settings}
    assert told["port = 1"] == f"{file}:3"
    assert told['level = "debug"'] == "SUPERNODE_LOG__LEVEL"
    assert told["port = 8001"] == "default"
    assert told['rate = ""'] == "default: unlimited"
    assert len({len(line) for line, _, _ in settings}) == 1


def test_everything_that_can_be_set_is_reported_and_explained() -> None:
    found = tomllib.loads(printed(loaded()))
    assert {f"{section}.{key}" for section in found for key in found[section]} == set(SETTINGS)
    assert set(found) == set(SECTIONS)
    for setting in SETTINGS.values():
        assert setting.about.text.rstrip(".…"), setting
