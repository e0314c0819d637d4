"""Whose a connection is, and how many a client may have."""

import pytest

from supernode.wire.clients import UNKNOWN, Client, ConnectionCounts, client_at


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
    ],
)
def test_a_client_is_an_address_or_the_64_of_one(address: str, client: str) -> None:
    assert client_at(address) == client


def test_each_client_has_a_limit_of_its_own() -> None:
    counts = ConnectionCounts(2)
    one, other = Client("192.0.2.1"), Client("192.0.2.2")
    counts.add(one)
    assert not counts.at_limit(one)
    counts.add(one)
    assert counts.at_limit(one)
    assert not counts.at_limit(other)
    counts.remove(one)
    assert not counts.at_limit(one)


def test_without_a_limit_and_without_a_name_there_is_none() -> None:
    unlimited, limited = ConnectionCounts(None), ConnectionCounts(1)
    for _ in range(1000):
        unlimited.add(Client("192.0.2.1"))
        limited.add(UNKNOWN)
    assert not unlimited.at_limit(Client("192.0.2.1"))
    assert not limited.at_limit(UNKNOWN)
