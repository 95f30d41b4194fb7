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
from osupdate_kit.protocol.status import Reason, StatusReport, read_status, read_status_fields
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


@pytest.mark.parametrize(
    "items",
    [
        update(install_state=5),
        update(install_reason=[]),
        update(install_reason={"reason": {}}),
        update(pending_version="26.1"),
        update(pending_version={"target-local-date-time": "tomorrow"}),
        update(failure_reason={"count": "two"}),
        update(failure_reason={"count": 1, "timestamp": "yesterday"}),
        {"StatusItems": {"device": {"operating-system": {"version": "26.x"}}}},
        {"StatusItems": {"device": []}},
        {"StatusItems": {"management": {"declarations": {"configurations": [{}, 5]}}}},
        {"StatusItems": {"management": {"declarations": {"configurations": {}}}}},
        {"StatusItems": {}, "Errors": {}},
        {"StatusItems": {}, "Errors": [5]},
        {"StatusItems": {}, "FullReport": "yes"},
    ],
)
def test_what_cannot_be_read_is_a_remark_and_the_rest_is_read(items: dict[str, Any]) -> None:
    assert read(items).remarks


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
    many = [{"identifier": str(number)} for number in range(5_000)]
    report = read({"StatusItems": {"management": {"declarations": {"configurations": many}}}})
    assert report.declarations
    assert len(report.declarations) == 2_000
    assert report.remarks == ("more than 2000 declarations",)


def test_depth_counts_what_is_within() -> None:
    assert read_json(b'{"a":' * 31 + b"1" + b"}" * 31)
