"""Who may be contacted, and that no IPv6 spelling leads around it."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supernode.origin.policy import OriginPolicy

SPELLINGS = ["::ffff:0:0", "::", "64:ff9b::"]


def embedded(prefix: str, address: IPv4Address) -> IPv6Address:
    return IPv6Address(int(IPv6Address(prefix)) + int(address))


def six_to_four(address: IPv4Address) -> IPv6Address:
    return IPv6Address(0x2002 << 112 | int(address) << 80 | 1)


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
    ],
)
def test_public_and_private_addresses_are_permitted(address: str) -> None:
    assert OriginPolicy().permits(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",
        "169.254.169.254",
        "224.0.0.1",
        "239.255.255.250",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%lo",
        "ff02::1",
    ],
)
def test_what_only_this_machine_or_link_can_reach_is_forbidden(address: str) -> None:
    assert not OriginPolicy().permits(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
    ],
)
def test_an_embedded_address_is_what_counts(address: str) -> None:
    assert not OriginPolicy().permits(ip_address(address))


def test_allow_beats_the_built_in_rule() -> None:
    policy = OriginPolicy(allow=[ip_network("127.0.0.2/32"), ip_network("::1/128")])
    assert policy.permits(ip_address("127.0.0.2"))
    assert policy.permits(ip_address("::1"))
    assert policy.permits(ip_address("::ffff:127.0.0.2"))
    assert not policy.permits(ip_address("127.0.0.1"))


def test_deny_beats_allow() -> None:
    policy = OriginPolicy(allow=[ip_network("10.0.0.0/8")], deny=[ip_network("10.1.0.0/16")])
    assert policy.permits(ip_address("10.2.0.1"))
    assert not policy.permits(ip_address("10.1.0.1"))
    assert not policy.permits(ip_address("::ffff:10.1.0.1"))


def test_deny_heeds_the_tunnel_as_well_as_its_end() -> None:
    policy = OriginPolicy(deny=[ip_network("2002::/16")])
    assert not policy.permits(six_to_four(IPv4Address("8.8.8.8")))
    assert policy.permits(ip_address("8.8.8.8"))


def test_allowing_all_of_ipv6_does_not_open_a_tunnel_to_loopback() -> None:
    policy = OriginPolicy(allow=[ip_network("::/0")])
    assert policy.permits(ip_address("fe80::1"))
    assert not policy.permits(ip_address("::ffff:127.0.0.1"))


@given(st.ip_addresses(v=4))
def test_every_spelling_of_an_address_is_judged_alike(address: IPv4Address) -> None:
    policy = OriginPolicy(allow=[ip_network("127.0.0.0/9")], deny=[ip_network("8.0.0.0/5")])
    for prefix in SPELLINGS:
        if prefix == "::" and int(address) < 2:  # that is :: and ::1
            continue
        assert policy.permits(embedded(prefix, address)) == policy.permits(address)
    assert policy.permits(six_to_four(address)) == policy.permits(address)
