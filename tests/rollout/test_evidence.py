"""What a device's answer and its status report come to in our words; progress is a rank.

What is further on is more, and what happens within one step never outranks the next step.
"""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osupdate_kit.protocol.results import CommandResult, read_result
from osupdate_kit.protocol.status import read_status_fields
from osupdate_kit.protocol.terms import RequestType
from osupdate_kit.rollout.evidence import version_in, words_of, words_of_report
from osupdate_kit.rollout.state import Facts, Step, Version

QUERY = {"of": "query", "type": RequestType.OS_UPDATE_STATUS}


def told(*items: dict[str, object]) -> CommandResult:
    return read_result({"UDID": "U", "CommandUUID": "C", "Status": "Acknowledged", "OSUpdateStatus": list(items)})


def rank(*items: dict[str, object], steps: int = 1) -> int:
    facts = Facts(steps={number: Step(1) for number in range(1, steps + 1)})
    return int(words_of(told(*items), QUERY, facts).get("progress", 0))


def item(status: str, *, there: bool = False, share: float = 0.0, remaining: int | None = None) -> dict[str, object]:
    words: dict[str, object] = {
        "ProductKey": "k", "Status": status, "IsDownloaded": there, "DownloadPercentComplete": share,
    }  # fmt: skip
    return words | ({"MaxDeferrals": 5, "DeferralsRemaining": remaining} if remaining is not None else {})


def test_each_stage_outranks_the_one_before() -> None:
    ranks = [
        rank(item("Idle")),
        rank(item("Downloading")),
        rank(item("Downloading", share=0.4)),
        rank(item("Downloading", share=0.9)),
        rank(item("Idle", there=True)),
        rank(item("Idle", there=True, remaining=4)),
        rank(item("Idle", there=True, remaining=2)),
        rank(item("Installing", there=True)),
    ]
    assert ranks == sorted(ranks)
    assert len(set(ranks)) == len(ranks)


def test_of_several_items_the_furthest_counts() -> None:
    near, far = item("Downloading", share=0.2), item("Installing", there=True)
    assert rank(near, far) == rank(far, near) == rank(far)


STAGES = st.builds(
    item,
    st.sampled_from(["Idle", "Downloading", "Installing"]),
    there=st.booleans(),
    share=st.floats(0, 1),
    remaining=st.none() | st.integers(0, 5),
)


@given(STAGES, STAGES, st.integers(1, 5))
def test_nothing_within_a_step_outranks_the_next_step(
    one: dict[str, object], other: dict[str, object], steps: int
) -> None:
    later = rank(other, steps=steps + 1)
    assert not later or rank(one, steps=steps) < later


# --- Answers ---

STEP = {"of": "step", "role": 2, "action": "InstallASAP"}
LOAD = {"of": "step", "role": 1, "action": "DownloadOnly"}
INFO = {"of": "query", "type": RequestType.DEVICE_INFORMATION}
SCAN = {"of": "query", "type": RequestType.SCHEDULE_OS_UPDATE_SCAN}
LIST = {"of": "query", "type": RequestType.AVAILABLE_OS_UPDATES}
DDM = {"of": "query", "type": RequestType.DECLARATIVE_MANAGEMENT}


def answer(
    of: dict[str, Any], status: str = "Acknowledged", facts: Facts | None = None, **fields: Any
) -> dict[str, Any]:
    """What an answer with these fields says, beside repeating what was asked."""
    result = read_result({"UDID": "U", "CommandUUID": "C", "Status": status, **fields})
    words = words_of(result, of, facts or Facts())
    assert {key: words.pop(key) for key in of} == of
    return words


def error(code: int, domain: str = "MCMDMErrorDomain", text: str = "Words.") -> dict[str, Any]:
    return {"ErrorChain": [{"ErrorDomain": domain, "ErrorCode": code, "LocalizedDescription": text}]}


@pytest.mark.parametrize(
    ("of", "status", "fields", "word"),
    [
        (STEP, "NotNow", {}, "not_now"),
        (STEP, "Acknowledged", {}, "acknowledged"),
        (STEP, "Error", error(12054), "failed"),
        (STEP, "Error", {}, "failed"),
        (STEP, "CommandFormatError", {}, "failed"),
        (STEP, "Error", error(12048), "no_update"),
        (STEP, "Error", error(12059), "needs_download"),
        (STEP, "Error", error(12058), "failed"),  # another update is in progress: whose, a query tells
        (LOAD, "Error", error(12058), "acknowledged"),  # what was asked for is under way already
        ({**LOAD, "action": "Default"}, "Error", error(12058), "failed"),
        (INFO, "Error", error(12058), "failed"),
        (STEP, "Acknowledged", {"UpdateResults": [{"ProductKey": "k", "InstallAction": "Error"}]}, "failed"),
        (INFO, "NotNow", {}, "not_now"),
    ],
)
def test_one_word_for_each_answer(of: dict[str, Any], status: str, fields: dict[str, Any], word: str) -> None:
    assert answer(of, status, **fields)["answer"] == word


def test_a_cause_is_kept_in_the_devices_words_where_a_person_can_act_on_it() -> None:
    for of in (STEP, LOAD, SCAN, LIST, DDM):
        words = answer(of, "Error", **error(12054, text="Full."))
        assert words["failure"] == ["space", "Full. (MCMDMErrorDomain 12054)"]
        assert words["lasting"] is False
    for of in (INFO, QUERY):  # which only look, and are asked again
        assert "failure" not in answer(of, "Error", **error(12054))
    assert answer(STEP, "Error", **error(12057))["lasting"] is False  # a download that failed: the same helps
    assert answer(STEP, "Error", **error(29000, "MCChaperoneErrorDomain"))["lasting"] is True  # not supervised
    for code in (12048, 12059):
        assert "failure" in answer(STEP, "Error", **error(code))
    assert answer(LOAD, "Error", **error(12058)).keys() == {"answer", "progress"}  # no failure at all
    assert "failure" not in answer(STEP, "NotNow")


def update(action: str, status: str) -> dict[str, Any]:
    return {"UpdateResults": [{"ProductKey": "k", "InstallAction": action, "Status": status}]}


def test_an_accepted_step_says_what_the_device_does_and_that_it_came_further() -> None:
    found = answer(STEP, **update("InstallLater", "Installing"))
    assert found == {"answer": "acknowledged", "returned": "InstallLater", "look": "installing", "progress": 1_000}
    assert answer(STEP, **update("InstallASAP", "Downloading"))["look"] == "loading"
    assert "look" not in answer(STEP, **update("InstallASAP", "Idle"))
    assert "returned" not in answer(STEP, **update("Error", "InstallFailed"))
    known = Facts(steps={3: Step(1), 7: Step(1)})
    assert answer(STEP, facts=known)["progress"] == 8_000  # ranks go by the newest step
    assert "progress" not in answer(STEP, "Error", **error(12054))
    assert "progress" not in answer(STEP, "NotNow")
    assert answer(INFO, **update("InstallASAP", "Installing")) == {"answer": "acknowledged"}


@pytest.mark.parametrize(
    ("items", "look", "share"),
    [
        ([], "nothing", None),
        ([item("Idle")], "nothing", None),
        ([item("Idle", share=0.25)], "loading", 0.25),
        ([item("Downloading")], "loading", 0.0),
        ([item("Downloading", there=True, share=1.0)], "ready", None),
        ([item("Installing", share=1.0)], "installing", None),
        ([item("Idle"), item("Idle", there=True)], "ready", None),
    ],
)
def test_a_look_is_the_furthest_that_any_item_came(
    items: list[dict[str, object]], look: str, share: float | None
) -> None:
    words = answer(QUERY, OSUpdateStatus=items)
    assert (words["look"], words.get("share")) == (look, share)
    assert "progress" not in words  # nothing of ours was sent: whatever it does is no progress of ours


def test_progress_in_a_download_is_told_apart_by_its_hundredths() -> None:
    ranks = [rank(item("Downloading", share=share / 100)) for share in range(101)]
    assert len(set(ranks)) == 101
    assert ranks == sorted(ranks)
    assert ranks[-1] < rank(item("Idle", there=True))
    assert rank(item("Idle", there=True), steps=2) == rank(item("Idle", there=True)) + 1_000
    assert rank(item("Idle")) == 0


def test_deferrals_are_told_where_the_device_counts_them_and_never_outrank_an_install() -> None:
    when = datetime(2026, 11, 18, 12, tzinfo=UTC)
    told = item("Idle", there=True, remaining=2) | {"NextScheduledInstall": when}
    assert answer(QUERY, OSUpdateStatus=[told])["deferrals"] == [5, 2, int(when.timestamp()) * 1_000_000]
    assert answer(QUERY, OSUpdateStatus=[item("Idle", there=True, remaining=0)])["deferrals"] == [5, 0, 0]
    assert "deferrals" not in answer(QUERY, OSUpdateStatus=[item("Idle", there=True)])
    assert "deferrals" not in answer(QUERY, OSUpdateStatus=[item("Idle", remaining=2)])  # nothing is there to put off
    many = item("Idle", there=True, remaining=0) | {"MaxDeferrals": 2_000}
    assert rank(item("Idle", there=True, remaining=0)) < rank(many) < rank(item("Installing", there=True))
    odd = item("Idle", there=True, remaining=9)  # more than there ever were
    assert rank(odd) == rank(item("Idle", there=True, remaining=5)) == rank(item("Idle", there=True))


def test_an_error_of_os_update_status_shows_an_empty_hand_only_where_it_names_that() -> None:
    assert answer(QUERY, "Error", **error(12048))["look"] == "nothing"
    assert answer(QUERY, "Error", **error(12021))["look"] == "nothing"  # the OS does not know the question
    assert "look" not in answer(QUERY, "Error", **error(12054))
    assert "look" not in answer(INFO, "Error", **error(12048))
    assert "look" not in answer(QUERY, "NotNow")


def test_a_scan_has_begun_where_the_mac_says_so() -> None:
    assert answer(SCAN, ScanInitiated=True)["scanned"] is True
    assert "scanned" not in answer(SCAN, ScanInitiated=False)
    assert "scanned" not in answer(SCAN)


def test_a_list_says_keys_versions_and_builds() -> None:
    one = {"ProductKey": "k", "HumanReadableName": "n", "Version": "26.1", "Build": "25B78"}
    assert answer(LIST, AvailableOSUpdates=[one, {"ProductKey": "j"}])["items"] == [
        ["k", "26.1", "25B78"],
        ["j", "", ""],
    ]
    assert answer(LIST, AvailableOSUpdates=[])["items"] == []
    assert "items" not in answer(LIST)


REPORTED = {
    "OSVersion": "26.1",
    "BuildVersion": "25B78",
    "SupplementalBuildVersion": "25B79",
    "SupplementalOSVersionExtra": "(a)",
}


def test_a_reported_version_is_held_against_targets_and_keeps_since_when_it_was_said() -> None:
    words = answer(INFO, QueryResponses=REPORTED)
    assert version_in(words) == Version(0, "26.1", "25B78", "25B79", "(a)")
    assert "since" not in words  # it is new to us: `fold` dates it
    assert version_in(answer(INFO, QueryResponses={})) is None
    before = Facts(version=Version(900, "26.1", "25B78", "25B79", "(a)", since=300))
    assert answer(INFO, facts=before, QueryResponses=REPORTED)["since"] == 300
    assert "since" not in answer(INFO, facts=Facts(version=before.version._replace(since=0)), QueryResponses=REPORTED)


@pytest.mark.parametrize("key", list(REPORTED))
def test_another_version_begins_anew_whatever_part_of_it_is_another(key: str) -> None:
    before = Facts(version=Version(900, "26.1", "25B78", "25B79", "(a)", since=300))
    other = {**REPORTED, key: "26.2" if key == "OSVersion" else "other"}
    assert "since" not in answer(INFO, facts=before, QueryResponses=other)


# --- Status reports ---


def report(number: int = 5, name: str = "ours", /, **update: Any) -> dict[str, Any]:
    """What a report says of an assignment of that number and set; `declarations`: of each configuration."""
    items: dict[str, Any] = {"softwareupdate": {key.replace("_", "-"): value for key, value in update.items()}}
    if "declarations" in update:
        items["management"] = {"declarations": {"configurations": items["softwareupdate"].pop("declarations")}}
    return words_of_report(read_status_fields({"StatusItems": items}), number, name)


def test_a_report_that_names_nothing_says_nothing() -> None:
    assert report() == {"of": "report", "said": []}


def test_each_install_state_ranks_above_the_one_before_and_below_the_next_assignments() -> None:
    states = ("waiting", "downloading", "prepared", "installing")
    ranks = [report(number, install_state=state)["progress"] for number in (5, 6) for state in states]
    assert ranks == sorted(set(ranks))
    assert 6_000 < ranks[0] < ranks[3] < 7_000 < ranks[4]
    for state in ("none", "failed", "a later word"):
        assert "progress" not in report(install_state=state)
        assert report(install_state=state)["said"] == [["state", state]]
    assert "progress" not in report(0, "", install_state="downloading")  # nothing of ours holds


def test_a_report_proves_versions_as_an_answer_does() -> None:
    system = {
        "version": "26.1",
        "build-version": "25B78",
        "supplemental": {"build-version": "25B79", "extra-version": "a"},
    }
    words = words_of_report(read_status_fields({"StatusItems": {"device": {"operating-system": system}}}), 0, "")
    assert version_in(words) == Version(0, "26.1", "25B78", "25B79", "a")
    bare = {"StatusItems": {"device": {"operating-system": {"version": "26.1"}}}}
    assert version_in(words_of_report(read_status_fields(bare), 0, "")) == Version(0, "26.1")


def test_failures_are_counted_and_told_with_the_devices_reason() -> None:
    words = report(failure_reason={"count": 2, "reason": "No space."})
    assert (words["failures"], words["failure"]) == (2, ["failed", "No space."])
    assert words["said"] == [["failure", "2: No space."]]
    assert report(failure_reason={"count": 1})["failure"] == ["failed", "The device names no reason."]
    over = report(failure_reason={"count": 0})
    assert "failures" not in over
    assert over["said"] == [["failure", ""]]
    others = report(0, "", failure_reason={"count": 2, "reason": "No space."})
    assert "failures" not in others
    assert others["said"] == [["failure", "2: No space."]]


def declared(identifier: str, *, valid: str = "valid", active: bool = True, reasons: Any = ()) -> dict[str, Any]:
    return {"identifier": identifier, "active": active, "valid": valid, "reasons": list(reasons)}


WHY = {"code": "Error.X", "description": "It cannot.", "details": {"Error": "No."}}


@pytest.mark.parametrize(
    ("one", "said", "invalid"),
    [
        (declared("ours-update"), "active, valid", False),
        (declared("ours-update", active=False), "inactive, valid", False),
        ({"identifier": "ours-update"}, "inactive, unknown", False),
        (declared("ours-update", valid="invalid", reasons=[WHY]), "active, invalid: Error.X It cannot. No.", True),
        (
            declared("ours-update", valid="invalid", reasons=[{"code": "A"}, {"code": "B"}]),
            "active, invalid: A; B",
            True,
        ),
        (declared("theirs-update", valid="invalid"), "not there", False),
    ],
)
def test_our_declaration_is_told_apart_from_others_and_an_invalid_one_has_a_reason(
    one: dict[str, Any], said: str, invalid: bool
) -> None:
    words = report(declarations=[one])
    assert words["said"] == [["ours", said]]
    assert words.get("invalid", False) is invalid
    if invalid:
        assert words["failure"] == ["invalid", said.partition(": ")[2]]
    assert report(0, "", declarations=[one])["said"] == []


def test_an_invalid_declaration_without_a_reason_says_so_and_a_long_reason_is_cut() -> None:
    silent = report(declarations=[declared("ours-update", valid="invalid")])
    assert silent["failure"] == ["invalid", "The device names no reason."]
    long = report(declarations=[declared("ours-update", valid="invalid", reasons=[{"code": "x" * 900}])])
    assert long["failure"] == ["invalid", "x" * 500]


def test_people_are_shown_what_is_pending_by_when_and_who_set_it_off() -> None:
    pending = {"os-version": "26.1", "build-version": "25B78", "target-local-date-time": "2026-11-23T19:00:00"}
    reason = {"reason": ["declaration", "mdm"], "declaration-id": "ours-update"}
    words = report(device_id="J1", pending_version=pending, install_reason=reason)
    assert words["said"] == [
        ["device_id", "J1"], ["pending", "26.1 25B78"], ["pending_by", "2026-11-23T19:00:00"],
        ["why", "declaration, mdm"], ["declaration", "ours-update"],
    ]  # fmt: skip
    assert report(pending_version={})["said"] == [["pending", ""], ["pending_by", ""]]  # nothing is pending any more
