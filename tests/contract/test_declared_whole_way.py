"""A declaration's whole way: adapter → real server → device → status report → webhook and server → our readers."""

from collections.abc import Iterable
from contextlib import ExitStack
from datetime import UTC, datetime

import pytest

from osupdate_kit.lab.clock import SECOND, RunningClock
from osupdate_kit.lab.devices import SimulatedDevice
from osupdate_kit.lab.real import PushProxy, RealWorld
from osupdate_kit.lab.truth import TruthLog, What
from osupdate_kit.protocol.commands import DeclarativeManagement
from osupdate_kit.protocol.commands import encode as command
from osupdate_kit.protocol.declarations import (
    ActivationSimple,
    EnforcementSpecific,
    StatusSubscriptions,
    deadline_local,
    encode,
)
from osupdate_kit.protocol.rules import status_items
from osupdate_kit.protocol.status import StatusReport, read_status_fields
from osupdate_kit.protocol.terms import CommandStatus, Platform
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.ports import DeclarationServer, Outcome, ServerEvent, Topic
from osupdate_kit.servers.ddm import KMFDDM, NANOHUB, Declarations
from osupdate_kit.service.clock import KitClock
from osupdate_kit.service.receiver import Receiver, WebhookSource, serve_receiver
from tests.contract.subjects import API_KEY, KINDS, fresh
from tests.contract.test_whole_way import Arrivals
from tests.lab.worlds import MONDAY, RELEASES, ipad, mac
from tests.real import kmfddm, nanohub

pytestmark = pytest.mark.real_server
HOURS_A_SECOND = 12 * 3600.0


@pytest.mark.parametrize("kind", ["nanohub", "kmfddm"])
def test_an_update_is_declared_enforced_reported_and_withdrawn(kind: str) -> None:
    sync, again = fresh(2)
    inbox, truth = Arrivals(sync, again), TruthLog()
    mdm = KINDS["nanohub" if kind == "nanohub" else "nanomdm"]
    clock = RunningClock(start_at=MONDAY, speed=HOURS_A_SECOND)
    specs = [ipad(f"PAD-{number}", seed=number, newest_major=18) for number in range(4)]
    specs += [mac("MAC-1", seed=8), ipad("OLD", version="14.8", seed=9)]
    devices = [SimulatedDevice(spec, RELEASES[spec.platform], truth) for spec in specs]
    pads = [spec.udid for spec in specs[:4]]
    with ExitStack() as stack:
        source = WebhookSource(name="school", key=mdm.webhook_key.encode() or None)
        receiver = stack.enter_context(serve_receiver(Receiver(inbox, [source], KitClock()), port=0))
        webhook = f"{receiver.url}/webhook/school"
        if kind == "nanohub":
            server = stack.enter_context(nanohub(webhook_url=webhook, api_key=API_KEY))
            dialect, where, key = NANOHUB, server.url, API_KEY
        else:
            both = stack.enter_context(
                kmfddm(webhook_url=webhook, webhook_key=mdm.webhook_key, api_key=API_KEY, declarations_key="ddm-key")
            )
            server, dialect, where, key = both.nanomdm, KMFDDM, both.url, both.api_key
        world = RealWorld(server.url, devices, clock, server.identities, truth)
        world.enrol()
        stack.enter_context(world)
        proxy = stack.enter_context(PushProxy(server.url, world.push, clock, truth))
        beside = stack.enter_context(PushProxy(where, world.push, clock, truth))
        commands = mdm.adapter("school", proxy.url, API_KEY)
        kit: DeclarationServer = Declarations("school", dialect, beside.url, key)
        assert kit.check().ok

        due = deadline_local(datetime.fromtimestamp(clock.now() / SECOND, UTC), 2)
        wanted = EnforcementSpecific(target_os_version=OSVersion.parse("18.7.2"), target_local_date_time=due)
        items = StatusSubscriptions(items=status_items(Platform.IPADOS, OSVersion.parse("18.6.2")))
        active = ActivationSimple(configurations=("r1-18-7-2", "kit-status"))
        for name, content in (("r1-18-7-2", wanted), ("kit-status", items), ("r1-active", active)):
            assert kit.put(encode(content, name)).changed
        assert kit.fill("r1-18-7-2", ["r1-18-7-2", "kit-status", "r1-active"]).changed
        assert kit.assign("r1-18-7-2", [*pads, "OLD"]).outcomes == dict.fromkeys([*pads, "OLD"], Outcome.QUEUED)
        answer = commands.enqueue(command(DeclarativeManagement(), sync), [*pads, "OLD"], push=True)
        assert answer.pushed == {*pads, "OLD"}
        replies = {event.enrollment_id: event.status for event in inbox.wait(Topic.CONNECT, sync, count=5)}
        assert replies == dict.fromkeys(pads, CommandStatus.ACKNOWLEDGED) | {"OLD": CommandStatus.ERROR}
        assert world.wait_until(lambda: [truth.version(pad) for pad in pads] == ["18.7.2"] * 4, timeout_seconds=60)
        assert world.wait_until(lambda: not _declared(truth), timeout_seconds=60)

        assert kit.withdraw("r1-18-7-2", [*pads, "OLD"]).outcomes["OLD"] is Outcome.QUEUED
        commands.enqueue(command(DeclarativeManagement(), again), pads, push=True)
        inbox.wait(Topic.CONNECT, again, count=4)
        assert world.wait_until(lambda: all(_holds_nothing(kit, pad) for pad in pads), timeout_seconds=60)
        world.stop()
        by_server = {pad: _fold(one.report for one in kit.reports({pad: ""}, most=200)[pad].reports) for pad in pads}
    for pad in pads:
        (installed,) = truth.installs(pad)
        assert (installed.version, installed.instrument, installed.origin) == ("18.7.2", "declaration", "r1-18-7-2")
        assert str(by_server[pad].os_version) == "18.7.2"
        told = sorted((e for e in inbox.events if (e.enrollment_id, e.endpoint) == (pad, "status")), key=_stamp)
        by_webhook = _fold(read_status_fields(event.fields) for event in told)
        assert (by_webhook.os_version, by_webhook.install_state) == (
            by_server[pad].os_version, by_server[pad].install_state,
        )  # fmt: skip
    assert [truth.version(one) for one in ("MAC-1", "OLD")] == ["15.6.1", "14.8"]
    assert truth.fights() == []
    assert not [secret for device in devices for secret in device.secrets() if secret in inbox.bytes]
    assert len(truth.of("PAD-0", What.ASSIGNED, What.UNASSIGNED)) == 2


def _declared(truth: TruthLog) -> set[str]:
    """Who is under an enforcement now."""
    entries = [entry for entry in truth if entry.what in (What.DECLARED, What.UNDECLARED)]
    return {entry.udid for entry in {entry.udid: entry for entry in entries}.values() if entry.what is What.DECLARED}


def _holds_nothing(kit: DeclarationServer, udid: str) -> bool:
    (newest,) = kit.reports({udid: ""}, most=1)[udid].reports
    return newest.report is not None and newest.report.declarations == {}


def _fold(reports: Iterable[StatusReport | None]) -> StatusReport:
    state = StatusReport()
    for report in reports:
        assert report
        state = report.over(state)
    return state


def _stamp(event: ServerEvent) -> int:
    return event.created_at
