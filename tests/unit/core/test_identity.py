"""Identities against the vectors of Dragonfly v1."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supernode.core.identity import (
    SEED_PREFIX,
    TaskId,
    download_path,
    is_task_id,
    peer_id,
    seed_id,
    task_id,
    task_url,
)

KEY = bytes.fromhex("3e492470672d7e41537e7350277271755f604f68266c7a23395d223d3b6e4525")
PLAIN = "f123ef7d9523aec972c0c275bf0b12de138baf41bfa4871af1be6a477175cedc"
WITH_MD5 = "009895777a1fbcea9030f55083b1640321b33e26e2857b5f39956d7dfdda88cd"
WITH_V1 = "25f8080343e547d981ce555b552e1a8ae596cb9152153ccd1c30ebe11ef63a51"
WITH_RANGE = "0e8a1a398e4c784e9916a388cefab264bc4c319c4f2d7a92359ee08cc86ac049"
EMPTY_MD5 = "d41d8cd98f00b204e9800998ecf8427e"


@pytest.mark.parametrize(
    ("url", "md5", "identifier", "byte_range", "expected"),
    [
        ("http://aa.bb.com", "", "", None, PLAIN),
        (
            "http://127.0.0.1:8009/normal.txt",
            "",
            "",
            None,
            "f4ebff40fb4fb2bb2659c12e8cfcf8d7197dde43c28a96c672f736a604883db6",
        ),
        ("http://aa.bb.com", EMPTY_MD5, "", None, WITH_MD5),
        ("http://aa.bb.com", EMPTY_MD5, "v1", None, WITH_MD5),  # md5 beats identifier
        ("http://aa.bb.com", "", "v1", None, WITH_V1),
        ("http://aa.bb.com", " \t", "v1", None, WITH_V1),  # blank is absent
        ("http://aa.bb.com", "", " \t", None, PLAIN),
        ("http://aa.bb.com", "", "", "bytes=0-99", WITH_RANGE),
        ("http://aa.bb.com", "", "", "", PLAIN),
    ],
)
def test_task_id(
    url: str, md5: str, identifier: str, byte_range: str | None, expected: str
) -> None:
    assert task_id(url, md5=md5, identifier=identifier, byte_range=byte_range) == expected


@given(st.text(), st.text(), st.text(), st.none() | st.text())
def test_a_task_id_is_the_hash_of_what_names_the_file(
    url: str, md5: str, identifier: str, byte_range: str | None
) -> None:
    sign = md5 if md5.strip() else identifier if identifier.strip() else ""
    named = (url + sign + (byte_range or "")).encode()
    found = task_id(url, md5=md5, identifier=identifier, byte_range=byte_range)
    assert found == hashlib.sha256(KEY + named + KEY).hexdigest()
    assert is_task_id(found)


def test_the_sign_is_not_trimmed() -> None:
    assert task_id("http://o/x", identifier=" v1") != task_id("http://o/x", identifier="v1")


@pytest.mark.parametrize(
    ("raw", "filters", "expected"),
    [
        ("http://a.b.com/f?user=x&auth=y", ["user", "auth"], "http://a.b.com/f"),
        ("http://a.b.com/f?user=x&auth=y", ["auth"], "http://a.b.com/f?user=x"),
        ("http://a.b.com/f?user=x&auth=y", ["user"], "http://a.b.com/f?auth=y"),
        ("http://a.b.com/f?user=x&auth=y", [], "http://a.b.com/f?user=x&auth=y"),
        ("http://a.b.com/f?a=1&b=2&a=3", ["a"], "http://a.b.com/f?b=2"),
        ("http://a.b.com/f", ["a"], "http://a.b.com/f"),
        ("http://a.b.com/f?", ["a"], "http://a.b.com/f?"),
        ("http://a.b.com/f? ", ["a"], "http://a.b.com/f? "),
        ("http://a.b.com/f?A=1", ["a"], "http://a.b.com/f?A=1"),  # case counts
        ("http://a.b.com/f?%61=1", ["a"], "http://a.b.com/f?%61=1"),  # nothing is decoded
        ("http://a.b.com/f?a", ["a"], "http://a.b.com/f"),
        ("http://a.b.com/f?a=b=c&d=1", ["a"], "http://a.b.com/f?d=1"),
        ("http://a.b.com/f?x=1?a=2", ["a"], "http://a.b.com/f?x=1?a=2"),  # the first ? counts
        ("http://a.b.com/f?b=1&a=2#top", ["a"], "http://a.b.com/f?b=1"),  # of the last value
        ("http://a.b.com/f?b=1#a=2", ["a"], "http://a.b.com/f?b=1#a=2"),
    ],
)
def test_task_url(raw: str, filters: list[str], expected: str) -> None:
    assert task_url(raw, filters) == expected


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.text("xyz", max_size=2)), max_size=6),
    st.lists(st.sampled_from("abcd")),
)
def test_filtering_drops_the_named_parameters_and_keeps_the_rest_in_order(
    parameters: list[tuple[str, str]], filters: list[str]
) -> None:
    query = "&".join(f"{name}={value}" for name, value in parameters)
    kept = "&".join(f"{name}={value}" for name, value in parameters if name not in filters)
    found = task_url(f"http://o/f?{query}" if query else "http://o/f", filters)
    assert found == (f"http://o/f?{kept}" if kept else "http://o/f")


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        (PLAIN, True),
        ("0" * 64, True),
        ("", False),
        ("0" * 63, False),
        ("0" * 65, False),
        ("A" * 64, False),
        ("0" * 64 + "\n", False),
        ("../" + "0" * 61, False),
        ("\N{ARABIC-INDIC DIGIT ZERO}" * 64, False),
    ],
)
def test_is_task_id(text: str, is_one: bool) -> None:
    assert is_task_id(text) is is_one


def test_the_same_host_name_address_and_port_is_the_same_peer() -> None:
    assert peer_id("vm", "127.0.0.2", 15002) == "vm-127.0.0.2-15002"
    others = {
        peer_id("vn", "127.0.0.2", 15002),
        peer_id("vm", "127.0.0.3", 15002),
        peer_id("vm", "127.0.0.2", 15003),
    }
    assert len(others | {peer_id("vm", "127.0.0.2", 15002)}) == 4


def test_the_seeds_name_and_path() -> None:
    task = TaskId(PLAIN)
    assert seed_id("10.0.0.1", task) == f"cdnnode:10.0.0.1~{PLAIN}"
    assert seed_id("10.0.0.1", task).startswith(SEED_PREFIX)
    assert download_path(task) == f"/download/f12/{PLAIN}"
