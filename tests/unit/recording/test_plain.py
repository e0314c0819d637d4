"""Values of the core's types come back as they were."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from supernode.core.commands import PieceResult, Report, Seed
from supernode.core.identity import ClientId, PeerId
from supernode.core.model import CdnStatus, LastPull
from supernode.core.reasons import Reason
from supernode.recording import plain

REPORT = Report(field="f", piece_range="0-1", holder=Seed.SEED, result=PieceResult.SUCCESS)


class Pair(NamedTuple):
    number: int
    reason: Reason


@pytest.mark.parametrize("plainly", [plain.builtins, lambda value: value])
@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (PeerId, PeerId("p")),
        (int, (1 << 700) + 1),
        (int, -1 << 64),
        (str | Seed | None, Seed.SEED),
        (str | Seed | None, "0"),
        (str | Seed | None, None),
        (CdnStatus, CdnStatus.SOURCE_ERROR),
        (Reason | None, Reason.ORIGIN_DNS),
        (tuple[Reason, ...], (Reason.ORIGIN_DNS, Reason.DISK_FULL)),
        (set[tuple[PeerId, ClientId]], {("p", "c"), ("p", "d")}),
        (dict[PeerId | None, float], {None: 1.5, "p": 2.0}),
        (list[Pair], [Pair(1 << 80, Reason.DISK_FULL)]),
        (LastPull | None, LastPull(b"\0\xff", (1, 1 << 80))),
        (tuple[Report, ...], (REPORT, REPORT)),
    ],
)
def test_a_value_comes_back(kind: Any, value: object, plainly: Callable[[object], object]) -> None:  # noqa: ANN401 - a type
    raw = plain.decoded(plain.encoded(plainly(value)))
    assert plain.build(kind, raw) == value


def test_what_is_no_value_of_the_core_is_not_recorded() -> None:
    with pytest.raises(TypeError, match="not recorded"):
        plain.encoded(object())
