"""Debian's docker-registry on loopback, with users or tokens, plain or under TLS; and who fills it.

What is pushed goes straight to its HTTP API, so that odd things can be pushed, too; ``skopeo``
pushes as people do.
"""

import base64
import http.server
import json
import os
import re
import secrets
import shutil
import ssl
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from tests.e2e.neighbours import listening_socket, listens, until
from tests.images import Content

USER, PASSWORD = "puller", "s3cret pass/word:1"
SERVICE, ISSUER = "registry.test", "tests"

_ACCESS = re.compile(r'"([A-Z]+) (\S+) HTTP/[0-9.]+" (\d+) (\d+) "[^"]*" "([^"]*)"')


class Asked(NamedTuple):
    """One request that the registry has answered.

    Args:
        size: how many bytes of content were sent.
        agent: who asked.
    """

    method: str
    path: str
    status: int
    size: int
    agent: str


@dataclass
class TokenServer:
    """Tells what a user may do, for so long; signed, so that the registry believes it.

    Args:
        seconds: how long a token is good for.
        called: what the answer calls the token.
        asked: the query of each request, and its Authorization.
    """

    authority: trustme.CA
    seconds: int = 300
    called: str = "token"
    asked: list[tuple[dict[str, list[str]], str]] = field(default_factory=list)
    url: str = ""

    def __post_init__(self) -> None:
        leaf = self.authority.issue_cert("token.test", key_type=trustme.KeyType.ECDSA)
        self._key = load_pem_private_key(leaf.private_key_pem.bytes(), None)
        certificate = x509.load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes())
        self._chain = [base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()]

    def token(self, scopes: Iterable[str], user: str = USER) -> str:
        """Return a token for scopes such as ``repository:library/app:pull,push``."""
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        now = int(datetime.now(UTC).timestamp())
        claims = {
            "iss": ISSUER,
            "sub": user,
            "aud": SERVICE,
            "iat": now,
            "nbf": now - 10,
            "exp": now + self.seconds,
            "jti": secrets.token_hex(8),
            "access": access,
        }
        header = {"typ": "JWT", "alg": "ES256", "x5c": self._chain}
        signed = f"{_base64(json.dumps(header).encode())}.{_base64(json.dumps(claims).encode())}"
        assert isinstance(self._key, ec.EllipticCurvePrivateKey)
        der = self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256()))
        both = b"".join(number.to_bytes(32, "big") for number in decode_dss_signature(der))
        return f"{signed}.{_base64(both)}"

    def answer(self, query: dict[str, list[str]], authorization: str) -> tuple[int, object]:
        """Return status and body of an answer to who wants a token."""
        self.asked.append((query, authorization))
        if authorization != _basic(USER, PASSWORD):
            return 401, {"errors": [{"code": "UNAUTHORIZED"}]}
        if query.get("service") != [SERVICE]:
            return 400, {"errors": [{"code": "UNSUPPORTED"}]}
        token = self.token(query.get("scope", []))
        return 200, {self.called: token, "expires_in": self.seconds}


class Registry:
    """A running docker-registry.

    Args:
        url: such as ``https://127.0.0.1:5000``.
        directory: where it keeps everything.
        authority: whose certificate it has; None: it speaks plain HTTP.
        tokens: who tells what a user may do; None: passwords do, or nothing.
    """

    def __init__(
        self,
        url: str,
        directory: Path,
        authority: trustme.CA | None,
        tokens: TokenServer | None,
        *,
        has_users: bool,
    ) -> None:
        self.url = url
        self.directory = directory
        self.tokens = tokens
        self._authority = authority
        self._has_users = has_users

    @property
    def place(self) -> str:
        """Host and port."""
        return self.url.partition("://")[2]

    @property
    def authorization(self) -> str:
        """What its user shows, in a header."""
        return _basic(USER, PASSWORD)

    @property
    def ca(self) -> Path:
        """The file of the authority."""
        return self.directory / "ca.crt"

    def manifest_url(self, name: str, what: str) -> str:
        """Return where a manifest is."""
        return f"{self.url}/v2/{name}/manifests/{what}"

    def blob_url(self, name: str, content: Content) -> str:
        """Return where a blob is."""
        return f"{self.url}/v2/{name}/blobs/{content.digest}"

    def blob(self, name: str, *contents: Content) -> None:
        """Push blobs, each in one go."""
        for content in contents:
            where = self._call("POST", f"/v2/{name}/blobs/uploads/", name)["Location"]
            joint = "&" if "?" in where else "?"
            where += joint + urllib.parse.urlencode({"digest": content.digest})
            binary = {"Content-Type": "application/octet-stream"}
            self._call("PUT", where, name, content.data, binary)

    def manifest(self, name: str, tag: str, content: Content, media_type: str = "") -> str:
        """Push a manifest, or an index; return its digest."""
        kind = {"Content-Type": media_type or content.media_type}
        path = f"/v2/{name}/manifests/{tag}"
        return self._call("PUT", path, name, content.data, kind)["Docker-Content-Digest"]

    def delete(self, name: str, digest: str) -> None:
        """Take a manifest away again."""
        self._call("DELETE", f"/v2/{name}/manifests/{digest}", name)

    def skopeo(self, *arguments: str) -> None:
        """Copy with skopeo: the last argument is where to, ``name:tag``."""
        *options, target = arguments
        certificates = self.directory / "skopeo"
        certificates.mkdir(exist_ok=True)
        if self._authority is not None:
            shutil.copy(self.ca, certificates)
        trust = ["--dest-cert-dir", str(certificates)]
        if self._authority is None:
            trust = ["--dest-tls-verify=false"]
        user = ["--dest-creds", f"{USER}:{PASSWORD}"] if self._has_users else []
        subprocess.run(
            [
                *("skopeo", "--insecure-policy", "copy", "--quiet", *trust, *user, *options),
                f"docker://{self.place}/{target}",
            ],
            check=True,
            timeout=60,
        )

    def asked(self) -> list[Asked]:
        """Return the requests that it has answered, in the order they ended."""
        text = (self.directory / "log").read_text(errors="replace")
        return [
            Asked(method, path, int(status), int(size), agent)
            for method, path, status, size, agent in _ACCESS.findall(text)
        ]

    def _call(
        self,
        method: str,
        path: str,
        name: str,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Mapping[str, str]:
        request = urllib.request.Request(
            path if "://" in path else self.url + path,
            data if method != "POST" else b"",
            {"User-Agent": "tests", **(headers or {}), **self._authorization(name)},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=20, context=self._context()) as answer:
                return dict(answer.headers.items())
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error} {error.read()[:2000]!r}") from error

    def _authorization(self, name: str) -> dict[str, str]:
        if self.tokens is not None:
            token = self.tokens.token([f"repository:{name}:pull,push"])
            return {"Authorization": f"Bearer {token}"}
        return {"Authorization": _basic(USER, PASSWORD)} if self._has_users else {}

    def _context(self) -> ssl.SSLContext | None:
        if self._authority is None:
            return None
        context = ssl.create_default_context(cafile=str(self.ca))
        client = self.directory / "client.pem"
        if client.exists():
            context.load_cert_chain(client)
        return context


@contextmanager
def docker_registry(
    directory: Path,
    *,
    authority: trustme.CA | None = None,
    users: bool = False,
    tokens: TokenServer | None = None,
    client_certificates: bool = False,
    storage_url: str = "",
) -> Iterator[Registry]:
    """Run a docker-registry until the context ends.

    Args:
        directory: where it keeps everything, its authority's certificate as ``ca.crt``.
        authority: issues its certificate; None: it speaks plain HTTP.
        users: whether it wants ``USER`` and ``PASSWORD``.
        tokens: who issues the tokens it wants, if any.
        client_certificates: whether it wants a certificate of ``authority``: ``client.pem``.
        storage_url: where it redirects to for blobs; "": it sends them itself.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with listening_socket() as free:
        port = free.getsockname()[1]
    settings = _settings(directory, port, storage_url)
    if authority is not None:
        settings["http"]["tls"] = _certify(directory, authority, clients=client_certificates)
    if users:
        entry = subprocess.run(
            ["htpasswd", "-Bbn", USER, PASSWORD], check=True, capture_output=True, timeout=10
        )
        (directory / "htpasswd").write_bytes(entry.stdout)
        settings["auth"] = {"htpasswd": {"realm": "a, b", "path": str(directory / "htpasswd")}}
    if tokens is not None:
        tokens.authority.cert_pem.write_to_path(str(directory / "tokens.crt"))
        settings["auth"] = {
            "token": {
                "realm": tokens.url,
                "service": SERVICE,
                "issuer": ISSUER,
                "rootcertbundle": str(directory / "tokens.crt"),
            }
        }
    file = directory / "config.yml"
    file.write_text(json.dumps(settings))  # which is YAML, too
    program = shutil.which("docker-registry")
    assert program, "docker-registry is missing: ./packaging/test installs it"
    with (directory / "log").open("ab") as log:
        process = subprocess.Popen(
            [program, "serve", str(file)],
            stdout=log,
            stderr=log,
            env={n: v for n, v in os.environ.items() if not n.startswith("REGISTRY_")},
        )
    scheme = "http" if authority is None else "https"
    has_users = users or tokens is not None
    url = f"{scheme}://127.0.0.1:{port}"
    try:
        until(partial(listens, port))
        yield Registry(url, directory, authority, tokens, has_users=has_users)
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def token_server(
    authority: trustme.CA, *, seconds: int = 300, called: str = "token"
) -> Iterator[TokenServer]:
    """Run a token server, under TLS with a certificate of ``authority``, until the context ends."""
    tokens = TokenServer(authority, seconds, called)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
            status, body = tokens.answer(query, self.headers.get("Authorization", ""))
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    with serving(Handler, authority) as port:
        tokens.url = f"https://127.0.0.1:{port}/token"
        yield tokens


@contextmanager
def serving(
    handler: type[http.server.BaseHTTPRequestHandler], authority: trustme.CA | None = None
) -> Iterator[int]:
    """Serve HTTP in threads, under TLS if an authority is given; yield the port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if authority is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _settings(directory: Path, port: int, storage_url: str) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": False}},
        "storage": {
            "filesystem": {"rootdirectory": str(directory / "data")},
            "delete": {"enabled": True},
            "redirect": {"disable": not storage_url},
        },
        "http": {"addr": f"127.0.0.1:{port}"},
        "compatibility": {"schema1": {"enabled": True}},
        "validation": {"manifests": {"urls": {"allow": [".*"]}}},
    }
    if storage_url:
        redirect = {"name": "redirect", "options": {"baseurl": storage_url}}
        settings["middleware"] = {"storage": [redirect]}
    return settings


def _certify(directory: Path, authority: trustme.CA, *, clients: bool) -> dict[str, object]:
    """Put certificates there; return what the registry has to know of them."""
    authority.cert_pem.write_to_path(str(directory / "ca.crt"))
    leaf = authority.issue_cert("127.0.0.1", "localhost")
    leaf.private_key_pem.write_to_path(str(directory / "key.pem"))
    leaf.cert_chain_pems[0].write_to_path(str(directory / "cert.pem"))
    tls: dict[str, object] = {
        "certificate": str(directory / "cert.pem"),
        "key": str(directory / "key.pem"),
    }
    if clients:
        client = authority.issue_cert("client.test")
        client.private_key_and_cert_chain_pem.write_to_path(str(directory / "client.pem"))
        tls["clientcas"] = [str(directory / "ca.crt")]
    return tls


def _basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
