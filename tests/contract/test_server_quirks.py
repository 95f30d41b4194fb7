"""What NanoMDM 0.9.0 answers, alone and within NanoHUB 0.2.0, as seen: one table for the real servers and the lab's."""

import hmac
import json
import plistlib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from hashlib import sha256
from typing import Any

import pytest

from osupdate_kit.lab.devices import TOPIC
from osupdate_kit.lab.plists import write_plist
from osupdate_kit.lab.server import Response, basic_authorization
from tests.contract.subjects import API_KEY, KINDS, Device, Subject, command, fresh, part, queue

FOREIGN_KEY = (
    'pq: insert or update on table "enrollment_queue" violates foreign key constraint "enrollment_queue_id_fkey"'
)


def told(answer: Response) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(answer.body)
    return value


def error_of(answer: Response) -> str:
    return str(told(answer).get("command_error", ""))


def header(headers: Mapping[str, str], name: str) -> str:
    return next((value for key, value in headers.items() if key.lower() == name.lower()), "")


# --- The API ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("api_key", ["", "wrong"])
def test_a_wrong_key_is_refused_in_plain_text(subject: Subject, api_key: str) -> None:
    headers = subject.authorization(api_key) if api_key else {}
    answer = subject.api("PUT", "enqueue/X?nopush=1", command("X"), headers)
    assert (answer.status, answer.body) == (401, b"Unauthorized\n")
    assert header(answer.headers, "Content-Type").startswith("text/plain")
    assert header(answer.headers, "WWW-Authenticate") == f'Basic realm="{subject.kind.api.realm}"'


def test_each_kind_lets_in_its_own_user_only(subject: Subject) -> None:
    for kind in KINDS.values():
        headers = {"Authorization": basic_authorization(API_KEY, kind.api.user)}
        answer = subject.api("PUT", "enqueue/X?nopush=1", b"", headers)
        assert answer.status == (500 if kind is subject.kind else 401)


def test_each_kind_stands_at_its_own_addresses_only(subject: Subject) -> None:
    roots = {kind.api.root for kind in KINDS.values()} | {subject.kind.api.root + "v1/"}
    for root in roots - {subject.kind.api.root}:
        answer = subject.call("PUT", f"{root}enqueue/X?nopush=1", command("X"))
        assert (answer.status, answer.body) == (404, b"404 page not found\n")


def test_the_version_needs_no_key(subject: Subject) -> None:
    answer = subject.call("GET", "/version", headers={})
    assert answer.status == 200
    assert "version" in told(answer)


@pytest.mark.parametrize("target", ["queue/X", "enrollments", "enrollments/query", "migration", "nothing"])
def test_nothing_lists_enrolments_or_queues(subject: Subject, target: str) -> None:
    answer = subject.api("GET", target)
    assert (answer.status, answer.body) == (404, b"404 page not found\n")


def test_a_good_enqueue_names_no_ids(subject: Subject) -> None:
    device, (uuid,) = Device(subject), fresh()
    answer = queue(subject, [device.udid], uuid)
    assert answer.status == 200
    assert told(answer) == {"no_push": True, "command_uuid": uuid, "request_type": "OSUpdateStatus"}


def test_answers_are_dated_in_whole_seconds(subject: Subject) -> None:
    answer = queue(subject, [Device(subject).udid], *fresh())
    assert header(answer.headers, "Date").endswith(" GMT")
    assert parsedate_to_datetime(header(answer.headers, "Date")).microsecond == 0


def test_without_a_push_certificate_the_command_is_queued_all_the_same(subject: Subject) -> None:
    device, (uuid,) = Device(subject), fresh()
    answer = queue(subject, [device.udid], uuid, query="")
    assert answer.status == 500
    assert told(answer)["push_error"].startswith(f'retrieving push cert for topic "{TOPIC}": ')
    assert "command_error" not in told(answer)
    assert device.says("Idle") == uuid


def test_an_unknown_id_is_swallowed_or_refused_by_the_storage(subject: Subject) -> None:
    answer = queue(subject, fresh(), *fresh())
    assert (answer.status, error_of(answer)) == ((200, "") if subject.storage == "kv" else (500, FOREIGN_KEY))


def test_one_unknown_id_among_known_ones_spoils_the_call_on_pgsql(subject: Subject) -> None:
    device, (stranger, uuid) = Device(subject), fresh(2)
    answer = queue(subject, [device.udid, stranger], uuid)
    if subject.storage == "kv":
        assert answer.status == 200
        assert device.says("Idle") == uuid
    else:
        assert (answer.status, error_of(answer)) == (500, FOREIGN_KEY)
        assert device.says("Idle") == ""


def test_an_unknown_id_with_push_has_no_push_data(subject: Subject) -> None:
    stranger, uuid = fresh(2)
    answer = queue(subject, [stranger], uuid, query="")
    assert answer.status == 500
    if subject.storage == "kv":
        assert told(answer)["status"] == {stranger: {"push_error": "push data missing for id"}}
        assert "command_error" not in told(answer)
    else:
        assert error_of(answer) == FOREIGN_KEY


def test_the_same_uuid_again_is_refused_for_the_same_and_for_other_ids(subject: Subject) -> None:
    first, second, (uuid,) = Device(subject), Device(subject), fresh()
    first.given(uuid)
    words = {
        "kv": f"command already exists: {uuid}",
        "pgsql": 'pq: duplicate key value violates unique constraint "commands_pkey"',
    }
    for device in (first, second):
        answer = queue(subject, [device.udid], uuid)
        assert (answer.status, error_of(answer)) == (500, words[subject.storage])


def test_an_answered_uuid_is_still_known(subject: Subject) -> None:
    device, (uuid,) = Device(subject), fresh()
    device.given(uuid)
    device.says("Acknowledged", uuid)
    assert queue(subject, [device.udid], uuid).status == 500


def test_the_same_id_twice_is_handed_out_twice_and_loses_the_next_command_on_kv(subject: Subject) -> None:
    device, (uuid, following) = Device(subject), fresh(2)
    answer = queue(subject, [device.udid, device.udid], uuid)
    if subject.storage == "pgsql":
        words = 'pq: duplicate key value violates unique constraint "enrollment_queue_pkey"'
        assert (answer.status, error_of(answer)) == (500, words)
        return
    assert answer.status == 200
    device.given(following)
    handed = [device.says("Idle")]
    while handed[-1] and len(handed) < 5:
        handed.append(device.says("Acknowledged", handed[-1]))
    assert following not in handed


def test_a_binary_plist_is_taken_by_kv_only(subject: Subject) -> None:
    device, (uuid,) = Device(subject), fresh()
    words = {"CommandUUID": uuid, "Command": {"RequestType": "OSUpdateStatus"}}
    body = plistlib.dumps(words, fmt=plistlib.FMT_BINARY)
    answer = subject.api("PUT", f"enqueue/{device.udid}?nopush=1", body)
    assert answer.status == (200 if subject.storage == "kv" else 500)
    assert error_of(answer).startswith(
        "" if subject.storage == "kv" else 'pq: invalid byte sequence for encoding "UTF8"'
    )


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"x", "decoding command: parse error: plist: "),
        (plistlib.dumps({"CommandUUID": "A"}), "decoding command: invalid command"),
        (plistlib.dumps({"Command": {"RequestType": "X"}}), "decoding command: invalid command"),
        (b"", "must enqueue or push"),
    ],
    ids=["no plist", "no request type", "no UUID", "empty"],
)
def test_a_body_that_is_no_command_is_refused(subject: Subject, body: bytes, words: str) -> None:
    answer = subject.api("PUT", f"enqueue/{Device(subject).udid}?nopush=1", body)
    assert answer.status == 500
    assert error_of(answer).startswith(words)


def test_an_empty_body_with_push_is_a_push(subject: Subject) -> None:
    answer = subject.api("PUT", f"enqueue/{Device(subject).udid}")
    assert answer.status == 500
    assert set(told(answer)) == {"push_error"}


def test_an_empty_id_is_refused(subject: Subject) -> None:
    for verb, key in (("enqueue", "command_error"), ("push", "push_error")):
        answer = subject.api("PUT", f"{verb}/", command("X") if verb == "enqueue" else b"")
        assert (answer.status, told(answer)) == (500, {key: "getting enrollment ids: empty path"})


def test_a_push_without_certificate_to_known_and_unknown_gives_both_errors(subject: Subject) -> None:
    device, (stranger,) = Device(subject), fresh()
    answer = subject.api("GET", f"push/{device.udid},{stranger}")
    assert answer.status == 500
    assert told(answer)["status"] == {stranger: {"push_error": "push data missing for id"}}
    assert told(answer)["push_error"].startswith("retrieving push cert for topic")


def test_thousands_of_ids_fit_into_one_call(subject: Subject) -> None:
    answer = subject.api("PUT", f"push/{','.join(fresh(3000))}")
    assert answer.status == 500
    assert len(told(answer)["status"]) == 3000


def test_forgotten_uuids_are_queued_anew(forgetful: Subject) -> None:
    """Hole H13 of the model, tried: with delete=1 the retry of an answered command is a second one."""
    device, (uuid,) = Device(forgetful), fresh()
    device.given(uuid)
    assert queue(forgetful, [device.udid], uuid).status == 500
    assert device.says("Acknowledged", uuid) == ""
    assert queue(forgetful, [device.udid], uuid).status == 200
    assert device.says("Idle") == uuid


def test_a_not_now_is_not_forgotten(forgetful: Subject) -> None:
    device, (uuid,) = Device(forgetful), fresh()
    device.given(uuid)
    assert device.says("NotNow", uuid) == ""
    assert queue(forgetful, [device.udid], uuid).status == 500
    assert device.says("Idle") == uuid


def test_a_uuid_shared_by_two_is_known_until_both_have_answered(forgetful: Subject) -> None:
    first, second, (uuid,) = Device(forgetful), Device(forgetful), fresh()
    assert queue(forgetful, [first.udid, second.udid], uuid).status == 200
    first.says("Acknowledged", uuid)
    assert queue(forgetful, [first.udid], uuid).status == 500
    second.says("Acknowledged", uuid)
    assert queue(forgetful, [first.udid], uuid).status == 200


# --- The queue --------------------------------------------------------------------------------------------------------


def test_an_unanswered_command_is_handed_out_again_and_blocks_the_next(subject: Subject) -> None:
    device, (first, second) = Device(subject), fresh(2)
    device.given(first, second)
    assert [device.says("Idle"), device.says("Idle")] == [first, first]
    assert device.says("Acknowledged", first) == second


def test_not_now_is_skipped_for_the_session_and_offered_again_oldest_first(subject: Subject) -> None:
    device, (c1, c2, c3) = Device(subject), fresh(3)
    device.given(c1, c2, c3)
    handed = [device.says("Idle"), device.says("NotNow", c1), device.says("NotNow", c2), device.says("NotNow", c3)]
    assert handed == [c1, c2, c3, ""]
    assert [device.says("Idle"), device.says("Acknowledged", c2)] == [c1, c1]


@pytest.mark.parametrize("status", ["Error", "CommandFormatError", "Acknowledged"])
def test_every_answer_but_not_now_ends_a_command(subject: Subject, status: str) -> None:
    device, (uuid,) = Device(subject), fresh()
    device.given(uuid)
    assert [device.says(status, uuid), device.says("Idle")] == ["", ""]


def test_not_now_after_acknowledged_brings_the_command_back_on_pgsql(subject: Subject) -> None:
    device, (uuid,) = Device(subject), fresh()
    device.given(uuid)
    device.says("Acknowledged", uuid)
    device.says("NotNow", uuid)
    assert device.says("Idle") == (uuid if subject.storage == "pgsql" else "")


def test_a_report_for_an_unknown_command_is_refused_on_pgsql_and_empties_the_queue_on_kv(subject: Subject) -> None:
    device, (uuid, stranger) = Device(subject), fresh(2)
    device.given(uuid)
    assert device.says("Acknowledged", stranger) == ("500" if subject.storage == "pgsql" else "")
    assert device.says("Idle") == (uuid if subject.storage == "pgsql" else "")


def test_a_repeated_report_empties_the_queue_on_kv(subject: Subject) -> None:
    device, (first, second) = Device(subject), fresh(2)
    device.given(first, second)
    assert device.says("Acknowledged", first) == second
    assert device.says("Acknowledged", first) == (second if subject.storage == "pgsql" else "")


def test_authenticate_clears_the_queue(subject: Subject) -> None:
    device, (before, between) = Device(subject), fresh(2)
    device.given(before)
    device.authenticate()
    device.given(between)
    device.token_update()
    assert device.says("Idle") == between


def test_what_was_queued_before_the_first_enrolment_is_never_delivered(subject: Subject) -> None:
    device = Device(subject, enrolled=False)
    queue(subject, [device.udid], *fresh())
    device.authenticate()
    device.token_update()
    assert device.says("Idle") == ""


def test_a_first_enrolment_is_known_from_its_token_update_on(subject: Subject) -> None:
    device, (uuid,) = Device(subject, enrolled=False), fresh()
    device.authenticate()
    assert queue(subject, [device.udid], uuid).status == (200 if subject.storage == "kv" else 500)


def test_check_out_keeps_the_queue_and_the_push_data(subject: Subject) -> None:
    device, (before, after) = Device(subject), fresh(2)
    device.given(before)
    assert device.checkin({"MessageType": "CheckOut"}).status == 200
    device.given(after)
    assert [device.says("Idle"), device.says("Acknowledged", before)] == [before, after]
    assert set(told(subject.api("PUT", f"push/{device.udid}"))) == {"push_error"}


# --- Devices and the webhook ------------------------------------------------------------------------------------------


def test_strangers_are_turned_away_without_an_event(subject: Subject) -> None:
    assert Device(subject, enrolled=False).says("Idle") == "500"
    device = Device(subject)
    device.identity = fresh()[0]
    assert device.says("Idle") == "500"
    device.identity = device.udid
    assert device.says("Idle") == ""
    assert len(subject.events(device.udid, 3)) == 3


@pytest.mark.parametrize(("kind", "body"), [("connect", b"junk"), ("checkin", b"junk"), ("checkin", b"nonsense")])
def test_messages_that_cannot_be_read_are_a_bad_request(subject: Subject, kind: str, body: bytes) -> None:
    device = Device(subject)
    if body == b"nonsense":
        body = write_plist({"UDID": device.udid, "MessageType": "Nonsense"})
    assert subject.mdm(kind, body, device.udid).status == 400


def test_a_certificate_belongs_to_one_device(subject: Subject) -> None:
    first, second = Device(subject), Device(subject, enrolled=False)
    second.identity = first.identity
    assert second.authenticate().status == 500


def test_events_are_dated_carry_the_whole_body_and_are_signed_by_who_can(subject: Subject) -> None:
    device, (uuid,) = Device(subject), fresh()
    device.given(uuid)
    device.says("Idle")
    device.says("Acknowledged", uuid)
    events = subject.events(device.udid, 4)
    key = subject.kind.webhook_key.encode()
    for event, body, headers in events:
        assert header(headers, "Content-Type") == "application/json; charset=utf-8"
        signature = b64encode(hmac.digest(key, body, sha256)).decode()
        assert header(headers, "X-Hmac-Signature") == (signature if key else "")
        told = part(event)
        assert told["udid"] == device.udid
        assert told["ids"] == {"id": device.udid, "type": "Device"}
        assert plistlib.loads(b64decode(told["raw_payload"]))["UDID"] == device.udid
        assert event["created_at"].endswith("Z")
        assert ("event_id" in event) is subject.kind.api.numbers_events
    words = {(event["topic"], part(event).get("status", "")): part(event) for event, _, _ in events}
    assert set(words) == {
        ("mdm.Authenticate", ""), ("mdm.TokenUpdate", ""), ("mdm.Connect", "Idle"), ("mdm.Connect", "Acknowledged"),
    }  # fmt: skip
    assert words["mdm.TokenUpdate", ""]["token_update_tally"] == 1
    assert "command_uuid" not in words["mdm.Connect", "Idle"]
    assert words["mdm.Connect", "Acknowledged"]["command_uuid"] == uuid


def test_the_same_report_twice_is_two_events(subject: Subject) -> None:
    device, (uuid,) = Device(subject), fresh()
    device.given(uuid)
    device.says("Acknowledged", uuid)
    device.says("Acknowledged", uuid)
    events = [event for event, _, _ in subject.events(device.udid, 4) if event["topic"] == "mdm.Connect"]
    assert len({event.get("event_id", event["created_at"]) for event in events}) == 2
    assert len({part(event)["raw_payload"] for event in events}) == 1


def test_a_refused_report_is_an_event_all_the_same(subject: Subject) -> None:
    device, (stranger,) = Device(subject), fresh()
    device.says("Acknowledged", stranger)
    assert stranger in [part(event).get("command_uuid") for event, _, _ in subject.events(device.udid, 3)]


def test_a_user_channel_has_an_id_of_its_own(subject: Subject) -> None:
    device, (user, uuid) = Device(subject), fresh(2)
    token = {"Token": user.encode(), "PushMagic": "magic", "UserID": user, "UserShortName": "a", "UserLongName": "A"}
    assert device.checkin({"MessageType": "TokenUpdate", **token}).status == 200
    own = f"{device.udid}:{user}"
    assert queue(subject, [own], uuid).status == 200
    ids = part(subject.events(own, 1)[0][0])["ids"]
    assert ids == {"id": own, "parent_id": device.udid, "type": "User"}
    assert device.says("Idle") == ""


def test_without_a_server_of_declarations_a_device_is_refused_and_the_webhook_told(subject: Subject) -> None:
    device = Device(subject)
    answer = device.checkin({"MessageType": "DeclarativeManagement", "Endpoint": "tokens"})
    has_its_own = subject.kind.api.root != KINDS["nanomdm"].api.root
    assert answer.status == (200 if has_its_own else 500)
    topics = [event["topic"] for event, _, _ in subject.events(device.udid, 3)]
    assert sorted(topics) == ["mdm.Authenticate", "mdm.DeclarativeManagement", "mdm.TokenUpdate"]
