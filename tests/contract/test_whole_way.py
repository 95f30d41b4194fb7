"""A command's whole way: adapter → proxy that pushes → real server → device → webhook → receiver → reader."""

import threading
from base64 import b64encode
from collections.abc import Sequence
from contextlib import ExitStack

import pytest

from osupdate_kit.lab.clock import RunningClock
from osupdate_kit.lab.devices import SimulatedDevice
from osupdate_kit.lab.real import PushProxy, RealWorld
from osupdate_kit.lab.truth import TruthLog, What
from osupdate_kit.protocol.commands import ScheduleOSUpdate, UpdateRequest, encode
from osupdate_kit.protocol.results import read_result
from osupdate_kit.protocol.terms import CommandStatus, InstallAction
from osupdate_kit.rollout.ports import Outcome, ServerEvent, Topic
from osupdate_kit.servers.events import decode_event
from osupdate_kit.service.clock import KitClock
from osupdate_kit.service.receiver import InboxEntry, Receiver, WebhookSource, serve_receiver
from tests.contract.subjects import API_KEY, KINDS, fresh, real_server
from tests.lab.worlds import MONDAY, RELEASES, ipad
from tests.real import nanomdm
from tests.servers.checkins import enrol, say

pytestmark = pytest.mark.real_server
HOUR_A_SECOND = 3600.0


class Arrivals:
    """An inbox that can be waited for. uuids: of our own commands."""

    def __init__(self, *uuids: str) -> None:
        self.events: list[ServerEvent] = []
        self.bytes = b""
        self._ours = set(uuids)
        self._news = threading.Condition()

    def ours(self, uuids: Sequence[str]) -> set[str]:
        return self._ours & set(uuids)

    def take_in(self, rows: Sequence[InboxEntry]) -> None:
        with self._news:
            self.events += [decode_event(row.body) for row in rows]
            self.bytes += b"".join(row.body for row in rows)
            self._news.notify_all()

    def wait(self, topic: Topic, uuid: str = "", *, count: int) -> list[ServerEvent]:
        """The events of that topic, and about that command, once there are so many devices among them."""

        def found() -> list[ServerEvent]:
            return [event for event in self.events if (event.topic, event.command_uuid) == (topic, uuid)]

        with self._news:
            come = self._news.wait_for(lambda: len({event.enrollment_id for event in found()}) >= count, 30)
            assert come, self.events
            return found()


@pytest.mark.parametrize("kind", KINDS)
def test_a_two_step_update_is_queued_answered_and_understood(kind: str) -> None:
    download, install = fresh(2)
    inbox, truth = Arrivals(download, install), TruthLog()
    source = WebhookSource(name="school", key=KINDS[kind].webhook_key.encode() or None)
    clock = RunningClock(start_at=MONDAY, speed=HOUR_A_SECOND)
    specs = [ipad(f"PAD-{number}", seed=number, newest_major=18) for number in range(5)]
    devices = [SimulatedDevice(spec, RELEASES[spec.platform], truth) for spec in specs]
    ids = [device.udid for device in devices]
    with ExitStack() as stack:
        receiver = stack.enter_context(serve_receiver(Receiver(inbox, [source], KitClock()), port=0))
        server = real_server(kind, "kv", stack, webhook_url=f"{receiver.url}/webhook/school")
        world = RealWorld(server.url, devices, clock, server.identities, truth)
        world.enrol()
        stack.enter_context(world)
        proxy = stack.enter_context(PushProxy(server.url, world.push, clock, truth))
        kit = KINDS[kind].adapter("school", proxy.url, API_KEY)
        assert kit.check().ok
        for action, uuid in ((InstallAction.DOWNLOAD_ONLY, download), (InstallAction.INSTALL_ASAP, install)):
            update = UpdateRequest(install_action=action, product_version="18.7.2")
            answer = kit.enqueue(encode(ScheduleOSUpdate(updates=(update,)), uuid), ids, push=True)
            assert answer.outcomes == dict.fromkeys(ids, Outcome.QUEUED)
            assert answer.pushed == frozenset(ids)
            for event in inbox.wait(Topic.CONNECT, uuid, count=len(ids)):
                result = read_result(event.fields)
                assert result.status is CommandStatus.ACKNOWLEDGED
                assert result.update_results
                assert result.update_results[0].install_action is action
            assert world.wait_until(lambda: downloads_ended(truth) == len(ids), timeout_seconds=30)
        assert world.wait_until(lambda: set(truth.versions().values()) == {"18.7.2"}, timeout_seconds=30)
        assert kit.push([*ids, "STRANGER"]).pushed == frozenset(ids)
    assert truth.second_installs() == []
    assert {event.enrollment_id for event in inbox.events} == set(ids)


def downloads_ended(truth: TruthLog) -> int:
    return sum(entry.what is What.DOWNLOAD_DONE for entry in truth)


@pytest.mark.parametrize("kind", KINDS)
def test_a_devices_secrets_stay_out_of_the_inbox(kind: str) -> None:
    inbox = Arrivals()
    source = WebhookSource(name="school", key=KINDS[kind].webhook_key.encode() or None)
    with ExitStack() as stack:
        receiver = stack.enter_context(serve_receiver(Receiver(inbox, [source], KitClock()), port=0))
        server = real_server(kind, "kv", stack, webhook_url=f"{receiver.url}/webhook/school")
        (udid,) = fresh()
        enrol(server, udid, udid[:8])
        say(server, udid, "connect", {"Status": "Idle"})
        for topic in (Topic.AUTHENTICATE, Topic.TOKEN_UPDATE, Topic.CONNECT):
            assert [event.enrollment_id for event in inbox.wait(topic, count=1)] == [udid]
    assert b"planted-unlock-token" not in inbox.bytes
    assert b64encode(b"planted-unlock-token") not in inbox.bytes


def test_a_webhook_signed_with_another_key_never_gets_in() -> None:
    inbox = Arrivals()
    receiver = Receiver(inbox, [WebhookSource(name="school", key=b"another")], KitClock())
    with (
        serve_receiver(receiver, port=0) as running,
        nanomdm(webhook_url=f"{running.url}/webhook/school", webhook_key="hook") as server,
    ):
        (udid,) = fresh()
        enrol(server, udid, udid[:8])
        pause = threading.Event()
        for _ in range(1000):
            if receiver.health()["refused"] >= 3:
                break
            pause.wait(0.02)
    assert receiver.health()["refused"] == 3
    assert inbox.events == []
    assert {note.status for note in receiver.notes} == {401}
