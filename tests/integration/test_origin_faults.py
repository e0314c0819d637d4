"""What an origin may do, and what that means to those who want its file.

Real sockets, the real client and the real CDN. The origin is ``file.test`` at 127.0.0.1. Once it
has failed, the name moves to 127.0.0.2, where a healthy origin has the same port.
"""

import datetime
import hashlib
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trio
import trustme

from supernode.core.commands import Pull, RegisterTask
from supernode.core.errors import TaskEnded
from supernode.core.identity import ClientId, TaskId, task_url
from supernode.core.model import CdnStatus, Limits, Task, TaskSpec
from supernode.core.reasons import Reason
from supernode.origin.http import MAX_REDIRECTS, OriginClient
from supernode.origin.policy import OriginPolicy, Rule
from supernode.services.cdn import Cdn
from supernode.services.retries import RetryPolicy
from supernode.storage.piece_files import PieceStore
from tests.faults import Fails, Group, Outcome, Recovers, Recovery, Seen, fault
from tests.inprocess import InProcess
from tests.integration.scripted_origin import (
    Script,
    ScriptedOrigin,
    answer,
    deaf_port,
    names,
    redirect,
    send,
    send_and_reset,
    send_and_wait,
)

CONTENT = hashlib.sha256(b"supernode").digest() * 1000
MD5 = hashlib.md5(CONTENT).hexdigest()
POLICY = OriginPolicy(allow=[Rule.parse("127.0.0.1"), Rule.parse("127.0.0.2")])
WAITING = [ClientId(f"c{n}") for n in range(5)]
SHORT = {"connect_timeout": 0.3, "head_timeout": 0.6, "stall_timeout": 0.3}
RETRIES = RetryPolicy(first_pause=0)


def lasting(reason: Reason) -> Fails:
    return Fails(CdnStatus.SOURCE_ERROR, reason, asked=1)


def passing(reason: Reason) -> Fails:
    return Fails(CdnStatus.SOURCE_ERROR, reason, asked=RETRIES.attempts)


def failed(reason: Reason) -> Fails:
    return Fails(CdnStatus.FAILED, reason, asked=1)


def it(what: str, outcome: Outcome, *, case: str = "") -> pytest.MarkDecorator:
    """Say what the origin does."""
    return fault(Group.ORIGIN, what, outcome, case=case)


class Given(NamedTuple):
    """What a misbehaving origin needs.

    Args:
        origin: answers so.
        timeouts: of the client, as far as they matter.
        requests: how many make one attempt.
    """

    origin: bytes | Script
    timeouts: dict[str, float]
    requests: int


def when(
    name: str,
    what: str,
    outcome: Outcome,
    origin: bytes | Script,
    *,
    case: str = "",
    requests: int = 1,
    timeouts: dict[str, float] | None = None,
) -> Any:  # noqa: ANN401 - pytest's own type is private
    given = Given(origin, timeouts or {}, requests)
    return pytest.param(given, id=name, marks=it(what, outcome, case=case))


def status(number: int, outcome: Outcome, origin: bytes | None = None) -> Any:  # noqa: ANN401 - as above
    said = answer(number) if origin is None else origin
    return when(str(number), "answers {}", outcome, said, case=str(number))


async def trickle(stream: trio.abc.Stream) -> None:
    """Send a byte at a time, too soon to have paused."""
    await stream.send_all(answer(200, Content_Length=ANNOUNCED))
    for byte in CONTENT:
        await stream.send_all(bytes([byte]))
        await trio.sleep(0.01)


NAME_SERVER = "has a name whose server {}"
NO_TLS = "{}"
ANNOUNCED = str(len(CONTENT))
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
NO_LENGTH = b"HTTP/1.1 200 OK\r\n\r\n"
TWO_LENGTHS = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"
NO_HTTP = "does not speak proper HTTP: {}"
BREAKS_OFF = "breaks off {}"
OTHER_FILE = "sends {}, though the client named the digest of another file"
TOO_MUCH = "sends too much around the content: {}"
ANSWERS = [
    status(400, lasting(Reason.ORIGIN_STATUS)),
    status(416, lasting(Reason.ORIGIN_STATUS)),
    status(204, lasting(Reason.ORIGIN_STATUS)),
    status(304, lasting(Reason.ORIGIN_STATUS)),
    when(
        "206 unasked",
        "answers {}",
        lasting(Reason.ORIGIN_STATUS),
        answer(206, CONTENT),
        case="206 though nobody asked for a part",
    ),
    when(
        "redirect nowhere",
        "answers {}",
        lasting(Reason.ORIGIN_STATUS),
        answer(302),
        case="302 without saying where to",
    ),
    status(401, lasting(Reason.ORIGIN_AUTH)),
    status(403, lasting(Reason.ORIGIN_AUTH)),
    status(407, lasting(Reason.ORIGIN_AUTH)),
    status(404, lasting(Reason.ORIGIN_NOT_FOUND)),
    status(410, lasting(Reason.ORIGIN_NOT_FOUND)),
    status(408, passing(Reason.ORIGIN_STATUS)),
    status(429, passing(Reason.ORIGIN_STATUS)),
    status(500, passing(Reason.ORIGIN_STATUS)),
    status(502, passing(Reason.ORIGIN_STATUS)),
    status(503, passing(Reason.ORIGIN_STATUS)),
    status(504, passing(Reason.ORIGIN_STATUS)),
    when(
        "429, come back in a minute",
        "answers {} and wants more than 30 s of patience (`Retry-After`)",
        lasting(Reason.ORIGIN_STATUS),
        answer(429, Retry_After="60"),
        case="429",
    ),
    when(
        "503, come back in a minute",
        "answers {} and wants more than 30 s of patience (`Retry-After`)",
        lasting(Reason.ORIGIN_STATUS),
        answer(503, Retry_After="60"),
        case="503",
    ),
    when(
        "redirect loop",
        "redirects in {}",
        lasting(Reason.ORIGIN_REDIRECTS),
        redirect("/f"),
        requests=MAX_REDIRECTS + 1,
        case="a loop",
    ),
    when(
        "redirect chain",
        "redirects in {}",
        lasting(Reason.ORIGIN_REDIRECTS),
        redirect("/0"),
        requests=MAX_REDIRECTS + 1,
        case=f"a chain longer than {MAX_REDIRECTS}",
    ),
    when(
        "redirect to no name",
        "redirects to {}",
        lasting(Reason.ORIGIN_DNS),
        redirect("http://nowhere.test/"),
        case="a name that does not exist",
    ),
    when(
        "redirect to what is forbidden",
        "redirects to {}",
        failed(Reason.URL_FORBIDDEN),
        redirect("http://127.0.0.3/"),
        case="what the policy forbids",
    ),
    when(
        "redirect to no URL",
        "redirects to {}",
        failed(Reason.URL_INVALID),
        redirect("ftp://file.test/"),
        case="what is neither http nor https",
    ),
    when(
        "no head",
        "does not answer in time",
        passing(Reason.ORIGIN_TIMEOUT),
        send_and_wait(b""),
        timeouts=SHORT,
    ),
    when(
        "half a head",
        "does not answer in time",
        passing(Reason.ORIGIN_TIMEOUT),
        send_and_wait(b"HTTP/1.1 200"),
        timeouts=SHORT,
    ),
    when(
        "no body",
        "stalls",
        passing(Reason.ORIGIN_STALLED),
        send_and_wait(answer(200, Content_Length=ANNOUNCED)),
        timeouts=SHORT,
    ),
    when(
        "half a body",
        "stalls",
        passing(Reason.ORIGIN_STALLED),
        send_and_wait(answer(200, CONTENT[:999], Content_Length=ANNOUNCED)),
        timeouts=SHORT,
    ),
    when(
        "trickle",
        "sends more slowly than `[origin] slowest_rate`",
        passing(Reason.ORIGIN_STALLED),
        trickle,
        timeouts={"stall_timeout": 0.2, "floor_window": 0.4},
    ),
    when(
        "hang-up",
        BREAKS_OFF,
        passing(Reason.ORIGIN_BROKEN),
        send(),
        case="before it answers",
    ),
    when(
        "reset",
        BREAKS_OFF,
        passing(Reason.ORIGIN_BROKEN),
        send_and_reset(answer(200, CONTENT[:999], Content_Length=ANNOUNCED)),
        case="by a reset",
    ),
    when(
        "no last chunk",
        BREAKS_OFF,
        passing(Reason.ORIGIN_BROKEN),
        send(CHUNKED, b"3\r\nabc\r\n"),
        case="before the last chunk",
    ),
    when(
        "broken chunk",
        BREAKS_OFF,
        passing(Reason.ORIGIN_BROKEN),
        send(CHUNKED, b"9\r\nabc"),
        case="within a chunk",
    ),
    when(
        "no HTTP",
        NO_HTTP,
        passing(Reason.ORIGIN_BROKEN),
        send(b"SSH-2.0-OpenSSH_9.2\r\n"),
        case="something else",
    ),
    when(
        "endless head",
        NO_HTTP,
        passing(Reason.ORIGIN_BROKEN),
        send(b"HTTP/1.1 200 OK\r\nX: " + CONTENT * 9),
        case="a head without end",
    ),
    when(
        "length that is no number",
        NO_HTTP,
        passing(Reason.ORIGIN_BROKEN),
        send(answer(200, CONTENT, Content_Length="many")),
        case="a length that is no number",
    ),
    when(
        "two lengths",
        NO_HTTP,
        passing(Reason.ORIGIN_BROKEN),
        send(TWO_LENGTHS),
        case="two lengths",
    ),
    when(
        "chunk without a size",
        NO_HTTP,
        passing(Reason.ORIGIN_BROKEN),
        send(CHUNKED, b"abc\r\n"),
        case="a chunk without a size",
    ),
    when(
        "endless preliminaries",
        TOO_MUCH,
        lasting(Reason.ORIGIN_BROKEN),
        send(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 99),
        case="preliminary answers",
    ),
    when(
        "more framing than content",
        TOO_MUCH,
        lasting(Reason.ORIGIN_BROKEN),
        send(CHUNKED, b"1\r\nx\r\n" * 200_000),
        case="tiny chunks",
    ),
    when(
        "short",
        "sends less than it said",
        passing(Reason.ORIGIN_LENGTH),
        send(answer(200, CONTENT[:999], Content_Length=ANNOUNCED)),
    ),
    when(
        "long",
        "{}",
        lasting(Reason.ORIGIN_LENGTH),
        send(answer(200, CONTENT + b"x", Content_Length=ANNOUNCED)),
        case="sends more than it said",
    ),
    when(
        "beyond count",
        "{}",
        lasting(Reason.ORIGIN_LENGTH),
        answer(200, Content_Length="9" * 19),
        case="says a length that no file can have",
    ),
    when(
        "gzip",
        "encodes the content (`gzip`) though asked not to",
        lasting(Reason.ORIGIN_ENCODING),
        answer(200, CONTENT, Content_Encoding="gzip"),
    ),
    when(
        "other content",
        OTHER_FILE,
        failed(Reason.DIGEST_MISMATCH),
        answer(200, CONTENT[::-1]),
        case="one file",
    ),
    when(
        "less content",
        OTHER_FILE,
        failed(Reason.DIGEST_MISMATCH),
        answer(200, CONTENT[1:]),
        case="part of a file",
    ),
    when(
        "no content",
        OTHER_FILE,
        failed(Reason.DIGEST_MISMATCH),
        answer(200),
        case="nothing",
    ),
]


class World:
    """A supernode with a real CDN and a real origin client, and somebody to ask it."""

    def __init__(self, state: Path, client: OriginClient) -> None:
        self.node = InProcess(Limits(failed_origin_pause=0))
        self.store = PieceStore(state / "repo")
        self.cdn = Cdn(self.node.dispatch, self.store, client, retries=RETRIES)
        self.told: list[Reason] = []

    def ask(self, url: str, client: ClientId, md5: str = MD5) -> TaskId:
        spec = TaskSpec(raw_url=url, task_url=task_url(url, ()), md5=md5)
        return self.node.dispatch(RegisterTask(spec=spec, client=client, peer=None, path=""))

    async def wait(self, task: TaskId, client: ClientId) -> None:
        """Wait for pieces as a downloader does, until told that there will be none."""
        try:
            while True:
                self.node.dispatch(Pull(task=task, client=client, count=1))
                await self.node.feed.wait(task, trio.current_time() + 60)
        except TaskEnded as ended:
            self.told.append(ended.reason)

    async def end_of(self, task: TaskId) -> Task:
        while (known := self.node.tracker.task(task)).status in (
            CdnStatus.WAITING,
            CdnStatus.RUNNING,
        ):
            await self.node.feed.wait(task, trio.current_time() + 60)
        return known

    def content(self, task: TaskId) -> bytes:
        """Return what is on disk of a file of one piece."""
        file = self.store.find(task)
        assert file is not None
        return file.path.read_bytes()[4:-1]


class Ended(NamedTuple):
    """What came of a fault.

    Args:
        outcome: for everybody who waited.
        detail: what exactly was seen.
    """

    outcome: Fails
    detail: str


async def check(
    state: Path,
    url: str,
    mend: Callable[[], object],
    **settings: Any,  # noqa: ANN401
) -> Ended:
    """Have the file fetched, with the fault and without; return what came of the fault."""
    with trio.fail_after(20):
        async with OriginClient(POLICY, **settings) as client:
            world = World(state, client)
            async with trio.open_nursery() as nursery:
                await nursery.start(world.cdn.run)
                tasks = {world.ask(url, waiting) for waiting in WAITING}
                (task,) = tasks
                async with trio.open_nursery() as downloads:
                    for waiting in WAITING:
                        downloads.start_soon(world.wait, task, waiting)
                ended = await world.end_of(task)
                status, reason, detail = ended.status, ended.reason, ended.detail
                assert world.store.find(task) is None
                assert reason is not None
                assert world.told == [reason] * len(WAITING)
                mend()
                assert world.ask(url, WAITING[0]) == task
                again = await world.end_of(task)
                assert (again.status, again.reason) == (CdnStatus.SUCCESS, None), again.detail
                nursery.cancel_scope.cancel()
    assert world.content(task) == CONTENT
    assert detail
    tried = re.search(r" \(tried (\d+) times\)$", detail)
    return Ended(Fails(status, reason, asked=int(tried[1]) if tried else 1), detail)


def moved() -> None:
    """Have the name lead to the healthy origin."""
    names(file_test=[["127.0.0.2"]])


async def healthy(nursery: trio.Nursery, port: int, tls: ssl.SSLContext | None = None) -> None:
    """Start the healthy origin."""
    origin = ScriptedOrigin()
    origin.answers["/f"] = answer(200, CONTENT)
    await nursery.start(partial(origin.run, "127.0.0.2", tls, port))


@contextmanager
def silent_port() -> Iterator[int]:
    """A port of 127.0.0.1 on which nobody listens, and nobody will; it is free on 127.0.0.2."""
    while True:
        with socket.socket() as bound, socket.socket() as other:
            bound.bind(("127.0.0.1", 0))
            port = bound.getsockname()[1]
            if other.connect_ex(("127.0.0.2", port)) == 0:
                continue
            yield port
            return


# it cannot be reached


@pytest.mark.parametrize(
    "addresses",
    [
        pytest.param(None, id="unknown", marks=it("has no such name", lasting(Reason.ORIGIN_DNS))),
        pytest.param(
            [],
            id="no answer",
            marks=it(NAME_SERVER, passing(Reason.ORIGIN_DNS), case="does not answer"),
        ),
        pytest.param(
            OSError(socket.EAI_AGAIN, "try again"),
            id="trouble",
            marks=it(NAME_SERVER, passing(Reason.ORIGIN_DNS), case="fails"),
        ),
    ],
)
async def test_a_name_that_does_not_resolve(
    tmp_path: Path, nursery: trio.Nursery, seen: Seen, addresses: list[str] | OSError | None
) -> None:
    resolver = names(**({} if addresses is None else {"file_test": [addresses]}))
    with silent_port() as port:
        await healthy(nursery, port)
        url = f"http://file.test:{port}/f"
        ended = await check(tmp_path, url, moved, connect_timeout=0.3)
    seen(ended.outcome)
    assert resolver.asked == ["file.test"] * ended.outcome.asked


@it("refuses the connection", passing(Reason.ORIGIN_REFUSED))
async def test_a_connection_that_is_refused(
    tmp_path: Path, nursery: trio.Nursery, seen: Seen
) -> None:
    names(file_test=[["127.0.0.1"]])
    with silent_port() as port:
        await healthy(nursery, port)
        ended = await check(tmp_path, f"http://file.test:{port}/f", moved)
    seen(ended.outcome)
    assert "127.0.0.1" in ended.detail


@it("swallows what asks for a connection", passing(Reason.ORIGIN_TIMEOUT))
async def test_a_connection_that_is_not_answered(
    tmp_path: Path, nursery: trio.Nursery, seen: Seen
) -> None:
    names(file_test=[["127.0.0.1"]])
    with deaf_port() as port:
        await healthy(nursery, port)
        url = f"http://file.test:{port}/f"
        seen((await check(tmp_path, url, moved, connect_timeout=0.3)).outcome)


@it("has an address that the policy forbids", failed(Reason.URL_FORBIDDEN))
@pytest.mark.parametrize("address", ["127.0.0.3", "169.254.169.254", "::1", "::ffff:127.0.0.4"])
async def test_an_address_that_is_forbidden(
    tmp_path: Path, nursery: trio.Nursery, seen: Seen, address: str
) -> None:
    names(file_test=[[address]])
    with silent_port() as port:
        await healthy(nursery, port)
        seen((await check(tmp_path, f"http://file.test:{port}/f", moved)).outcome)


@it("is behind a proxy that {}", failed(Reason.PROXY_REFUSED), case="wants other credentials")
async def test_a_proxy_that_refuses(tmp_path: Path, nursery: trio.Nursery, seen: Seen) -> None:
    names()
    proxy, url = ScriptedOrigin(), "http://file.test/f"
    proxy.answers[url] = answer(407)
    await nursery.start(proxy.run, "127.0.0.1")

    def mend() -> None:
        proxy.answers[url] = answer(200, CONTENT)

    seen((await check(tmp_path, url, mend, proxy=proxy.url(""))).outcome)


# nobody can be sure that it is the one


class Authorities:
    """One that we trust, and one that we do not."""

    def __init__(self) -> None:
        self.trusted, self.other = trustme.CA(), trustme.CA()
        self.context = ssl.create_default_context()
        self.trusted.configure_trust(self.context)

    def untrusted(self) -> ssl.SSLContext:
        return _server(self.other.issue_cert("file.test"))

    def self_signed(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        own = trustme.CA()
        with own.cert_pem.tempfile() as cert, own.private_key_pem.tempfile() as key:
            context.load_cert_chain(cert, key)
        return context

    def expired(self) -> ssl.SSLContext:
        then = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
        return _server(self.trusted.issue_cert("file.test", not_after=then))

    def not_yet_valid(self) -> ssl.SSLContext:
        then = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1000)
        return _server(self.trusted.issue_cert("file.test", not_before=then))

    def wrong_name(self) -> ssl.SSLContext:
        return _server(self.trusted.issue_cert("other.test"))

    def healthy(self) -> ssl.SSLContext:
        return _server(self.trusted.issue_cert("file.test"))


def _server(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def certificate(kind: str, why: str, case: str) -> Any:  # noqa: ANN401 - as above
    marks = it("has a certificate {}", lasting(Reason.ORIGIN_TLS), case=case)
    return pytest.param(kind, why, id=kind, marks=marks)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        certificate("expired", "certificate has expired", "that has expired"),
        certificate("not_yet_valid", "certificate is not yet valid", "that is not valid yet"),
        certificate("self_signed", "self-signed certificate", "that signs itself"),
        certificate(
            "untrusted", "unable to get local issuer certificate", "of an unknown authority"
        ),
        certificate("wrong_name", "not valid for 'file.test'", "for another name"),
    ],
)
async def test_tls_that_is_not_to_be_trusted(
    tmp_path: Path, nursery: trio.Nursery, seen: Seen, kind: str, why: str
) -> None:
    names(file_test=[["127.0.0.1"]])
    authorities = Authorities()
    origin = ScriptedOrigin()
    await nursery.start(partial(origin.run, "127.0.0.1", getattr(authorities, kind)()))
    await healthy(nursery, origin.port, authorities.healthy())
    url = origin.url("/f", host="file.test", scheme="https")
    ended = await check(tmp_path, url, moved, ssl_context=authorities.context)
    seen(ended.outcome)
    assert why in ended.detail
    assert origin.asked == []


def shake_hands(context: ssl.SSLContext) -> Script:
    """Shake hands as most servers do: if they will not, they say why. Trio's own do not."""

    async def script(stream: trio.abc.Stream) -> None:
        received, to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = context.wrap_bio(received, to_send, server_side=True)
        while block := await stream.receive_some():
            received.write(block)
            with suppress(ssl.SSLError):  # which says that it wants more, too
                server.do_handshake()
            await stream.send_all(to_send.read())

    return script


def forgiving(script: Script) -> Script:
    async def forgives(stream: trio.abc.Stream) -> None:
        with suppress(trio.BrokenResourceError):  # the client left
            await script(stream)

    return forgives


async def silence(stream: trio.abc.Stream) -> None:
    async for _ in stream:
        pass


def no_tls(_: Authorities) -> Script:
    return send(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def no_version_in_common(authorities: Authorities) -> Script:
    authorities.context.maximum_version = ssl.TLSVersion.TLSv1_2
    server = authorities.healthy()
    server.minimum_version = ssl.TLSVersion.TLSv1_3
    return shake_hands(server)


def no_client_certificate(version: ssl.TLSVersion) -> Callable[[Authorities], Script]:
    def script(authorities: Authorities) -> Script:
        server = authorities.healthy()
        server.maximum_version = version
        server.verify_mode = ssl.CERT_REQUIRED
        authorities.trusted.configure_trust(server)
        return shake_hands(server)

    return script


def handshake(
    name: str, what: str, outcome: Outcome, why: str, script: object, *, case: str = ""
) -> Any:  # noqa: ANN401 - as above
    return pytest.param(script, why, id=name, marks=it(what, outcome, case=case))


@pytest.mark.parametrize(
    ("script", "why"),
    [
        handshake(
            "no TLS",
            NO_TLS,
            lasting(Reason.ORIGIN_TLS),
            "WRONG_VERSION_NUMBER",
            no_tls,
            case="does not speak TLS",
        ),
        handshake(
            "no version",
            NO_TLS,
            lasting(Reason.ORIGIN_TLS),
            "PROTOCOL_VERSION",
            no_version_in_common,
            case="speaks no version of TLS that we do",
        ),
        handshake(
            "client certificate, TLS 1.2",
            NO_TLS,
            lasting(Reason.ORIGIN_TLS),
            "HANDSHAKE_FAILURE",
            no_client_certificate(ssl.TLSVersion.TLSv1_2),
            case="wants a certificate of its clients",
        ),
        handshake(
            "client certificate, TLS 1.3",
            NO_TLS,
            lasting(Reason.ORIGIN_TLS),
            "CERTIFICATE_REQUIRED",
            no_client_certificate(ssl.TLSVersion.TLSv1_3),
            case="wants a certificate of its clients",
        ),
        handshake(
            "hang-up",
            "hangs up during the handshake",
            passing(Reason.ORIGIN_TLS),
            "",
            lambda _: send(),
        ),
        handshake(
            "silence",
            "does not answer in time",
            passing(Reason.ORIGIN_TIMEOUT),
            "no TLS handshake in time",
            lambda _: silence,
        ),
    ],
)
async def test_tls_that_is_not_agreed_on(
    tmp_path: Path,
    nursery: trio.Nursery,
    seen: Seen,
    script: Callable[[Authorities], Script],
    why: str,
) -> None:
    names(file_test=[["127.0.0.1"]])
    authorities = Authorities()
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, forgiving(script(authorities)), [listener])
    port = listener.socket.getsockname()[1]
    await healthy(nursery, port, authorities.healthy())
    url = f"https://file.test:{port}/f"
    settings = {"ssl_context": authorities.context, "connect_timeout": 0.5}
    ended = await check(tmp_path, url, moved, **settings)
    seen(ended.outcome)
    assert why in ended.detail


# it answers


@pytest.mark.parametrize("given", ANSWERS)
async def test_an_answer_that_is_no_file(
    tmp_path: Path, nursery: trio.Nursery, seen: Seen, given: Given
) -> None:
    names(file_test=[["127.0.0.1"]])
    origin = ScriptedOrigin()
    origin.answers["/f"] = given.origin
    origin.answers |= {f"/{n}": redirect(f"/{n + 1}") for n in range(MAX_REDIRECTS + 1)}
    await nursery.start(origin.run, "127.0.0.1")
    await healthy(nursery, origin.port)
    url = origin.url("/f", host="file.test")
    ended = await check(tmp_path, url, moved, **given.timeouts)
    seen(ended.outcome)
    assert len(origin.asked) == ended.outcome.asked * given.requests


@it("says no length, and breaks off", Recovers(Recovery.AS_IT_CAME))
async def test_nothing_tells_where_a_file_without_a_length_ends(
    tmp_path: Path, nursery: trio.Nursery, seen: Seen
) -> None:
    origin = ScriptedOrigin()
    origin.answers["/f"] = send(NO_LENGTH, CONTENT[:999])
    await nursery.start(origin.run, "127.0.0.1")
    with trio.fail_after(10):
        async with OriginClient(POLICY) as client:
            world = World(tmp_path, client)
            await nursery.start(world.cdn.run)
            taken = await world.end_of(world.ask(origin.url("/f"), WAITING[0], md5=""))
            asked_for = await world.end_of(world.ask(origin.url("/f"), WAITING[0]))
            assert asked_for.reason is Reason.DIGEST_MISMATCH
            assert (taken.status, world.content(taken.id)) == (CdnStatus.SUCCESS, CONTENT[:999])
            seen(Recovers(Recovery.AS_IT_CAME))


@it(
    BREAKS_OFF,
    passing(Reason.ORIGIN_BROKEN),
    case="without TLS's `close_notify` if it said no length",
)
async def test_under_tls_the_end_of_such_a_file_is_certain(
    tmp_path: Path, nursery: trio.Nursery, seen: Seen
) -> None:
    async def cut(stream: trio.abc.Stream) -> None:
        await stream.send_all(NO_LENGTH + CONTENT[:999])
        await trio.aclose_forcefully(stream)

    names(file_test=[["127.0.0.1"]])
    authorities = Authorities()
    origin = ScriptedOrigin()
    origin.answers["/f"] = cut
    await nursery.start(partial(origin.run, "127.0.0.1", authorities.healthy()))
    await healthy(nursery, origin.port, authorities.healthy())
    url = origin.url("/f", host="file.test", scheme="https")
    ended = await check(tmp_path, url, moved, ssl_context=authorities.context)
    seen(ended.outcome)
    assert "999 bytes, then the end" in ended.detail
