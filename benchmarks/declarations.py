"""Declarations on a real NanoHUB, in memory: assigning a wave against bare calls, and what reading reports costs."""

from collections.abc import Callable, Iterator
from itertools import count

import requests

from benchmarks.fleets import key
from benchmarks.measure import Line, compared, wall_of
from osupdate_kit.lab.plists import write_plist
from osupdate_kit.lab.real import HTTPClient, http_exchange
from osupdate_kit.protocol.declarations import ActivationSimple, encode
from osupdate_kit.rehearsal import SERVER
from osupdate_kit.rollout.ports import Outcome
from osupdate_kit.servers.ddm import NANOHUB, Declarations
from tests.real import RealServer, nanohub

BATCH = 200  # ids a call of the adapter, its default
REPORTS = 40  # that each device has sent before


def run(quick: bool) -> Iterator[Line]:
    devices, rounds = (1_000, 5) if quick else (10_000, 10)
    with nanohub() as real:
        kit = Declarations(SERVER, NANOHUB, real.url, real.api_key)
        kit.put(encode(ActivationSimple(configurations=("a",)), "bench"))
        kit.fill("bench", ["bench"])
        yield _assigning(real, kit, devices, rounds)
    with nanohub() as real:
        yield from _reading(real, devices // 50)


def _assigning(real: RealServer, kit: Declarations, devices: int, rounds: int) -> Line:
    """Both sides assign devices that the server has not seen, one call each."""
    bare, numbers, part = _bare(real), count(), devices // rounds

    def fresh() -> list[str]:
        return [key(next(numbers)).enrollment_id for _ in range(part)]

    def ours(ids: list[str]) -> None:
        for start in range(0, len(ids), BATCH):
            answer = kit.assign("bench", ids[start : start + BATCH])
            assert all(outcome is Outcome.QUEUED for outcome in answer.outcomes.values()), answer

    ours(fresh()), bare(fresh())
    found = compared(
        rounds,
        lambda: part / _wall(ours, fresh()),
        lambda: part / _wall(bare, fresh()),
    )
    return Line(
        name="declarations, assign", measured=f"wall, {devices:,} devices, one call each, {BATCH} an order",
        against="bare requests.Session", ours=found.ours, limit=found.limit, ratio=found.ratio, unit="devices/s",
        least=0.8,
    )  # fmt: skip


def _wall(work: Callable[[list[str]], None], ids: list[str]) -> float:
    return wall_of(lambda: work(ids))


def _bare(real: RealServer) -> Callable[[list[str]], None]:
    session = requests.Session()
    session.auth = (NANOHUB.user, real.api_key)

    def call(ids: list[str]) -> None:
        for one in ids:
            answer = session.put(f"{real.url}{NANOHUB.root}enrollment-sets/{one}?set=bench&nonotify=1")
            assert answer.status_code in (204, 304), answer.text

    return call


def _reading(real: RealServer, devices: int) -> Iterator[Line]:
    """Devices with a past: what the first look costs, and the next one, by calls and by time."""
    ids = [key(number).enrollment_id for number in range(devices)]
    client = HTTPClient(real.url)
    for one in ids:
        exchange = http_exchange(client, real.identities, one)
        exchange(
            "checkin", write_plist({"MessageType": "Authenticate", "UDID": one, "Topic": "t", "SerialNumber": one})
        )
        token = {"Token": b"t", "PushMagic": "m"}
        exchange("checkin", write_plist({"MessageType": "TokenUpdate", "UDID": one, "Topic": "t", **token}))
        for number in range(REPORTS):
            full = b',"FullReport":true' if number % 10 == 0 else b""
            body = b'{"StatusItems":{"softwareupdate":{"install-state":"waiting"}},"Errors":[]' + full + b"}"
            words = {"MessageType": "DeclarativeManagement", "UDID": one, "Endpoint": "status", "Data": body}
            exchange("checkin", write_plist(words))
    calls = [0]

    def counted() -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        send = session.get_adapter(real.url).send

        class Counting(requests.adapters.HTTPAdapter):
            def send(self, *args: object, **more: object) -> requests.Response:
                calls[0] += 1
                return send(*args, **more)  # type: ignore[arg-type]

        session.mount("http://", Counting())
        return session

    kit = Declarations(SERVER, NANOHUB, real.url, real.api_key, session=counted)
    found = kit.reports(dict.fromkeys(ids, ""))
    assert all(answer.whole and len(answer.reports) == 10 for answer in found.values())
    past = f"{devices:,} devices with {REPORTS} reports each, every tenth full"
    yield Line(
        name="declarations, first look",
        measured=f"calls a device, {past}",
        ours=calls[0] / devices,
        unit="calls",
        most=10,
    )
    marks = {one: answer.mark for one, answer in found.items()}
    calls[0] = 0
    wall = wall_of(lambda: kit.reports(marks))
    yield Line(
        name="declarations, no news", measured="calls a device, the same devices", ours=calls[0] / devices,
        unit="calls", most=1,
    )  # fmt: skip
    yield Line(name="declarations, no news", measured="wall", ours=devices / wall, unit="devices/s")
