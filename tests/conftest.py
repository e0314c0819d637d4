"""Fixtures of all tests."""

from collections.abc import Generator

import pytest

from tests.faults import Seen, fault_of

_SEEN = pytest.StashKey[Seen]()


@pytest.fixture
def seen(request: pytest.FixtureRequest) -> Seen:
    """What a test with a fault hands over to what it saw come of it."""
    expected = fault_of(request.node)
    assert expected is not None, "for tests with a fault"
    request.node.stash[_SEEN] = handed = Seen(expected)
    return handed


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Fail a test that claims what comes of a fault and has not shown it."""
    yield
    handed = item.stash.get(_SEEN, None)
    if fault_of(item) is not None and (handed is None or not handed.anything):
        pytest.fail("a fault, and nothing was handed to `seen`")
