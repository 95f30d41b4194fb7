"""What Apple's documentation expects of a reply, as data, and where one reply departs from it.

Beside the remarks of `results`, which tell what breaks a rule of reading: which keys a reply holds on which platform,
and which words answer which. A departure that others have met is told with its source. Leaves to `kit.prove` what only
shows over several replies.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from osupdate_kit.errors import ProtocolError
from osupdate_kit.protocol.causes import CODES
from osupdate_kit.protocol.results import CommandResult, read_result
from osupdate_kit.protocol.terms import CommandStatus, InstallAction, Platform, RequestType

_MAC = frozenset({Platform.MACOS})
_MOBILE = frozenset({Platform.IOS, Platform.IPADOS, Platform.TVOS})
_ALL = _MAC | _MOBILE


class Deviation(NamedTuple):
    """One departure. known: who has met it before, if anybody; then the kit copes with it."""

    rule: str  # the rule's id where there is one, else the key or the word
    seen: str
    expected: str
    known: str = ""


class Reply(NamedTuple):
    """An Acknowledged reply: the key that it holds, and the keys of its items, with the platforms that send them."""

    holds: str
    keys: Mapping[str, frozenset[Platform]]
    may_lack: str = ""  # why the whole key may be missing, if it may
    platforms: frozenset[Platform] = _ALL


# Apple's schema, edition 18.2; what is optional there is not listed.
REPLIES: Mapping[RequestType, Reply] = {
    RequestType.SCHEDULE_OS_UPDATE: Reply(
        "UpdateResults",
        {"ProductKey": _ALL, "InstallAction": _ALL, "Status": _ALL},
        "Missing after a restart and a resend, and always from iOS 11.3.1 (openradar-mirror 19740).",
    ),
    RequestType.AVAILABLE_OS_UPDATES: Reply(
        "AvailableOSUpdates",
        {
            "ProductKey": _ALL, "HumanReadableName": _ALL, "Version": _ALL, "Build": _ALL, "DownloadSize": _ALL,
            "ProductName": _MOBILE, "InstallSize": _MOBILE, "HumanReadableNameLocale": _MAC,
            "AppIdentifiersToClose": _MAC,
        },
    ),
    RequestType.OS_UPDATE_STATUS: Reply(
        "OSUpdateStatus",
        {"ProductKey": _ALL, "IsDownloaded": _ALL, "DownloadPercentComplete": _ALL, "Status": _ALL},
    ),
    RequestType.SCHEDULE_OS_UPDATE_SCAN: Reply("ScanInitiated", {}, platforms=_MAC),
    RequestType.DEVICE_INFORMATION: Reply(
        "QueryResponses",
        {"OSVersion": _ALL, "BuildVersion": _ALL, "SerialNumber": _ALL, "ProductName": _ALL, "IsSupervised": _ALL},
    ),
    RequestType.SECURITY_INFO: Reply("SecurityInfo", {}),
}  # fmt: skip

_RETURNS: Mapping[str, frozenset[str]] = {
    InstallAction.DEFAULT: frozenset({InstallAction.DOWNLOAD_ONLY, InstallAction.INSTALL_ASAP}),
}
_NEVER_NOT_NOW = frozenset({RequestType.DEVICE_INFORMATION})  # the update commands may be put off anywhere
_NO_EXCUSE = frozenset({Platform.IOS, Platform.IPADOS})


def deviations(request: Mapping[str, Any], fields: Mapping[str, Any], platform: Platform | None) -> list[Deviation]:
    """Where this reply to that request (its `Command` dictionary) departs from what is expected."""
    kind = RequestType(request["RequestType"])
    try:
        result = read_result(fields)
    except ProtocolError as error:
        return [Deviation("S01", Exception.__str__(error).removeprefix("S01: "), "a reply that can be read")]
    remarks = (remark.partition(": ") for remark in result.remarks)
    found = [Deviation(rule, seen, "what the rule says") for rule, _, seen in remarks]
    if result.status is CommandStatus.ACKNOWLEDGED:
        found += _content(kind, fields, platform)
        found += _returned(request, result) if kind is RequestType.SCHEDULE_OS_UPDATE else ()
    elif result.status is CommandStatus.COMMAND_FORMAT_ERROR:
        found.append(Deviation("Status", "CommandFormatError", "a request that this device can read"))
    elif result.status is CommandStatus.NOT_NOW and kind in _NEVER_NOT_NOW and platform in _NO_EXCUSE:
        found.append(Deviation("Status", f"NotNow to {kind}", "an answer at any time, on iOS and iPadOS"))
    return found + list(_codes(result))


def _content(kind: RequestType, fields: Mapping[str, Any], platform: Platform | None) -> Iterator[Deviation]:
    reply = REPLIES.get(kind)
    if reply is None or (platform is not None and platform not in reply.platforms):
        return
    held = fields.get(reply.holds)
    if held is None:
        yield Deviation(reply.holds, "missing", "in every Acknowledged reply", reply.may_lack)
        return
    items = held if isinstance(held, list) else [held]
    for item in items if reply.keys else ():
        lacking = [
            key
            for key, platforms in reply.keys.items()
            if isinstance(item, Mapping) and key not in item and (platform is None or platform in platforms)
        ]
        if lacking:
            yield Deviation(reply.holds, f"an item without {', '.join(lacking)}", "required by Apple's schema")


def _returned(request: Mapping[str, Any], result: CommandResult) -> Iterator[Deviation]:
    asked = {item.get("InstallAction", "") for item in request.get("Updates", ())}
    wanted = frozenset().union(*(_RETURNS.get(one, frozenset({one})) for one in asked))
    for item in result.update_results or ():
        action = item.install_action
        if action and action is not InstallAction.ERROR and action.value not in wanted:
            yield Deviation(
                "InstallAction", action.value, " or ".join(sorted(wanted)), "It may differ from the request (Apple)."
            )


def _codes(result: CommandResult) -> Iterator[Deviation]:
    chains = [result.errors, *(item.errors for item in result.update_results or ())]
    for link in (link for chain in chains for link in chain):
        if (link.domain, link.code) not in CODES:
            yield Deviation(
                "ErrorCode", f"{link.domain[:80]} {link.code}", "a code of the kit's list", "Codes may change (Apple)."
            )
