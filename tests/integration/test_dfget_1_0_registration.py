"""A dfget 1.0 registers: what it may say, how long it waits, what it is told when it cannot be."""

import base64
import json
from urllib.parse import urlencode

import pytest
import trio
import trustme
from trio.testing import MockClock, wait_all_tasks_blocked

from supernode.core.commands import RegisterTask, RenewTask
from supernode.core.identity import ClientId, TaskId, task_id
from supernode.core.model import DownloadStatus, Limits, TaskSpec
from supernode.core.pieces import MIB
from supernode.core.reasons import Reason
from tests.inprocess import InProcess
from tests.integration.dfget_1_0_caller import Dfget, Said
from tests.integration.rest_caller import URL, Caller

EVERY_CASE = ["rawUrl", "RAWURL", "rawurl", "rawURL"]
LONGEST = 3.0
GIVES_UP = 5.0


async def answered(dfget: Dfget, length: int | None = 1) -> Said:
    """Register; the origin answers meanwhile."""
    said: Said = {}
    async with trio.open_nursery() as nursery:

        async def register() -> None:
            said.update(await dfget.register())

        nursery.start_soon(register)
        while (task := dfget.node.tracker.next_to_fetch()) is None:  # noqa: ASYNC110 - virtual time
            await trio.sleep(0.1)
        dfget.node.size(task, length)
        if length is not None:
            dfget.node.cache(task)
    return said


# what it is told


async def test_the_file_and_how_it_is_cut(autojump_clock: MockClock) -> None:
    dfget = Dfget(InProcess())
    said = await answered(dfget, 900 * MIB)
    assert said == {
        "code": 200,
        "data": {
            "taskId": task_id(URL),
            "fileLength": 900 * MIB,
            "pieceSize": 11 * MIB,
            "cdnSource": "supernode",
            "asSeed": False,
            "seedTaskID": "",
        },
        "msg": "success",
    }


@pytest.mark.parametrize("spelled", EVERY_CASE)
async def test_keys_in_any_case(autojump_clock: MockClock, spelled: str) -> None:
    dfget = Dfget(InProcess())
    del dfget.wish["rawUrl"]
    assert (await dfget.register(**{spelled: URL}))["code"] == 200


async def test_a_form_will_do(autojump_clock: MockClock) -> None:
    dfget = Dfget(InProcess())
    fields = [*dfget.wish.items(), ("headers", "A: b, c"), ("headers", "D:e"), ("md5", "")]
    answer = await dfget.send(
        "POST",
        "/peer/registry",
        urlencode(fields).encode(),
        Content_Type="application/x-www-form-urlencoded",
    )
    assert answer.json()["code"] == 200
    spec = dfget.node.tracker.task(dfget.task).spec
    assert spec.headers.reveal() == {"A": "b, c", "D": "e"}
    assert dfget.download.peer == "a-10.0.0.1-15001"


async def test_headers_are_lines(autojump_clock: MockClock) -> None:
    dfget = Dfget(InProcess())
    await dfget.register(headers=["A: b", "C:d:e", "A:f", "G:", "nothing"])
    spec = dfget.node.tracker.task(dfget.task).spec
    assert spec.headers.reveal() == {"A": "b,f", "C": "d:e"}


async def test_authorities_are_in_base64(autojump_clock: MockClock) -> None:
    dfget = Dfget(InProcess())
    pem = trustme.CA().cert_pem.bytes()
    said = await dfget.register(rootCAs=[base64.b64encode(pem).decode()])
    assert said["code"] == 200
    (kept,) = dfget.node.tracker.task(dfget.task).spec.root_cas
    assert kept.split() == pem.decode().split()
    assert dfget.task != task_id(URL), "nobody else is given what is fetched on this trust"


async def test_the_task_is_named_by_the_filtered_url(autojump_clock: MockClock) -> None:
    node = InProcess()
    dfget = Dfget(node)
    said = await dfget.register(rawUrl=f"{URL}?a=1&sig=s&b=2&sig=t", taskUrl=f"{URL}?a=1&b=2")
    assert said["data"]["taskId"] == task_id(f"{URL}?a=1&b=2")
    spec = node.tracker.task(dfget.task).spec
    assert (spec.raw_url, spec.task_url) == (f"{URL}?a=1&sig=s&b=2&sig=t", f"{URL}?a=1&b=2")
    assert (await Dfget(node, "b").register(rawUrl=f"{URL}?a=1", taskUrl=""))["data"][
        "taskId"
    ] == task_id(f"{URL}?a=1")


async def test_a_url_may_have_characters_that_ought_to_be_encoded(
    autojump_clock: MockClock,
) -> None:
    url = "http://origin/ä file"
    dfget = Dfget(InProcess())
    said = await dfget.register(rawUrl=url, taskUrl=url)
    assert said["data"]["taskId"] == task_id(url)
    assert dfget.node.tracker.task(dfget.task).spec.raw_url == "http://origin/%C3%A4%20file"


@pytest.mark.parametrize(
    ("host", "shown"), [("my_host", "my-host"), ("my host.", "my-host"), ("日本", "unnamed")]
)
async def test_a_machine_may_be_called_anything(
    autojump_clock: MockClock, host: str, shown: str
) -> None:
    dfget = Dfget(InProcess(), hostName=host)
    assert (await dfget.register())["code"] == 200
    assert dfget.download.peer == f"{shown}-10.0.0.1-15001"
    peers = await Caller(dfget.node).look("/peers?pageSize=9")
    assert [peer["hostName"] for peer in peers] == [shown]


async def test_runs_of_one_machine_are_one_peer(autojump_clock: MockClock) -> None:
    node = InProcess()
    for run in ("first", "second"):
        await Dfget(node, run, hostName="h").register()
    assert len(node.tracker.peers()) == 1
    assert len(node.tracker.task(task_id(URL)).downloads) == 2


@pytest.mark.parametrize("change", [{"port": 0}, {"pattern": "cdn"}, {"pattern": "source"}])
async def test_one_without_an_uploader_is_no_peer(
    autojump_clock: MockClock, change: dict[str, object]
) -> None:
    dfget = Dfget(InProcess(), **change)
    assert (await dfget.register())["code"] == 200
    assert dfget.download.peer is None
    assert not dfget.node.tracker.peers()


async def test_no_room_for_its_peer_is_no_reason_to_send_it_away(
    autojump_clock: MockClock,
) -> None:
    dfget = Dfget(InProcess(Limits(most_peers=0)))
    assert (await dfget.register())["code"] == 200
    assert dfget.download.peer is None


async def test_registered_again_it_begins_anew(autojump_clock: MockClock) -> None:
    dfget = Dfget(InProcess())
    await answered(dfget)
    await dfget.suc(0)
    assert dfget.download.have
    assert (await dfget.register())["code"] == 200
    assert not dfget.download.have
    assert dfget.download.status is DownloadStatus.RUNNING


# how long it waits


@pytest.mark.parametrize("paused", [False, True])
async def test_an_origin_that_says_nothing_keeps_nobody_waiting_for_long(
    autojump_clock: MockClock, paused: bool
) -> None:
    node = InProcess()
    dfget = Dfget(node)
    if paused:
        await dfget.register()
        await Caller(node)("PUT", f"/tasks/{dfget.task}", {"paused": True})
    began = trio.current_time()
    said = await dfget.register()
    assert trio.current_time() - began == LONGEST < GIVES_UP
    assert said["data"]["fileLength"] == -1
    assert said["data"]["pieceSize"] == 4 * MIB


async def test_what_it_was_told_of_the_cut_stays_so(autojump_clock: MockClock) -> None:
    node = InProcess()
    dfget, later = Dfget(node), Dfget(node, "later")
    await dfget.register()
    assert node.size(dfget.task, 900 * MIB) == 4 * MIB
    node.cache(dfget.task, 0)
    assert (await dfget.pull())["data"][0]["pieceSize"] == 4 * MIB
    said = await later.register()
    assert said["data"]["fileLength"] == 900 * MIB
    assert said["data"]["pieceSize"] == 4 * MIB


async def test_the_second_waits_too_for_the_length_that_was_not_known(
    autojump_clock: MockClock,
) -> None:
    node = InProcess()
    await Dfget(node).register()
    began = trio.current_time()
    said = await answered(Dfget(node, "b"), 900 * MIB)
    assert said["data"]["fileLength"] == 900 * MIB
    assert trio.current_time() - began < 1


async def test_a_length_that_the_origin_does_not_say_is_not_waited_for(
    autojump_clock: MockClock,
) -> None:
    node = InProcess()
    task = TaskId((await Dfget(node).register())["data"]["taskId"])
    node.size(task, None)
    node.cache_piece(task, 0, "0" * 32 + ":4194304")  # type: ignore[arg-type]  # a digest
    began = trio.current_time()
    said = await Dfget(node, "b").register()
    assert said["data"]["fileLength"] == -1
    assert trio.current_time() == began


async def test_nor_does_a_file_in_doubt_and_what_was_told_of_its_cut_stays_so(
    autojump_clock: MockClock,
) -> None:
    node = InProcess()
    first, dfget = Dfget(node), Dfget(node, "b")
    await answered(first, 900 * MIB)
    node.finish(first.task)
    await first.pull(0, result=500, status=702)
    await trio.sleep(60)
    began = trio.current_time()
    said = await dfget.register()
    assert trio.current_time() - began == pytest.approx(LONGEST)
    assert said["data"]["pieceSize"] == 11 * MIB
    assert (await dfget.pull())["code"] == 602
    task = node.tracker.task(dfget.task)
    node.dispatch(RenewTask(task=task.id, generation=task.generation))
    assert node.size(task.id, 5) == 11 * MIB
    node.cache(task.id)
    assert (await dfget.pull())["data"][0]["pieceSize"] == 11 * MIB


async def test_while_the_supernode_stops_nobody_is_turned_away(autojump_clock: MockClock) -> None:
    node = InProcess()
    dfget = Dfget(node)
    async with trio.open_nursery() as nursery:

        async def register() -> None:
            assert (await dfget.register())["code"] == 200

        nursery.start_soon(register)
        await wait_all_tasks_blocked()
        node.responder.close()
    assert trio.current_time() < LONGEST
    assert (await dfget.pull())["code"] == 602


# what it is told when it cannot be


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (Reason.ORIGIN_NOT_FOUND, 607),
        (Reason.ORIGIN_DNS, 607),
        (Reason.ORIGIN_REFUSED, 607),
        (Reason.ORIGIN_STATUS, 607),
        (Reason.ORIGIN_AUTH, 500),
        (Reason.URL_FORBIDDEN, 501),
        (Reason.DISK_FULL, 500),
    ],
)
async def test_why_the_file_cannot_be_had(
    autojump_clock: MockClock, reason: Reason, code: int
) -> None:
    node = InProcess()
    dfget = Dfget(node)
    said: Said = {}
    async with trio.open_nursery() as nursery:

        async def register() -> None:
            said.update(await dfget.register())

        nursery.start_soon(register)
        await trio.sleep(0.1)
        node.fail(dfget.task, reason, "so it is")
    assert said["code"] == code
    assert reason.text in said["msg"]
    assert "so it is" in said["msg"]
    assert "data" not in said


async def test_a_failure_is_remembered_and_the_origin_spared(autojump_clock: MockClock) -> None:
    node = InProcess()
    dfget = Dfget(node)
    await dfget.register()
    node.fail(dfget.task, Reason.ORIGIN_NOT_FOUND)
    began = trio.current_time()
    assert (await dfget.register())["code"] == 607
    assert trio.current_time() == began
    assert node.tracker.next_to_fetch() is None


async def test_without_credentials_it_gives_up_if_the_operator_says_so(
    autojump_clock: MockClock,
) -> None:
    node = InProcess(abort=True)
    dfget = Dfget(node)
    async with trio.open_nursery() as nursery:

        async def register() -> None:
            assert (await dfget.register())["code"] == 608

        nursery.start_soon(register)
        await trio.sleep(0.1)
        node.fail(dfget.task, Reason.ORIGIN_AUTH)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"rawUrl": ""}, "rawURL"),
        ({"rawUrl": "x", "taskUrl": "x"}, "rawURL"),
        ({"rawUrl": "ftp://o/x", "taskUrl": ""}, "rawURL"),
        ({"rawUrl": "http://o/\n", "taskUrl": ""}, "rawURL"),
        ({"rawUrl": 7}, "rawURL"),
        ({"taskUrl": "http://elsewhere/file"}, "taskURL"),
        ({"taskUrl": f"{URL}?more"}, "taskURL"),
        ({"cid": ""}, "cID"),
        ({"cid": "a b"}, "cID"),
        ({"cid": "cdnnode:1.2.3.4~x"}, "cID"),
        ({"ip": ""}, "IP"),
        ({"ip": "nope"}, "IP"),
        ({"port": 80}, "port"),
        ({"port": 65001}, "port"),
        ({"port": "x"}, "port"),
        ({"path": ""}, "path"),
        ({"path": "@elsewhere/"}, "path"),
        ({"path": "/a\nb"}, "path"),
        ({"md5": "m"}, "md5"),
        ({"headers": {"A": "b"}}, "headers"),
        ({"headers": ["A b: c"]}, "headers.A b"),
        ({"headers": ["A: b\nc"]}, "headers.A"),
        ({"rootCAs": ["%"]}, "rootCAs[0]"),
        ({"rootCAs": [base64.b64encode(b"no certificate").decode()]}, "rootCAs[0]"),
        ({"superNodeIp": "a\nb"}, "superNodeIP"),
        ({"insecure": "yes"}, "insecure"),
    ],
)
async def test_what_it_says_wrong_is_named_and_changes_nothing(
    autojump_clock: MockClock, change: dict[str, object], named: str
) -> None:
    dfget = Dfget(InProcess())
    said = await dfget.register(**change)
    assert said["code"] == 501
    assert said["msg"].startswith(f"{named}: ")
    assert not dfget.node.tracker.peers()
    assert not dfget.node.tracker.tasks()


@pytest.mark.parametrize("body", [b"{bad", b"[]", b"7", b'"x"', b"\xff"])
async def test_what_cannot_be_read_is_an_error_of_http(
    autojump_clock: MockClock, body: bytes
) -> None:
    answer = await Dfget(InProcess()).send("POST", "/peer/registry", body)
    assert answer.status_code == 400
    assert answer.json()["code"] == 400
    assert answer.json()["message"]


async def test_the_same_id_for_another_file_is_a_conflict(autojump_clock: MockClock) -> None:
    node = InProcess()
    other = TaskSpec(raw_url="http://origin/fi", task_url="http://origin/fi", identifier="le")
    node.dispatch(RegisterTask(spec=other, client=ClientId("c"), peer=None, path=""))
    assert (await Dfget(node).register())["code"] == 606


async def test_credentials_are_shown_to_nobody(autojump_clock: MockClock) -> None:
    node = InProcess()
    dfget = Dfget(node, headers=["Authorization: Bearer s3cr3t"])
    said = await dfget.register(rawUrl="http://u:s3cr3t@origin/f", taskUrl="")
    shown = await Caller(node).look("/tasks?pageSize=9")
    assert "s3cr3t" not in json.dumps([said, shown])
    assert shown[0]["headers"] == {"Authorization": "***"}
