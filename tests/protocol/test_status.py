"""Status reports are read liberally, increments say only what they name, and no bytes raise anything but our error."""

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from osupdate_kit.errors import ProtocolError
from osupdate_kit.protocol.json_text import MAX_BYTES, read_json
from osupdate_kit.protocol.status import (
    ClientCapabilities,
    DeclarationStatus,
    Reason,
    StatusReport,
    declaration_status,
    read_status,
    read_status_fields,
)
from osupdate_kit.protocol.terms import InstallState
from osupdate_kit.protocol.versions import OSVersion

FULL: dict[str, Any] = {
    "FullReport": True,
    "StatusItems": {
        "device": {
            "identifier": {"serial-number": "SN1", "udid": "U1"},
            "operating-system": {
                "version": "26.0",
                "build-version": "23A341",
                "supplemental": {"build-version": "23A341a", "extra-version": "(a)"},
            },
        },
        "softwareupdate": {
            "install-state": "downloading",
            "install-reason": {"reason": ["declaration"], "declaration-id": "r7-26-1"},
            "pending-version": {
                "os-version": "26.1",
                "build-version": "23B85",
                "target-local-date-time": "2026-11-20T19:00:00",
            },
            "failure-reason": {"count": 2, "reason": "no space", "timestamp": "2026-11-18T10:00:00.25+01:00"},
            "device-id": "J407AP",
            "beta-enrollment": "",
        },
        "management": {
            "client-capabilities": {
                "supported-versions": ["1.0.0"],
                "supported-payloads": {
                    "declarations": {
                        "activations": ["com.apple.activation.simple"],
                        "configurations": ["com.apple.configuration.softwareupdate.enforcement.specific"],
                    },
                    "status-items": ["softwareupdate.install-state"],
                },
            },
            "declarations": {
                "activations": [{"identifier": "r7-act", "active": True, "valid": "valid", "server-token": "t1"}],
                "configurations": [
                    {
                        "identifier": "r7-26-1",
                        "active": True,
                        "valid": "invalid",
                        "server-token": "t2",
                        "reasons": [
                            {
                                "code": "Error.ConfigurationCannotBeApplied",
                                "description": "Configuration cannot be applied",
                                "details": {"Error": "Not newer"},
                            }
                        ],
                    }
                ],
                "assets": [],
                "management": [],
            },
        },
    },
    "Errors": [{"StatusItem": "test.error-value", "Reasons": [{"Code": "Error.Unknown", "Description": "?"}]}],
}


def read(fields: dict[str, Any]) -> StatusReport:
    return read_status(json.dumps(fields).encode())


def update(**items: Any) -> dict[str, Any]:
    return {"StatusItems": {"softwareupdate": {name.replace("_", "-"): item for name, item in items.items()}}}


def test_a_full_report_is_read_whole() -> None:
    report = read(FULL)
    assert report.full_report
    assert report.remarks == ()
    assert (report.install_state, report.install_state_text) == (InstallState.DOWNLOADING, "downloading")
    assert report.install_reason == (("declaration",), "r7-26-1")
    assert report.pending_version == ("26.1", "23B85", datetime(2026, 11, 20, 19))
    assert report.failure == (2, "no space", datetime(2026, 11, 18, 9, 0, 0, 250_000, tzinfo=UTC))
    assert (report.device_id, report.beta_enrollment) == ("J407AP", "")
    assert (report.os_version, report.build_version) == (OSVersion.parse("26.0"), "23A341")
    assert (report.supplemental_build_version, report.supplemental_extra_version) == ("23A341a", "(a)")
    assert (report.serial_number, report.udid) == ("SN1", "U1")
    assert report.capabilities
    assert "com.apple.configuration.softwareupdate.enforcement.specific" in report.capabilities.configurations
    assert report.capabilities.status_items == {"softwareupdate.install-state"}
    assert report.declarations
    assert not report.declarations["r7-act"].broken
    bad = report.declarations["r7-26-1"]
    assert (bad.active, bad.valid, bad.broken, bad.server_token) == (True, "invalid", True, "t2")
    assert bad.reasons == (
        Reason("Error.ConfigurationCannotBeApplied", "Configuration cannot be applied", "Not newer"),
    )
    assert report.errors == {"test.error-value": (Reason("Error.Unknown", "?"),)}


def test_an_increment_says_only_what_it_names() -> None:
    report = read({**update(install_state="prepared"), "Errors": []})
    said = {name for name in StatusReport.__struct_fields__ if getattr(report, name) not in (None, (), {}, False)}
    assert said == {"install_state", "install_state_text"}
    folded = report.over(read(FULL))
    assert folded.install_state is InstallState.PREPARED
    assert (folded.os_version, folded.full_report) == (OSVersion.parse("26.0"), True)
    assert folded.declarations == read(FULL).declarations


def test_a_full_report_replaces_and_a_report_that_names_declarations_names_all() -> None:
    bare = {"FullReport": True, **update(install_state="none")}
    assert read(bare).over(read(FULL)) == read(bare)
    left = {
        "StatusItems": {"management": {"declarations": {"configurations": [{"identifier": "x", "valid": "valid"}]}}}
    }
    assert set(read(left).over(read(FULL)).declarations or ()) == {"x"}


def test_a_word_that_apple_does_not_know_is_kept_and_hides_the_old_state() -> None:
    report = read(update(install_state="rebooting"))
    assert (report.install_state, report.install_state_text) == (None, "rebooting")
    assert report.remarks == ("install-state 'rebooting' is not Apple's",)
    assert report.over(read(FULL)).install_state is None


def test_nothing_pending_and_nothing_failed_are_values_and_not_absence() -> None:
    told = update(
        install_state="none", install_reason={"reason": []}, failure_reason={"count": 0},
        pending_version={"os-version": "", "build-version": ""},
    )  # fmt: skip
    report = read(told)
    assert report.install_reason == ((), "")
    assert report.pending_version == ("", "", None)
    assert report.failure == (0, "", None)


def management(**items: Any) -> dict[str, Any]:
    return {"StatusItems": {"management": {name.replace("_", "-"): item for name, item in items.items()}}}


@pytest.mark.parametrize(
    ("fields", "remark"),
    [
        (update(install_state=5), "install-state is no string"),
        (update(install_state="x" * 50), f"install-state '{'x' * 40}' is not Apple's"),
        (update(install_reason=[]), "install-reason is no dictionary"),
        (update(install_reason={"reason": {}}), "install-reason is no array"),
        (update(pending_version="26.1"), "pending-version is no dictionary"),
        (update(pending_version={"target-local-date-time": "tomorrow"}),
         "target-local-date-time 'tomorrow' is no date"),
        (update(pending_version={"target-local-date-time": "x" * 50}),
         f"target-local-date-time '{'x' * 40}' is no date"),
        (update(failure_reason={"count": "two"}), "failure-reason.count is no number"),
        (update(failure_reason={"count": 1, "timestamp": "no"}), "failure-reason.timestamp 'no' is no instant"),
        (update(failure_reason={"count": 1, "timestamp": "x" * 50}),
         f"failure-reason.timestamp '{'x' * 40}' is no instant"),
        ({"StatusItems": {"device": {"operating-system": {"version": "26.x"}}}},
         "operating-system.version '26.x' is no version"),
        ({"StatusItems": {"device": {"operating-system": {"version": "x" * 50}}}},
         f"operating-system.version '{'x' * 40}' is no version"),
        ({"StatusItems": {"device": []}}, "device is no dictionary"),
        (management(declarations={"configurations": {}}), "declarations.configurations is no array"),
        (management(declarations={"activations": [{}]}),
         "declarations.activations holds something without an identifier"),
        (management(declarations={"assets": [5]}), "declarations.assets holds something without an identifier"),
        (management(declarations={"management": [{"identifier": "i", "active": "yes"}]}), "active is no boolean"),
        (management(declarations={"management": [{"identifier": "i", "active": 2}]}), "active is no boolean"),
        (management(declarations={"assets": [{"identifier": "i", "reasons": {}}]}), "reasons is no array"),
        (management(client_capabilities={"supported-versions": "1.0"}), "supported-versions is no array"),
        ({"StatusItems": {}, "Errors": {}}, "Errors is no array"),
        ({"StatusItems": {}, "Errors": [5]}, "Errors holds something that names no status item"),
        ({"StatusItems": {}, "Errors": [{"Reasons": []}]}, "Errors holds something that names no status item"),
        ({"StatusItems": 5, "Errors": []}, "StatusItems is no dictionary"),
        ({"StatusItems": {}, "FullReport": "yes"}, "FullReport is no boolean"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_remark_and_the_rest_is_read(fields: dict[str, Any], remark: str) -> None:
    report = read(fields)
    assert report.remarks == (remark,)
    assert not report.full_report
    items = fields["StatusItems"] if isinstance(fields["StatusItems"], dict) else {}
    again = read(fields | {"StatusItems": items | {"device": {"identifier": {"udid": "U1"}}}, "FullReport": 1})
    assert (again.udid, again.full_report) == ("U1", True)


def test_what_is_missing_is_no_remark() -> None:
    silent = {"device": {"operating-system": {}}, "softwareupdate": {}, "management": {"declarations": {"assets": []}}}
    report = read({"StatusItems": silent})
    assert (report.remarks, report.declarations, report.errors) == ((), {}, {})
    assert read({"StatusItems": {}}) == read({"Errors": []}) == StatusReport()
    neither: tuple[dict[str, Any], ...] = ({"StatusItems": []}, {"Errors": {}}, {"StatusItems": None, "Errors": None})
    for fields in neither:
        with pytest.raises(ProtocolError, match="neither StatusItems nor Errors") as caught:
            read_status_fields(fields)
        assert caught.value.remedy


def test_an_update_s_reasons_come_in_two_spellings_and_as_one_word() -> None:
    for told in (
        {"reason": ["mdm"]},
        {"reasons": ["mdm"]},
        {"reason": "mdm", "reasons": ["x"]},
        {"reason": ["mdm", 5]},
    ):
        report = read(update(install_reason=told | {"declaration-id": "d"}))
        assert (report.install_reason, report.remarks) == ((("mdm",), "d"), ())


@pytest.mark.parametrize(
    ("written", "local"),
    [
        ("2026-11-20T19:00:00", datetime(2026, 11, 20, 19)),
        ("2026-11-20 19:00:01.5", datetime(2026, 11, 20, 19, 0, 1)),
        ("2026-11-20t19:00:00z", datetime(2026, 11, 20, 19)),
        ("2026-11-20T19:00:00+0100", datetime(2026, 11, 20, 19)),
        ("2026-11-20T19:00:00-08:00", datetime(2026, 11, 20, 19)),
        ("2026-11-20T19:00", None),
        ("2026-02-30T19:00:00", None),
        ("2026-11-20T19:00:00 ", None),
        ("\u0662026-11-20T19:00:00", None),
        ("", None),
    ],
)
def test_a_local_time_is_read_as_it_stands_there(written: str, local: datetime | None) -> None:
    report = read(update(pending_version={"os-version": "26.1", "target-local-date-time": written}))
    assert report.pending_version == ("26.1", "", local)
    assert bool(report.remarks) is (bool(written) and local is None)


@pytest.mark.parametrize(
    ("written", "instant"),
    [
        ("2026-11-18T10:00:00Z", datetime(2026, 11, 18, 10, tzinfo=UTC)),
        ("2026-11-18t10:00:00z", datetime(2026, 11, 18, 10, tzinfo=UTC)),
        ("2026-11-18 10:00:00-08:30", datetime(2026, 11, 18, 18, 30, tzinfo=UTC)),
        ("2026-11-18T10:00:00.000001Z", datetime(2026, 11, 18, 10, 0, 0, 1, tzinfo=UTC)),
        ("2026-11-18T10:00:00.123456789Z", datetime(2026, 11, 18, 10, 0, 0, 123_456, tzinfo=UTC)),
        ("2026-11-18T10:00:00.5Z", datetime(2026, 11, 18, 10, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-11-18T10:00:00.1234567890Z", None),
        ("2026-11-18T10:00:00", None),
        ("2026-11-18T10:00:00+0100", None),
        ("2026-13-18T10:00:00Z", None),
        ("0001-01-01T00:00:00+10:00", None),
        ("2026-11-18T10:00:00+25:00", None),
        ("", None),
    ],
)
def test_an_instant_is_read_as_utc(written: str, instant: datetime | None) -> None:
    report = read(update(failure_reason={"count": 1, "reason": "r", "timestamp": written}))
    assert report.failure == (1, "r", instant)
    assert bool(report.remarks) is (bool(written) and instant is None)


@pytest.mark.parametrize(
    ("told", "failures"),
    [
        ({"count": 0, "reason": "r"}, 0), ({"count": 2**31 - 1}, 2**31 - 1), ({"count": 2**31, "reason": "r"}, 1),
        ({"count": -1}, 0), ({"count": True, "reason": "r"}, 1), ({"count": 2.0, "reason": ""}, 0),
        ({"reason": "r"}, 1), ({}, 0),
    ],
)  # fmt: skip
def test_failures_are_counted_and_without_a_count_a_reason_is_one(told: dict[str, Any], failures: int) -> None:
    report = read(update(failure_reason=told))
    assert report.failure
    assert report.failure.failures == failures
    right = type(told.get("count")) is int and told["count"] == failures
    assert report.remarks == (() if right else ("failure-reason.count is no number",))


def test_what_a_device_can_be_sent_stands_each_in_its_place() -> None:
    kinds = {"activations": ["a"], "configurations": ["c", "c"]}
    told = {
        "supported-versions": ["1.0.0", 2],
        "supported-payloads": {"declarations": kinds, "status-items": ["s"]},
    }
    assert read(management(client_capabilities=told)).capabilities == ClientCapabilities(
        ("1.0.0",), frozenset("a"), frozenset("c"), frozenset("s")
    )
    assert read(management(client_capabilities={})).capabilities == ClientCapabilities()


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ({"identifier": "i"}, DeclarationStatus("i", None, "unknown")),
        ({"identifier": "i", "active": 1, "valid": "valid"}, DeclarationStatus("i", True, "valid")),
        ({"identifier": "i", "active": 0, "valid": ""}, DeclarationStatus("i", False, "unknown")),
        ({"identifier": "i", "active": False, "server-token": "t", "reasons": []},
         DeclarationStatus("i", False, "unknown", "t")),
        ({"identifier": "i", "reasons": [5, {"Code": "C", "Description": "D", "Details": {"Error": "E"}}, {}]},
         DeclarationStatus("i", None, "unknown", "", (Reason("C", "D", "E"), Reason("")))),
        ({"identifier": "i", "reasons": [{"code": "c", "description": "d", "details": {"Error": "e"}}]},
         DeclarationStatus("i", None, "unknown", "", (Reason("c", "d", "e"),))),
        ({"identifier": ""}, None),
        ({"identifier": 5}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_what_is_said_of_one_declaration_is_read_or_it_names_none(
    told: dict[str, Any], status: DeclarationStatus | None
) -> None:
    assert declaration_status(told) == status
    assert read(management(declarations={"assets": [told]})).declarations == ({"i": status} if status else {})


def test_only_an_invalid_declaration_is_broken() -> None:
    for word in ("invalid", "valid", "unknown", "tomorrow's"):
        assert DeclarationStatus("i", True, word).broken is (word == "invalid")


def test_declarations_of_every_kind_are_kept_though_one_kind_cannot_be_read() -> None:
    told = {"activations": "?", "configurations": [{}, {"identifier": "c"}], "management": [{"identifier": "m"}]}
    assert list(read(management(declarations=told)).declarations or ()) == ["c", "m"]


def test_errors_are_read_in_both_spellings() -> None:
    small, large = {"status-item": "a", "reasons": [{"code": "c"}]}, {"StatusItem": "b", "Reasons": [{"Code": "C"}]}
    report = read({"Errors": [small, 5, large, {"StatusItem": "d"}]})
    assert report.errors == {"a": (Reason("c"),), "b": (Reason("C"),), "d": ()}


def test_an_increment_adds_its_errors_and_keeps_its_own_remarks() -> None:
    before = read({"StatusItems": {"softwareupdate": 5}, "Errors": [{"StatusItem": "a"}, {"StatusItem": "b"}]})
    now = read({"StatusItems": {"device": 5}, "Errors": [{"StatusItem": "b", "Reasons": [{"Code": "C"}]}]})
    after = now.over(before)
    assert after.errors == {"a": (), "b": (Reason("C"),)}
    assert after.remarks == ("device is no dictionary",)
    assert not after.full_report


def test_of_many_reasons_the_first_50_are_kept_and_one_remark_is_made_once() -> None:
    assert read({"Errors": [5] * 3}).remarks == ("Errors holds something that names no status item",)
    reasons = [{"code": str(number)} for number in range(60)]
    status = declaration_status({"identifier": "i", "reasons": reasons})
    assert status
    assert [reason.code for reason in status.reasons] == [str(number) for number in range(50)]


def test_long_texts_are_cut_at_1000_characters() -> None:
    report = read(update(device_id="x" * 1_001, install_reason={"reason": ["y" * 1_001]}))
    assert (report.device_id, report.install_reason) == ("x" * 1_000, (("y" * 1_000,), ""))


KEYS = st.sampled_from(
    [
        "StatusItems", "Errors", "FullReport", "device", "softwareupdate", "management", "operating-system", "version",
        "install-state", "install-reason", "reason", "pending-version", "os-version", "target-local-date-time",
        "failure-reason", "count", "timestamp", "declarations", "configurations", "identifier", "reasons", "active",
        "client-capabilities", "supported-payloads", "status-items", "code", "details", "Error", "x",
    ]
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.sampled_from(["26.1", "none"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=30,
)


@given(st.dictionaries(KEYS, JSON, max_size=6), st.dictionaries(KEYS, JSON, max_size=6))
def test_no_object_raises_anything_but_our_error(items: dict[str, Any], update: dict[str, Any]) -> None:
    fields = {
        "StatusItems": {**items, "softwareupdate": update, "management": {"declarations": items}},
        "Errors": items,
    }
    report = read_status_fields(fields)
    assert report.over(read_status_fields(FULL)).over(report)
    with suppress(ProtocolError):
        read_status_fields(items)


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
@example(b"[" * 100_000)
@example(b'{"StatusItems":' * 40 + b"1" + b"}" * 40)
@example(b'{"StatusItems":{},"n":' + b"9" * 5000 + b"}")
@example(b'{"StatusItems":{},"n":1e999}')
@example(b'{"StatusItems":{},"n":NaN}')
@example(b'{"StatusItems":{"a":"\\u0000"}}')
@example(b'{"StatusItems":{"a":"\\ud800"}}')
@example(b"\xff\xfe{\x00}\x00")
def test_no_bytes_raise_anything_but_our_error(body: bytes) -> None:
    with suppress(ProtocolError):
        read_status(body)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b"{}", b'{"a":NaN}', b'{"a":1e999}', b'{"a":"\\u0000"}', b'{"a":"\\ud800"}',
        b'{"a":' * 33 + b"{}" + b"}" * 33, b" " * MAX_BYTES + b"{}",
    ],
)  # fmt: skip
def test_hostile_json_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        read_status(body)
    assert caught.value.remedy


def test_long_lists_are_bounded() -> None:
    many = [{"identifier": str(number)} for number in range(2_001)]
    report = read(management(declarations={"configurations": many}))
    assert list(report.declarations or ()) == [str(number) for number in range(2_000)]
    assert report.remarks == ("more than 2000 declarations",)
    assert read(management(declarations={"configurations": many[1:]})).remarks == ()
    words = [str(number) for number in range(2_001)]
    assert read(update(install_reason={"reason": words})).install_reason == (tuple(words[:2_000]), "")
    errors = read({"Errors": [{"StatusItem": word} for word in words]}).errors
    assert list(errors) == words[:2_000]


def test_depth_counts_what_is_within() -> None:
    assert read_json(b'{"a":' * 31 + b"1" + b"}" * 31)
