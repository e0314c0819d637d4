"""Fixtures of more than one module."""

import pytest

from supernode.core.model import Limits
from tests.inprocess import InProcess
from tests.integration.rest_caller import Caller


@pytest.fixture
async def call() -> Caller:
    """Somebody who talks to a supernode whose seed has slots for everybody."""
    return Caller(InProcess(Limits(seed_slots=99)))
