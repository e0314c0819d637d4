"""The README's table of faults is what tests have seen, and no test may claim what it has not."""

import subprocess
import sys
from pathlib import Path

import pytest

from supernode.core.model import CdnStatus
from supernode.core.reasons import Reason
from tests.faults import Fails, Fault, GoesOn, Group, rows

ROOT = Path(__file__).parents[2]
GONE = Fails(CdnStatus.SOURCE_ERROR, Reason.ORIGIN_NOT_FOUND, asked=1)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_readme_is_up_to_date() -> None:
    ended = run("tests.fault_table")
    assert ended.returncode == 0, ended.stderr + ended.stdout


CLAIMS = """
from tests.faults import GoesOn, Group, Seen, fault

claim = fault(Group.DISK, "is round", GoesOn(says="so"))

@claim
def test_true(seen: Seen) -> None:
    seen(GoesOn(says="so"))

@claim
def test_false(seen: Seen) -> None:
    seen(GoesOn(says="otherwise"))

@claim
def test_not_shown(seen: Seen) -> None:
    pass

@claim
def test_forgotten() -> None:
    pass
"""


def test_a_claim_has_to_be_shown(tmp_path: Path) -> None:
    (tmp_path / "test_claims.py").write_text(CLAIMS)
    configuration = ["-c", "pyproject.toml", "--rootdir", str(tmp_path), "-p", "no:cacheprovider"]
    ended = run("pytest", *configuration, "-p", "tests.conftest", str(tmp_path))
    assert "3 failed, 1 passed" in ended.stdout, ended.stdout + ended.stderr


def test_what_differs_only_in_the_case_is_one_row() -> None:
    answers = [Fault(Group.ORIGIN, "answers {}", GONE, case) for case in ("404", "410", "404")]
    slow = Fault(Group.DISK, "is slow", GoesOn(says="wait", does="it waits"))
    assert rows([slow, *answers]) == {
        Group.ORIGIN: [
            [
                "answers 404 or 410",
                "the task fails",
                "`origin_not_found`: the origin has no such file",
                "client",
            ]
        ],
        Group.DISK: [["is slow", "it waits", "log: “wait”", "operator"]],
    }


def test_two_tests_may_not_disagree() -> None:
    other = Fails(CdnStatus.SOURCE_ERROR, Reason.ORIGIN_NOT_FOUND, asked=4)
    faults = [Fault(Group.ORIGIN, "is away", outcome) for outcome in (GONE, other)]
    with pytest.raises(ValueError, match="is away"):
        rows(faults)
