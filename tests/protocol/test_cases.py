"""Every conformance case about commands, replies and declarations, read from the reference material."""

import json
from collections import Counter
from typing import Any

import pytest

from osupdate_kit.protocol.commands import command_of, decode, encode_request, request
from osupdate_kit.protocol.declarations import check_declaration
from osupdate_kit.protocol.plists import from_json, read_plist
from osupdate_kit.protocol.results import read_result, reading
from osupdate_kit.protocol.rules import RULES, WARNINGS, Findings, RequestContext, check_request, check_result
from osupdate_kit.protocol.terms import Platform, RequestType
from osupdate_kit.protocol.versions import OSVersion
from tests.paths import SHARED

Case = dict[str, Any]
CASES: list[Case] = json.loads((SHARED / "protocol-cases.json").read_text())["cases"]
REQUESTS = [case for case in CASES if case.get("command") in tuple(RequestType)]
REPLIES = [case for case in CASES if "to" in case]
DECLARATIONS = [case for case in CASES if case.get("command", "").startswith("com.apple.configuration.")]


def named(cases: list[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=[case["name"] for case in cases])


def context(case: Case) -> RequestContext:
    device = dict(case["device"])
    platform, os_version = Platform(device.pop("platform")), OSVersion.parse(device.pop("os_version"))
    return RequestContext(platform=platform, os_version=os_version, **device)


def agrees(findings: Findings, case: Case) -> bool:
    broken = {violation.rule for violation in findings.violations}
    if case["expect"] == "valid":
        assert broken == set(), findings.violations
    else:
        assert broken >= set(case["rules"]), (case["reason"], findings.violations)
    assert set(findings.warnings) >= set(case.get("warns", ()))
    return True


def test_every_case_is_a_request_a_reply_or_a_declaration() -> None:
    assert len(REQUESTS) + len(REPLIES) + len(DECLARATIONS) == len(CASES)
    assert Counter(case["command"] for case in DECLARATIONS) == {
        "com.apple.configuration.softwareupdate.enforcement.specific": 9,
        "com.apple.configuration.softwareupdate.settings": 4,
    }
    assert (len(REQUESTS), len(REPLIES)) == (81, 30)


@named(REQUESTS)
def test_a_request_is_judged_as_the_case_says(case: Case) -> None:
    findings = check_request(case["request"], context(case), target_major=case.get("target", {}).get("major"))
    assert agrees(findings, case)


@named([case for case in REQUESTS if case["expect"] == "valid"])
def test_a_valid_request_survives_the_wire(case: Case) -> None:
    body = encode_request(case["request"], "0001")
    assert read_plist(body) == {"Command": case["request"], "CommandUUID": "0001"}
    if "RequestRequiresNetworkTether" not in case["request"]:
        uuid, command = decode(body)
        assert (uuid, command) == ("0001", command_of(case["request"]))
        assert {"Force": False} | case["request"] == {"Force": False} | request(command)


@named(REPLIES)
def test_a_reply_is_judged_and_read_as_the_case_says(case: Case) -> None:
    device = context(case)
    fields = from_json(case["response"])
    to = RequestType(case["to"])
    assert agrees(check_result(fields, to, device.platform, device.os_version), case)
    if "reading" in case:
        version = case.get("target", {}).get("version")
        target = OSVersion.parse(version) if version else None
        assert reading(read_result(fields), to, target=target) == case["reading"]


@named(DECLARATIONS)
def test_a_declaration_is_judged_as_the_case_says(case: Case) -> None:
    assert case["request"]["Type"] == case["command"]
    assert agrees(check_declaration(case["request"], context(case)), case)


def test_every_rule_has_a_reason_and_a_remedy_and_every_warning_a_sentence() -> None:
    expected = {f"R{number:02}" for number in range(1, 21)} | {f"S{number:02}" for number in range(1, 11)}
    expected |= {f"D{number:02}" for number in range(1, 7)}
    assert set(RULES) == expected
    assert all(rule.kind in "SKP" and rule.says and rule.remedy.endswith(".") for rule in RULES.values())
    assert {word for case in CASES for word in case.get("warns", ())} <= set(WARNINGS)


def test_an_unknown_supervision_is_no_supervision() -> None:
    unsure = RequestContext(platform=Platform.IOS, os_version=OSVersion.parse("18.1"), supervised=None)
    findings = check_request({"RequestType": "OSUpdateStatus"}, unsure)
    assert [violation.rule for violation in findings.violations] == ["R04"]
    assert findings.warnings == ("access_rights_unknown",)


def test_a_supplement_needs_its_base_installed() -> None:
    mac = RequestContext(platform=Platform.MACOS, os_version=OSVersion.parse("13.4"), supervised=True)
    command = {"RequestType": "ScheduleOSUpdate", "Updates": [{"InstallAction": "InstallASAP", "ProductKey": "K"}]}
    assert check_request(command, mac, supplement_base=OSVersion.parse("13.4")).valid
    broken = check_request(command, mac, supplement_base=OSVersion.parse("13.4.1"))
    assert [violation.rule for violation in broken.violations] == ["R20"]


def test_a_query_that_a_device_does_not_know_is_a_warning() -> None:
    pad = RequestContext(platform=Platform.IPADOS, os_version=OSVersion.parse("18.6"), supervised=True)
    for queries, warned in ((["OSVersion"], False), (["OSVersion", "NoSuchQuery"], True), (["IsAppleSilicon"], True)):
        found = check_request({"RequestType": "DeviceInformation", "Queries": queries}, pad)
        assert found.valid
        assert ("query_unknown" in found.warnings) is warned, (queries, found)
