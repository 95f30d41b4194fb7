"""Declarations are what Apple's schema says, byte for byte the same each time, and come back as they went."""

import json
import re
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osupdate_kit.errors import ProtocolError
from osupdate_kit.protocol.declarations import (
    ActivationSimple,
    AutomaticActions,
    Beta,
    BetaProgram,
    Cadence,
    Content,
    Control,
    Deferrals,
    EnforcementSpecific,
    RapidSecurityResponse,
    SoftwareUpdateSettings,
    StatusSubscriptions,
    check_declaration,
    check_identifier,
    deadline_local,
    declaration,
    declaration_type,
    decode,
    encode,
)
from osupdate_kit.protocol.rules import ENFORCEMENT, SETTINGS, RequestContext, status_items
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.protocol.versions import OSVersion

v = OSVersion.parse
DUE = datetime(2026, 11, 20, 19, 0)
WORDS = st.text(min_size=1, max_size=40).filter(str.isprintable)
FLAGS, CONTROLS = st.none() | st.booleans(), st.none() | st.sampled_from(Control)
DAYS = st.none() | st.integers(1, 90)
PROGRAMS = st.builds(BetaProgram, description=WORDS, token=WORDS)
SETTINGS_VALUES = st.builds(
    SoftwareUpdateSettings,
    notifications=FLAGS,
    deferrals=st.none() | st.builds(Deferrals, combined_period_in_days=DAYS, major_period_in_days=DAYS),
    recommended_cadence=st.none() | st.sampled_from(Cadence),
    automatic_actions=st.none()
    | st.builds(AutomaticActions, download=CONTROLS, install_os_updates=CONTROLS, install_security_update=CONTROLS),
    rapid_security_response=st.none() | st.builds(RapidSecurityResponse, enable=FLAGS, enable_rollback=FLAGS),
    allow_standard_user_os_updates=FLAGS,
    beta=st.none()
    | st.builds(Beta, offer_programs=st.none() | st.lists(PROGRAMS, max_size=2).map(tuple))
    | st.builds(Beta, program_enrollment=st.just(Control.ALWAYS_ON), require_program=PROGRAMS),
)
ENFORCEMENTS = st.builds(
    EnforcementSpecific,
    target_os_version=st.tuples(st.integers(0, 99), st.integers(0, 99)).map(lambda n: v(f"{n[0]}.{n[1]}")),
    target_local_date_time=st.datetimes().map(lambda when: when.replace(microsecond=0)),
    target_build_version=WORDS | st.just(""),
    details_url=WORDS | st.just(""),
)
CONTENTS: st.SearchStrategy[Content] = st.one_of(
    ENFORCEMENTS,
    SETTINGS_VALUES,
    st.builds(StatusSubscriptions, items=st.lists(WORDS, max_size=4).map(tuple)),
    st.builds(ActivationSimple, configurations=st.lists(WORDS, max_size=4).map(tuple), predicate=WORDS | st.just("")),
)
IDENTIFIERS = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)


def ipad(os_version: str = "18.1", **more: Any) -> RequestContext:
    return RequestContext(platform=Platform.IPADOS, os_version=v(os_version), **{"supervised": True} | more)


def enforce(version: str = "18.7", **more: Any) -> EnforcementSpecific:
    return EnforcementSpecific(target_os_version=v(version), target_local_date_time=DUE, **more)


def rules(content: Content, device: RequestContext) -> list[str]:
    return [violation.rule for violation in check_declaration(declaration(content, "e"), device).violations]


@given(CONTENTS, IDENTIFIERS)
def test_decoding_undoes_encoding(content: Content, identifier: str) -> None:
    body = encode(content, identifier)
    assert decode(body) == (identifier, content)
    told = json.loads(body)
    assert body == json.dumps(told, sort_keys=True, separators=(",", ":")).encode()
    assert decode(json.dumps(told | {"ServerToken": "t"}, indent=2).encode()) == (identifier, content)
    assert told["Type"] == declaration_type(content)


def test_an_enforcement_is_apples_and_its_bytes_are_canonical() -> None:
    content = enforce("26.1", target_build_version="23B85", details_url="https://example.org/update")
    assert encode(content, "r7-26-1") == (
        b'{"Identifier":"r7-26-1","Payload":{"DetailsURL":"https://example.org/update","TargetBuildVersion":"23B85",'
        b'"TargetLocalDateTime":"2026-11-20T19:00:00","TargetOSVersion":"26.1"},'
        b'"Type":"com.apple.configuration.softwareupdate.enforcement.specific"}'
    )
    assert encode(ActivationSimple(configurations=("r7-26-1",)), "r7-act") == (
        b'{"Identifier":"r7-act","Payload":{"StandardConfigurations":["r7-26-1"]},"Type":"com.apple.activation.simple"}'
    )


@pytest.mark.parametrize("name", ["", "a.b", "a/b", "a b", "ü", "a" * 65, "x\n", "a,b", "w1.b"])
def test_an_identifier_that_a_server_cannot_hold_is_refused(name: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        check_identifier(name)
    assert caught.value.remedy
    with pytest.raises(ProtocolError):
        encode(enforce(), name)


def test_only_full_versions_and_local_times_can_be_enforced() -> None:
    with pytest.raises(ProtocolError, match="full version"):
        enforce("26")
    for when in (DUE.replace(tzinfo=UTC), DUE.replace(microsecond=1)):
        with pytest.raises(ProtocolError, match="time zone or a fraction"):
            EnforcementSpecific(target_os_version=v("26.1"), target_local_date_time=when)


@pytest.mark.parametrize(
    ("payload", "rule"),
    [
        ({"TargetOSVersion": "26.1"}, "D02"),
        ({"TargetOSVersion": "26", "TargetLocalDateTime": "2026-11-20T19:00:00"}, "D02"),
        ({"TargetOSVersion": "26.1 (a)", "TargetLocalDateTime": "2026-11-20T19:00:00"}, "D02"),
        ({"TargetOSVersion": 26.1, "TargetLocalDateTime": "2026-11-20T19:00:00"}, "D02"),
        ({"TargetOSVersion": "26.1", "TargetLocalDateTime": None}, "D02"),
        ({"TargetOSVersion": "26.1", "TargetLocalDateTime": "2026-11-20T19:00:00", "Deadline": 1}, "D02"),
        *(
            ({"TargetOSVersion": "26.1", "TargetLocalDateTime": when}, "D03")
            for when in (
                "2026-11-20T19:00:00Z", "2026-11-20T19:00:00+01:00", "2026-11-20T19:00:00.5", "2026-11-20 19:00:00",
                "2026-11-20T19:00", "2026-02-30T19:00:00", "2026-11-20T25:00:00", "20261120T190000",
            )
        ),
    ],
)  # fmt: skip
def test_a_malformed_enforcement_breaks_its_rule(payload: dict[str, Any], rule: str) -> None:
    fields = {"Type": ENFORCEMENT, "Identifier": "e", "Payload": payload}
    assert [violation.rule for violation in check_declaration(fields, ipad()).violations] == [rule]
    with pytest.raises(ProtocolError):
        decode(json.dumps(fields).encode())


@pytest.mark.parametrize(
    ("payload", "broken"),
    [
        ({"Deferrals": {"CombinedPeriodInDays": 0}}, ["D05"]),
        ({"Deferrals": {"CombinedPeriodInDays": True}}, ["D02"]),
        ({"Deferrals": {"MinorPeriodInDays": 5}}, ["D06"]),
        ({"RecommendedCadence": "Sometimes"}, ["D02"]),
        ({"AutomaticActions": {"Download": "Off"}}, ["D02"]),
        ({"AllowStandardUserOSUpdates": True}, ["D06"]),
        ({"Beta": {"OfferPrograms": [{"Description": "d"}]}}, ["D02"]),
        ({"Beta": {"OfferPrograms": [], "ProgramEnrollment": "AlwaysOff"}}, ["D02"]),
        ({"Beta": {"RequireProgram": {"Description": "d", "Token": "t"}}}, ["D02"]),
        ({"Beta": {"OfferPrograms": ["x"]}}, ["D02"]),
        ({"Deferrals": 5}, ["D02"]),
    ],
)
def test_malformed_settings_break_their_rules(payload: dict[str, Any], broken: list[str]) -> None:
    fields = {"Type": SETTINGS, "Identifier": "e", "Payload": payload}
    assert [violation.rule for violation in check_declaration(fields, ipad()).violations] == broken


def test_who_may_have_what() -> None:
    assert rules(enforce(), ipad()) == []
    assert rules(enforce(), ipad(supervised=False, enrollment="device")) == []
    assert rules(enforce(), ipad(supervised=False, enrollment="user")) == ["D01"]
    assert rules(enforce(), ipad(channel="user")) == ["D01"]
    delays = SoftwareUpdateSettings(deferrals=Deferrals(combined_period_in_days=7))
    assert rules(delays, ipad()) == []
    assert rules(delays, ipad(supervised=False)) == ["D06", "D06"]
    assert rules(StatusSubscriptions(items=status_items(Platform.IPADOS, v("15.0"))), ipad("15.0")) == []
    mac = RequestContext(platform=Platform.MACOS, os_version=v("14.5"), supervised=None)
    assert rules(enforce("14.6"), mac) == ["D01"]
    by_user = RequestContext(platform=Platform.MACOS, os_version=v("14.5"), supervised=False, enrollment="user")
    assert rules(StatusSubscriptions(items=()), by_user) == []


def test_a_supplement_may_name_the_version_that_is_installed() -> None:
    assert rules(enforce("18.1"), ipad("18.1")) == ["D04"]
    assert rules(enforce("18.1", target_build_version="22B83a"), ipad("18.1")) == []
    assert rules(enforce("17.7", target_build_version="21H16"), ipad("18.1")) == ["D04"]


def test_an_unknown_type_is_one_finding() -> None:
    for kind in ("com.apple.configuration.passcode.settings", None, 5):
        findings = check_declaration({"Type": kind, "Identifier": "e", "Payload": {}}, ipad())
        assert [violation.rule for violation in findings.violations] == ["D01"]


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{}", b'{"Type":"x"}', b"{" * 5000, b'{"Type":{}}'])
def test_what_is_no_declaration_is_our_error(body: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode(body)
    assert caught.value.remedy


# --- the deadline ---


def test_a_deadline_is_in_the_evening_and_never_at_a_weekend_unless_allowed() -> None:
    friday = date(2026, 11, 20)
    assert deadline_local(friday, 0) == DUE
    assert deadline_local(friday, 1) == DUE + timedelta(days=3)  # Saturday: the Monday after
    assert deadline_local(friday, 2) == DUE + timedelta(days=3)
    assert deadline_local(friday, 3) == DUE + timedelta(days=3)
    assert deadline_local(friday, 1, weekends=True) == DUE + timedelta(days=1)
    assert deadline_local(friday, 7, at="12:30") == datetime(2026, 11, 27, 12, 30)
    assert deadline_local(friday, 7, at=time(6)) == datetime(2026, 11, 27, 6)


def test_of_an_instant_the_date_counts_as_it_stands_there() -> None:
    late = datetime(2026, 11, 18, 23, 30, tzinfo=UTC)
    assert deadline_local(late, 1).date() == date(2026, 11, 19)
    assert deadline_local(late.astimezone(timezone(timedelta(hours=1))), 1).date() == date(2026, 11, 20)


@given(st.dates(max_value=date(8000, 1, 1)), st.integers(0, 3650), st.booleans())
def test_a_deadline_is_never_earlier_than_asked_and_can_be_enforced(start: date, days: int, weekends: bool) -> None:
    due = deadline_local(start, days, weekends=weekends)
    assert timedelta(0) <= due.date() - start - timedelta(days=days) <= timedelta(days=0 if weekends else 2)
    assert weekends or due.weekday() < 5
    EnforcementSpecific(target_os_version=v("26.1"), target_local_date_time=due)


@pytest.mark.parametrize(
    ("days", "at"), [(-1, "19:00"), (10**9, "19:00"), (3_600_000, "19:00"), (1, "24:00"), (1, "7pm"), (1, "7:00")]
)
def test_a_deadline_that_cannot_be_is_our_error(days: int, at: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        deadline_local(date(2026, 11, 20), days, at=at)
    assert re.search(r"\.$", caught.value.remedy)
