"""Who may be contacted: addresses, ports, our own listeners, and that no spelling leads around."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supernode.origin.address import is_here, targets
from supernode.origin.policy import OriginPolicy, Rule

SPELLINGS = ["::ffff:0:0", "::ffff:0:0:0", "::", "64:ff9b::", "64:ff9b:1::"]
CONTROL, DATA = 8002, 8001


def rule(text: str) -> Rule:
    return Rule.parse(text)


def permits(policy: OriginPolicy, address: str, port: int = 80) -> bool:
    return policy.permits(ip_address(address), port)


def embedded(prefix: str, address: IPv4Address) -> IPv6Address:
    return IPv6Address(int(IPv6Address(prefix)) + int(address))


def six_to_four(address: IPv4Address) -> IPv6Address:
    return IPv6Address(0x2002 << 112 | int(address) << 80 | 1)


def teredo(server: IPv4Address, client: IPv4Address) -> IPv6Address:
    return IPv6Address(0x20010000 << 96 | int(server) << 64 | int(client) ^ 0xFFFFFFFF)


# the built-in rule


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "2606:4700::1111",
        "fd00::1",
        "fd00:ec3::254",
        "fd00:42::43",
        "64:ff9b:1::808:808",
    ],
)
def test_public_and_private_addresses_are_permitted(address: str) -> None:
    assert permits(OriginPolicy(), address)


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("::1", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("0.0.0.1", "unspecified"),
        ("::", "unspecified"),
        ("169.254.169.254", "link-local"),
        ("fe80::1", "link-local"),
        ("fe80::1%lo", "link-local"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.250", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255", "broadcast"),
        ("fd00:ec2::254", "a cloud's metadata service"),
        ("fd00:ec2:ffff::1", "a cloud's metadata service"),
        ("fd00:42::42", "a cloud's metadata service"),
        ("fd20:ce::254", "a cloud's metadata service"),
        ("100.100.100.200", "a cloud's metadata service"),
        ("168.63.129.16", "a cloud's metadata service"),
    ],
)
def test_what_is_forbidden_and_why(address: str, kind: str) -> None:
    objection = OriginPolicy().objection(ip_address(address), 80)
    assert objection == f"{address} is {kind}"


@pytest.mark.parametrize(
    "address",
    [
        "::ffff:127.0.0.1",
        "::ffff:0:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::7f00:1",  # a /96 in the range for local use
        "64:ff9b:1:7f00:0:100::",  # a /48
        "64:ff9b:1:7f00:0:100:abcd:ef01",  # the rest of which is ignored
        "64:ff9b:1:7f:0:1::",  # a /56
        "64:ff9b:1:0:7f:0:100:0",  # a /64
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2001:0:4136:e378:8000:63bf:80ff:fffe",  # Teredo: 127.0.0.1 behind a public relay
        "2001:0:7f00:1:8000:63bf:f7f7:f7f7",  # and the other way round
        "2001:db8::5efe:127.0.0.1",  # ISATAP
        "2001:db8::200:5efe:169.254.169.254",
        "::ffff:127.0.0.1%lo",
    ],
)
def test_an_embedded_address_is_what_counts(address: str) -> None:
    assert not permits(OriginPolicy(), address)


@given(st.ip_addresses(v=4))
def test_every_spelling_of_an_address_is_judged_alike(address: IPv4Address) -> None:
    policy = OriginPolicy(allow=[rule("127.0.0.0/9")], deny=[rule("8.0.0.0/5")])
    judgement = policy.permits(address, 80)
    for prefix in SPELLINGS:
        if prefix == "::" and int(address) < 2:  # that is :: and ::1
            continue
        spelled = embedded(prefix, address)
        if prefix == "64:ff9b:1::" and len(targets(spelled)) > 1:
            continue  # may be read in another way, too
        assert policy.permits(spelled, 80) == judgement
    assert policy.permits(six_to_four(address), 80) == judgement
    assert policy.permits(teredo(IPv4Address("9.9.9.9"), address), 80) <= judgement


@given(st.ip_addresses())
def test_no_address_upsets_the_policy(address: IPv4Address | IPv6Address) -> None:
    assert targets(address)
    OriginPolicy().objection(address, 80)


# rules


def test_allow_beats_the_built_in_rule() -> None:
    policy = OriginPolicy(allow=[ip_network("127.0.0.2/32"), ip_network("::1/128")])
    assert permits(policy, "127.0.0.2")
    assert permits(policy, "::1")
    assert permits(policy, "::ffff:127.0.0.2")
    assert not permits(policy, "127.0.0.1")


def test_deny_beats_allow() -> None:
    policy = OriginPolicy(allow=[rule("10.0.0.0/8"), rule("10.1.0.1:80")], deny=[rule("10.1.0.1")])
    assert permits(policy, "10.2.0.1")
    assert not permits(policy, "10.1.0.1")
    assert not permits(policy, "::ffff:10.1.0.1")
    objection = policy.objection(ip_address("10.1.0.1"), 80)
    assert objection == "10.1.0.1 port 80 is denied"


def test_deny_heeds_the_tunnel_as_well_as_its_end() -> None:
    policy = OriginPolicy(deny=[rule("2002::/16")])
    assert not policy.permits(six_to_four(IPv4Address("8.8.8.8")), 80)
    assert permits(policy, "8.8.8.8")


def test_allowing_all_of_ipv6_does_not_open_a_tunnel_to_loopback() -> None:
    policy = OriginPolicy(allow=[rule("::/0")])
    assert permits(policy, "fe80::1")
    assert not permits(policy, "::ffff:127.0.0.1")
    assert not permits(policy, "2001:db8::5efe:127.0.0.1")


def test_a_rule_may_be_about_one_port() -> None:
    policy = OriginPolicy(allow=[rule("127.0.0.1:5000")], deny=[rule("10.0.0.0/8:22")])
    assert permits(policy, "127.0.0.1", 5000)
    assert not permits(policy, "127.0.0.1", 5001)
    assert not permits(policy, "10.0.0.1", 22)
    assert permits(policy, "10.0.0.1", 80)


def test_ports_that_origins_may_have() -> None:
    policy = OriginPolicy(allow=[rule("10.0.0.0/8"), rule("127.0.0.1:5000")], ports=[80, 443])
    assert permits(policy, "8.8.8.8", 443)
    assert not permits(policy, "10.0.0.1", 22)
    assert permits(policy, "127.0.0.1", 5000)  # the rule names the port
    assert policy.objection(ip_address("8.8.8.8"), 22) == "port 22 is none that origins may have"


@pytest.mark.parametrize(
    ("text", "network", "port"),
    [
        ("10.0.0.0/8", "10.0.0.0/8", None),
        ("10.1.2.3/8", "10.0.0.0/8", None),
        ("127.0.0.1", "127.0.0.1/32", None),
        ("127.0.0.1:5000", "127.0.0.1/32", 5000),
        ("10.0.0.0/8:443", "10.0.0.0/8", 443),
        ("::1", "::1/128", None),
        ("fd00::/8", "fd00::/8", None),
        ("[::1]:5000", "::1/128", 5000),
        ("[fd00::/8]:443", "fd00::/8", 443),
    ],
)
def test_how_a_rule_is_written(text: str, network: str, port: int | None) -> None:
    assert Rule.parse(text) == Rule(ip_network(network), port)


NO_RULES = """
x 10.0.0.0/33 10.0.0.1: 10.0.0.1:0 10.0.0.1:65536 10.0.0.1:x 10.0.0.1:٨٠ registry:5000
:80 [::1 [::1] [::1]: [::1]80 ::1]:80
"""


@pytest.mark.parametrize("text", ["", *NO_RULES.split()])
def test_what_is_no_rule(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected a network such as .*, got '"):
        Rule.parse(text)


# our own listeners


def listening(address: str, *rules: str) -> OriginPolicy:
    """Return the policy of a supernode at 10.0.0.5 and 2001:db8::5 that listens on ``address``."""
    ours = {ip_address(text) for text in ("10.0.0.5", "2001:db8::5", "127.0.0.1", "127.0.0.2")}
    return OriginPolicy(
        allow=[rule(text) for text in rules],
        own=[(ip_address(address), CONTROL), (ip_address("192.0.2.9"), DATA)],
        is_here=ours.__contains__,
    )


def test_our_own_listener_is_forbidden_on_its_port_only() -> None:
    policy = listening("10.0.0.5")
    assert not permits(policy, "10.0.0.5", CONTROL)
    assert not permits(policy, "::ffff:10.0.0.5", CONTROL)
    assert not permits(policy, "192.0.2.9", DATA)  # where we say that we are
    assert permits(policy, "10.0.0.5", 80)
    assert permits(policy, "10.0.0.5", DATA)
    assert permits(policy, "10.0.0.6", CONTROL)
    objection = policy.objection(ip_address("10.0.0.5"), CONTROL)
    assert objection == f"10.0.0.5 port {CONTROL} is this supernode itself"


@pytest.mark.parametrize("address", ["0.0.0.0", "::"])
def test_listening_everywhere_is_listening_on_every_address_of_this_machine(address: str) -> None:
    policy = listening(address, "127.0.0.0/8")
    for ours in ("10.0.0.5", "2001:db8::5", "127.0.0.1", "127.0.0.2", "::ffff:10.0.0.5"):
        assert not permits(policy, ours, CONTROL)
    assert permits(policy, "10.0.0.6", CONTROL)
    assert permits(policy, "10.0.0.5", 80)
    assert permits(policy, "127.0.0.1", 80)


def test_only_a_rule_with_the_port_opens_our_own_listener() -> None:
    everything = "0.0.0.0/0"
    assert not permits(listening("127.0.0.1", everything), "127.0.0.1", CONTROL)
    assert not permits(listening("127.0.0.1", everything), "0.0.0.0", CONTROL)
    assert not permits(listening("0.0.0.0", everything), "127.0.0.2", CONTROL)
    assert permits(listening("0.0.0.0", f"127.0.0.1:{CONTROL}"), "127.0.0.1", CONTROL)


def test_which_addresses_are_this_machines() -> None:
    for ours in ("127.0.0.1", "127.0.0.2", "0.0.0.0", "::1"):
        assert is_here(ip_address(ours))
    for others in ("192.0.2.1", "2001:db8::1", "255.255.255.255"):
        assert not is_here(ip_address(others))


# what can be said of a URL beforehand


@pytest.mark.parametrize(
    "url",
    [
        "http://origin.test/f",
        "https://user:secret@origin.test:8443/f?a=b#c",
        "http://10.0.0.1/",
        "http://[2001:db8::1]:8080/",
        "http://8.8.8.8./",
        "http://134744072/",  # 8.8.8.8
        "http://localhosts/",
        "http://my_registry/",
    ],
)
def test_an_url_that_may_be_fetched(url: str) -> None:
    assert OriginPolicy().forbids_url(url) is None


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://h/f", "its scheme is neither http nor https"),
        ("/f", "its scheme is neither http nor https"),
        ("http:///f", "it names no host"),
        ("http://h:0/", "its port is not one"),
        ("http://u:s3cret/@h/", "it does not parse"),
        ("http://127.0.0.1/", "127.0.0.1 is loopback"),
        ("http://u:s3cret@0x7f.1/?s3cret", "127.0.0.1 is loopback"),
        ("https://LOCALHOST./", "127.0.0.1 is loopback"),
        ("http://a.b.localhost/", "127.0.0.1 is loopback"),
        ("http://10.0.0.1:22/", "port 22 is none that origins may have"),
        ("http://origin.test:22/", "port 22 is none that origins may have"),
        ("http://10.9.9.9/", "10.9.9.9 port 80 is denied"),
    ],
)
def test_an_url_that_may_not(url: str, why: str) -> None:
    policy = OriginPolicy(deny=[rule("10.9.9.9")], ports=[80, 443])
    assert policy.forbids_url(url) == why


def test_localhost_may_be_fetched_from_if_loopback_may() -> None:
    policy = OriginPolicy(allow=[rule("127.0.0.1:5000")], ports=[80])
    assert policy.forbids_url("http://localhost:5000/") is None
    assert policy.forbids_url("http://localhost/") == "127.0.0.1 is loopback"
    assert policy.forbids_url("http://maybe.test:5000/") is None  # it may be at 127.0.0.1
