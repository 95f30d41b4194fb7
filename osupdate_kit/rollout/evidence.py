"""From a device's answer to the words that an event carries. Apple's many ways of saying a thing end here.

The keys of `RolloutEvent.evidence`: `of` (step, query, push); of a step `role`, `action`; of a query `type`; of a push
`gate`; of an answer `answer`, `returned`, `failure` (class, text), `lasting`, `look`, `share`, `deferrals` (most,
remaining, next), `items` (key, version, build), `offered` (product keys aimed at), `scanned`, `os_version`, `build`,
`supplemental_build`, `extra`, `since` (of that version), `proves` (rollouts), `progress` (a rank). Of an assignment
`role`, `set`, `enforce_at`; of a status report `said` (pairs of what and text), `failures` (a number), `invalid`.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from osupdate_kit.protocol.causes import CAUSES, FailureClass, Retry, words_of_failure
from osupdate_kit.protocol.results import CommandResult, UpdateProgress, failure_of
from osupdate_kit.protocol.status import DeclarationStatus, StatusReport
from osupdate_kit.protocol.terms import CommandStatus, InstallAction, RequestType, UpdateStatus
from osupdate_kit.rollout.enforcement import enforcement_id
from osupdate_kit.rollout.state import Facts, Version

_NOTHING_THERE = frozenset({FailureClass.NO_UPDATE, FailureClass.UNSUPPORTED})
_UNHAPPY = frozenset({"failed", "no_update", "needs_download"})
_STEP_RANK = 1_000  # progress within one step never outranks the next step's beginning


def words_of(result: CommandResult, of: dict[str, Any], facts: Facts) -> dict[str, Any]:
    """All that one answer says. `of`: the words of the intention it answers."""
    words = dict(of)
    words["answer"] = _answer(result, of)
    failure = failure_of(result)
    if failure and words["answer"] in _UNHAPPY and _tells_why(of):
        said = words_of_failure(failure.text, failure.domain, failure.code)
        words["failure"] = [failure.failure_class.value, said]
        words["lasting"] = CAUSES[failure.failure_class].retry is Retry.NO
    if of["of"] == "step":
        _add_step(words, result, facts)
    if result.update_status is not None:
        _add_look(words, result.update_status, facts)
    elif of.get("type") == RequestType.OS_UPDATE_STATUS and failure and failure.failure_class in _NOTHING_THERE:
        words["look"] = "nothing"
    if result.scan_initiated:
        words["scanned"] = True
    if result.available is not None:
        words["items"] = [[u.product_key, str(u.version or ""), u.build] for u in result.available]
    if result.device is not None and result.device.os_version is not None:
        words["os_version"] = str(result.device.os_version)
        words["build"] = result.device.build_version
        words["supplemental_build"] = result.device.supplemental_build_version
        words["extra"] = result.device.supplemental_os_version_extra
        _, *known, since = facts.version
        if since and known == [words[name] for name in ("os_version", "build", "supplemental_build", "extra")]:
            words["since"] = since
    return words


def _tells_why(of: dict[str, Any]) -> bool:
    """Is a failed answer to this a cause for a person to act on? A query that only looks is asked again."""
    return of["of"] == "step" or of.get("type") in (
        RequestType.SCHEDULE_OS_UPDATE_SCAN,
        RequestType.AVAILABLE_OS_UPDATES,
        RequestType.DECLARATIVE_MANAGEMENT,
    )


_INSTALL_RANKS = {"waiting": 100, "downloading": 200, "prepared": 500, "installing": 900}


def words_of_report(report: StatusReport, number: int, set_name: str) -> dict[str, Any]:
    """All that one status report says. number, set_name: of the assignment that holds; 0 and empty: none does."""
    words: dict[str, Any] = {"of": "report", "said": _said(report, set_name)}
    if report.os_version is not None:
        words["os_version"] = str(report.os_version)
        words["build"] = report.build_version or ""
        words["supplemental_build"] = report.supplemental_build_version or ""
        words["extra"] = report.supplemental_extra_version or ""
    if number and (rank := _INSTALL_RANKS.get(report.install_state_text or "", 0)):
        words["progress"] = (number + 1) * _STEP_RANK + rank
    if number and report.failure and report.failure.failures:
        words["failures"] = report.failure.failures
        words["failure"] = [FailureClass.FAILED.value, report.failure.reason or "The device names no reason."]
    ours = (report.declarations or {}).get(enforcement_id(set_name))
    if number and ours and ours.broken:
        words["invalid"] = True
        words["failure"] = [FailureClass.INVALID.value, _why(ours) or "The device names no reason."]
    return words


def _said(report: StatusReport, set_name: str) -> list[list[str]]:
    """What people are shown of it, by what it speaks of; what it does not name is left out, for it is not said."""
    said: dict[str, str | None] = {"state": report.install_state_text, "device_id": report.device_id}
    if report.pending_version:
        os_version, build, when = report.pending_version
        said["pending"] = f"{os_version} {build}".strip()
        said["pending_by"] = when.isoformat(timespec="seconds") if when else ""
    if report.install_reason:
        said["why"] = ", ".join(report.install_reason.reasons)
        said["declaration"] = report.install_reason.declaration_id
    if report.failure:
        said["failure"] = f"{report.failure.failures}: {report.failure.reason}" if report.failure.failures else ""
    if report.declarations is not None and set_name:
        ours = report.declarations.get(enforcement_id(set_name))
        active = "" if ours is None else "active" if ours.active else "inactive"
        said["ours"] = f"{active}, {ours.valid}: {_why(ours)}".rstrip(": ") if ours else "not there"
    return [[what, text] for what, text in said.items() if text is not None]


def _why(status: DeclarationStatus) -> str:
    reasons = (" ".join(part for part in (one.code, one.description, one.detail) if part) for one in status.reasons)
    return "; ".join(reasons)[:500]


def version_in(words: Mapping[str, Any]) -> Version | None:
    """The version that an answer reports, to be held against targets."""
    if "os_version" not in words:
        return None
    return Version(0, words["os_version"], words["build"], words["supplemental_build"], words["extra"])


def _answer(result: CommandResult, of: dict[str, Any]) -> str:
    if result.status is CommandStatus.NOT_NOW:
        return "not_now"
    failure = failure_of(result)
    if failure is None:
        return "acknowledged"
    if failure.failure_class is FailureClass.NO_UPDATE:
        return "no_update"
    if failure.failure_class is FailureClass.NEEDS_DOWNLOAD:
        return "needs_download"
    harmless = of["of"] == "step" and not InstallAction(of["action"]).can_install
    if failure.failure_class is FailureClass.PROGRESS and harmless:
        return "acknowledged"  # the download that was asked for is under way or complete already
    return "failed"


def _add_step(words: dict[str, Any], result: CommandResult, facts: Facts) -> None:
    for update in result.update_results or ():
        if update.install_action and update.install_action is not InstallAction.ERROR:
            words["returned"] = update.install_action.value
        if update.status is UpdateStatus.INSTALLING:
            words["look"] = "installing"
        elif update.status is UpdateStatus.DOWNLOADING:
            words["look"] = "loading"
    if words["answer"] == "acknowledged":
        words["progress"] = (max(facts.steps, default=0) + 1) * _STEP_RANK


def _add_look(words: dict[str, Any], items: tuple[UpdateProgress, ...], facts: Facts) -> None:
    """Of several items the furthest counts; what the device listed as something else than an OS update does not."""
    newest = max(facts.steps, default=0)
    look, rank = "nothing", 0
    for item in items:
        share = item.download_percent_complete or 0.0
        if item.status is UpdateStatus.INSTALLING:
            found, further = "installing", 900
        elif item.is_downloaded:
            found, further = "ready", 500
        elif item.status is UpdateStatus.DOWNLOADING or share > 0:
            found, further = "loading", 100 + int(share * 300)
            words["share"] = share
        else:
            continue
        if item.deferrals_remaining is not None and item.max_deferrals is not None:
            used = max(0, item.max_deferrals - item.deferrals_remaining)
            further += min(300, used)
            words["deferrals"] = [item.max_deferrals, item.deferrals_remaining, _micros(item.next_scheduled_install)]
        if further > rank:
            look, rank = found, further
    words["look"] = look
    if rank and newest:
        words["progress"] = (newest + 1) * _STEP_RANK + rank


def _micros(moment: datetime | None) -> int:
    return int(moment.timestamp() * 1_000_000) if moment else 0
