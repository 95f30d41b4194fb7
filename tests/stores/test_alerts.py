"""Alerts, and the figures behind them, in every store."""

from msgspec.structs import replace

from osupdate_kit.rollout.alerts import Alert, AlertKind
from osupdate_kit.rollout.events import EventKind
from osupdate_kit.rollout.journey import Armed
from osupdate_kit.stores.alerts import News
from osupdate_kit.stores.ledger import Ledger
from tests.stores.values import DAY, NOW, begin, device, event, key, member

HALTED = Alert(AlertKind.HALTED, "rollout 1", "7 of 20")
GATE = Alert(AlertKind.GATE, "rollout 1 wave broad", "waits\0")
HOUR = DAY // 24


def untold(ledger: Ledger, now: int) -> list[str]:
    with ledger.read() as tx:
        return [said.kind for said in tx.untold_alerts(told_by=max(0, now - DAY), over_since=now - 7 * DAY)]


def test_there_is_one_alert_of_a_kind_and_subject_until_it_is_over(ledger: Ledger) -> None:
    with ledger.write() as tx:
        assert tx.begin_alert(HALTED, at=NOW)
        assert tx.begin_alert(GATE, at=NOW)
        assert not tx.begin_alert(HALTED._replace(text="9 of 20"), at=NOW + 1)
        first, second = tx.open_alerts()
        assert (first.kind, first.subject, first.text, first.at) == ("halted", "rollout 1", "9 of 20", NOW)
        assert second.text == "waits\ufffd"
        tx.reword_alert(second.id, "waits")
        tx.end_alert(first, at=NOW + 2)
        tx.end_alert(first, at=NOW + 9)
        assert tx.begin_alert(HALTED, at=NOW + 3)
        assert [(said.kind, said.text) for said in tx.open_alerts()] == [("gate_waits", "waits"), ("halted", "7 of 20")]
        newest = tx.newest_alerts(2)
        assert [said.over_at for said in tx.newest_alerts(9)] == [0, 0, NOW + 2]
    assert [said.id for said in newest] == [3, 2]


def test_what_nobody_was_told_of_stays_to_be_told(ledger: Ledger) -> None:
    with ledger.write() as tx:
        tx.begin_alert(HALTED, at=NOW)
    assert untold(ledger, NOW) == ["halted"]
    with ledger.write() as tx:
        tx.alert_told(1, at=NOW + 1, over=False)
    assert untold(ledger, NOW + DAY) == []
    assert untold(ledger, NOW + DAY + 1) == ["halted"]  # it is told again
    with ledger.write() as tx:
        tx.end_alert(tx.open_alerts()[0], at=NOW + 1)
        (said,) = tx.newest_alerts(1)
        assert said.over_at > said.sent_at  # in the same instant, and still to be told
    assert untold(ledger, NOW + HOUR) == ["halted"]
    assert untold(ledger, NOW + 8 * DAY) == []
    with ledger.write() as tx:
        tx.alert_told(1, at=NOW, over=True)
    assert untold(ledger, NOW + HOUR) == []


def test_what_is_over_while_it_is_being_told_is_still_told_to_be_over(ledger: Ledger) -> None:
    with ledger.write() as tx:
        tx.begin_alert(HALTED, at=NOW)
        tx.end_alert(tx.open_alerts()[0], at=NOW + 5)
        tx.alert_told(1, at=NOW + 9, over=False)
    assert untold(ledger, NOW + 10) == ["halted"]


def test_where_nobody_is_to_be_told_nothing_waits(ledger: Ledger) -> None:
    with ledger.write() as tx:
        tx.begin_alert(HALTED, at=NOW)
        tx.end_alert(tx.open_alerts()[0], at=NOW + 5, told=True)
    assert untold(ledger, NOW + 10) == []


def test_armed_devices_are_counted_by_all_that_their_windows_depend_on(ledger: Ledger) -> None:
    members = [member(n, time_zone="Europe/Berlin" if n % 2 else "Asia/Tokyo", model="iPad7,5") for n in range(6)]
    rollout = begin(ledger, *members)
    with ledger.write() as tx:
        stored = [one.journey for found in tx.journeys_of(key(n) for n in range(5)).values() for one in found]
        tx.save_journeys([replace(one, armed=Armed.ON_DEVICE) for one in stored])
        cells = {cell.time_zone: cell for cell in tx.armed()}
    assert {zone: cell.devices for zone, cell in cells.items()} == {"Asia/Tokyo": 3, "Europe/Berlin": 2}
    berlin = cells["Europe/Berlin"]
    assert (berlin.rollout, berlin.kin.site, berlin.kin.ring, berlin.kin.model) == (
        rollout,
        "North",
        "pilot",
        "iPad7,5",
    )


def test_news_are_counted_by_server_and_kind_and_who_was_seen_is_known(ledger: Ledger) -> None:
    with ledger.write() as tx:
        tx.add_devices([device(1), device(2)], now=NOW)
        assert tx.last_event() == 0
        tx.add_events([event(1, "a", NOW), event(2, "b", NOW + 5), event(1, "c", NOW, kind=EventKind.PUSHED)])
        assert sorted(tx.news_after(0)) == [News("mdm", "idle", 2, NOW + 6), News("mdm", "pushed", 1, NOW + 1)]
        assert tx.news_after(tx.last_event()) == []
        assert tx.seen_after("mdm", NOW) == 0
        tx.seen({key(2): NOW + 7})
        assert tx.seen_after("mdm", NOW) == NOW + 7
        assert tx.seen_after("mdm", NOW + 7) == 0
        assert tx.seen_after("other", NOW) == 0
