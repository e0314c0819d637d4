import errno
import io
import json
import os

import pytest

from supernode.dfget.bar import BarProgress
from supernode.dfget.errors import Exit
from supernode.dfget.progress import JsonProgress, PlainProgress, Progress, Source, human, shares


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


MIB = 1 << 20


def test_plain_lines_come_once_a_second_and_say_where_from() -> None:
    out, clock = io.StringIO(), Clock()
    progress = PlainProgress(out, clock)
    progress.size(4 * MIB, 4)
    progress.piece(0, MIB, Source.SEED, "cdnnode:x")
    assert out.getvalue() == ""
    clock.now += 2
    progress.piece(1, MIB, Source.PEER, "peer-a")
    clock.now += 0.5
    progress.piece(2, MIB, Source.PEER, "peer-a")
    progress.piece(3, MIB, Source.PEER, "peer-b")
    progress.end(Exit.OK, "", digest_ok=True)
    assert out.getvalue().splitlines() == [
        " 50 %  2.0 MiB of 4.0 MiB  1.0 MiB/s  (seed 50 %, peers 50 %)",
        "done: 4.0 MiB in 2.5 s, 1.6 MiB/s (seed 25 %, peers 75 %), digest verified",
    ]


def test_plain_lines_without_a_length() -> None:
    out, clock = io.StringIO(), Clock()
    progress = PlainProgress(out, clock)
    clock.now += 1
    progress.origin_bytes(512)
    progress.note("a note")
    progress.end(Exit.FAILED, "no luck", digest_ok=None)
    progress.end(Exit.OK, "", digest_ok=None)
    assert out.getvalue().splitlines() == [
        "512 B  512 B/s  (origin 100 %)",
        "a note",
        "failed: no luck",
        "done: 512 B in 1.0 s, 512 B/s (origin 100 %), not verified: no digest to compare with",
    ]


def test_json_lines() -> None:
    out, clock = io.StringIO(), Clock()
    progress = JsonProgress(out, clock)
    progress.piece(7, 100, Source.PEER, "p")
    progress.size(300, 3)
    progress.piece(8, 100, Source.SEED, "cdnnode:x")
    progress.note("falling back")
    progress.restart()
    progress.origin_bytes(5 * MIB)
    progress.origin_bytes(1)
    progress.requests = 9
    clock.now += 1.5
    progress.end(Exit.OK, "", digest_ok=None)
    assert [json.loads(line) for line in out.getvalue().splitlines()] == [
        {
            "event": "piece",
            "number": 7,
            "bytes": 100,
            "from": "peer",
            "holder": "p",
            "pieces": None,
        },
        {
            "event": "piece",
            "number": 8,
            "bytes": 100,
            "from": "seed",
            "holder": "cdnnode:x",
            "pieces": 3,
        },
        {"event": "note", "text": "falling back"},
        {"event": "bytes", "bytes": 5 * MIB, "from": "origin"},
        {"event": "bytes", "bytes": 1, "from": "origin"},
        {
            "event": "end",
            "ok": True,
            "exit": 0,
            "error": "",
            "seconds": 1.5,
            "bytes": {"seed": 0, "peers": 0, "origin": 5 * MIB + 1},
            "requests": 9,
            "digest_ok": None,
        },
    ]


def test_numbers_for_people() -> None:
    assert [human(n) for n in (0, 1023, 1024, 1536 * 1024, 5 << 40)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "1.5 MiB",
        "5120.0 GiB",
    ]
    assert shares(dict.fromkeys(Source, 0)) == "nothing yet"


class Unplugged(io.StringIO):
    """A terminal that has hung up."""

    tried = 0

    def write(self, text: str) -> int:
        self.tried += 1
        raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize("kind", ["plain", "json", "bar"])
def test_who_hangs_up_is_left_alone(kind: str) -> None:
    for out in (Unplugged(), None):
        match kind:
            case "plain":
                progress: Progress = PlainProgress(out)
            case "json":
                progress = JsonProgress(out)
            case _:
                progress = BarProgress(out, "f")
        progress.size(100, 1)
        progress.piece(0, 100, Source.SEED, "cdnnode:x")
        progress.note("a note")
        progress.end(Exit.OK, "", digest_ok=True)
        assert out is None or out.tried == 1


def test_a_bar_may_be_had_without_a_terminal() -> None:
    out = io.StringIO()
    progress = BarProgress(out, "f.bin")
    progress.size(100 * MIB, 1)
    assert "f.bin" in out.getvalue()  # at once, not at the end
    progress.piece(0, 100 * MIB, Source.SEED, "cdnnode:x")
    progress.end(Exit.OK, "", digest_ok=True)
    assert "MB" not in out.getvalue()
    assert "digest verified" in out.getvalue()
