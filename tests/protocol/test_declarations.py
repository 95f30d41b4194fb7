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
    payload,
)
from osupdate_kit.protocol.rules import ACTIVATION, ENFORCEMENT, SETTINGS, SUBSCRIPTIONS, RequestContext, status_items
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


def mac(os_version: str, **more: Any) -> RequestContext:
    return RequestContext(platform=Platform.MACOS, os_version=v(os_version), **{"supervised": True} | more)


def enforce(version: str = "18.7", **more: Any) -> EnforcementSpecific:
    return EnforcementSpecific(target_os_version=v(version), target_local_date_time=DUE, **more)


def rules(content: Content, device: RequestContext) -> list[str]:
    return [violation.rule for violation in check_declaration(declaration(content, "e"), device).violations]


def said(kind: object, told: object, device: RequestContext, **more: Any) -> list[str]:
    fields = {"Type": kind, "Identifier": "e", "Payload": told} | more
    return [f"{found.rule} {found.reason}" for found in check_declaration(fields, device).violations]


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
    assert "at most; a version as 26-7" in caught.value.remedy
    with pytest.raises(ProtocolError):
        encode(enforce(), name)


def test_an_identifier_of_64_letters_is_the_longest_and_a_refused_one_is_cut() -> None:
    assert check_identifier("a" * 64) == "a" * 64
    with pytest.raises(ProtocolError) as caught:
        check_identifier("b" * 99)
    assert caught.value.args == (f"'{'b' * 80}' cannot name a declaration or a set.",)


def test_settings_are_apples_and_what_is_not_said_is_left_out() -> None:
    program = BetaProgram(description="Seed", token="T")
    whole = SoftwareUpdateSettings(
        notifications=False,
        deferrals=Deferrals(
            combined_period_in_days=1, major_period_in_days=90, minor_period_in_days=3, system_period_in_days=4
        ),
        recommended_cadence=Cadence.OLDEST,
        automatic_actions=AutomaticActions(
            download=Control.ALLOWED, install_os_updates=Control.ALWAYS_ON, install_security_update=Control.ALWAYS_OFF
        ),
        rapid_security_response=RapidSecurityResponse(enable=False, enable_rollback=True),
        allow_standard_user_os_updates=False,
        beta=Beta(program_enrollment=Control.ALWAYS_ON, require_program=program),
    )
    assert payload(whole) == {
        "Notifications": False,
        "Deferrals": {
            "CombinedPeriodInDays": 1, "MajorPeriodInDays": 90, "MinorPeriodInDays": 3, "SystemPeriodInDays": 4,
        },
        "RecommendedCadence": "Oldest",
        "AutomaticActions": {
            "Download": "Allowed", "InstallOSUpdates": "AlwaysOn", "InstallSecurityUpdate": "AlwaysOff",
        },
        "RapidSecurityResponse": {"Enable": False, "EnableRollback": True},
        "AllowStandardUserOSUpdates": False,
        "Beta": {"ProgramEnrollment": "AlwaysOn", "RequireProgram": {"Description": "Seed", "Token": "T"}},
    }  # fmt: skip
    assert decode(encode(whole, "e")) == ("e", whole)
    assert payload(SoftwareUpdateSettings()) == {}
    offers = SoftwareUpdateSettings(deferrals=Deferrals(), beta=Beta(offer_programs=(program,)))
    assert payload(offers) == {"Deferrals": {}, "Beta": {"OfferPrograms": [{"Description": "Seed", "Token": "T"}]}}
    assert payload(SoftwareUpdateSettings(beta=Beta(offer_programs=()))) == {"Beta": {"OfferPrograms": []}}


def test_subscriptions_and_activations_are_apples() -> None:
    assert payload(StatusSubscriptions(items=("a.b", "c"))) == {"StatusItems": [{"Name": "a.b"}, {"Name": "c"}]}
    assert payload(ActivationSimple(configurations=("x", "y"), predicate="p")) == {
        "StandardConfigurations": ["x", "y"],
        "Predicate": "p",
    }
    assert payload(ActivationSimple(configurations=())) == {"StandardConfigurations": []}
    assert payload(enforce("26.0")) == {"TargetOSVersion": "26.0", "TargetLocalDateTime": "2026-11-20T19:00:00"}


def test_what_no_device_would_take_is_not_encoded() -> None:
    late = SoftwareUpdateSettings(deferrals=Deferrals(major_period_in_days=91))
    with pytest.raises(
        ProtocolError, match=r"The declaration e: Deferrals\.MajorPeriodInDays is 91, not 1 to 90\."
    ) as caught:
        encode(late, "e")
    assert caught.value.remedy == "Choose a number from 1 to 90, or leave the delay out."


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


MAC = mac("26.0")
WHEN = {"TargetLocalDateTime": "2026-11-20T19:00:00"}
PROGRAM = {"Description": "d", "Token": "t"}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"ServerToken": "t"}, []),
        ({"Colour": 1}, ["D02 A declaration has no key 'Colour'."]),
        ({"k" * 50: 1}, [f"D02 A declaration has no key '{'k' * 40}'."]),
        ({"Identifier": None}, ["D02 Identifier is missing."]),
        ({"Identifier": ""}, ["D02 Identifier is missing."]),
        ({"Identifier": 5}, ["D02 Identifier is missing."]),
        ({"Identifier": "ü" * 32}, []),
        ({"Identifier": "ü" * 33}, ["D02 Identifier has 66 bytes, not 64."]),
        ({"Identifier": "\ud800" * 22}, ["D02 Identifier has 66 bytes, not 64."]),
        ({"Payload": []}, ["D02 Payload is no dictionary."]),
        ({"Type": "x" * 99}, [f"D01 '{'x' * 80}' is no declaration of the kit."]),
    ],
)
def test_a_declaration_has_a_type_an_identifier_and_a_payload(fields: dict[str, Any], words: list[str]) -> None:
    assert said(ENFORCEMENT, WHEN | {"TargetOSVersion": "26.1"}, ipad(), **fields) == words


@pytest.mark.parametrize(
    ("kind", "told", "words"),
    [
        (ENFORCEMENT, WHEN, ["D02 TargetOSVersion is missing."]),
        (ENFORCEMENT, WHEN | {"TargetOSVersion": None}, ["D02 TargetOSVersion is null."]),
        (ENFORCEMENT, WHEN | {"TargetOSVersion": 26.1}, ["D02 TargetOSVersion is no string."]),
        (ENFORCEMENT, WHEN | {"TargetOSVersion": ""},
         ["D02 TargetOSVersion is empty or holds characters that cannot be sent."]),
        (ENFORCEMENT, WHEN | {"TargetOSVersion": "27"}, ["D02 TargetOSVersion: '27' is no full version."]),
        (ENFORCEMENT, WHEN | {"TargetOSVersion": "26.1", "DetailsURL": None}, ["D02 DetailsURL is null."]),
        (ENFORCEMENT, WHEN | {"TargetOSVersion": "26.1", "DetailsURL": "a\nb"},
         ["D02 DetailsURL is empty or holds characters that cannot be sent."]),
        (ENFORCEMENT, {"TargetOSVersion": "26.1", "TargetLocalDateTime": "x" * 50},
         [f"D03 TargetLocalDateTime '{'x' * 40}' is no local date and time."]),
        (ENFORCEMENT, WHEN | {"TargetOSVersion": "26.1", "w" * 50: 1}, [f"D02 {'w' * 40} is no key of it."]),
        (SETTINGS, {"Deferrals": {"MajorPeriodInDays": 1, "MinorPeriodInDays": 90}}, []),
        (SETTINGS, {"Deferrals": {"MajorPeriodInDays": 0, "MinorPeriodInDays": 91}},
         ["D05 Deferrals.MajorPeriodInDays is 0, not 1 to 90.", "D05 Deferrals.MinorPeriodInDays is 91, not 1 to 90."]),
        (SETTINGS, {"Deferrals": {"Weeks": 1}}, ["D02 Deferrals.Weeks is no key of it."]),
        (SETTINGS, {"Deferrals": []}, ["D02 Deferrals is no dictionary."]),
        (SETTINGS, {"Notifications": 1}, ["D02 Notifications is no boolean."]),
        (SETTINGS, {"AutomaticActions": {"Download": "On"}},
         ["D02 AutomaticActions.Download is none of Allowed, AlwaysOn, AlwaysOff."]),
        (SETTINGS, {"Beta": {"OfferPrograms": [PROGRAM, "x"]}},
         ["D02 Beta.OfferPrograms holds something that is no dictionary."]),
        (SETTINGS, {"Beta": {"OfferPrograms": [{"Token": "t"}]}}, ["D02 Beta.OfferPrograms.Description is missing."]),
        (SETTINGS, {"Beta": {"OfferPrograms": [], "RequireProgram": PROGRAM, "ProgramEnrollment": "AlwaysOn"}},
         ["D02 Beta has both OfferPrograms and RequireProgram."]),
        (SETTINGS, {"Beta": {"OfferPrograms": [PROGRAM], "ProgramEnrollment": "AlwaysOff"}},
         ["D02 Beta offers programmes and forbids them."]),
        (SETTINGS, {"Beta": {"OfferPrograms": [PROGRAM]}}, []),
        (SETTINGS, {"Beta": {"ProgramEnrollment": "AlwaysOff"}}, []),
        (SETTINGS, {"Beta": {"RequireProgram": PROGRAM, "ProgramEnrollment": "AlwaysOn"}}, []),
        *(
            (SETTINGS, {"Beta": {"RequireProgram": PROGRAM} | control},
             ["D02 RequireProgram goes with ProgramEnrollment AlwaysOn only."])
            for control in ({}, {"ProgramEnrollment": "Allowed"}, {"ProgramEnrollment": "AlwaysOff"})
        ),
        (SUBSCRIPTIONS, {}, ["D02 StatusItems is missing."]),
        (SUBSCRIPTIONS, {"StatusItems": [{"Name": "a", "Age": 1}]}, ["D02 StatusItems.Age is no key of it."]),
        (ACTIVATION, {"StandardConfigurations": ["a", "b"], "Predicate": "p"}, []),
        *(
            (ACTIVATION, {"StandardConfigurations": odd},
             ["D02 StandardConfigurations holds something that is no identifier."])
            for odd in ([""], [5], ["a", None])
        ),
        (ACTIVATION, {"StandardConfigurations": "a"}, ["D02 StandardConfigurations is no array."]),
    ],
)  # fmt: skip
def test_a_payload_has_apple_s_keys_types_words_and_numbers(kind: str, told: dict[str, Any], words: list[str]) -> None:
    assert said(kind, told, MAC) == words


@pytest.mark.parametrize(
    ("kind", "device", "words"),
    [
        (ENFORCEMENT, ipad("16.7"), [f"D01 {ENFORCEMENT} came with iPadOS 17.0; the device has iPadOS 16.7."]),
        (ENFORCEMENT, ipad("17.0"), []),
        (ENFORCEMENT, RequestContext(platform=Platform.WATCHOS, os_version=v("11.0"), supervised=True),
         [f"D01 {ENFORCEMENT} does not exist on watchOS."]),
        (ENFORCEMENT, ipad(enrollment="user"), ["D01 It came by User Enrollment."]),
        (ENFORCEMENT, ipad(enrollment="automated", supervised=None), []),
        (ENFORCEMENT, ipad(channel="user"), [f"D01 {ENFORCEMENT} was meant for a user channel."]),
        (ACTIVATION, ipad(channel="user", enrollment="user"), []),
        (ACTIVATION, mac("13.0", supervised=None), []),
        *(
            (kind, mac("15.0", supervised=supervised), words)
            for kind in (ENFORCEMENT, SETTINGS, SUBSCRIPTIONS)
            for supervised, words in (
                (True, []),
                (False, ["D01 It is not supervised."]),
                (None, ["D01 Nobody has said whether it is supervised."]),
            )
        ),
    ],
)  # fmt: skip
def test_a_device_takes_a_declaration_or_the_reason_is_told(
    kind: str, device: RequestContext, words: list[str]
) -> None:
    told: dict[str, Any] = {
        ENFORCEMENT: WHEN | {"TargetOSVersion": "99.0"}, SETTINGS: {"Notifications": True},
        SUBSCRIPTIONS: {"StatusItems": []}, ACTIVATION: {"StandardConfigurations": []},
    }  # fmt: skip
    assert said(kind, told[kind], device) == words


@pytest.mark.parametrize(
    ("told", "device", "words"),
    [
        ({"RecommendedCadence": "All"}, ipad(), []),
        ({"RecommendedCadence": "All"}, MAC, ["D06 macOS 26.0 does not know RecommendedCadence."]),
        ({"Colour": "red", "RecommendedCadence": "All"}, MAC,
         ["D02 Colour is no key of it.", "D06 macOS 26.0 does not know RecommendedCadence."]),
        ({"Deferrals": {"CombinedPeriodInDays": 1}}, MAC,
         ["D06 macOS 26.0 does not know Deferrals.CombinedPeriodInDays."]),
        ({"Beta": {"OfferPrograms": [PROGRAM]}}, mac("15.4"), []),
        ({"Beta": {"ProgramEnrollment": "Allowed"}}, mac("15.3"),
         ["D06 macOS 15.3 does not know Beta.", "D06 macOS 15.3 does not know Beta.ProgramEnrollment."]),
        ({"Notifications": True}, ipad(supervised=False), []),
        ({"AutomaticActions": {"Download": "Allowed"}}, ipad(supervised=None),
         ["D06 AutomaticActions is for supervised devices only.",
          "D06 AutomaticActions.Download is for supervised devices only."]),
        ({"Deferrals": {"MajorPeriodInDays": 1}}, mac("15.0", supervised=False),
         ["D01 It is not supervised."]),  # once is enough
        ({"RecommendedCadence": "All"}, ipad("17.7"),
         [f"D01 {SETTINGS} came with iPadOS 18.0; the device has iPadOS 17.7."]),
    ],
)  # fmt: skip
def test_a_key_is_known_on_the_device_and_for_its_supervision(
    told: dict[str, Any], device: RequestContext, words: list[str]
) -> None:
    assert said(SETTINGS, told, device) == words


def test_a_target_is_newer_than_what_is_installed() -> None:
    for text, newer in (("18.1.1", True), ("18.10", True), ("18.1.0", False), ("18.0.9", False)):
        words = [] if newer else [f"D04 {text} is not newer than 18.1."]
        assert said(ENFORCEMENT, WHEN | {"TargetOSVersion": text}, ipad("18.1")) == words


def test_who_may_have_what() -> None:
    assert rules(enforce(), ipad()) == []
    assert rules(enforce(), ipad(supervised=False, enrollment="device")) == []
    assert rules(enforce(), ipad(supervised=False, enrollment="user")) == ["D01"]
    assert rules(enforce(), ipad(channel="user")) == ["D01"]
    delays = SoftwareUpdateSettings(deferrals=Deferrals(combined_period_in_days=7))
    assert rules(delays, ipad()) == []
    assert rules(delays, ipad(supervised=False)) == ["D06", "D06"]
    assert rules(StatusSubscriptions(items=status_items(Platform.IPADOS, v("15.0"))), ipad("15.0")) == []
    assert rules(enforce("14.6"), mac("14.5", supervised=None)) == ["D01"]
    by_user = mac("14.5", supervised=False, enrollment="user")
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
    assert deadline_local(friday, 0, at=time(6, 5, 4, 3)) == datetime(2026, 11, 20, 6, 5, 4)
    assert [deadline_local(friday, 0, at=at).time() for at in ("00:00", "09:59", "23:59")] == [
        time(0), time(9, 59), time(23, 59),
    ]  # fmt: skip


def test_a_deadline_lies_at_most_in_the_year_9000() -> None:
    last = date(9000, 12, 31)
    assert deadline_local(last, 0, weekends=True).date() == last
    for start, days in ((last, 1), (date(9999, 12, 31), 0), (date.max, 1)):
        with pytest.raises(ProtocolError, match=f"A deadline {days} days after") as caught:
            deadline_local(start, days, weekends=True)
        assert caught.value.remedy == "Give fewer days."


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
    ("days", "at"),
    [
        (-1, "19:00"), (10**9, "19:00"), (3_600_000, "19:00"), (1, "24:00"), (1, "12:60"), (1, "7pm"), (1, "7:00"),
        (1, time(19, tzinfo=UTC)),
    ],
)  # fmt: skip
def test_a_deadline_that_cannot_be_is_our_error(days: int, at: str | time) -> None:
    with pytest.raises(ProtocolError) as caught:
        deadline_local(date(2026, 11, 20), days, at=at)
    assert re.search(r"\.$", caught.value.remedy)
