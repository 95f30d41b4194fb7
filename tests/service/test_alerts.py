"""Alerts over the real turns: what raises them, and how they come to a sink on loopback, however often it is away."""

import json
import logging
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import pytest
from msgspec import structs

from osupdate_kit.errors import SettingsError
from osupdate_kit.fleet.devices import Device
from osupdate_kit.kit import Kit
from osupdate_kit.kit.alerts import pulse
from osupdate_kit.lab.clock import VirtualClock
from osupdate_kit.lab.http import Call, Loopback
from osupdate_kit.lab.server import Response
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.alerts import Alert, AlertKind, Said, Watch
from osupdate_kit.rollout.events import EventKind
from osupdate_kit.rollout.gates import Progress, waits_for
from osupdate_kit.rollout.journey import Armed, RolloutStatus
from osupdate_kit.rollout.people import SecondPerson
from osupdate_kit.rollout.plan import RolloutPlan
from osupdate_kit.rollout.policy import DAY, HOUR, MINUTE
from osupdate_kit.rollout.targets import Target
from osupdate_kit.rollout.waves import Limits, Opening, Wave, Who
from osupdate_kit.rollout.windows import window_of
from osupdate_kit.service.alerts import AGAIN_SECONDS, STUCK_SECONDS, Alerter, Pulse, Teller
from osupdate_kit.service.notify import AppriseNotifier
from osupdate_kit.service.record import Plans
from osupdate_kit.service.service import Service
from osupdate_kit.settings import AlertSettings, Settings
from osupdate_kit.stores.ledger import Ledger
from tests.service.test_gates import BAD, site, start, until
from tests.stores.values import device, event, key, member

NOON = 1_795_608_000_000_000  # 2026-11-25, 12:00 UTC
TOKEN = "planted-token-77f3"


@dataclass
class Sink:
    """A messenger on loopback. status: what it answers; 0: it drops the connection."""

    status: int = 200
    heard: list[Mapping[str, str]] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    came: Event = field(default_factory=Event)
    url: str = ""

    def answer(self, call: Call) -> Response | None:
        self.calls.append(call)
        if self.status == 200 and call.body:
            self.heard.append(json.loads(call.body))
        self.came.set()
        return Response(status=self.status, headers={}, body=b"") if self.status else None

    @property
    def address(self) -> str:
        return f"json://{self.url.removeprefix('http://')}/{TOKEN}"

    @property
    def titles(self) -> list[str]:
        return [one["title"] for one in self.heard]


@contextmanager
def listening(port: int = 0) -> Iterator[Sink]:
    sink = Sink()
    with Loopback(sink.answer, port=port) as running:
        sink.url = running.url
        yield sink


@pytest.fixture
def sink() -> Iterator[Sink]:
    with listening() as one:
        yield one


@pytest.fixture(params=["sqlite", "memory"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(
        "sqlite://" if request.param == "memory" else f"sqlite:///{tmp_path / 'store.db'}", migrate=True
    )
    yield opened
    opened.close()


@dataclass
class Office:
    """Alerter and Teller over a store, as a service that has just begun; `hours` of its time pass by `later`."""

    ledger: Ledger
    clock: VirtualClock
    notifier: AppriseNotifier
    watch: Watch
    real: float = 0.0

    def __post_init__(self) -> None:
        self.alerter = Alerter(self.ledger, self.clock, Plans(), ["mdm"], self.watch)
        self.teller = Teller(self.ledger, self.clock, self.notifier, self.watch, real_time=lambda: self.real)

    @classmethod
    def of(cls, ledger: Ledger, *sinks: Sink, at: int = NOON, **watch: object) -> "Office":
        notifier = AppriseNotifier([one.address for one in sinks], "alerts.urls_file", timeout_seconds=5)
        return cls(ledger, VirtualClock(at), notifier, Watch(told=True, **watch))  # type: ignore[arg-type]

    def restarted(self) -> "Office":
        return Office(self.ledger, self.clock, self.notifier, self.watch)

    def later(self, hours: float = 1 / 60, *, telling: bool = True) -> "Office":
        """Every ten minutes of that time a turn of each."""
        ends = self.clock.now() + int(hours * HOUR)
        while self.clock.now() < ends:
            self.clock.advance_to(min(self.clock.now() + 10 * MINUTE, ends))
            self.real += 3600
            self.alerter.turn()
            if telling:
                self.teller.turn()
        return self

    def standing(self) -> list[Said]:
        with self.ledger.read() as tx:
            return tx.open_alerts()


def rollout(ledger: Ledger, count: int = 3, name: str = "iPads of <b>Anna</b>", **policy: object) -> int:
    plan = RolloutPlan(
        name=name, author="ada", created_at=NOON, target=Target(version=OSVersion.parse("26.6.1")),
        deadline_at=NOON + 14 * DAY, time_zone="UTC", **policy,  # type: ignore[arg-type]
    )  # fmt: skip
    waves = [(wave.name, wave.pace) for wave in plan.waves] if plan.admits else []
    with ledger.write() as tx:
        members = [structs.replace(member(n), time_zone="UTC") for n in range(count)]
        tx.add_devices([Device(key=one.key, udid=one.udid) for one in members], now=NOON)
        stored = tx.save_plan(
            name=name, yaml=plan.to_yaml(), sha256=name, author="ada", created_at=NOON, members=members
        )
        return tx.start_rollout(stored, now=NOON, deadline_at=plan.deadline_at, by="ada", waves=waves)


def halt(ledger: Ledger, number: int) -> None:
    with ledger.write() as tx:
        tx.set_rollout(number, RolloutStatus.HALTED, now=NOON, reason="iPad of Anna is broken")


def resume(ledger: Ledger, number: int) -> None:
    with ledger.write() as tx:
        tx.set_rollout(number, RolloutStatus.RUNNING, now=NOON, reason="by ada")


# --- told once, and not lost ---


def test_a_halt_is_told_once_again_after_a_day_and_once_more_when_it_is_over(ledger: Ledger, sink: Sink) -> None:
    number, office = rollout(ledger), Office.of(ledger, sink)
    office.later()
    assert sink.heard == []
    halt(ledger, number)
    office.later(23)
    assert sink.titles == ["Halted"]
    assert "Rollout 1, iPads of b Anna /b, is halted by a person." in sink.heard[0]["message"]
    office.later(2)
    assert sink.titles == ["Halted", "Still: Halted"]
    resume(ledger, number)
    office.later(30)
    assert sink.titles == ["Halted", "Still: Halted", "Over: Halted"]
    assert office.standing() == []


def test_what_was_not_told_before_a_restart_is_told_after_it_and_nothing_twice(ledger: Ledger, sink: Sink) -> None:
    number, office = rollout(ledger), Office.of(ledger, sink)
    halt(ledger, number)
    office.later(1, telling=False)
    office = office.restarted().later(1)
    assert sink.titles == ["Halted"]
    office = office.restarted().later(1)
    resume(ledger, number)
    office.later(1, telling=False)
    office.restarted().later(1).restarted().later(1)
    assert sink.titles == ["Halted", "Over: Halted"]


@pytest.mark.parametrize("status", [500, 0])
def test_a_sink_that_is_down_is_tried_again_and_gets_it_once(ledger: Ledger, sink: Sink, status: int) -> None:
    number, office = rollout(ledger), Office.of(ledger, sink)
    sink.status = status
    halt(ledger, number)
    office.later(2)
    tries = len(sink.calls)
    assert tries > 2
    assert office.standing()[0].sent_at == 0
    sink.status = 200
    office.restarted().later(2)
    assert sink.titles == ["Halted"]


def test_a_sink_that_is_down_is_not_asked_all_the_time(
    ledger: Ledger, sink: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    office = Office.of(ledger, sink)
    sink.status = 500
    halt(ledger, rollout(ledger))
    office.later(telling=False)
    for _ in range(5):
        office.teller.turn()
    assert len(sink.calls) == 1
    office.real += AGAIN_SECONDS[0]
    office.teller.turn()
    office.teller.turn()
    assert len(sink.calls) == 2
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    assert "address 1 (JSON) took no notice; it is tried again in 10 s. Try `osupdate-kit alerts test`." in caplog.text
    assert TOKEN not in caplog.text


def test_what_was_over_before_the_sink_came_back_is_told_once_as_over(ledger: Ledger, sink: Sink) -> None:
    number, office = rollout(ledger), Office.of(ledger, sink)
    sink.status = 500
    halt(ledger, number)
    office.later(2)
    resume(ledger, number)
    office.later(2)
    sink.status = 200
    office.later(2)
    assert sink.titles == ["Over: Halted"]
    assert "It was so from 2026-11-25 12:10 UTC to 2026-11-25 14:10 UTC." in sink.heard[0]["message"]


def test_of_two_addresses_the_one_that_works_hears_it_once_though_the_other_is_down(ledger: Ledger, sink: Sink) -> None:
    with listening() as broken:
        broken.status = 500
        number, office = rollout(ledger), Office.of(ledger, sink, broken)
        halt(ledger, number)
        office = office.later(2).restarted().later(2)
        assert sink.titles == ["Halted"]
        assert broken.heard == []
        broken.status = 200
        office.restarted().later(1)
        assert (sink.titles, broken.titles) == (["Halted"], ["Halted"])
        broken.status = 500
        office.later(80)  # wrong for good: the others are told again all the same
        assert sink.titles[:2] == ["Halted", "Still: Halted"]
        assert len(sink.titles) >= 3


def test_nobody_to_tell_leaves_nothing_to_be_told_later(ledger: Ledger, sink: Sink) -> None:
    number, office = rollout(ledger), Office.of(ledger, sink)
    alone = Alerter(ledger, office.clock, Plans(), [], Watch())
    halt(ledger, number)
    alone.turn()
    resume(ledger, number)
    office.clock.advance_to(NOON + HOUR)
    alone.turn()
    office.later(2)
    assert sink.heard == []


# --- each kind ---


def test_a_slice_that_fails_is_halted_and_told_with_its_figures(tmp_path: Path) -> None:
    rehearsal = site(tmp_path, bad=0.6)
    begun = start(rehearsal, waves=(Wave(pace=12),), limits=Limits(failure_share=0.15))

    def stand() -> list[Said]:
        with rehearsal.kit.ledger.read() as tx:
            return [said for said in tx.open_alerts() if said.kind == AlertKind.HALTED]

    until(rehearsal, lambda: bool(stand()))
    (said,) = stand()
    assert said.subject == f"rollout {begun.id} model {BAD}"
    assert "devices that began have failed" in said.text
    begun.lift()
    until(rehearsal, lambda: not any(one.id == said.id for one in stand()))


def test_a_wave_that_only_a_person_opens_is_told_until_it_is_open(ledger: Ledger, sink: Sink) -> None:
    waves = (Wave(name="canary", who=Who(percent=20)), Wave(name="broad", opens=Opening(by_hand=True)))
    number, office = rollout(ledger, waves=waves), Office.of(ledger, sink)
    words = waits_for(waves[1].opens, NOON, Progress(3, 3, 3, NOON), stopped=False, allowed=False)
    with ledger.write() as tx:
        _, broad = tx.waves(number)
        tx.save_wave(number, structs.replace(broad, waits_for=words))
    office.later(1)
    assert sink.titles == ["A wave waits for a person"]
    assert "wave broad waits for a person to open it." in sink.heard[0]["message"]
    with ledger.write() as tx:
        tx.save_wave(number, structs.replace(broad, opened_at=NOON + HOUR, waits_for=""))
    office.later(1)
    assert sink.titles[1:] == ["Over: A wave waits for a person"]


def test_a_rollout_that_waits_for_a_second_person_is_told_until_it_is_approved(ledger: Ledger, sink: Sink) -> None:
    number, office = rollout(ledger, count=3), Office.of(ledger, sink)
    with ledger.write() as tx:
        tx.set_second_person(SecondPerson(over=2))
        asked = tx.ask_approval(number, 1, by="ada", at=NOON)
    office.later(1)
    assert sink.titles == ["A rollout waits for a second person"]
    assert sink.heard[0]["message"].splitlines()[0].endswith("Devices that take it: 3.")
    with ledger.write() as tx:
        tx.approve(asked, by="grace", at=NOON + HOUR)
    office.later(1)
    assert sink.titles[1:] == ["Over: A rollout waits for a second person"]


def test_devices_armed_after_their_window_are_counted_until_it_opens_again(ledger: Ledger, sink: Sink) -> None:
    number = rollout(ledger, window=window_of("20:00-05:00"))
    elsewhere = rollout(ledger, count=0, name="no window")
    with ledger.write() as tx:
        found = [one.journey for mine in tx.journeys_of([key(0), key(1)]).values() for one in mine]
        tx.save_journeys([replace_armed(one) for one in found])
    office = Office.of(ledger, sink, at=NOON - 7 * HOUR)  # five in the morning: it has just closed
    office.later(0.4)
    assert office.standing() == []  # who began inside it may finish
    office.later(0.4)
    (said,) = office.standing()
    assert (said.kind, said.subject) == ("armed_after_window", f"rollout {number}")
    assert "2 devices are armed while their window is shut." in said.text
    office.later(15)
    assert office.standing() == []
    assert [one["title"][:5] for one in sink.heard] == ["Devic", "Over:"]
    assert not any("Anna" in one["message"].replace("b Anna /b", "") for one in sink.heard)
    assert elsewhere


def replace_armed(journey: object) -> object:
    return structs.replace(journey, armed=Armed.ON_DEVICE)


def test_a_webhook_is_silent_when_pushes_bring_nothing_and_speaks_again(ledger: Ledger, sink: Sink) -> None:
    office = Office.of(ledger, sink)
    office.later()
    pushed(ledger, "a", office.clock.now())
    office.later(11)
    assert office.standing() == []
    office = office.restarted()  # what was heard before is kept
    office.later(2)
    (said,) = office.standing()
    assert (said.kind, said.subject) == ("webhook_silent", "mdm")
    with ledger.write() as tx:
        tx.add_events([event(1, "heard", office.clock.now())])
    office.later()
    assert office.standing() == []
    assert sink.titles == ["A server's webhook is silent", "Over: A server's webhook is silent"]


def test_an_idle_poll_that_left_no_event_is_heard_all_the_same(ledger: Ledger, sink: Sink) -> None:
    office = Office.of(ledger, sink)
    with ledger.write() as tx:
        tx.add_devices([device(1)], now=NOON)
    office.later()
    pushed(ledger, "a", office.clock.now())
    office.later(6)
    with ledger.write() as tx:
        tx.seen({key(1): office.clock.now()})
    office.later(30)
    assert office.standing() == []


def test_time_in_which_no_service_listened_is_not_silence(ledger: Ledger, sink: Sink) -> None:
    office = Office.of(ledger, sink)
    office.later()
    pushed(ledger, "a", office.clock.now())
    office.later(2)
    office.clock.advance_to(office.clock.now() + 3 * DAY)
    office = office.restarted().later(1)
    assert office.standing() == []
    office.later(11)
    assert [said.kind for said in office.standing()] == ["webhook_silent"]


def pushed(ledger: Ledger, digest: str, at: int) -> None:
    with ledger.write() as tx:
        tx.add_events([event(1, digest, at, kind=EventKind.PUSHED)])


def test_a_certificate_near_its_expiry_is_told_by_the_date_of_the_settings(ledger: Ledger, sink: Sink) -> None:
    office = Office.of(ledger, sink, certificates={"mdm": NOON + 31 * DAY})
    office.later(1)
    assert sink.heard == []
    office.later(24)
    assert sink.titles == ["A push certificate is near its expiry"]
    assert "The push certificate of server mdm: 2026-12-26, in 30 days." in sink.heard[0]["message"]
    assert "Renew it, never replace it" in sink.heard[0]["message"]


def test_a_report_that_failed_is_told_and_lets_go_after_a_day(ledger: Ledger, sink: Sink) -> None:
    office = Office.of(ledger, sink)
    with ledger.write() as tx:
        tx.begin_alert(Alert(AlertKind.REPORT, "rollout 1", "The report could not be written."), at=NOON)
    office.later(23)
    assert sink.titles == ["A report was not written"]
    office.later(2)
    assert sink.titles == ["A report was not written", "Over: A report was not written"]


# --- the addresses ---


def test_addresses_are_shown_nowhere(ledger: Ledger, sink: Sink, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    office = Office.of(ledger, sink)
    halt(ledger, rollout(ledger))
    sink.status = 500
    office.later(1)
    sink.status = 200
    office.later(1)
    assert sink.titles == ["Halted"]
    assert all(call.path == f"/{TOKEN}" for call in sink.calls)  # it is part of the address, and went out
    with ledger.read() as tx:
        kept = [tx.get("alerts"), tx.get("alerts_partly"), *map(str, tx.newest_alerts(9))]
    shown = [repr(office.notifier), str(office.notifier.addresses()), caplog.text, *map(str, kept)]
    assert not [words for words in shown if TOKEN in words]


@pytest.mark.parametrize("wrong", [f"nonsense://{TOKEN}", TOKEN, f"slack://{TOKEN}", "json://"])
def test_an_address_that_is_none_is_named_by_its_number(wrong: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(SettingsError, match="address 2 is none that Apprise knows") as caught:
        AppriseNotifier(["json://127.0.0.1:9/x", wrong], "alerts.urls_file")
    assert TOKEN not in str(caught.value) + caplog.text
    assert caught.value.__cause__ is None


def test_a_messenger_that_does_not_answer_holds_nobody_up_for_long(ledger: Ledger, sink: Sink) -> None:
    stuck = Event()
    with Loopback(lambda call: stuck.wait(30) and None) as running:  # type: ignore[func-returns-value]
        slow = AppriseNotifier([f"json://{running.url.removeprefix('http://')}"], "urls_file", timeout_seconds=0.5)
        clock = VirtualClock(NOON)
        alerter = Alerter(ledger, clock, Plans(), [], Watch(told=True))
        halt(ledger, rollout(ledger))
        alerter.turn()
        assert Teller(ledger, clock, slow, Watch(told=True)).turn() == 0
        stuck.set()
    with ledger.read() as tx:
        assert tx.open_alerts()[0].sent_at == 0


# --- the service ---


def settings(tmp_path: Path, *urls: str, more: str = "") -> Settings:
    (tmp_path / "alerts.urls").touch(mode=0o600)
    (tmp_path / "alerts.urls").write_text("# who is told\n" + "\n".join(urls) + "\n")
    path = tmp_path / "osupdate-kit.toml"
    path.write_text(f'store_url = "sqlite:///{tmp_path}/kit.db"\n[alerts]\nurls_file = "alerts.urls"\n{more}')
    return Settings.load(path)


def test_a_service_tells_touches_its_file_and_calls_its_address(tmp_path: Path, sink: Sink) -> None:
    with listening() as watcher:
        more = f'dead_man_file = "alive"\ndead_man_url = "{watcher.url}/ping/{TOKEN}?status=up"\n'
        kit = Kit.open(settings(tmp_path, sink.address, more=more))
        halt(kit.ledger, rollout(kit.ledger))
        with Service(kit.turns()):
            assert sink.came.wait(20)
            assert watcher.came.wait(20)
        kit.close()
        assert sink.titles == ["Halted"]
        assert (tmp_path / "alive").exists()
        assert (watcher.calls[0].method, watcher.calls[0].target) == ("GET", f"/ping/{TOKEN}?status=up")
        again = Kit.open(settings(tmp_path, sink.address))
        turns = again.turns()
        while turns.all_once():
            pass
        again.close()
        assert sink.titles == ["Halted"]


@contextmanager
def serving(folder: Path, said: list[bytes]) -> Iterator[None]:
    """The command as it runs on a server, killed at the end; what it said goes into `said`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "osupdate_kit.cli", "serve"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        yield
    finally:
        process.kill()
        said.append(process.communicate()[0])


def all_told(ledger: Ledger) -> None:
    """Wait until every alert has been told, for half a minute at most."""
    pause = Event()
    for _ in range(300):
        with ledger.read() as tx:
            if all(one.sent_at for one in tx.open_alerts()) and tx.open_alerts():
                return
        pause.wait(0.1)
    raise AssertionError("it was not told")


def test_a_killed_service_tells_later_what_it_could_not_tell_and_nothing_twice(tmp_path: Path, sink: Sink) -> None:
    (tmp_path / "api.key").touch(mode=0o600)
    (tmp_path / "api.key").write_text("key")
    server = '[servers.mdm]\nurl = "http://127.0.0.1:9"\nkey_file = "api.key"\n[receiver]\nport = 0\n'
    kit, said = Kit.open(settings(tmp_path, sink.address, more=server)), list[bytes]()
    halt(kit.ledger, rollout(kit.ledger))
    sink.status = 500
    with serving(tmp_path, said):
        assert sink.came.wait(30)
    sink.status = 200
    with serving(tmp_path, said):
        all_told(kit.ledger)
    with kit.ledger.write() as tx:
        tx.begin_alert(Alert(AlertKind.REPORT, "rollout 1", "It could not be written."), at=kit.clock.now())
    with serving(tmp_path, said):
        all_told(kit.ledger)
    kit.close()
    assert sink.titles == ["Halted", "A report was not written"]
    assert TOKEN.encode() not in b"".join(said)


# --- the dead-man's switch ---


@dataclass
class Watched:
    """A switch of five minutes in a time that moves when told to."""

    folder: Path
    url: str = ""
    now: float = 1000.0

    def __post_init__(self) -> None:
        found = pulse(AlertSettings(dead_man_file=str(self.folder / "alive"), dead_man_url=self.url))
        assert found is not None
        self.pulse = Pulse(5, file=found._file, call=found._call, real_time=lambda: self.now)
        self.pulse.watch("worker", "loop")

    def later(self, minutes: float, *came_round: str) -> int:
        self.now += minutes * 60
        for name in came_round:
            self.pulse.came_round(name)
        return self.pulse.turn()


def test_signs_of_life_come_every_few_minutes(tmp_path: Path, sink: Sink) -> None:
    watched = Watched(tmp_path, sink.url)
    signs = [watched.later(1, "worker", "loop") for _ in range(11)]
    assert signs == [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    assert len(sink.calls) == 3
    (tmp_path / "alive").unlink()
    watched.later(5, "worker", "loop")
    assert (tmp_path / "alive").exists()


def test_a_service_that_hangs_or_cannot_reach_its_store_gives_no_sign(
    tmp_path: Path, sink: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    watched = Watched(tmp_path, sink.url)
    watched.later(1, "worker", "loop")
    watched.later(STUCK_SECONDS / 60, "loop", "sender mdm")  # the worker does not come round
    (tmp_path / "alive").unlink()
    assert sum(watched.later(1, "loop", "sender mdm") for _ in range(30)) == 0
    assert len(sink.calls) == 2
    assert not (tmp_path / "alive").exists()
    assert caplog.text.count("worker has not come round for minutes") == 1
    calls = len(sink.calls)
    watched.later(2, "worker", "loop")
    assert len(sink.calls) == calls + 1


def test_an_address_of_the_switch_that_does_not_answer_is_called_again_soon(
    tmp_path: Path, sink: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    sink.status = 500
    watched = Watched(tmp_path, f"{sink.url}/{TOKEN}")
    assert [watched.later(1, "worker", "loop") for _ in range(3)] == [0, 0, 0]
    assert len(sink.calls) == 3
    sink.status = 200
    assert watched.later(1, "worker", "loop") == 1
    assert caplog.text.count("dead_man_url does not answer with 2xx") == 1
    assert TOKEN not in caplog.text


def test_a_file_that_cannot_be_touched_is_named_with_a_remedy(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(tmp_path / "nowhere")
    assert watched.later(1, "worker", "loop") == 0
    assert "Name a file that the service may write." in caplog.text


def test_without_a_file_or_address_there_is_no_switch() -> None:
    assert pulse(AlertSettings()) is None
