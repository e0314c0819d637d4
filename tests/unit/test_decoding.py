"""From bytes to models: any spelling, any nonsense, and never anything but BadField."""

import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from supernode.api.decoding import from_fields, from_json
from supernode.api.models import (
    PeerCreateRequest,
    PiecePullRequest,
    PieceReport,
    PieceUpdateRequest,
    TaskCreateRequest,
)
from supernode.core.commands import PieceResult, PullStatus
from supernode.core.errors import BadField

MODELS: list[type[msgspec.Struct]] = [
    PeerCreateRequest,
    TaskCreateRequest,
    PiecePullRequest,
    PieceUpdateRequest,
]
DIGITS = b"9" * 5000


@pytest.mark.parametrize("body", [b"", b"  \r\n", b"{}"])
@pytest.mark.parametrize("model", MODELS)
def test_no_body_is_an_empty_object(body: bytes, model: type[msgspec.Struct]) -> None:
    assert from_json(body, model) == model()


@pytest.mark.parametrize(
    "body", [b'{"IP": "::1", "hostName": "h"}', b'{"ip":"::1","HOSTNAME":"h"}']
)
def test_keys_in_any_case(body: bytes) -> None:
    assert from_json(body, PeerCreateRequest) == PeerCreateRequest(ip="::1", host_name="h")


def test_keys_in_any_case_within_a_list() -> None:
    body = b'{"REPORTS": [{"PIECERANGE": "0-1", "dstpid": "p", "pieceresult": "SUCCESS"}]}'
    report = PieceReport(piece_range="0-1", dst_pid="p", piece_result=PieceResult.SUCCESS)
    assert from_json(body, PiecePullRequest).reports == [report]


def test_what_is_no_models_key_keeps_its_case() -> None:
    body = b'{"rawURL": "u", "headers": {"X-Mixed": "V", "rawurl": "W"}}'
    asked = from_json(body, TaskCreateRequest)
    assert asked.headers == {"X-Mixed": "V", "rawurl": "W"}
    assert asked.raw_url == "u"


def test_unknown_keys_are_ignored() -> None:
    body = b'{"superNodeIp": 7, "ip": "::1", "reports": [[]]}'
    assert from_json(body, PeerCreateRequest).ip == "::1"


@pytest.mark.parametrize(
    ("model", "body", "field"),
    [
        (PeerCreateRequest, b"[]", "body"),
        (PeerCreateRequest, b"null", "body"),
        (PeerCreateRequest, b'"text"', "body"),
        (PeerCreateRequest, b"7", "body"),
        (PeerCreateRequest, b"{bad", "body"),
        (PeerCreateRequest, b"{} {}", "body"),
        (PeerCreateRequest, b"\xff", "body"),
        (PeerCreateRequest, b'{"IP": "\xff"}', "body"),
        (PeerCreateRequest, b'{"\xff": 1}', "body"),
        (PeerCreateRequest, b'{"IP": "\xed\xa0\x80"}', "body"),
        (PeerCreateRequest, b'{"IP": "\\ud800"}', "body"),
        (PeerCreateRequest, b'\xef\xbb\xbf{"IP": "::1"}', "body"),
        (PeerCreateRequest, b"[" * 100_000, "body"),
        (PeerCreateRequest, b'{"a":' * 100_000, "body"),
        (PeerCreateRequest, b'{"port": ' + DIGITS + b"}", "body"),
        (PeerCreateRequest, b'{"port": 1e400}', "body"),
        (PeerCreateRequest, b'{"port": NaN}', "body"),
        (PeerCreateRequest, b'{"IP": 7}', "IP"),
        (PeerCreateRequest, b'{"ip": null}', "IP"),
        (PeerCreateRequest, b'{"IP": ["::1"]}', "IP"),
        (PeerCreateRequest, b'{"port": "15000"}', "port"),
        (PeerCreateRequest, b'{"port": true}', "port"),
        (PeerCreateRequest, b'{"port": 15000.5}', "port"),
        (PeerCreateRequest, b'{"port": 14999}', "port"),
        (PeerCreateRequest, b'{"port": 65001}', "port"),
        (PeerCreateRequest, b'{"port": -1}', "port"),
        (PeerCreateRequest, b'{"port": 1e30}', "port"),
        (PeerCreateRequest, b'{"port": 99999999999999999999999999}', "port"),
        (PeerCreateRequest, b'{"version": "' + b"x" * 8193 + b'"}', "version"),
        (TaskCreateRequest, b'{"dfdaemon": "yes"}', "dfdaemon"),
        (TaskCreateRequest, b'{"filter": "a&b"}', "filter"),
        (TaskCreateRequest, b'{"filter": ["a", 7]}', "filter[1]"),
        (TaskCreateRequest, json.dumps({"filter": ["x"] * 65}).encode(), "filter"),
        (TaskCreateRequest, b'{"headers": ["A: b"]}', "headers"),
        (TaskCreateRequest, b'{"headers": {"A": 7}}', "headers[...]"),
        (PiecePullRequest, b'{"dfgetTaskStatus": "running"}', "dfgetTaskStatus"),
        (PiecePullRequest, b'{"pieceResult": 1}', "pieceResult"),
        (PiecePullRequest, b'{"reports": {}}', "reports"),
        (PiecePullRequest, b'{"reports": [{}, {"PieceRange": 7}]}', "reports[1].pieceRange"),
        (PiecePullRequest, b'{"reports": [{"pieceResult": "GOOD"}]}', "reports[0].pieceResult"),
        (PiecePullRequest, b'{"reports": [[]]}', "reports[0]"),
        (PiecePullRequest, b'{"reports": ' + b"[" * 900 + b"]" * 900 + b"}", "reports[0]"),
        (PiecePullRequest, json.dumps({"reports": [{}] * 257}).encode(), "reports"),
        (PieceUpdateRequest, b'{"pieceStatus": "SUCCESS "}', "pieceStatus"),
    ],
)
def test_what_cannot_be_read_is_named(model: type[msgspec.Struct], body: bytes, field: str) -> None:
    with pytest.raises(BadField) as refused:
        from_json(body, model)
    assert refused.value.field == field
    assert refused.value.problem
    assert len(str(refused.value)) < 300


def test_bounds_are_within() -> None:
    assert from_json(b'{"port": 15000}', PeerCreateRequest).port == 15000
    assert from_json(b'{"port": 65000}', PeerCreateRequest).port == 65000
    assert from_json(b'{"port": null}', PeerCreateRequest).port is None
    assert (
        len(from_json(json.dumps({"reports": [{}] * 256}).encode(), PiecePullRequest).reports)
        == 256
    )


@given(st.binary(max_size=64), st.sampled_from(MODELS))
@example(b"\xff", PeerCreateRequest)
def test_any_bytes_are_read_or_refused(body: bytes, model: type[msgspec.Struct]) -> None:
    with suppress(BadField):
        assert isinstance(from_json(body, model), model)


KEYS = [field.encode_name for model in MODELS for field in msgspec.structs.fields(model)]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), inner, max_size=6)
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(KEYS), JSON, max_size=8), st.sampled_from(MODELS))
def test_any_json_is_read_or_refused(data: dict[str, Any], model: type[msgspec.Struct]) -> None:
    with suppress(BadField):
        assert isinstance(from_json(json.dumps(data).encode(), model), model)


def test_fields_of_a_query() -> None:
    asked = from_fields(
        {
            "clientID": "c",
            "DFGETTaskStatus": "STARTED",
            "pieceRange": "0-1",
            "pieceResult": "FAILED",
            "dstPID": "p",
        },
        PiecePullRequest,
    )
    assert asked == PiecePullRequest(
        status=PullStatus.STARTED,
        piece_range="0-1",
        piece_result=PieceResult.FAILED,
        dst_pid="p",
    )


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"pieceResult": "GOOD"}, "pieceResult"),
        ({"dfgetTaskStatus": ""}, "dfgetTaskStatus"),
        ({"reports": "[]"}, "reports"),  # in a body only
    ],
)
def test_fields_of_a_query_that_cannot_be_read(fields: dict[str, str], field: str) -> None:
    with pytest.raises(BadField) as refused:
        from_fields(fields, PiecePullRequest)
    assert refused.value.field == field
