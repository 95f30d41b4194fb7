"""What our adapters make of a server's answers is what its devices see: of every kind, the lab's and the real."""

import pytest

from osupdate_kit.rollout.ports import CommandServer, Outcome, Topic
from osupdate_kit.servers.events import read_event
from tests.contract.subjects import KINDS, Device, Kind, Subject, command, fresh

Q, R, N = Outcome.QUEUED, Outcome.REFUSED, Outcome.UNTAKEN


def test_what_is_called_queued_is_handed_out_once(subject: Subject) -> None:
    kit: CommandServer = subject.adapter()
    first, second, (uuid,) = Device(subject), Device(subject), fresh()
    found = kit.enqueue(command(uuid), [first.udid, second.udid, first.udid], push=False)
    assert found.outcomes == {first.udid: Q, second.udid: Q}
    assert (found.pushed, found.reasons) == (frozenset(), {})
    assert found.server_at > 1_600_000_000_000_000
    for device in (first, second):
        assert [device.says("Idle"), device.says("Acknowledged", uuid)] == [uuid, ""]


def test_the_same_id_twice_in_one_call_harms_no_following_command(subject: Subject) -> None:
    kit, device, (uuid, following) = subject.adapter(), Device(subject), fresh(2)
    assert kit.enqueue(command(uuid), [device.udid, device.udid], push=False).outcomes == {device.udid: Q}
    assert kit.enqueue(command(following), [device.udid], push=False).outcomes == {device.udid: Q}
    assert [device.says("Idle"), device.says("Acknowledged", uuid)] == [uuid, following]


def test_the_same_uuid_again_proves_that_it_was_queued_and_queues_nothing(subject: Subject) -> None:
    kit, device, (uuid,) = subject.adapter(), Device(subject), fresh()
    for push in (False, False, True):
        assert kit.enqueue(command(uuid), [device.udid], push=push).outcomes == {device.udid: Q}
    assert [device.says("Idle"), device.says("Acknowledged", uuid)] == [uuid, ""]
    assert kit.enqueue(command(uuid), [device.udid], push=False).outcomes == {device.udid: Q}
    assert device.says("Idle") == ""


def test_an_unknown_id_spoils_the_call_separably_or_is_swallowed(subject: Subject) -> None:
    kit, device, (stranger, uuid) = subject.adapter(), Device(subject), fresh(2)
    mixed = kit.enqueue(command(uuid), [device.udid, stranger], push=False)
    refused = subject.storage == "pgsql"
    assert set(mixed.outcomes.values()) == {R if refused else Q}
    assert mixed.separable is refused
    assert device.says("Idle") == ("" if refused else uuid)
    alone = kit.enqueue(command(fresh()[0]), [stranger], push=False)
    assert (alone.outcomes, alone.separable) == ({stranger: R if refused else Q}, False)


def test_a_push_that_fails_leaves_the_command_queued_and_says_why(subject: Subject) -> None:
    kit, device, (uuid,) = subject.adapter(), Device(subject), fresh()
    found = kit.enqueue(command(uuid), [device.udid], push=True)
    assert (found.outcomes, found.pushed) == ({device.udid: Q}, frozenset())
    assert found.reasons[device.udid].startswith("retrieving push cert")
    assert device.says("Idle") == uuid


def test_pushes_name_everybody_who_was_not_woken(subject: Subject) -> None:
    device, (stranger,) = Device(subject), fresh()
    found = subject.adapter().push([device.udid, stranger])
    assert found.pushed == frozenset()
    assert found.reasons[device.udid].startswith("retrieving push cert")
    assert found.reasons[stranger] == "push data missing for id"
    assert found.server_at > 1_600_000_000_000_000


def test_a_wrong_key_queues_nothing(subject: Subject) -> None:
    kit, device, (uuid,) = subject.adapter(api_key="wrong"), Device(subject), fresh()
    assert kit.enqueue(command(uuid), [device.udid], push=True).outcomes == {device.udid: N}
    assert kit.push([device.udid]).reasons == {device.udid: "it does not accept the API key"}
    assert device.says("Idle") == ""


def test_thousands_of_ids_fit_into_one_call_and_too_many_are_separable(subject: Subject) -> None:
    kit = subject.adapter()
    many = kit.enqueue(command(fresh()[0]), fresh(20_000), push=False)
    assert set(many.outcomes.values()) == {R if subject.storage == "pgsql" else Q}
    too_many = kit.enqueue(command(fresh()[0]), fresh(30_000), push=False)
    assert set(too_many.outcomes.values()) == {R}
    assert too_many.separable


def test_the_check_knows_a_good_key_a_wrong_one_and_another_address(subject: Subject) -> None:
    assert subject.adapter().check().ok
    assert "API key" in subject.adapter(api_key="wrong").check().message
    found = subject.adapter(path="/elsewhere").check()
    assert f"no {subject.kind.adapter.dialect.name}" in found.message
    assert subject.kind.adapter.dialect.enqueue in found.remedy


@pytest.mark.parametrize("other", KINDS.values(), ids=KINDS)
def test_the_check_names_the_kind_that_stands_there_instead(subject: Subject, other: Kind) -> None:
    found = subject.adapter(other.adapter).check()
    assert found.ok is (other is subject.kind)
    if not found.ok:
        own = subject.kind.adapter.dialect
        assert f"is a {own.name}, no {other.adapter.dialect.name}" in found.message
        assert f'kind = "{own.kind}"' in found.remedy


def test_an_adapter_of_another_kind_queues_nothing(subject: Subject) -> None:
    device, (uuid,) = Device(subject), fresh()
    for kind in KINDS.values():
        if kind is not subject.kind:
            found = subject.adapter(kind.adapter).enqueue(command(uuid), [device.udid], push=True)
            assert (found.outcomes, found.separable) == ({device.udid: N}, False)
            assert found.reasons == {device.udid: "there is no such API at this address"}
    assert device.says("Idle") == ""


def test_our_reader_understands_the_webhook(subject: Subject) -> None:
    device, (uuid,) = Device(subject), fresh()
    device.given(uuid)
    device.says("Idle")
    device.says("Acknowledged", uuid)
    device.checkin({"MessageType": "CheckOut"})
    events = [read_event(body, ours={uuid}) for _, body, _ in subject.events(device.udid, 5)]
    assert {(event.topic, event.status, event.command_uuid) for event in events} == {
        (Topic.AUTHENTICATE, "", ""), (Topic.TOKEN_UPDATE, "", ""), (Topic.CONNECT, "Idle", ""),
        (Topic.CONNECT, "Acknowledged", uuid), (Topic.CHECK_OUT, "", ""),
    }  # fmt: skip
    assert {(event.enrollment_id, event.udid, event.enrollment_type) for event in events} == {
        (device.udid, device.udid, "Device")
    }
    serials = [event.fields["SerialNumber"] for event in events if event.topic is Topic.AUTHENTICATE]
    assert serials == [device.udid[:12]]
    assert all(abs(event.created_at - events[0].created_at) < 60_000_000 for event in events)
