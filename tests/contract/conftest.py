"""Every server that the contracts hold for."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.contract.declaring import DECLARING, REAL, Declaring, declaring_server
from tests.contract.subjects import FORGETFUL, SUBJECTS, Subject, opened


@pytest.fixture(scope="module", params=SUBJECTS)
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    with ExitStack() as stack:
        yield opened(request.param, stack)


@pytest.fixture(scope="module", params=FORGETFUL)
def forgetful(request: pytest.FixtureRequest) -> Iterator[Subject]:
    """A server that deletes what was answered (storage option delete=1)."""
    with ExitStack() as stack:
        yield opened(request.param, stack, delete=True)


@pytest.fixture(scope="module", params=DECLARING)
def declaring(request: pytest.FixtureRequest) -> Iterator[Declaring]:
    """A server that takes declarations."""
    with ExitStack() as stack:
        yield declaring_server(request.param, stack)


@pytest.fixture(scope="module", params=REAL)
def real_declaring(request: pytest.FixtureRequest) -> Iterator[Declaring]:
    """The real ones only."""
    with ExitStack() as stack:
        yield declaring_server(request.param, stack)
