"""The webhook's format: signature, redaction by allow-list, and no bytes that raise anything but our own error."""

import hmac
import json
import plistlib
from base64 import b64encode
from contextlib import suppress
from datetime import datetime
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from msgspec.structs import replace

from osupdate_kit.errors import ProtocolError, WebhookError
from osupdate_kit.protocol.commands import DEFAULT_QUERIES
from osupdate_kit.protocol.status import read_status_fields
from osupdate_kit.rollout.ports import ServerEvent, Topic
from osupdate_kit.servers.events import decode_event, encode_event, parse_event, read_event
from osupdate_kit.servers.nanomdm import signature_ok
from tests.paths import SHARED

UDID = "8212E022-4D53-4437-9053-F676225F181D"
UUID = "C1D2548D-27FD-4B13-9C6F-713BE5742E6F"
SECRET = "planted-secret-5e1f"
SECRET_DATA = b"planted-secret-data-77"


def webhook(topic: str, payload: Any = None, **more: Any) -> bytes:
    raw = payload if isinstance(payload, bytes) else plistlib.dumps(payload or {})
    part = {"udid": UDID, "ids": {"id": UDID, "type": "Device"}, "raw_payload": b64encode(raw).decode()} | more
    key = "acknowledge_event" if topic == "mdm.Connect" else "checkin_event"
    event = {"topic": topic, "event_id": "7bc9d6c86ed6bbb9", "created_at": "2026-11-24T06:55:07.418261264Z", key: part}
    return json.dumps(event).encode()


def answer(fields: dict[str, Any], *, status: str = "Acknowledged") -> bytes:
    fields = {"UDID": UDID, "CommandUUID": UUID, "Status": status} | fields
    return webhook("mdm.Connect", fields, status=status, command_uuid=UUID)


def is_clean(event: ServerEvent) -> bool:
    """Is no planted secret left, not even as base64?"""
    stored = encode_event(event) + repr(event).encode()
    return not any(word in stored for word in (SECRET.encode(), SECRET_DATA, b64encode(SECRET_DATA)))


def test_the_samples_fit_the_published_schema() -> None:
    schema = json.loads((SHARED / "servers/specs/nanomdm-webhook-event.schema.json").read_text())
    for body in (webhook("mdm.Authenticate"), webhook("mdm.TokenUpdate", token_update_tally=1), answer({})):
        Draft202012Validator(schema).validate(json.loads(body))


# --- signature ---


def test_a_signature_is_base64_of_hmac_sha256_over_the_raw_body() -> None:
    body, key = answer({}), b"webhook-key"
    good = b64encode(hmac.new(key, body, sha256).digest()).decode()
    assert signature_ok(body, good, key)
    assert not signature_ok(body + b" ", good, key)
    assert not signature_ok(body, good, b"another")
    assert not signature_ok(body, hmac.new(key, body, sha256).hexdigest(), key)


@pytest.mark.parametrize("header", [None, "", "x", "ü", "\udcff", "=" * 10_000])
def test_no_signature_or_nonsense_is_not_good(header: str | None) -> None:
    assert not signature_ok(b"body", header, b"key")
    assert not signature_ok(b"body", header, b"")


# --- reading ---


def test_an_authenticate_keeps_what_describes_the_device() -> None:
    described = {
        "UDID": UDID, "SerialNumber": "C02X1", "DeviceName": "<img src=x onerror=alert(1)>", "OSVersion": "15.6.1",
        "BuildVersion": "24G90", "ProductName": "Mac16,1", "Model": "MW2U3", "ModelName": "MacBook Pro",
    }  # fmt: skip
    body = webhook(
        "mdm.Authenticate", described | {"MessageType": "Authenticate", "IMEI": SECRET, "Challenge": SECRET_DATA}
    )
    event = read_event(body, ours=set())
    assert (event.topic, event.enrollment_id, event.udid, event.enrollment_type) == (
        Topic.AUTHENTICATE, UDID, UDID, "Device",
    )  # fmt: skip
    assert event.created_at == 1_795_503_307_418_261
    assert event.fields == described
    assert is_clean(event)


@pytest.mark.parametrize(
    "topic", ["mdm.TokenUpdate", "mdm.SetBootstrapToken", "mdm.CheckOut", "mdm.GetToken", "mdm.New"]
)
def test_tokens_are_dropped(topic: str) -> None:
    secrets = {
        "UnlockToken": SECRET_DATA, "Token": SECRET_DATA, "PushMagic": SECRET, "BootstrapToken": SECRET_DATA,
        "Topic": SECRET, "AwaitingConfiguration": True,
    }  # fmt: skip
    event = read_event(webhook(topic, {"UDID": UDID} | secrets), ours=set())
    assert is_clean(event)
    assert event.fields.get("AwaitingConfiguration", None) is (True if topic == "mdm.TokenUpdate" else None)


def declarative(endpoint: object, data: object = None) -> bytes:
    fields = {"MessageType": "DeclarativeManagement", "UDID": UDID, "Endpoint": endpoint}
    return webhook("mdm.DeclarativeManagement", fields | ({} if data is None else {"Data": data}))


REPORT: dict[str, Any] = {
    "FullReport": True,
    "StatusItems": {
        "device": {
            "identifier": {"serial-number": "C02X1", "udid": UDID},
            "operating-system": {"version": "26.0", "build-version": "23A341", "supplemental": {"extra-version": "a"}},
        },
        "softwareupdate": {
            "install-state": "downloading",
            "install-reason": {"reason": ["declaration"], "declaration-id": "r7"},
            "pending-version": {"os-version": "26.1", "build-version": "", "target-local-date-time": "2026-11-20"},
            "failure-reason": {"count": 1, "reason": "no space", "timestamp": "2026-11-18T10:00:00Z"},
            "device-id": "J407AP",
        },
        "management": {
            "client-capabilities": {
                "supported-versions": ["1.0.0"],
                "supported-payloads": {
                    "declarations": {"configurations": ["com.apple.configuration.softwareupdate.enforcement.specific"]},
                    "status-items": ["softwareupdate.install-state"],
                },
            },
            "declarations": {
                "configurations": [
                    {
                        "identifier": "r7", "active": True, "valid": "invalid", "server-token": "t",
                        "reasons": [{"code": "Error.ConfigurationCannotBeApplied", "details": {"Error": "older"}}],
                    }
                ],
            },
        },
    },
    "Errors": [{"StatusItem": "x.y", "Reasons": [{"Code": "Error.Unknown"}]}],
}  # fmt: skip


def test_a_status_report_keeps_what_the_kit_knows_and_nothing_else() -> None:
    full = json.loads(json.dumps(REPORT))
    items = full["StatusItems"]
    items["management"] |= {"push-token": SECRET}
    items |= {"account": {"list": {"mail": [{"user": SECRET}]}}, "passcode": {"is-present": SECRET}}
    items["device"]["model"] = {"family": SECRET}
    items["device"]["operating-system"]["version"] = "26.0"
    items["softwareupdate"]["install-reason"]["note"] = SECRET
    capable = items["management"]["client-capabilities"]["supported-payloads"]
    capable["declarations"]["configurations"] += ["com.apple.configuration.passcode.settings", SECRET, {"a": SECRET}]
    capable["status-items"].append(SECRET)
    items["management"]["declarations"]["configurations"][0]["reasons"][0]["details"]["Payload"] = SECRET
    event = read_event(declarative("status", json.dumps(full).encode()), ours=set())
    assert (event.topic, event.endpoint, event.enrollment_id) == (Topic.DECLARATIVE_MANAGEMENT, "status", UDID)
    assert is_clean(event)
    assert event.fields == REPORT
    assert decode_event(encode_event(event)) == event
    report = read_status_fields(event.fields)
    assert (str(report.os_version), report.install_state, report.full_report) == ("26.0", "downloading", True)


@pytest.mark.parametrize("endpoint", ["tokens", "declaration-items", "declaration/configuration/r7"])
def test_of_what_a_device_fetches_the_address_is_kept(endpoint: str) -> None:
    event = read_event(declarative(endpoint, SECRET_DATA), ours=set())
    assert (event.topic, event.endpoint, event.fields) == (Topic.DECLARATIVE_MANAGEMENT, endpoint, {})
    assert decode_event(encode_event(event)) == event


@pytest.mark.parametrize("data", [None, "text", b"", b"[]", b"{", b"[" * 50_000, SECRET_DATA])
def test_a_status_report_that_cannot_be_read_is_our_error(data: object) -> None:
    with pytest.raises(WebhookError) as caught:
        read_event(declarative("status", data), ours=set())
    assert SECRET_DATA.decode() not in str(caught.value)


@pytest.mark.parametrize(
    "items", [5, [], {"management": []}, {"management": {"client-capabilities": {"supported-payloads": [5]}}}]
)
def test_a_status_report_of_other_shapes_loses_only_those(items: object) -> None:
    body = json.dumps({"StatusItems": items, "Errors": [], "FullReport": True}).encode()
    event = read_event(declarative("status", body), ours=set())
    assert event.fields["FullReport"] is True
    assert decode_event(encode_event(event)) == event


FOREIGN = {
    "QueryResponses": {"OSVersion": SECRET, "WiFiPassword": SECRET, "Networks": [{"Password": SECRET}]},
    "ProfileList": [{"PayloadContent": SECRET_DATA}],
    "UnlockToken": SECRET_DATA,
    "Password": SECRET,
    "UpdateResults": [{"ProductKey": "K", "Status": "Installing", "InstallAction": "Default", "Secret": SECRET}],
    "ErrorChain": [{"ErrorDomain": "D", "ErrorCode": 1, "LocalizedDescription": "text", "UserInfo": {"a": SECRET}}],
}


def test_an_answer_to_a_foreign_command_keeps_only_what_concerns_updates() -> None:
    event = read_event(answer(FOREIGN), ours=set())
    assert is_clean(event)
    assert event.command_uuid == UUID
    assert event.fields == {
        "UDID": UDID, "CommandUUID": UUID, "Status": "Acknowledged",
        "UpdateResults": [{"ProductKey": "K", "Status": "Installing", "InstallAction": "Default"}],
        "ErrorChain": [{"ErrorDomain": "D", "ErrorCode": 1, "LocalizedDescription": "text"}],
    }  # fmt: skip


def test_secrets_in_the_place_of_plain_values_are_dropped_from_foreign_and_own_answers() -> None:
    hidden: dict[str, Any] = {
        "ErrorChain": {"ErrorDomain": {"Password": SECRET}, "ErrorCode": SECRET_DATA},
        "UpdateResults": [[SECRET], {"Status": {"x": SECRET}, "ProductKey": [SECRET_DATA, {"y": SECRET}]}],
        "ScanInitiated": {"x": SECRET},
    }
    for ours in (set[str](), {UUID}):
        assert is_clean(read_event(answer(hidden), ours=ours))


def test_an_answer_to_our_command_keeps_the_keys_that_the_kit_knows() -> None:
    own = {
        "QueryResponses": {"OSVersion": "18.7.2", "IsSupervised": True, "BatteryLevel": 0.5, "WiFiMAC": SECRET},
        "SecurityInfo": {
            "BootstrapTokenAllowedForAuthentication": "allowed",
            "FDE_PersonalRecoveryKeyCMS": SECRET_DATA,
        },
        "AvailableOSUpdates": [{"ProductKey": "K", "AppIdentifiersToClose": ["a", "b"], "Extra": SECRET}],
        "OSUpdateStatus": [{"ProductKey": "K", "PastNotifications": [datetime(2026, 11, 1, 8)], "Extra": SECRET_DATA}],
        "ScanInitiated": True,
    }
    event = read_event(answer(own), ours=lambda uuid: uuid == UUID)
    assert is_clean(event)
    assert event.fields["QueryResponses"] == {"OSVersion": "18.7.2", "IsSupervised": True, "BatteryLevel": 0.5}
    assert event.fields["SecurityInfo"] == {"BootstrapTokenAllowedForAuthentication": "allowed"}
    assert event.fields["AvailableOSUpdates"] == [{"ProductKey": "K", "AppIdentifiersToClose": ["a", "b"]}]
    assert event.fields["OSUpdateStatus"] == [{"ProductKey": "K", "PastNotifications": [datetime(2026, 11, 1, 8)]}]
    assert decode_event(encode_event(event)) == event


def test_every_query_that_we_ask_comes_through() -> None:
    event = read_event(answer({"QueryResponses": dict.fromkeys(DEFAULT_QUERIES, "x")}), ours={UUID})
    assert event.fields["QueryResponses"] == dict.fromkeys(DEFAULT_QUERIES, "x")


def test_every_key_of_apples_replies_to_our_commands_comes_through() -> None:
    cases = json.loads((SHARED / "protocol-cases.json").read_text())
    text = json.dumps(cases)
    for key in ("UpdateResults", "OSUpdateStatus", "AvailableOSUpdates", "ErrorChain", "ScanInitiated"):
        assert key in text
    for name in ("DownloadPercentComplete", "DeferralsRemaining", "SupplementalBuildVersion", "IsSecurityResponse"):
        list_key = "OSUpdateStatus" if name[0] == "D" else "AvailableOSUpdates"
        event = read_event(answer({list_key: [{name: 1}]}), ours={UUID})
        assert event.fields[list_key] == [{name: 1}]


def test_an_idle_needs_no_property_list() -> None:
    event = read_event(webhook("mdm.Connect", b"junk", status="Idle"), ours=set())
    assert (event.topic, event.status, event.command_uuid, event.fields) == (Topic.CONNECT, "Idle", "", {})


def test_an_unknown_topic_and_a_user_channel_are_other() -> None:
    assert read_event(webhook("mdm.Wedding", {"UDID": UDID}), ours=set()).topic is Topic.OTHER
    ids = {"id": f"{UDID}:U", "parent_id": UDID, "type": "User"}
    event = read_event(webhook("mdm.TokenUpdate", {"UDID": UDID}, ids=ids), ours=set())
    assert (event.topic, event.enrollment_type, event.fields) == (Topic.OTHER, "User", {})


@pytest.mark.parametrize(
    ("stamp", "micros"),
    [
        ("2026-11-24T06:55:07.418261264Z", 1_795_503_307_418_261),
        ("2026-11-24T06:55:07Z", 1_795_503_307_000_000),
        ("2026-11-24T08:55:07.5+02:00", 1_795_503_307_500_000),
        ("1969-12-31T23:59:59.999999999Z", -1),
    ],
)
def test_times_are_rfc_3339_to_the_microsecond(stamp: str, micros: int) -> None:
    body = json.dumps(json.loads(webhook("mdm.CheckOut")) | {"created_at": stamp}).encode()
    assert read_event(body, ours=set()).created_at == micros


def altered(**words: Any) -> bytes:
    return json.dumps(json.loads(answer({})) | words).encode()


BOMB = b"""<?xml version="1.0"?><!DOCTYPE plist [<!ENTITY a "aaaaaaaaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>
<plist version="1.0"><dict><key>Status</key><string>&c;</string></dict></plist>"""


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b"{}",
        altered(topic=None), altered(topic=7), altered(created_at=None), altered(created_at="yesterday"),
        altered(created_at="2026-13-01T00:00:00Z"), altered(acknowledge_event=[]), altered(acknowledge_event={}),
        webhook("mdm.Connect", {}, status="Acknowledged", command_uuid=UUID, ids={"id": "A\0B", "type": "Device"}),
        webhook("mdm.Connect", {}, status="Acknowledged", command_uuid=UUID, ids={"id": "\ud800", "type": "Device"}),
        webhook("mdm.Connect", {}, status="Acknowledged", command_uuid="x" * 300),
        webhook("mdm.Connect", {}, status="", command_uuid=UUID),
        webhook("mdm.Connect", {}, status="Acknowledged", command_uuid=UUID, raw_payload="%%%"),
        webhook("mdm.Connect", {}, status="Acknowledged", command_uuid=UUID, raw_payload="ü"),
        webhook("mdm.Connect", {}, status="Acknowledged", command_uuid=UUID, raw_payload=None),
        webhook("mdm.Connect", BOMB, status="Acknowledged", command_uuid=UUID),
        webhook("mdm.Connect", b"<plist>", status="Acknowledged", command_uuid=UUID),
        webhook("mdm.Authenticate", b"junk" + SECRET_DATA),
        b"x" * ((1 << 20) + 1),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_event_is_refused_with_a_remedy_and_without_a_quotation(body: bytes) -> None:
    with pytest.raises(WebhookError) as caught:
        read_event(body, ours=set())
    assert caught.value.remedy
    assert SECRET_DATA.decode() not in str(caught.value)
    assert len(str(caught.value)) < 600


def readable(body: bytes) -> None:
    try:
        event = read_event(body, ours={UUID})
    except WebhookError:
        return
    assert decode_event(encode_event(event)) == event


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_else(body: bytes) -> None:
    readable(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ("topic", "created_at", "acknowledge_event", "checkin_event")


@given(st.dictionaries(st.sampled_from(FIELDS), JSON), st.dictionaries(
    st.sampled_from(["udid", "ids", "raw_payload", "status", "command_uuid"]), JSON
))  # fmt: skip
def test_no_json_raises_anything_else(outer: dict[str, Any], inner: dict[str, Any]) -> None:
    event = json.loads(answer({}))
    event["acknowledge_event"] |= inner
    readable(json.dumps(event | outer).encode())


@given(st.binary(max_size=200))
def test_no_payload_raises_anything_else(payload: bytes) -> None:
    readable(webhook("mdm.Connect", payload, status="Error", command_uuid=UUID))


PLIST = st.recursive(
    st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.floats() | st.binary(max_size=9)
    | st.datetimes().map(lambda moment: moment.replace(microsecond=0))
    | st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["Status", "$x", "Password"]), inner),
    max_leaves=8,
)  # fmt: skip
KEYS = ("UDID", "ErrorChain", "UpdateResults", "OSUpdateStatus", "QueryResponses", "ScanInitiated", "Unknown")


@given(st.dictionaries(st.sampled_from(KEYS), PLIST), st.booleans())
def test_whatever_a_device_sends_the_inbox_gives_it_back_and_no_data_gets_in(
    fields: dict[str, Any], ours: bool
) -> None:
    payload = plistlib.dumps(fields | {"Secret": SECRET_DATA}, fmt=plistlib.FMT_BINARY)
    event = parse_event(webhook("mdm.Connect", payload, status="Error", command_uuid=UUID)).redacted(ours=ours)
    stored = encode_event(event)
    assert b"$data" not in stored
    again = decode_event(stored)
    assert encode_event(again) == stored
    assert replace(again, fields={}) == replace(event, fields={})


@given(st.binary(max_size=100) | JSON.map(lambda value: json.dumps(value).encode()))
def test_what_the_inbox_never_wrote_is_a_protocol_error(body: bytes) -> None:
    with suppress(ProtocolError):
        decode_event(body)


def test_a_raw_event_shows_nothing_of_what_it_holds() -> None:
    assert SECRET not in repr(parse_event(answer({"Password": SECRET})))
