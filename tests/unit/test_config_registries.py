"""``[registries."…"]``: a table for each registry, and what comes of it."""

import re
import tomllib
from ipaddress import ip_network
from pathlib import Path

import click
import pytest
import trustme

from supernode.config.catalogue import TABLES, settings_of
from supernode.config.errors import ConfigError
from supernode.config.load import Loaded, load
from supernode.config.registries import allowed, known_registries, sites
from supernode.config.report import report
from supernode.origin.policy import Rule
from supernode.origin.sites import Site
from supernode.registry.accounts import KnownRegistry


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "supernode.toml"


@pytest.fixture
def pems(tmp_path: Path) -> dict[str, Path]:
    """Files that are what they are for."""
    authority = trustme.CA()
    leaf = authority.issue_cert("us.test")
    paths = {name: tmp_path / f"{name}.pem" for name in ("ca", "client_cert", "client_key")}
    authority.cert_pem.write_to_path(str(paths["ca"]))
    leaf.cert_chain_pems[0].write_to_path(str(paths["client_cert"]))
    leaf.private_key_pem.write_to_path(str(paths["client_key"]))
    return paths


def loaded(file: Path, text: str) -> Loaded:
    file.write_text(text)
    return load({}, {"HOME": str(file.parent)}, file=str(file))


def refusal(file: Path, text: str) -> str:
    """Return what is said of a configuration that cannot be used, without the file's name."""
    with pytest.raises(ConfigError) as caught:
        loaded(file, text)
    return str(caught.value).removeprefix(str(file))


def test_nothing_is_configured_unless_something_is(file: Path) -> None:
    assert loaded(file, "").config.registries == {}
    assert loaded(file, "[registries]").config.registries == {}


def test_what_is_said_of_each(file: Path, pems: dict[str, Path]) -> None:
    password = file.with_name("password")
    password.write_text("x")
    text = f"""
[registries."Harbor.example.com"]
username = "robot$us"
password = "s3cret"
ca = "{pems["ca"]}"

[registries."10.0.0.5:5000"]
identity_token_file = "{password}"
insecure = true
client_cert = "{pems["client_cert"]}"
client_key = "{pems["client_key"]}"

[registries."[fd00::1]:5000"]
plain_http = true
username = "me"
password_file = "{password}"
"""
    registries = loaded(file, text).config.registries
    assert known_registries(registries) == {
        "harbor.example.com": KnownRegistry(username="robot$us", password="s3cret"),
        "10.0.0.5:5000": KnownRegistry(identity_token_file=password),
        "[fd00::1]:5000": KnownRegistry(username="me", password_file=password, plain_http=True),
    }
    assert sites(registries) == {
        "harbor.example.com:443": Site(ca=pems["ca"]),
        "10.0.0.5:5000": Site(
            insecure=True, client_cert=pems["client_cert"], client_key=pems["client_key"]
        ),
    }
    assert list(allowed(registries)) == [
        Rule(ip_network("10.0.0.5"), 5000),
        Rule(ip_network("fd00::1"), 5000),
    ]


def test_a_registry_on_loopback_may_be_contacted_once_it_is_configured(file: Path) -> None:
    registries = loaded(file, '[registries."localhost:5000"]\nplain_http = true').config.registries
    assert set(allowed(registries)) == {
        Rule(ip_network("127.0.0.1"), 5000),
        Rule(ip_network("::1"), 5000),
    }
    registries = loaded(file, '[registries."127.0.0.1"]\nplain_http = true').config.registries
    assert list(allowed(registries)) == [Rule(ip_network("127.0.0.1"), 80)]


def test_the_report_is_a_file_that_says_the_same_but_for_secrets(file: Path) -> None:
    text = (
        '[registries."a:5000"]\nusername = "me"\npassword = "s3cret"\n'
        '[registries."b"]\nidentity_token = "s3cret"\n[registries.c]\ninsecure = true'
    )
    first = loaded(file, text)
    printed = click.unstyle("\n".join(report(first)))
    assert "s3cret" not in printed
    assert re.search(rf'password = "\*\*\*\*" +# {file}:3\n', printed)
    assert re.search(r"\ninsecure = false +# default\n", printed)
    said = tomllib.loads(printed)["registries"]
    assert {name: set(table) for name, table in said.items()} == {
        name: set(TABLES["registries"].settings) for name in ("a:5000", "b", "c")
    }
    again = loaded(file, printed.replace("****", "s3cret"))
    assert again.config == first.config


def test_every_setting_is_explained(file: Path) -> None:
    config = loaded(file, "[registries.x]\ninsecure = true").config
    ours = [setting for setting in settings_of(config) if setting.name]
    assert [str(setting) for setting in ours[:2]] == [
        '[registries."x"] username',
        '[registries."x"] password',
    ]
    for setting in ours:
        assert setting.about.text.rstrip(".…"), setting


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("registries = 1", ":1: registries has a section for each: [registries."),
        ("[registries]\nx = 1", ':2: [registries."x"]: this sets nothing'),
        ("[registries.x]", ':1: [registries."x"]: this sets nothing'),
        ('[registries.harbor.example]\ninsecure = true',
         ':1: [registries."harbor"] example: no such setting; a name with dots has to be in'),
        ('[registries."https://x"]\ninsecure = true',
         ":1: [registries.\"https://x\"]: 'https://x' is not a registry such as"),
        ('[registries."x/y"]\ninsecure = true', ":1: [registries.\"x/y\"]: 'x/y' is not a"),
        ('[registries."me@x"]\ninsecure = true', ":1: [registries.\"me@x\"]: 'me@x' is not a"),
        ('[registries."x:0"]\ninsecure = true', ":1: [registries.\"x:0\"]: 'x:0' is not a"),
        ('[registries.x]\ninsecure = true\n[registries.X]\ninsecure = true',
         ':3: [registries."X"]: it is there already, as x'),
        ('[registries.x]\ninsecure = true\n[registries."x:443"]\ninsecure = true',
         ':4: [registries."x:443"] insecure: x:443 is the same registry as x'),
        ("[registries.x]\ninsecure = 1", ':2: [registries."x"] insecure: 1 is neither true nor'),
        ("[registries.x]\n\nusernme = 'a'",
         ':3: [registries."x"] usernme: no such setting; did you mean username?'),
        ("[registries.x]\nusername = 'a'", ':2: [registries."x"] username: username needs'),
        ("[registries.x]\npassword = 'a'", ':2: [registries."x"] password: password needs'),
        ("[registries.x]\nusername = 'a'\npassword = 'b'\npassword_file = '/dev/null'",
         ':4: [registries."x"] password_file: password and password_file exclude each other'),
        ("[registries.x]\nusername = 'a'\npassword = 'b'\nidentity_token = 'c'",
         ':4: [registries."x"] identity_token: username and identity_token exclude'),
        ("[registries.x]\ninsecure = true\nplain_http = true",
         ':3: [registries."x"] plain_http: insecure and plain_http exclude each other'),
        ("[registries.x]\nusername = 'a'\npassword_file = '/nonexistent'",
         ':3: [registries."x"] password_file: /nonexistent: No such file'),
        ("[registries.x]\nca = '/nonexistent'", ':2: [registries."x"] ca: /nonexistent: No such'),
        ("[registries.x]\nca = '/dev/null'", ':2: [registries."x"] ca: /dev/null: expected a PEM'),
        ("[registries.x]\nclient_cert = '/dev/null'",
         ':2: [registries."x"] client_cert: client_cert and client_key need each other'),
        ("[registries.x]\nclient_key = '/dev/null'\nclient_cert = '/dev/null'",
         ':2: [registries."x"] client_key: /dev/null: with /dev/null it makes no certificate'),
        ("[registires.x]\na = 1", ":1: [registires]: no such section; did you mean [registries]?"),
    ],
)  # fmt: skip
def test_errors_name_the_line_and_the_registry(file: Path, text: str, complaint: str) -> None:
    assert refusal(file, text).startswith(complaint)


@pytest.mark.parametrize("key", ["password", "identity_token"])
def test_an_error_does_not_repeat_a_secret(file: Path, key: str) -> None:
    complaint = refusal(file, f'[registries.x]\nusername = "a"\n{key} = "s3cret\\u0000"')
    assert complaint == f':3: [registries."x"] {key}: this is not a word'


def test_there_are_no_variables_for_them(file: Path) -> None:
    with pytest.raises(ConfigError, match="SUPERNODE_REGISTRIES__X: no such setting"):
        load({}, {"SUPERNODE_REGISTRIES__X": "1"}, default_file=file)
