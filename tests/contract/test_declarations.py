"""One contract for every server of declarations: what our adapter says of it is what its devices are given."""

import json
import plistlib
from datetime import datetime

import pytest

from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.protocol.commands import DeclarativeManagement
from osupdate_kit.protocol.commands import encode as command
from osupdate_kit.protocol.declarations import (
    ActivationSimple,
    SoftwareUpdateSettings,
    StatusSubscriptions,
    decode,
    encode,
)
from osupdate_kit.protocol.status import read_status_fields
from osupdate_kit.protocol.terms import InstallState, Platform
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.assignments import GIVE, TAKE
from osupdate_kit.rollout.enforcement import Declaring as Policy
from osupdate_kit.rollout.enforcement import enforcement_text, said_again, set_name_of, take_back_text
from osupdate_kit.rollout.journey import OutboxKind, OutboxRow
from osupdate_kit.rollout.ports import DeclarationServer, Outcome, Topic
from osupdate_kit.rollout.targets import Target
from osupdate_kit.servers.events import read_event
from osupdate_kit.service.declaring import Declarer
from tests.contract.declaring import DeclaredDevice, Declaring, enforcement, put_into
from tests.contract.subjects import fresh

WHEN = datetime(2027, 1, 8, 19)
Q, R, N = Outcome.QUEUED, Outcome.REFUSED, Outcome.UNTAKEN
BROKEN = {
    "identifier": "x", "active": True, "valid": "invalid", "server-token": "t",
    "reasons": [{"code": "Error.ConfigurationCannotBeApplied", "description": "d", "details": {"Error": "older"}}],
}  # fmt: skip


def state(word: str) -> dict[str, object]:
    return {"softwareupdate": {"install-state": word}}


def test_a_declaration_is_stored_once_and_read_back_as_it_was(declaring: Declaring) -> None:
    kit: DeclarationServer = declaring.adapter()
    body = encode(enforcement(), "stored")
    first, again = kit.put(body), kit.put(body)
    assert (first.outcome, first.changed, again.outcome, again.changed) == (Q, True, Q, False)
    assert first.server_at > 1_600_000_000_000_000
    found = kit.get("stored")
    assert decode(found.body) == ("stored", enforcement())
    assert (found.type.rpartition(".")[2], found.trouble) == ("specific", "")
    assert found.server_token
    assert "stored" in kit.declarations().names
    other = kit.put(encode(enforcement("26.2"), "stored"))
    assert other.changed
    assert kit.get("stored").server_token != found.server_token


def test_what_is_not_there_is_no_trouble(declaring: Declaring) -> None:
    kit, (nobody,) = declaring.adapter(), fresh()
    found = kit.get("never")
    assert (found.body, found.trouble) == (b"", "")
    assert kit.contents("never").names == kit.sets_of(nobody).names == kit.given(nobody).names == frozenset()
    assert kit.contents("never").trouble == kit.sets_of(nobody).trouble == kit.given(nobody).trouble == ""
    gone = kit.delete("never")
    assert (gone.outcome, gone.changed) == (Q, False)
    assert kit.declaration_status([nobody]).of == {}
    answer = kit.reports({nobody: ""})[nobody]
    assert (answer.reports, answer.whole, answer.trouble, answer.mark) == ((), True, "", "")
    assert kit.withdraw("never", [nobody]).outcomes == {nobody: Q}


def test_a_set_reaches_those_to_whom_it_is_given_and_nobody_else(declaring: Declaring) -> None:
    kit, mine, other = declaring.adapter(), DeclaredDevice(declaring.subject), DeclaredDevice(declaring.subject)
    update, active = put_into(declaring, kit, "reaches")
    answer = kit.assign("reaches", [mine.udid, mine.udid])
    assert (answer.outcomes, answer.reasons) == ({mine.udid: Q}, {})
    assert answer.server_at > 1_600_000_000_000_000
    assert mine.items() == {"Activations": [active], "Configurations": [update]}
    assert other.items() == {}
    assert kit.given(mine.udid).names == {update, active}
    assert kit.sets_of(mine.udid).names == {"reaches"}
    assert kit.contents("reaches").names == {update, active}
    told = json.loads(mine.asks(f"declaration/configuration/{update}").body)
    assert told["Payload"] == {"TargetOSVersion": "26.1", "TargetLocalDateTime": "2026-11-27T19:00:00"}
    assert other.asks(f"declaration/configuration/{update}").status != 200
    assert kit.assign("reaches", [mine.udid]).outcomes == {mine.udid: Q}


def test_what_is_withdrawn_is_given_no_more(declaring: Declaring) -> None:
    kit, device = declaring.adapter(), DeclaredDevice(declaring.subject)
    update, active = put_into(declaring, kit, "withdrawn")
    kit.assign("withdrawn", [device.udid])
    assert kit.withdraw("withdrawn", [device.udid]).outcomes == {device.udid: Q}
    assert device.items() == {}
    assert kit.withdraw("withdrawn", [device.udid]).outcomes == {device.udid: Q}
    held = kit.delete(update)
    assert (held.outcome, held.changed) == (R, False)
    assert "referenced" in held.reason
    assert kit.empty("withdrawn", [active, update]).changed
    assert kit.delete(update).changed
    assert kit.delete(active).changed
    assert not kit.empty("withdrawn", [active, update]).changed


def test_what_is_said_once_more_is_so_at_last_whatever_stood_there(declaring: Declaring) -> None:
    kit, device, key = declaring.adapter(), DeclaredDevice(declaring.subject), DeviceKey("here", "A")
    words = enforcement_text(
        7, Policy(), Target(version=OSVersion.parse("26.6")), WHEN, Platform.IPADOS, OSVersion.parse("26.1")
    )
    mine, late = set_name_of(words), "said-late"
    for name in (mine, late):
        put_into(declaring, kit, name)
        kit.assign(name, [device.udid])
    for role, text, left in ((GIVE, words, {mine}), (TAKE, take_back_text(mine), set())):
        row = OutboxRow(
            key=key, rollout=7, kind=OutboxKind.ASSIGNMENT, role=role, command=said_again(text, [late, "never"])
        )
        for _ in range(2):
            assert Declarer(kit).carry_out(row, [device.udid]).outcomes == {device.udid: Q}
            assert kit.sets_of(device.udid).names == left
        kit.assign(late, [device.udid])


def test_a_thousand_devices_are_given_a_set_over_few_connections(declaring: Declaring) -> None:
    kit, ids = declaring.adapter(), fresh(1_000)
    put_into(declaring, kit, "thousand")
    assert kit.assign("thousand", ids).outcomes == dict.fromkeys(ids, Q)
    assert all(kit.sets_of(one).names == {"thousand"} for one in ids[::250])
    assert kit.withdraw("thousand", ids).outcomes == dict.fromkeys(ids, Q)
    assert kit.sets_of(ids[-1]).names == frozenset()


def test_nothing_that_the_kit_does_queues_or_wakes_and_the_command_of_its_own_does(declaring: Declaring) -> None:
    kit, device, (uuid,) = declaring.adapter(), DeclaredDevice(declaring.subject), fresh()
    update, active = put_into(declaring, kit, "quiet")
    kit.assign("quiet", [device.udid])
    kit.put(encode(enforcement("26.3"), update))
    kit.empty("quiet", [active])
    kit.withdraw("quiet", [device.udid])
    assert device.says("Idle") == ""
    commands = declaring.subject.adapter()
    assert commands.enqueue(command(DeclarativeManagement(), uuid), [device.udid], push=False).outcomes == {
        device.udid: Q
    }
    assert [device.says("Idle"), device.says("Acknowledged", uuid)] == [uuid, ""]


def test_reports_are_read_once_and_the_mark_remembers_how_far(declaring: Declaring) -> None:
    kit, device = declaring.adapter(), DeclaredDevice(declaring.subject)
    device.reports(state("none"), full=True)
    for word in ("waiting", "downloading"):
        device.reports(state(word))
    first = kit.reports({device.udid: ""})[device.udid]
    words = [one.report.install_state for one in first.reports if one.report]
    assert words == [InstallState.NONE, InstallState.WAITING, InstallState.DOWNLOADING]
    assert first.whole
    assert all(one.received_at > 1_600_000_000_000_000 for one in first.reports)
    nothing = kit.reports({device.udid: first.mark})[device.udid]
    assert (nothing.reports, nothing.mark, nothing.whole) == ((), first.mark, True)
    device.reports(state("prepared"))
    news = kit.reports({device.udid: first.mark})[device.udid]
    assert [one.report.install_state for one in news.reports if one.report] == [InstallState.PREPARED]
    assert news.mark != first.mark


def test_the_walk_ends_at_a_full_report_and_at_its_bound(declaring: Declaring) -> None:
    kit, device = declaring.adapter(), DeclaredDevice(declaring.subject)
    for number in range(6):
        device.reports(state("waiting" if number % 2 else "failed"), full=number == 3)
    all_of_them = kit.reports({device.udid: ""})[device.udid]
    assert [one.report.full_report for one in all_of_them.reports if one.report] == [True, False, False]
    assert all_of_them.whole
    few = kit.reports({device.udid: ""}, most=2)[device.udid]
    assert (len(few.reports), few.whole, few.mark) == (2, False, all_of_them.mark)


def test_what_devices_say_of_declarations_comes_for_many_at_once(declaring: Declaring) -> None:
    kit, device, (nobody,) = declaring.adapter(), DeclaredDevice(declaring.subject), fresh()
    device.reports({"management": {"declarations": {"configurations": [BROKEN]}}})
    found = kit.declaration_status([device.udid, nobody, "no,id"])
    assert set(found.of) == {device.udid}
    assert set(found.troubles) == {"no,id"}
    (one,) = found.of[device.udid]
    assert (one.status.identifier, one.status.active, one.status.valid) == ("x", True, "invalid")
    assert one.status.broken
    assert one.status.reasons[0] == ("Error.ConfigurationCannotBeApplied", "d", "older")
    assert (one.current, one.received_at > 1_600_000_000_000_000) == (False, True)


def test_every_check_in_of_a_device_comes_by_the_webhook(declaring: Declaring) -> None:
    kit, device = declaring.adapter(), DeclaredDevice(declaring.subject)
    update, active = put_into(declaring, kit, "webhook")
    kit.assign("webhook", [device.udid])
    for endpoint in ("tokens", "declaration-items", f"declaration/configuration/{update}"):
        assert device.asks(endpoint).status == 200
    device.reports(state("installing"), full=True)
    events = [read_event(body, ours=set()) for _, body, _ in declaring.subject.events(device.udid, 6)]
    told = [event for event in events if event.topic is Topic.DECLARATIVE_MANAGEMENT]
    assert {event.endpoint for event in told} == {
        "tokens", "declaration-items", f"declaration/configuration/{update}", "status",
    }  # fmt: skip
    (report,) = [event for event in told if event.fields]
    assert (report.enrollment_id, report.endpoint) == (device.udid, "status")
    assert read_status_fields(report.fields).install_state is InstallState.INSTALLING
    assert active in kit.given(device.udid).names


def test_a_wrong_key_changes_nothing_and_tells_so(declaring: Declaring) -> None:
    wrong, device = declaring.adapter("wrong"), DeclaredDevice(declaring.subject)
    why = "it does not accept the API key"
    put = wrong.put(encode(enforcement(), "wrong-key"))
    assert (put.outcome, put.reason) == (N, why)
    assert wrong.get("wrong-key").trouble == wrong.declarations().trouble == why
    answer = wrong.assign("any", [device.udid, *fresh(50)])
    assert set(answer.outcomes.values()) == {N}
    assert set(answer.reasons.values()) == {why}
    report = wrong.reports({device.udid: "mark"})[device.udid]
    assert (report.mark, report.whole, report.trouble) == ("mark", False, why)
    assert "wrong-key" not in declaring.adapter().declarations().names


def test_the_check_knows_a_good_key_and_a_wrong_one(declaring: Declaring) -> None:
    assert declaring.adapter().check().ok
    found = declaring.adapter("wrong").check()
    assert not found.ok
    assert "API key" in found.message
    assert declaring.dialect.key_flag in found.remedy


@pytest.mark.parametrize("name", ["w1.b", "a/b", "ü", "", "x" * 65])
def test_names_that_do_harm_are_refused_before_they_are_sent(declaring: Declaring, name: str) -> None:
    kit, (one,) = declaring.adapter(), fresh()
    assert kit.fill(name, ["any"]).outcome is R
    assert kit.fill("any", [name]).outcome is R
    assert kit.empty(name, ["any"]).outcome is R
    assert kit.assign(name, [one]).outcomes == kit.withdraw(name, [one]).outcomes == {one: R}
    assert kit.delete(name).outcome is R
    body = {"Type": "com.apple.activation.simple", "Identifier": name, "Payload": {"StandardConfigurations": []}}
    assert kit.put(json.dumps(body).encode()).outcome is R


def test_a_set_is_filled_in_order_and_ends_at_what_is_not_taken(declaring: Declaring) -> None:
    kit = declaring.adapter()
    kit.put(encode(enforcement(), "in-order"))
    found = kit.fill("order", ["in-order", "missing", "in-order"])
    assert (found.outcome, found.changed) == (R, True)
    assert found.reason.startswith("missing: ")
    assert kit.contents("order").names == {"in-order"}


@pytest.mark.parametrize(
    "content",
    [
        SoftwareUpdateSettings(notifications=True),
        StatusSubscriptions(items=("softwareupdate.install-state",)),
        ActivationSimple(configurations=("a", "b"), predicate="TRUEPREDICATE"),
    ],
)
def test_every_declaration_of_the_kit_is_taken_and_unchanged_the_second_time(
    declaring: Declaring, content: SoftwareUpdateSettings | StatusSubscriptions | ActivationSimple
) -> None:
    kit, name = declaring.adapter(), type(content).__name__
    assert kit.put(encode(content, name)).changed
    assert not kit.put(encode(content, name)).changed
    assert decode(kit.get(name).body) == (name, content)


def test_a_device_answers_the_command_as_any_other(declaring: Declaring) -> None:
    device, (uuid,) = DeclaredDevice(declaring.subject), fresh()
    body = command(DeclarativeManagement(), uuid)
    assert plistlib.loads(body)["Command"] == {"RequestType": "DeclarativeManagement"}
    declaring.subject.adapter().enqueue(body, [device.udid], push=False)
    device.says("Idle")
    device.says("Error", uuid)
    events = [read_event(body, ours={uuid}) for _, body, _ in declaring.subject.events(device.udid, 4)]
    assert [event.status for event in events if event.command_uuid == uuid] == ["Error"]
