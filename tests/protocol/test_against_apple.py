"""Our rule data beside Apple's schema files and the lifecycle facts of 27.0: nothing missing, nothing extra."""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import yaml

from osupdate_kit.protocol.commands import DEFAULT_QUERIES, QUERIES_FROM_27, queries_for
from osupdate_kit.protocol.rules import (
    ACTIONS,
    ACTIVATION,
    AVAILABLE_KEYS,
    COMMANDS,
    DECLARATION_KEYS,
    DECLARATIONS,
    ENFORCEMENT,
    PROGRESS_STATUSES,
    QUERIES,
    RESULT_ACTIONS,
    SETTINGS,
    STATUS_ITEMS,
    STATUS_KEYS,
    STATUS_PLATFORMS,
    SUBSCRIPTIONS,
    UPDATE_KEYS,
    ByPlatform,
    ReplyKey,
    action_available,
    command_available,
    command_deprecated,
    declaration_available,
    key_available,
    status_items,
)
from osupdate_kit.protocol.terms import (
    InstallAction,
    InstallReason,
    InstallState,
    Platform,
    Priority,
    RequestType,
    UpdateStatus,
)
from osupdate_kit.protocol.versions import OSVersion
from tests.paths import SHARED

APPLE = SHARED / "apple"
LIFECYCLE: dict[str, Any] = json.loads((APPLE / "lifecycle.json").read_text())
PLATFORMS = ("iOS", "macOS", "tvOS", "visionOS", "watchOS")  # iPadOS follows iOS
FILES = {
    RequestType.SCHEDULE_OS_UPDATE: "system.update.schedule",
    RequestType.AVAILABLE_OS_UPDATES: "system.update.available",
    RequestType.OS_UPDATE_STATUS: "system.update.status",
    RequestType.SCHEDULE_OS_UPDATE_SCAN: "system.update.scan",
    RequestType.DEVICE_INFORMATION: "information.device",
    RequestType.SECURITY_INFO: "information.security",
    RequestType.DECLARATIVE_MANAGEMENT: "declarativemanagement",
}
Versions = dict[str, str | None]


@cache
def schema(kind: RequestType) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((APPLE / f"schema/mdm/commands/{FILES[kind]}.yaml").read_text())
    return found


def version(text: object) -> str | None:
    """A version as numbers, so that 11 equals 11.0; None: never."""
    return None if text in (None, "n/a") else str(OSVersion.parse(str(text)).numbers)


def ours(since: ByPlatform, what: str = "introduced") -> Versions:
    rows = {name: since.get(Platform(name)) for name in PLATFORMS}
    found = {name: getattr(row, what) if row else None for name, row in rows.items()}
    return {name: str(value.numbers) if value else None for name, value in found.items()}


def apples(node: dict[str, Any], inherited: dict[str, Any]) -> Versions:
    """`introduced` by platform: a key overrides only what it names (the schema's README)."""
    own = node.get("supportedOS", {})
    return {
        name: version((own.get(name) or {}).get("introduced", inherited.get(name, {}).get("introduced")))
        for name in PLATFORMS
    }


def keys_of(kind: RequestType, *path: str) -> dict[str, dict[str, Any]]:
    nodes = schema(kind)[path[0]]
    for name in path[1:]:
        nodes = next(node for node in nodes if node["key"] == name)["subkeys"]
    return {node["key"]: node for node in nodes}


@pytest.mark.parametrize("kind", COMMANDS)
def test_a_command_exists_where_the_schema_says_and_asks_what_it_asks(kind: RequestType) -> None:
    rule, apple = COMMANDS[kind], schema(kind)["payload"]
    rows = {name: row for name, row in apple["supportedOS"].items() if version(row["introduced"])}
    assert apple["requesttype"] == kind.value
    assert ours(rule.since) == apples({}, apple["supportedOS"])
    assert {p.value for p in rule.supervised} == {name for name, row in rows.items() if row.get("supervised")}
    app_right = {name for name, row in rows.items() if row.get("accessrights") == "AllowAppInstallation"}
    assert {p.value for p in rule.app_right} == app_right
    modes = {row["userenrollment"]["mode"] for row in rows.values() if "userenrollment" in row}
    assert modes == {"allowed" if rule.user_enrollment else "forbidden"}
    user = {n for n, row in rows.items() if row.get("userchannel") or row.get("sharedipad", {}).get("userchannel")}
    assert {p.value for p in rule.user_channel} == user
    assert not any(row.get("requiresdep") for row in rows.values())


def test_every_command_has_its_schema_file_and_none_is_left_over() -> None:
    assert set(COMMANDS) == set(RequestType) == set(FILES)
    updates = {path.stem for path in (APPLE / "schema/mdm/commands").glob("system.update.*.yaml")}
    assert updates == {stem for stem in FILES.values() if stem.startswith("system.update.")}
    assert set(LIFECYCLE["commands"]) == {kind.value for kind, stem in FILES.items() if stem in updates}


@pytest.mark.parametrize("name", LIFECYCLE["commands"])
def test_a_command_is_deprecated_and_removed_when_the_27_edition_says(name: str) -> None:
    facts, rule = LIFECYCLE["commands"][name], COMMANDS[RequestType(name)]
    for what in ("introduced", "deprecated", "removed"):
        assert ours(rule.since, what) == {p: version((facts[p] or {}).get(what)) for p in PLATFORMS}
    assert {p.value for p in rule.supervised} == {p for p, needed in facts["supervised"].items() if needed}
    assert {p.value for p in rule.app_right} == {p for p, right in facts["access_right"].items() if right}
    assert (facts["user_enrollment"], facts["channel"]) == ("forbidden", "device")
    assert not rule.user_enrollment
    assert not rule.user_channel


def test_the_keys_of_an_update_are_apples() -> None:
    kind = RequestType.SCHEDULE_OS_UPDATE
    apple = keys_of(kind, "payloadkeys", "Updates", "UpdatesItem")
    inherited = schema(kind)["payload"]["supportedOS"]
    assert {key: ours(since) for key, since in UPDATE_KEYS.items()} == {
        key: apples(node, inherited) for key, node in apple.items()
    }
    facts = LIFECYCLE["schedule_update_keys"]
    assert {key: ours(since) for key, since in UPDATE_KEYS.items()} == {
        key: {p: version(row.get(p)) for p in PLATFORMS} for key, row in facts.items()
    }
    assert [p.value for p in Priority] == apple["Priority"]["rangelist"] == facts["Priority"]["enum"]
    assert [node["key"] for node in schema(kind)["payloadkeys"]] == ["Updates"]


def test_the_actions_are_apples() -> None:
    apple = keys_of(RequestType.SCHEDULE_OS_UPDATE, "payloadkeys", "Updates", "UpdatesItem")["InstallAction"]
    assert [action.value for action in ACTIONS] == apple["rangelist"]
    answers = keys_of(RequestType.SCHEDULE_OS_UPDATE, "responsekeys", "UpdateResults", "UpdateResultsItem")
    assert {a.value for a in RESULT_ACTIONS} == set(answers["InstallAction"]["rangelist"])
    facts = LIFECYCLE["install_actions"]
    assert {a.value for a in InstallAction} == set(facts)
    assert {a.value for a in ACTIONS} == {name for name, row in facts.items() if row["request"]}
    assert {a.value for a in RESULT_ACTIONS} == {name for name, row in facts.items() if row["response"]}
    for action, since in ACTIONS.items():
        assert ours(since) == {p: version(facts[action].get(p)) for p in PLATFORMS}


def test_the_actions_are_what_the_schemas_prose_says() -> None:
    """Per-value availability stands in prose only."""
    apple = keys_of(RequestType.SCHEDULE_OS_UPDATE, "payloadkeys", "Updates", "UpdatesItem")["InstallAction"]
    found = {}
    for line in apple["content"].splitlines():
        if match := re.match(r"\* '(\w+)':.*This value is available in (.*) and later\.", line):
            found[match[1]] = dict(re.findall(r"(\w+OS) ([0-9.]+)", match[2]))
    assert {action.value: ours(since) for action, since in ACTIONS.items()} == {
        name: {p: version(row.get(p)) for p in PLATFORMS} for name, row in found.items()
    }


def test_the_words_of_a_status_are_apples() -> None:
    answers = keys_of(RequestType.SCHEDULE_OS_UPDATE, "responsekeys", "UpdateResults", "UpdateResultsItem")
    assert [status.value for status in UpdateStatus] == answers["Status"]["rangelist"]
    assert [status.value for status in UpdateStatus] == LIFECYCLE["update_results_status"]
    assert {status.value for status in PROGRESS_STATUSES} == set(LIFECYCLE["os_update_status_values"])
    limits = {status.value: [p.value for p in platforms] for status, platforms in STATUS_PLATFORMS.items()}
    assert limits == LIFECYCLE["update_results_status_platform_limits"]


@pytest.mark.parametrize(
    ("kind", "array", "rows"),
    [
        (RequestType.AVAILABLE_OS_UPDATES, "AvailableOSUpdates", AVAILABLE_KEYS),
        (RequestType.OS_UPDATE_STATUS, "OSUpdateStatus", STATUS_KEYS),
    ],
)
def test_the_keys_of_a_reply_are_apples(kind: RequestType, array: str, rows: dict[str, ReplyKey]) -> None:
    inherited = schema(kind)["payload"]["supportedOS"]
    assert {key: (row.type, row.required, ours(row.since)) for key, row in rows.items()} == {
        key: (node["type"].strip("<>"), node["presence"] == "required", apples(node, inherited))
        for key, node in keys_of(kind, "responsekeys", array, f"{array}Item").items()
    }


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_exists_where_the_schema_says(query: str) -> None:
    kind = RequestType.DEVICE_INFORMATION
    apple = keys_of(kind, "payloadkeys", "Queries", "QueriesItem")[query]
    assert ours(QUERIES[query]) == apples(apple, schema(kind)["payload"]["supportedOS"])


def test_what_is_asked_of_27_is_what_27_still_answers() -> None:
    facts = {name: row for name, row in LIFECYCLE["device_information_queries"].items() if name[0] != "_"}
    gone = {name for name, since in QUERIES.items() if any(row.removed for row in since.values())}
    assert gone == set(facts)
    for name, row in facts.items():
        for platform, dates in row.items():
            found = QUERIES[name][Platform(platform)]
            assert [str(v) if v else None for v in found] == [dates[k] for k in ("introduced", "deprecated", "removed")]
    assert set(DEFAULT_QUERIES) <= set(QUERIES)
    assert set(DEFAULT_QUERIES) - gone == set(QUERIES_FROM_27)
    assert queries_for(OSVersion.parse("27.0")) == QUERIES_FROM_27
    assert queries_for(OSVersion.parse("26.10")) == DEFAULT_QUERIES


def declared(name: str) -> dict[str, Any]:
    """Apple's 27.0 file about a declaration."""
    folder, stem = "configurations", name.removeprefix("com.apple.configuration.")
    if stem == name:
        folder, stem = "activations", name.removeprefix("com.apple.activation.")
    path = f"schema-27/declarative/declarations/{folder}/{stem}.yaml"
    found: dict[str, Any] = yaml.safe_load((APPLE / path).read_text())
    return found


def enrollments(rows: dict[str, Any], inherited: dict[str, set[str]]) -> dict[str, set[str]]:
    """`allowed-enrollments` by platform: a key overrides only what it names."""
    own = {p: set(row["allowed-enrollments"]) for p, row in rows.items() if row and "allowed-enrollments" in row}
    return inherited | own


@pytest.mark.parametrize("name", DECLARATIONS)
def test_a_declaration_exists_where_the_27_edition_says(name: str) -> None:
    apple, rule = declared(name)["payload"], DECLARATIONS[name]
    assert apple["declarationtype"] == name
    assert ours(rule.since) == apples({}, apple["supportedOS"])
    rows = {p: row for p, row in apple["supportedOS"].items() if version(row["introduced"])}
    allowed = enrollments(rows, {})
    only_supervised = {p for p, who in allowed.items() if "device" not in who}
    assert {p.value for p in rule.supervised} == only_supervised
    assert rule.user_enrollment is (not allowed or any("user" in who for who in allowed.values()))
    if facts := LIFECYCLE["ddm"].get(name):
        assert ours(rule.since) == {p: version(facts[p]) for p in PLATFORMS}
        assert only_supervised == {p for p, who in facts["enrollments"].items() if who == ["supervised"]}


def test_every_declaration_of_the_27_edition_is_known() -> None:
    files = (APPLE / "schema-27/declarative/declarations").glob("*/*.yaml")
    assert set(DECLARATIONS) == {yaml.safe_load(path.read_text())["payload"]["declarationtype"] for path in files}
    assert set(DECLARATIONS) >= {name for name in LIFECYCLE["ddm"] if name.startswith("com.apple.configuration.")}
    assert set(DECLARATION_KEYS) == set(DECLARATIONS)


Row = tuple[str, bool, tuple[str, ...], tuple[int, int] | None, Versions, set[str]]


def payload_keys(
    nodes: list[dict[str, Any]], above: str, since: Versions, allowed: dict[str, set[str]]
) -> Iterator[tuple[str, Row]]:
    """Every key of a payload by its path; the one dictionary within an array bears no name on the wire."""
    for node in nodes:
        rows = node.get("supportedOS", {})
        own = {p: version(rows[p]["introduced"]) if "introduced" in rows.get(p, {}) else since[p] for p in PLATFORMS}
        mine = enrollments(rows, allowed)
        path, span = f"{above}{node['key']}", node.get("range")
        yield (
            path,
            (
                node["type"].strip("<>"),
                node["presence"] == "required",
                tuple(node.get("rangelist", ())),
                (span["min"], span["max"]) if span else None,
                own,
                {p for p, who in mine.items() if who == {"supervised"} and own[p]},
            ),
        )
        inner = node.get("subkeys", [])
        if node["type"] == "<array>":
            inner = inner[0].get("subkeys", [])
        yield from payload_keys(inner, f"{path}.", own, mine)


@pytest.mark.parametrize("name", [ENFORCEMENT, SETTINGS, SUBSCRIPTIONS, ACTIVATION])
def test_the_keys_of_a_declaration_are_apples(name: str) -> None:
    file = declared(name)
    supported = file["payload"]["supportedOS"]
    apple = dict(payload_keys(file["payloadkeys"], "", apples({}, supported), enrollments(supported, {})))
    found: dict[str, Row] = {}
    for path, row in DECLARATION_KEYS[name].items():
        supervised = {p.value for p in row.supervised & set(row.since)}
        found[path] = (row.type, row.required, row.words, row.span, ours(row.since), supervised)
    if name == SUBSCRIPTIONS:  # macOS takes it by User Enrollment as well
        apple = {path: (*row[:5], row[5] | {"macOS"}) for path, row in apple.items()}
    assert found == apple


@pytest.mark.parametrize("name", STATUS_ITEMS)
def test_a_status_item_exists_where_apple_says(name: str) -> None:
    since = {p: found for p, found in ours(STATUS_ITEMS[name]).items() if p != "watchOS"}
    if facts := LIFECYCLE["ddm"].get(name):
        assert since == {p: version(facts[p]) for p in since}
    path = APPLE / f"schema/declarative/status/{name}.yaml"
    apple = yaml.safe_load(path.read_text())["payload"]
    assert apple["statusitemtype"] == name
    old = {p: found for p, found in apples({}, apple["supportedOS"]).items() if found and p != "watchOS"}
    assert old.items() <= since.items()


def test_every_status_item_about_updates_is_known_and_so_are_its_words() -> None:
    folder = APPLE / "schema/declarative/status"
    assert {name for name in STATUS_ITEMS if name.startswith("softwareupdate.")} == {
        path.stem for path in folder.glob("softwareupdate.*.yaml")
    }
    state = yaml.safe_load((folder / "softwareupdate.install-state.yaml").read_text())["payloadkeys"][0]
    assert [word.value for word in InstallState] == re.findall(r"\* '(\w+)'", state["content"])
    assert {word.value for word in InstallState} - set(state["rangelist"]) == {"waiting"}
    reason = yaml.safe_load((folder / "softwareupdate.install-reason.yaml").read_text())["payloadkeys"][0]
    assert [word.value for word in InstallReason] == reason["subkeys"][0]["subkeys"][0]["rangelist"]


def test_the_lookups_read_the_tables() -> None:
    v = OSVersion.parse
    schedule = RequestType.SCHEDULE_OS_UPDATE
    assert command_available(schedule, Platform.IPADOS, v("9"))
    assert command_available(schedule, Platform.IPADOS, v("26.10"))
    assert not command_available(schedule, Platform.IPADOS, v("27"))
    assert not command_available(schedule, Platform.WATCHOS, v("11.0"))
    assert command_deprecated(schedule, Platform.MACOS, v("26.0"))
    assert not command_deprecated(schedule, Platform.MACOS, v("15.7"))
    assert not command_deprecated(schedule, Platform.MACOS, v("27.0"))
    assert action_available(InstallAction.INSTALL_LATER, Platform.MACOS, v("10.11"))
    assert not action_available(InstallAction.INSTALL_LATER, Platform.IOS, v("18.0"))
    assert not action_available(InstallAction.DEFAULT, Platform.MACOS, v("27.0"))
    assert not action_available(InstallAction.ERROR, Platform.MACOS, v("15.0"))
    assert key_available("ProductVersion", Platform.IPADOS, v("11.3"))
    assert not key_available("ProductVersion", Platform.IPADOS, v("11.2.6"))
    assert not key_available("ProductVersion", Platform.IPADOS, v("27.0"))
    assert not key_available("Deadline", Platform.IPADOS, v("18.0"))
    assert declaration_available(ENFORCEMENT, Platform.IPADOS, v("17.0"))
    assert not declaration_available(ENFORCEMENT, Platform.MACOS, v("13.7"))
    assert not declaration_available("com.example", Platform.MACOS, v("26.0"))
    assert declaration_available(ACTIVATION, Platform.TVOS, v("16.0"))
    assert "softwareupdate.device-id" in status_items(Platform.IPADOS, v("18.0"))
    assert "softwareupdate.device-id" not in status_items(Platform.IPADOS, v("17.7"))
    assert status_items(Platform.MACOS, v("12.6")) == ()
