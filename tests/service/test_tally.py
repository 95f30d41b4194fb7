"""What the receiver heard, kept in the store: for whoever looks from elsewhere, and after a restart."""

from pathlib import Path

from osupdate_kit.lab.clock import VirtualClock
from osupdate_kit.service.receiver import STRANGERS, Heard, LedgerInbox, Receiver, WebhookSource
from osupdate_kit.service.tally import ALIVE_SECONDS, CHANGED_SECONDS, Sign, Tally, read_sign
from osupdate_kit.stores.ledger import Ledger
from tests.servers.test_events import answer
from tests.service.test_receiver import KEY, signed

URL = "http://127.0.0.1:8077"
BODY = answer({})


class Watch:
    """Seconds that a test lets pass."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


def started(ledger: Ledger, watch: Watch) -> tuple[Receiver, Tally, VirtualClock]:
    clock = VirtualClock(1_000_000)
    receiver = Receiver(LedgerInbox(ledger), [WebhookSource(name="school", key=KEY)], clock)
    return receiver, Tally(ledger, receiver, URL, seconds=watch), clock


def sign(ledger: Ledger) -> Sign:
    with ledger.read() as tx:
        return read_sign(tx)


def store(tmp_path: Path) -> Ledger:
    return Ledger.open(f"sqlite:///{tmp_path / 'store.db'}", migrate=True)


def test_taken_and_refused_calls_are_told_apart_by_reason(tmp_path: Path) -> None:
    ledger, watch = store(tmp_path), Watch()
    receiver, tally, _ = started(ledger, watch)
    tally.turn()
    assert sign(ledger).url == URL
    assert sign(ledger).alive_at
    assert receiver.accept("school", signed(BODY, b"another"), BODY) == 401
    assert receiver.accept("school", {}, BODY) == 401
    assert receiver.accept("shcool", signed(BODY), BODY) == 404
    watch.at += CHANGED_SECONDS
    tally.turn()
    heard = sign(ledger).heard
    assert heard["school"].refused == {"a wrong signature": 1, "no signature": 1}
    assert (heard[STRANGERS].refused, heard[STRANGERS].path) == ({"404": 1}, "/webhook/shcool")
    assert receiver.accept("school", signed(BODY), BODY) == 200
    watch.at += CHANGED_SECONDS
    tally.turn()
    assert sign(ledger).heard["school"] == Heard(1, 1_000_000, {}, 1_000_000, ""), "refused since the last one: none"


def test_a_service_that_takes_over_goes_on_counting(tmp_path: Path) -> None:
    ledger, watch = store(tmp_path), Watch()
    for number in (1, 2):
        receiver, tally, clock = started(ledger, watch)
        clock.advance_to(number * 10_000_000)
        receiver.accept("school", signed(BODY), BODY)
        tally.turn()
        assert (sign(ledger).heard["school"].taken, sign(ledger).heard["school"].taken_at) == (number, clock.now())
    for number in (1, 2):  # refused by two services in a row, and nothing taken in since
        receiver, tally, clock = started(ledger, watch)
        receiver.accept("school", {}, BODY)
        tally.turn()
        assert sign(ledger).heard["school"].refused == {"no signature": number}
    assert sign(ledger).heard["school"].taken == 2


def test_what_strangers_post_is_bounded_and_plain(tmp_path: Path) -> None:
    ledger, watch = store(tmp_path), Watch()
    receiver, tally, _ = started(ledger, watch)
    for path in ("x" * 4000, "<script>", "a b", "\x1b[31m"):
        receiver.accept(path, {}, BODY)
        assert receiver.heard[STRANGERS].path == "/…"
    for number in range(5000):
        receiver.accept(f"name-{number}", {}, BODY)
    tally.turn()
    assert set(receiver.heard) == {"school", STRANGERS}
    assert receiver.heard[STRANGERS].refused == {"404": 5004}
    with ledger.read() as tx:
        assert len(tx.get("receiver") or "") < 600


def test_a_flood_writes_no_more_often_than_a_few(tmp_path: Path) -> None:
    ledger, watch = store(tmp_path), Watch()
    receiver, tally, _ = started(ledger, watch)
    written = set()
    for _ in range(400):
        receiver.accept("school", {}, BODY)
        watch.at += 0.05
        tally.turn()
        with ledger.read() as tx:
            written.add(tx.get("receiver"))
    assert len(written) <= 400 * 0.05 / CHANGED_SECONDS + 1
    quiet = set()
    for _ in range(400):
        watch.at += ALIVE_SECONDS / 100
        tally.turn()
        with ledger.read() as tx:
            quiet.add(tx.get("receiver"))
    assert len(quiet) <= 6
