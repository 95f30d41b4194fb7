"""A lab rollout on each kind of store, and empty tables on each for made-up rows."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import time
from pathlib import Path
from typing import Any

import ibis
import pytest
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.pool import StaticPool

from osupdate_kit.analysis.scope import Scope
from osupdate_kit.kit.status import status
from osupdate_kit.lab.fleet import make_fleet, makeup
from osupdate_kit.protocol.terms import InstallAction, Platform
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rehearsal import SERVER, Rehearsal, write_list
from osupdate_kit.rollout.plan import RolloutPlan
from osupdate_kit.rollout.policy import DAY, Cadences
from osupdate_kit.rollout.targets import Target
from osupdate_kit.rollout.windows import Window
from osupdate_kit.stores.reader import reading
from osupdate_kit.stores.schema import metadata
from osupdate_kit.views.status import RolloutStatusView
from tests.real import Cluster, postgres

KINDS = ("sqlite", pytest.param("postgresql", marks=pytest.mark.real_server))
TARGETS = {Platform.IPADOS: "26.6.1", Platform.MACOS: "26.6.2", Platform.TVOS: "26.6"}


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with postgres() as running:
        yield running


@dataclass(frozen=True)
class Lived:
    """A rehearsal whose rollouts have run for some days, with its store's address."""

    rehearsal: Rehearsal
    url: str
    targets: dict[int, str]  # by rollout

    def scope(self, backend: ibis.BaseBackend, rollout: int, **words: Any) -> Scope:
        kit = self.rehearsal.kit
        return Scope.of(backend, rollout, now=kit.clock.now(), cadences=kit.cadences, **words)

    def status(self, rollout: int) -> RolloutStatusView:
        kit = self.rehearsal.kit
        with kit.ledger.read() as tx:
            return status(tx, rollout, kit.clock.now(), kit.cadences, keep=lambda device: True)


@pytest.fixture(scope="session", params=KINDS)
def lived(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    """A hundred and some devices, three rollouts by night, two days and some hours: done, failed, silent and more."""
    folder: Path = tmp_path_factory.mktemp("lived")
    url = f"sqlite:///{folder / 'store.db'}"
    if request.param == "postgresql":
        found: Cluster = request.getfixturevalue("cluster")
        url = found.url()
    specs = make_fleet(makeup("school"), 120, 11)
    rehearsal = Rehearsal.of(makeup("school"), specs, url, seed=11, who="test",
                             cadences=Cadences(silent_after_hours=20, stalled_after_hours=16))  # fmt: skip
    kit = rehearsal.kit
    kit.sync(str(write_list(specs, folder / "fleet.csv")), SERVER)
    rehearsal.run(1)
    for platform, version in TARGETS.items():
        later: dict[str, Any] = {}
        if platform is Platform.MACOS:
            later = {"actions": {platform: (InstallAction.INSTALL_LATER,)}, "max_user_deferrals": 5}
        plan = RolloutPlan(
            name=f"{platform.value} {version}", author="test", created_at=kit.clock.now(), time_zone="UTC",
            target=Target(version=OSVersion.parse(version)), deadline_at=kit.clock.now() + 10 * DAY,
            window=Window(opens=time(20), closes=time(5)), allow_major=True, **later,
        )  # fmt: skip
        chosen = kit.select(where=f'platform == "{platform.value}"')
        kit.start(kit.save(kit.draft(chosen, plan)))
    rehearsal.run(2.3)
    yield Lived(rehearsal, url, dict(enumerate(TARGETS.values(), start=1)))
    kit.close()


@pytest.fixture
def backend(lived: Lived) -> Iterator[ibis.BaseBackend]:
    with reading(lived.url) as opened:
        yield opened


@dataclass(frozen=True)
class Bench:
    """Empty tables of the store, to be filled by a test; `backend` sees what `connection` wrote and committed."""

    connection: Connection
    backend: ibis.BaseBackend

    def fill(self, **tables: list[dict[str, Any]]) -> None:
        """Replace all rows by these."""
        for table in reversed(metadata.sorted_tables):
            self.connection.execute(table.delete())
        for table in metadata.sorted_tables:
            if rows := tables.get(table.name):
                self.connection.execute(table.insert(), rows)
        self.connection.commit()


@pytest.fixture(scope="session", params=KINDS)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    if request.param == "postgresql":
        found: Cluster = request.getfixturevalue("cluster")
        url = found.url()
        engine: Engine = create_engine(url)
        backend = ibis.connect(url.replace("+psycopg", ""))
    else:
        engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
        backend = ibis.sqlite.from_connection(engine.raw_connection().driver_connection)
    metadata.create_all(engine)
    with engine.connect() as connection:
        yield Bench(connection, backend)
    engine.dispose()
