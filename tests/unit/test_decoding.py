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
    PageQuery,
    PartQuery,
    PeerCreateRequest,
    PiecePullQuery,
    PiecePullRequest,
    PieceReport,
    PieceUpdateRequest,
    PreheatCreateRequest,
    SortDirection,
    TaskCreateRequest,
    TaskPageQuery,
    TaskUpdateRequest,
    V1PageQuery,
)
from supernode.core.commands import PieceResult, PullStatus
from supernode.core.errors import BadField

MODELS: list[type[msgspec.Struct]] = [
    PeerCreateRequest,
    TaskCreateRequest,
    PiecePullRequest,
    PieceUpdateRequest,
    TaskUpdateRequest,
    PreheatCreateRequest,
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
        (PeerCreateRequest, b'{"port": ' + DIGITS + b"}", "port"),
        (PeerCreateRequest, b'{"IP": "::1", "port": 1e400}', "port"),
        (PeerCreateRequest, b'{"port": 1e400, bad', "body"),
        (PeerCreateRequest, b'{"port": 1e400, "port": 1}', "body"),
        (PeerCreateRequest, b"[1e400]", "body"),
        (PeerCreateRequest, b'{"port": NaN}', "body"),
        (PeerCreateRequest, b'{"IP": 7}', "IP"),
        (PeerCreateRequest, b'{"IP": "::1", "ip": 7}', "IP"),
        (PeerCreateRequest, b'{"hostName": ""}', "hostName"),
        (PeerCreateRequest, b'{"IP": ["::1"]}', "IP"),
        (PeerCreateRequest, b'{"port": "15000"}', "port"),
        (PeerCreateRequest, b'{"port": true}', "port"),
        (PeerCreateRequest, b'{"port": 15000.5}', "port"),
        (PeerCreateRequest, b'{"port": 14999}', "port"),
        (PeerCreateRequest, b'{"port": 65001}', "port"),
        (PeerCreateRequest, b'{"port": -1}', "port"),
        (PeerCreateRequest, b'{"port": 1e30}', "port"),
        (PeerCreateRequest, b'{"port": 99999999999999999999999999}', "port"),
        (PeerCreateRequest, b'{"version": "' + b"x" * 129 + b'"}', "version"),
        (PeerCreateRequest, b'{"hostName": "' + b"x" * 254 + b'"}', "hostName"),
        (TaskCreateRequest, b'{"rawURL": "' + b"x" * 8193 + b'"}', "rawURL"),
        (TaskCreateRequest, b'{"path": "' + b"x" * 2049 + b'"}', "path"),
        (TaskCreateRequest, b'{"cID": "' + b"x" * 513 + b'"}', "cID"),
        (TaskCreateRequest, b'{"identifier": "' + b"x" * 513 + b'"}', "identifier"),
        (TaskCreateRequest, b'{"callSystem": "' + b"x" * 513 + b'"}', "callSystem"),
        (TaskCreateRequest, b'{"filter": ["' + b"x" * 257 + b'"]}', "filter[0]"),
        (TaskUpdateRequest, b'{"path": "' + b"x" * 2049 + b'"}', "path"),
        (PreheatCreateRequest, b'{"identifier": "' + b"x" * 513 + b'"}', "identifier"),
        (PreheatCreateRequest, b'{"callSystem": "' + b"x" * 513 + b'"}', "callSystem"),
        (TaskCreateRequest, b'{"dfdaemon": "yes"}', "dfdaemon"),
        (TaskCreateRequest, b'{"filter": "a&b"}', "filter"),
        (TaskCreateRequest, b'{"filter": ["a", 7]}', "filter[1]"),
        (TaskCreateRequest, json.dumps({"filter": ["x"] * 65}).encode(), "filter"),
        (TaskCreateRequest, b'{"headers": ["A: b"]}', "headers"),
        (TaskCreateRequest, b'{"headers": {"Good": "x", "A": 7}}', "headers.A"),
        (TaskCreateRequest, b'{"headers": {"A": null}}', "headers.A"),
        (TaskCreateRequest, json.dumps({"headers": {"A": "x" * 8193}}).encode(), "headers.A"),
        (TaskCreateRequest, json.dumps({"headers": {"A" * 8193: "x"}}).encode(), "headers"),
        (PiecePullRequest, b'{"reports": [{"other": 1e400}]}', "reports"),
        (PiecePullRequest, b'{"dfgetTaskStatus": "running"}', "dfgetTaskStatus"),
        (PiecePullRequest, b'{"pieceResult": 1}', "pieceResult"),
        (PiecePullRequest, b'{"reports": {}}', "reports"),
        (PiecePullRequest, b'{"reports": [{}, {"PieceRange": 7}]}', "reports[1].pieceRange"),
        (PiecePullRequest, b'{"reports": [{"pieceResult": "GOOD"}]}', "reports[0].pieceResult"),
        (PiecePullRequest, b'{"reports": [[]]}', "reports[0]"),
        (PiecePullRequest, b'{"reports": ' + b"[" * 900 + b"]" * 900 + b"}", "reports[0]"),
        (PiecePullRequest, json.dumps({"reports": [{}] * 257}).encode(), "reports"),
        (PieceUpdateRequest, b'{"pieceStatus": "SUCCESS "}', "pieceStatus"),
        (TaskCreateRequest, b'{"callSystem": ""}', "callSystem"),
        (TaskCreateRequest, json.dumps({"rootCAs": [""] * 65}).encode(), "rootCAs"),
        (TaskUpdateRequest, b'{"paused": "true"}', "paused"),
        (TaskUpdateRequest, b'{"peerID": ""}', "peerID"),
        (PreheatCreateRequest, b'{"filter": ["a"]}', "filter"),
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


def test_a_key_that_is_null_is_left_out() -> None:
    body = b'{"IP": null, "hostName": null, "port": null, "version": "1"}'
    assert from_json(body, PeerCreateRequest) == PeerCreateRequest(version="1")
    body = b'{"filter": null, "headers": null, "callSystem": null}'
    assert from_json(body, TaskCreateRequest) == TaskCreateRequest()
    with pytest.raises(BadField):
        from_json(b'{"filter": [null]}', TaskCreateRequest)


def test_of_a_key_that_is_repeated_the_last_counts() -> None:
    body = b'{"IP": "::1", "ip": "::2", "IP": "::3"}'
    assert from_json(body, PeerCreateRequest).ip == "::2", "in the order of their first mention"
    assert from_json(b'{"IP": "::1", "IP": "::3"}', PeerCreateRequest).ip == "::3"


def test_fields_of_a_query() -> None:
    asked = from_fields(
        {
            "clientID": ["c"],
            "NUM": ["7"],
            "DFGETTaskStatus": ["STARTED"],
            "pieceRange": ["0-1", "2-3"],
            "pieceResult": ["FAILED"],
            "dstPID": ["p,q"],
            "unknown": ["x"],
        },
        PiecePullQuery,
    )
    assert asked == PiecePullQuery(
        client_id="c",
        num=7,
        status=PullStatus.STARTED,
        piece_range="0-1",
        piece_result=PieceResult.FAILED,
        dst_pid="p,q",
    )


def test_a_list_in_a_query_is_repeated_or_separated_by_commas() -> None:
    asked = from_fields({"pageSize": ["1"], "sortkey": ["a,b", "", "c"]}, PageQuery)
    assert asked.sort_key == ["a", "b", "", "c"]


def test_what_a_query_says_if_it_does_not() -> None:
    assert from_fields({"pageSize": ["1"]}, PageQuery) == PageQuery(
        page_size=1, page_num=0, sort_direct=SortDirection.ASC, sort_key=[]
    )
    assert from_fields({}, V1PageQuery).page_size == 0
    assert from_fields({}, PartQuery) == PartQuery(page_size=1000, page_num=0)
    assert from_fields({"clientID": ["c"]}, PiecePullQuery).num == 4


@pytest.mark.parametrize(
    ("model", "fields", "field"),
    [
        (PiecePullQuery, {}, "clientID"),
        (PiecePullQuery, {"pieceResult": "GOOD"}, "pieceResult"),
        (PiecePullQuery, {"dfgetTaskStatus": ""}, "dfgetTaskStatus"),
        (PiecePullQuery, {"num": "0"}, "num"),
        (PiecePullQuery, {"num": str(2**63)}, "num"),
        (PiecePullQuery, {"num": "9" * 5000}, "num"),
        (PiecePullQuery, {"num": "0x7"}, "num"),
        (PiecePullQuery, {"num": "1_0"}, "num"),
        (PiecePullQuery, {"num": "nan"}, "num"),
        (PiecePullQuery, {"num": "\N{ARABIC-INDIC DIGIT ONE}"}, "num"),
        (PageQuery, {}, "pageSize"),
        (PageQuery, {"pageSize": "0"}, "pageSize"),
        (PageQuery, {"pageSize": "1", "pageNum": "-1"}, "pageNum"),
        (PageQuery, {"pageSize": "1", "sortDirect": "asc"}, "sortDirect"),
        (PageQuery, {"pageSize": "1", "sortKey": ",".join("x" * 9)}, "sortKey"),
        (PartQuery, {"pageSize": "0"}, "pageSize"),
        (PartQuery, {"pageSize": "1001"}, "pageSize"),
        (TaskPageQuery, {"pageNum": "1"}, "pageSize"),
        (TaskPageQuery, {"pageSize": "1001"}, "pageSize"),
        (V1PageQuery, {"pageSize": "-1"}, "pageSize"),
    ],
)
def test_fields_of_a_query_that_cannot_be_read(
    model: type[msgspec.Struct], fields: dict[str, str], field: str
) -> None:
    with pytest.raises(BadField) as refused:
        from_fields(
            {"clientID": ["c"]} | {n: [v] for n, v in fields.items()} if fields else {}, model
        )
    assert refused.value.field == field
    assert len(str(refused.value)) < 300
