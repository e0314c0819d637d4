"""The README's table of faults, made from the tests.

``python -m tests.fault_table`` tells whether it is up to date, ``--write`` brings it there.
"""

import contextlib
import io
import sys
from pathlib import Path

import click
import pytest

from tests.faults import Fault, Group, fault_of, rows

TESTS = Path(__file__).parent
README = TESTS.parent / "README.md"
BEGIN = "<!-- Faults: made from the tests by `python -m tests.fault_table --write` -->\n"
END = "<!-- End of faults -->\n"
COLUMNS = ["what comes of it", "reason", "who can act"]


class Collector:
    """A plugin that takes down the faults of the tests that pytest finds."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Take them down."""
        self.faults = [found for item in session.items if (found := fault_of(item)) is not None]


def collected() -> list[Fault]:
    """Return the faults of all tests, in their order. Not to be called while tests run."""
    modules = sorted(
        str(path) for path in TESTS.rglob("test_*.py") if "tests.faults" in path.read_text()
    )
    collector = Collector()
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        arguments = ["--collect-only", "-p", "no:cacheprovider", *modules]
        status = pytest.main(arguments, plugins=[collector])
    if status != pytest.ExitCode.OK:
        raise click.ClickException(said.getvalue())
    return collector.faults


def rendered(tables: dict[Group, list[list[str]]]) -> str:
    """Return the tables in Markdown."""
    parts = []
    for group, cells in tables.items():
        lines = [[group.value, *COLUMNS], ["---"] * (1 + len(COLUMNS)), *cells]
        parts.append("".join(f"| {' | '.join(line)} |\n" for line in lines))
    return "\n".join(parts)


@click.command
@click.option("--write", is_flag=True, help="Bring the README up to date.")
def main(*, write: bool) -> None:
    """Tell whether the README's table of faults is what the tests say."""
    text = README.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise click.ClickException(f"README.md has no place for it, between {BEGIN}and {END}")
    right = f"{before}{BEGIN}\n{rendered(rows(collected()))}\n{END}{after}"
    if write:
        README.write_text(right)
    elif text != right:
        sys.exit("README.md: the table of faults is not what the tests say; --write it")


if __name__ == "__main__":
    main()
