"""A supernode whose behaviour a test decides: one task, several holders, no scheduler."""

import hashlib
import json
from base64 import b64decode
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import trio

from supernode.core.pieces import (
    TRAILER,
    content_size,
    digest_of,
    frame_header,
    framed_length,
    parse_piece_range,
    piece_count,
    piece_range,
    unpack_pieces,
)
from tests.integration.http_stub import StubAnswer, StubRequest

TASK = "ab" * 32
HELD_SECONDS = 0.05
SEED = f"cdnnode:127.0.0.1~{TASK}"


@dataclass
class Client:
    """What one client has, has to fetch, was ever told to, and whom it is not sent to."""

    have: set[int] = field(default_factory=set)
    open: set[int] = field(default_factory=set)
    told: set[int] = field(default_factory=set)
    avoided: set[str] = field(default_factory=set)


@dataclass
class ScriptedTracker:
    """Answers REST requests and plays every holder, by path ``/hold/<holder>``.

    Args:
        known: how many pieces the seed has yet; more come as ``arrive`` is called.
        corrupt: holders that serve wrong bytes.
        slots: pieces one client may have open at a time.
        refusal: status and reason with which every pull is refused.
        forget_once: after so many pulls, client and task are unknown once.
        forgotten: status and reason with which that is said.
        heeds_claims: whether a client is not given what it says it has.
    """

    content: bytes
    piece_size: int = 4096
    holders: tuple[str, ...] = (SEED,)
    corrupt: frozenset[str] = frozenset()
    known: int | None = None
    slots: int = 100
    refusal: tuple[int, str] | None = None
    forget_once: int | None = None
    forgotten: tuple[int, str] = (404, "")
    heeds_claims: bool = True
    sha256: str | None = None
    port: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    bodies: list[dict[str, object]] = field(default_factory=list)
    reports: list[tuple[int, str, str]] = field(default_factory=list)
    claims: list[set[int]] = field(default_factory=list)
    served: Counter[str] = field(default_factory=Counter)
    ended: list[str] = field(default_factory=list)
    peers: set[str] = field(default_factory=set)
    clients: dict[str, Client] = field(default_factory=dict)

    @property
    def have(self) -> set[int]:
        """What the client that registered last has."""
        return list(self.clients.values())[-1].have if self.clients else set()

    @property
    def total(self) -> int:
        return piece_count(len(self.content), self.piece_size)

    @property
    def whole(self) -> bool:
        return self.known is None or self.known >= self.total

    def framed(self, number: int) -> bytes:
        size = content_size(self.piece_size)
        piece = self.content[number * size : (number + 1) * size]
        return frame_header(len(piece), self.piece_size) + piece + TRAILER

    async def answer(self, request: StubRequest) -> StubAnswer | None:
        parts = urlsplit(request.target)
        steps = parts.path.strip("/").split("/")
        if steps[0] == "hold":
            if not {"piecenum", "piecesize"} <= request.headers.keys():
                return 400, b"invalid params"  # as uploaders of dfget 1.0
            return self._hold(steps[1], request.headers["range"].removeprefix("bytes="))
        self.calls[f"{request.method} {steps[0]}/{steps[2] if len(steps) > 2 else ''}"] += 1
        body = json.loads(request.body) if request.body else {}
        self.bodies.append(body)
        match request.method, steps:
            case "POST", ["peers"]:
                peer = f"{body['hostName']}-{body['IP']}-{body['port']}"
                self.peers.add(peer)
                return _json(201, {"ID": peer})
            case "DELETE", ["peers", peer]:
                self.peers.discard(peer)
                return 204, b""
            case "POST", ["tasks"]:
                claim = unpack_pieces(b64decode(body.get("pieces", "")))
                self.claims.append({n for n in range(self.total) if claim >> n & 1})
                has = set(self.claims[-1]) if self.heeds_claims else set()
                self.clients[str(body["cID"])] = Client(have=has)
                return _json(201, {"ID": TASK, **self._sizes()})
            case "GET", ["tasks", _]:
                return _json(200, self._info())
            case "GET", ["tasks", _, "pieces"]:
                query = parse_qs(parts.query)
                client = self.clients[query["clientID"][0]]
                count = int(query.get("num", ["0"])[0])
                return await self._pull(client, body, count, held="prefer" in request.headers)
            case "PUT", ["tasks", _, "pieces", which]:
                client = self.clients[str(body["clientID"])]
                self._report(client, which, body["dstPID"], body["pieceStatus"])
                return 200, b""
        return _json(404, {"code": 404, "message": "no such thing"})

    def _sizes(self) -> dict[str, int]:
        length = framed_length(len(self.content), self.piece_size)
        return {"fileLength": length, "pieceSize": self.piece_size}

    def _info(self) -> dict[str, object]:
        if not self.whole:
            return {"ID": TASK, "cdnStatus": "RUNNING", **self._sizes()}
        sha256 = self.sha256 or hashlib.sha256(self.content).hexdigest()
        done = {"cdnStatus": "SUCCESS", "pieceTotal": self.total, "sha256": sha256}
        return {"ID": TASK, **done, **self._sizes()}

    async def _pull(
        self, client: Client, body: dict[str, object], count: int, *, held: bool
    ) -> StubAnswer:
        if self.refusal is not None:
            status, reason = self.refusal
            return _json(status, {"code": status, "message": "refused", "reason": reason})
        if self.forget_once is not None and self.calls["GET tasks/pieces"] > self.forget_once:
            self.forget_once = None
            status, reason = self.forgotten
            return _json(status, {"code": status, "message": "gone", "reason": reason})
        reports = body.get("reports", [])
        assert isinstance(reports, list)
        for report in reports:
            self._report(client, report["pieceRange"], report["dstPID"], report["pieceResult"])
        if body["dfgetTaskStatus"] == "FINISHED":
            self.ended.append(str(body["pieceResult"]))
            return _json(200, [])
        pieces = self._assign(client, count)
        if not pieces and held:
            await trio.sleep(HELD_SECONDS)
            pieces = self._assign(client, count)
        return _json(200, pieces)

    def _assign(self, client: Client, count: int) -> list[dict[str, object]]:
        holders = [holder for holder in self.holders if holder not in client.avoided]
        known = self.total if self.known is None else min(self.known, self.total)
        wanted = [n for n in range(known) if n not in client.have | client.open]
        pieces = []
        for number in wanted[: min(count, self.slots - len(client.open))]:
            holder = holders[number % len(holders)]
            client.open.add(number)
            client.told.add(number)
            pieces.append(
                {
                    "pID": holder,
                    "path": f"/hold/{holder}",
                    "peerIP": "127.0.0.1",
                    "peerPort": self.port,
                    "pieceMD5": digest_of(self.framed(number)),
                    "pieceRange": piece_range(number, self.piece_size),
                    "pieceSize": self.piece_size,
                }
            )
        return pieces

    def _report(self, client: Client, which: str, holder: str, result: str) -> None:
        number = parse_piece_range(which, self.piece_size)
        self.reports.append((number, holder, result))
        assert number in client.told, "the client cannot know of it"
        client.open.discard(number)
        if result == "SUCCESS":
            client.have.add(number)
        else:
            client.avoided.add(holder)

    def _hold(self, holder: str, wanted: str) -> StubAnswer:
        number = parse_piece_range(wanted, self.piece_size)
        self.served[holder] += 1
        framed = bytearray(self.framed(number))
        if holder in self.corrupt:
            framed[len(framed) // 2] ^= 1
        return 206, bytes(framed)


def _json(status: int, value: object) -> StubAnswer:
    return status, json.dumps(value).encode()
