"""``POST /peer/registry``: a client asks for a file, and introduces itself as a peer."""

import base64
import binascii
import re
from typing import Annotated
from urllib.parse import parse_qs, quote

import msgspec
from msgspec import Meta, field

from supernode.api import validation
from supernode.api.call_systems import CallSystems
from supernode.api.decoding import from_fields, from_json
from supernode.api.dfget_1_0.addresses import Addresses
from supernode.api.dfget_1_0.answers import say
from supernode.api.dfget_1_0.codes import Code, code_of
from supernode.api.models import MOST_ENTRIES, MOST_ROOT_CAS, Model, Path, Text, Version, Word
from supernode.api.patience import within
from supernode.api.specs import task_spec
from supernode.core.commands import CutTask, RegisterPeer, RegisterTask
from supernode.core.errors import BadField, DomainError, Full, TaskEnded
from supernode.core.identity import SEED_PREFIX, ClientId, PeerId, TaskId, task_url
from supernode.core.model import Task, TaskSpec
from supernode.core.reasons import Reason
from supernode.dispatch import Dispatcher
from supernode.exchange import MOST_QUERY_FIELDS, Answer, Request, Wait

LONGEST_WAIT = 3.0
"""How long a client waits for the origin to say how long the file is; it gives up after 5 s."""

_FORM = "application/x-www-form-urlencoded"
_NO_UPLOADER = ("cdn", "source")
_LEAST_PORT = 15000
_UNKNOWN_LENGTH = -1
_NOT_VISIBLE = re.compile(r"[^!-~]+")

_Base64Pem = Annotated[str, Meta(max_length=88 << 10)]


class RegistrationRequest(Model):
    """A client, its peer and the file that it wants."""

    raw_url: Text = field(default="", name="rawURL")
    task_url: Text = field(default="", name="taskURL")
    client_id: Word = field(default="", name="cID")
    ip: Text = field(default="", name="IP")
    host_name: Text = field(default="", name="hostName")
    port: Annotated[int, Meta(ge=0, le=65000)] = 0
    path: Path = ""
    version: Version = ""
    md5: Text = ""
    identifier: Word = ""
    call_system: Word = field(default="", name="callSystem")
    headers: Annotated[list[Text], Meta(max_length=MOST_ENTRIES)] = field(default_factory=list)
    dfdaemon: bool = False
    insecure: bool = False
    root_cas: Annotated[list[_Base64Pem], Meta(max_length=MOST_ROOT_CAS)] = field(
        default_factory=list, name="rootCAs"
    )
    supernode_ip: Word = field(default="", name="superNodeIP")
    pattern: Word = ""


class Registered(msgspec.Struct, rename="camel"):
    """What a client is told of the file."""

    task_id: str
    file_length: int
    """Content bytes; -1: not known."""
    piece_size: int
    """Framed bytes."""
    cdn_source: str = "supernode"
    as_seed: bool = False
    seed_task_id: str = field(default="", name="seedTaskID")


class Registration:
    """The operation.

    Args:
        dispatch: the door to the tracker.
        call_systems: who may ask for files.
        addresses: is told by which address a client reaches us.
        abort_without_credentials: whether clients give up if the origin wants others than theirs.
    """

    def __init__(
        self,
        dispatch: Dispatcher,
        call_systems: CallSystems,
        addresses: Addresses,
        *,
        abort_without_credentials: bool,
    ) -> None:
        self._dispatch = dispatch
        self._call_systems = call_systems
        self._addresses = addresses
        self._without_credentials = (
            Code.NEED_AUTH if abort_without_credentials else Code.SYSTEM_ERROR
        )

    def register(self, request: Request) -> Answer | Wait:
        """``POST /peer/registry``; waits for the origin's head, but not for long."""
        asked = _decoded(request)
        spec = _spec(asked)
        client = _client(asked)
        address = validation.plain("superNodeIP", asked.supernode_ip)
        introduction = _introduction(asked)
        self._call_systems.check(spec.call_system)
        peer = self._peer(introduction) if introduction else None
        task = self._dispatch(RegisterTask(spec=spec, client=client, peer=peer, path=asked.path))
        self._addresses.note(task, client, address, request)

        def ready() -> Answer | None:
            known = self._dispatch.tracker.task(task)
            if known.reason is not None:
                raise TaskEnded(known.reason, known.detail)
            # One that is cut, without a length, may be so only because somebody had to be told.
            if known.doubted or (known.length is None and not known.digests):
                return None
            return _registered(known)

        def as_it_is() -> Answer:
            self._dispatch(CutTask(task=task))
            return _registered(self._dispatch.tracker.task(task))

        return within(LONGEST_WAIT, self._dispatch.clock, (task, client), ready, as_it_is)

    def code_of(self, error: DomainError) -> Code:
        """Return the code for a registration that is refused."""
        if isinstance(error, TaskEnded) and error.reason is Reason.ORIGIN_AUTH:
            return self._without_credentials
        code = code_of(error)
        return Code.URL_NOT_REACHABLE if code is Code.SUPER_FAIL else code

    def _peer(self, introduction: RegisterPeer) -> PeerId | None:
        """Return who serves what the client has got; None: nobody, for want of room."""
        try:
            return self._dispatch(introduction)
        except Full:
            return None


def _decoded(request: Request) -> RegistrationRequest:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _FORM:
        return from_json(request.body, RegistrationRequest)
    try:
        text = request.body.decode()
        fields = parse_qs(text, max_num_fields=MOST_QUERY_FIELDS + MOST_ENTRIES)
    except ValueError:
        raise BadField("body", "is not a form") from None
    return from_fields(fields, RegistrationRequest, separator=None)


def _spec(asked: RegistrationRequest) -> TaskSpec:
    """Return what is wanted. Raises BadField."""
    return task_spec(
        raw_url=_NOT_VISIBLE.sub(lambda match: quote(match[0], safe=""), _line(asked.raw_url)),
        task_url=_task_url(asked),
        md5=asked.md5,
        identifier=asked.identifier,
        headers=_headers(asked.headers),
        call_system=asked.call_system,
        dfdaemon=asked.dfdaemon,
        path=asked.path,
        insecure=asked.insecure,
        root_cas=[_pem(number, text) for number, text in enumerate(asked.root_cas)],
    )


def _line(raw_url: str) -> str:
    """Return a URL that may have characters which are to be encoded, but no others."""
    return validation.plain("rawURL", validation.required("rawURL", raw_url))


def _task_url(asked: RegistrationRequest) -> str:
    """Return the URL that names the task, from which the client has filtered parameters.

    Raises:
        BadField: another one, under which others would get what this client is after.
    """
    raw, filtered = asked.raw_url, asked.task_url
    if not filtered.strip():
        return raw
    dropped = _parameters(raw) - _parameters(filtered)
    if task_url(raw, dropped) != filtered:
        raise BadField("taskURL", "is not rawURL without some of its query's parameters")
    return filtered


def _parameters(url: str) -> set[str]:
    return {part.partition("=")[0] for part in url.partition("?")[2].split("&")}


def _headers(lines: list[str]) -> dict[str, str]:
    """Return ``Name: value`` lines as a map; those that are repeated are one, joined by commas."""
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = (part.strip() for part in line.partition(":"))
        if value:
            headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers


def _pem(number: int, text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        raise BadField(f"rootCAs[{number}]", "is not PEM in base64") from None


def _client(asked: RegistrationRequest) -> ClientId:
    client = validation.name("cID", asked.client_id)
    if client.startswith(SEED_PREFIX):
        raise BadField("cID", "is the name of a supernode")
    return ClientId(client)


def _introduction(asked: RegistrationRequest) -> RegisterPeer | None:
    """Return how the client's machine introduces itself; None: it serves nothing to others.

    Runs on one machine share an uploader, and so are one peer. Its host name may be any text.

    Raises:
        BadField: IP, port or path cannot be.
    """
    ip = validation.ip_address("IP", asked.ip)
    path = validation.plain("path", validation.required("path", asked.path))
    if not path.startswith("/"):
        raise BadField("path", "must start with /")
    if 0 < asked.port < _LEAST_PORT:
        raise BadField("port", f"must be 0 or from {_LEAST_PORT} on")
    if not asked.port or asked.pattern in _NO_UPLOADER:
        return None
    return RegisterPeer(
        ip=ip,
        port=asked.port,
        host_name=validation.as_host_name(asked.host_name),
        version=validation.plain("version", asked.version),
    )


def _registered(task: Task) -> Answer:
    assert task.piece_size is not None
    length = _UNKNOWN_LENGTH if task.length is None else task.length
    data = Registered(task_id=TaskId(task.id), file_length=length, piece_size=task.piece_size)
    return say(Code.SUCCESS, data, "success")
