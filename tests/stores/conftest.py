"""Every store that the ledger can live in."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from osupdate_kit.stores.ledger import Ledger
from tests.real import Cluster, postgres

KINDS = ("sqlite file", "sqlite memory", pytest.param("postgresql", marks=pytest.mark.real_server))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with postgres() as running:
        yield running


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty store."""
    if request.param == "postgresql":
        found: Cluster = request.getfixturevalue("cluster")
        return found.url()
    return "sqlite://" if request.param == "sqlite memory" else f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    opened = Ledger.open(url, migrate=True)
    yield opened
    opened.close()


@pytest.fixture(params=[kind for kind in KINDS if kind != "sqlite memory"])
def shared_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty store that several processes can open."""
    if request.param == "postgresql":
        found: Cluster = request.getfixturevalue("cluster")
        return found.url()
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture
def memory() -> Callable[[], Ledger]:
    return lambda: Ledger.open("sqlite://", migrate=True)
