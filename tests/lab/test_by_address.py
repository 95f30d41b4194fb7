"""The lab by address, and the same devices before the real NanoMDM, woken by the proxy before its API."""

import json
import plistlib
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest

from osupdate_kit.lab.clock import RunningClock
from osupdate_kit.lab.devices import SimulatedDevice
from osupdate_kit.lab.fleet import make_devices, make_fleet, makeup
from osupdate_kit.lab.http import Call, LabHost, Loopback, http_webhook, serve
from osupdate_kit.lab.real import Failure, HTTPClient, Identities, IdentityMode, PushProxy, RealWorld, http_exchange
from osupdate_kit.lab.server import HMAC_HEADER, LabServer, Response, basic_authorization, signed_by
from osupdate_kit.lab.truth import TruthLog, What
from osupdate_kit.lab.world import World
from tests.lab.worlds import API_KEY, MONDAY, RELEASES, ipad
from tests.real import nanomdm, postgres

KEY = {"Authorization": basic_authorization(API_KEY)}
HOUR_A_SECOND = 3600.0


def schedule(action: str, version: str = "18.7.2") -> tuple[str, bytes]:
    uuid = str(uuid4()).upper()
    updates = [{"ProductVersion": version, "InstallAction": action}]
    return uuid, plistlib.dumps(
        {"CommandUUID": uuid, "Command": {"RequestType": "ScheduleOSUpdate", "Updates": updates}}
    )


def ipads(count: int, truth: TruthLog) -> list[SimulatedDevice]:
    specs = [ipad(f"PAD-{number}", seed=number, newest_major=18) for number in range(count)]
    return [SimulatedDevice(spec, RELEASES[spec.platform], truth) for spec in specs]


def test_a_lab_that_runs_by_itself_answers_by_address_and_tells_its_webhook() -> None:
    truth, clock = TruthLog(), RunningClock(start_at=MONDAY, speed=HOUR_A_SECOND)
    told, enough = [], threading.Event()

    def take(call: Call) -> Response:
        told.append(call)
        if len(told) >= 12:
            enough.set()
        return Response(status=200, headers={}, body=b"")

    with Loopback(take) as receiver:
        webhook = http_webhook(f"{receiver.url}/webhook/lab")
        server = LabServer(clock, API_KEY, webhook=webhook, webhook_key="secret", truth=truth)
        world = World(clock, server, ipads(3, truth), truth)
        world.enrol()
        with LabHost(world, clock) as host:
            _, body = schedule("DownloadOnly")
            answer = HTTPClient(host.url).call("PUT", "/v1/enqueue/PAD-0,PAD-1,PAD-2", KEY, body)
            assert answer.status == 200
            assert set(json.loads(answer.body)["status"]) == {"PAD-0", "PAD-1", "PAD-2"}
            assert enough.wait(20)
    assert all(signed_by(call.body, call.headers[HMAC_HEADER], "secret") for call in told)
    assert {call.path for call in told} == {"/webhook/lab"}
    assert server.acknowledged


def test_a_webhook_that_nobody_answers_is_tried_once() -> None:
    with Loopback(lambda call: None) as closed:
        assert http_webhook(closed.url)(b"{}", {}) == 0
    assert http_webhook(closed.url)(b"{}", {}) == 0


def test_the_exchange_of_a_device_raises_for_a_refusal() -> None:
    with Loopback(lambda call: Response(status=500, headers={}, body=b"no")) as loopback:
        exchange = http_exchange(HTTPClient(loopback.url), Identities(), "A")
        with pytest.raises(ConnectionError, match="500"):
            exchange("connect", b"")


def test_a_first_line_beyond_a_mebibyte_is_refused() -> None:
    with serve(LabServer(RunningClock(start_at=MONDAY), API_KEY)) as lab:
        answer = HTTPClient(lab.url).call("PUT", "/v1/push/" + "A" * (1 << 20), KEY)
        assert answer.status == 431


@pytest.fixture
def proxied() -> Iterator[tuple[PushProxy, HTTPClient, LabServer, list[str]]]:
    """A proxy before a lab server that has no push certificate, as a real one on loopback has none."""
    truth, clock, pushed = TruthLog(), RunningClock(start_at=MONDAY), []
    server = LabServer(clock, API_KEY, push_certificate=False)

    def push(udid: str) -> bool:
        pushed.append(udid)
        return udid.startswith("PAD")

    with serve(server) as lab, PushProxy(lab.url, push, clock, truth) as proxy:
        yield proxy, HTTPClient(proxy.url), server, pushed


def test_the_proxy_pushes_in_the_servers_place(proxied: tuple[PushProxy, HTTPClient, LabServer, list[str]]) -> None:
    _, client, server, pushed = proxied
    uuid, body = schedule("DownloadOnly")
    answer = client.call("PUT", "/v1/enqueue/PAD-0,PAD-1", KEY, body)
    told = json.loads(answer.body)
    assert (answer.status, told["command_uuid"], set(told["status"])) == (200, uuid, {"PAD-0", "PAD-1"})
    assert all(status["push_result"] for status in told["status"].values())
    assert answer.headers["Date"].endswith("GMT")
    assert "no_push" not in told
    assert pushed == ["PAD-0", "PAD-1"]
    assert server.open_uuids("PAD-0") == [uuid]
    quiet, body = schedule("InstallASAP")
    answer = client.call("PUT", "/v1/enqueue/PAD-0?nopush=1", KEY, body)
    assert json.loads(answer.body) == {"no_push": True, "command_uuid": quiet, "request_type": "ScheduleOSUpdate"}
    assert pushed == ["PAD-0", "PAD-1"]
    answer = client.call("GET", "/v1/push/PAD-0,STRANGER", KEY)
    assert answer.status == 207
    assert json.loads(answer.body)["status"]["STRANGER"] == {"push_error": "push data missing for id"}


def test_the_proxy_passes_refusals_on(proxied: tuple[PushProxy, HTTPClient, LabServer, list[str]]) -> None:
    _, client, _, pushed = proxied
    _, body = schedule("DownloadOnly")
    wrong = {"Authorization": basic_authorization("wrong")}
    assert client.call("PUT", "/v1/enqueue/PAD-0", wrong, body).status == 401
    assert client.call("PUT", "/v1/push/PAD-0", wrong).status == 401
    assert client.call("PUT", "/v1/enqueue/PAD-0", KEY, body).status == 200
    again = client.call("PUT", "/v1/enqueue/PAD-0", KEY, body)
    assert json.loads(again.body)["command_error"].startswith("command already exists")
    assert client.call("GET", "/version", {}).status == 200
    assert pushed == ["PAD-0"]


def test_the_proxy_takes_thousands_of_ids(proxied: tuple[PushProxy, HTTPClient, LabServer, list[str]]) -> None:
    _, client, _, pushed = proxied
    ids = [f"PAD-{number:032}" for number in range(5000)]
    answer = client.call("PUT", f"/v1/enqueue/{','.join(ids)}", KEY, schedule("DownloadOnly")[1])
    assert (answer.status, len(json.loads(answer.body)["status"]), len(pushed)) == (200, 5000, 5000)


def test_the_proxy_can_be_told_to_fail_before_and_after(
    proxied: tuple[PushProxy, HTTPClient, LabServer, list[str]],
) -> None:
    proxy, client, server, _ = proxied
    (before, first), (after, second) = schedule("DownloadOnly"), schedule("DownloadOnly")
    proxy.fail(Failure.BEFORE)
    proxy.fail(Failure.AFTER)
    for body in (first, second):
        with pytest.raises(OSError, match=r".*"):
            client.call("PUT", "/v1/enqueue/PAD-0", KEY, body)
    assert server.open_uuids("PAD-0") == [after]
    assert client.call("PUT", "/v1/enqueue/PAD-0", KEY, first).status == 200
    assert server.open_uuids("PAD-0") == [after, before]


@pytest.mark.real_server
@pytest.mark.parametrize("mode", list(IdentityMode))
def test_fifty_devices_enrol_in_a_real_nanomdm(mode: IdentityMode) -> None:
    parts, truth = makeup("school"), TruthLog()
    devices = make_devices(parts, make_fleet(parts, 50, seed=1), truth)
    with nanomdm(mode=mode, api_key=API_KEY) as server:
        world = RealWorld(server.url, devices, RunningClock(start_at=MONDAY), server.identities, truth)
        world.enrol()
        client = HTTPClient(server.url)
        answer = client.call("PUT", f"/v1/push/{','.join(world.devices)}", KEY)
        assert set(json.loads(answer.body)) == {"push_error"}  # push data of all fifty, no certificate
        stranger = http_exchange(client, Identities(mode), next(iter(world.devices)))
        with pytest.raises(ConnectionError):
            stranger("connect", devices[0]._idle)
    assert len(truth) == 100


@pytest.mark.real_server
@pytest.mark.parametrize("storage", ["inmem", "pgsql"])
def test_a_two_step_by_hand_reaches_installed_on_a_real_nanomdm(storage: str, tmp_path: Path) -> None:
    truth, clock = TruthLog(), RunningClock(start_at=MONDAY, speed=HOUR_A_SECOND)
    devices = ipads(20, truth)
    ids = ",".join(device.udid for device in devices)
    with ExitStack() as stack:
        dsn = stack.enter_context(postgres()).nanomdm_database() if storage == "pgsql" else "unused"
        running = nanomdm("pgsql" if storage == "pgsql" else "inmem", dsn=dsn, api_key=API_KEY)
        server = stack.enter_context(running)
        world = RealWorld(server.url, devices, clock, server.identities, truth)
        world.enrol()
        stack.enter_context(world)
        client = HTTPClient(stack.enter_context(PushProxy(server.url, world.push, clock, truth)).url)
        assert client.call("PUT", f"/v1/enqueue/{ids}", KEY, schedule("DownloadOnly")[1]).status == 200
        assert world.wait_until(lambda: downloaded(truth) == 20, timeout_seconds=30)
        assert client.call("PUT", f"/v1/enqueue/{ids}", KEY, schedule("InstallASAP")[1]).status == 200
        assert world.wait_until(lambda: set(truth.versions().values()) == {"18.7.2"}, timeout_seconds=30)
    assert truth.second_installs() == []
    assert len([entry for entry in truth if entry.what is What.QUEUED]) == 40


def downloaded(truth: TruthLog) -> int:
    return sum(entry.what is What.DOWNLOAD_DONE for entry in truth)
