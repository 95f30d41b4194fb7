"""Declarations about software updates: typed values → Apple's JSON, and back; and what a device would refuse of them.

Knows the shape of declarations, the rules D01 to D06, and how a deadline is counted in the device's own time. Leaves
to `rollout` which device is to have which. Sources: Apple's device-management schema, declarative/declarations (27.0
edition); KMFDDM compares bytes, so the JSON is canonical: the same value always gives the same bytes.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Any, TypeAlias

from osupdate_kit.errors import ProtocolError
from osupdate_kit.protocol.json_text import read_json
from osupdate_kit.protocol.rules import (
    ACTIVATION,
    DECLARATION_KEYS,
    DECLARATIONS,
    ENFORCEMENT,
    SETTINGS,
    SUBSCRIPTIONS,
    Book,
    DeclarationKey,
    Findings,
    RequestContext,
    known_on,
)
from osupdate_kit.protocol.versions import OSVersion

MAX_IDENTIFIER_BYTES = 64

_REMEDY = "Correct the declaration; protocol rules D01 to D06 say what it may hold."
_LOCAL = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}", re.ASCII)
_HOUR = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])", re.ASCII)
_LAST_YEAR = 9000  # far from where dates end


# --- the values ---


@dataclass(frozen=True, slots=True, kw_only=True)
class EnforcementSpecific:
    """Install this version by then. `target_local_date_time`: naive, whole seconds; each device takes it as its own."""

    target_os_version: OSVersion
    target_local_date_time: datetime
    target_build_version: str = ""
    details_url: str = ""

    def __post_init__(self) -> None:
        _full(self.target_os_version)
        when = self.target_local_date_time
        if when.tzinfo is not None or when.microsecond:
            raise ProtocolError(
                f"TargetLocalDateTime {when.isoformat()} has a time zone or a fraction.",
                remedy="Give the local time of day in whole seconds; each device takes it as its own.",
            )


class Cadence(StrEnum):
    """Which updates a user is shown where there are several."""

    ALL = "All"
    OLDEST = "Oldest"
    NEWEST = "Newest"


class Control(StrEnum):
    """Who decides: the user (`Allowed`), or the organisation."""

    ALLOWED = "Allowed"
    ALWAYS_ON = "AlwaysOn"
    ALWAYS_OFF = "AlwaysOff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferrals:
    """Release delays in days, 1 to 90; None: none. macOS knows the last three, the others the first."""

    combined_period_in_days: int | None = None
    major_period_in_days: int | None = None
    minor_period_in_days: int | None = None
    system_period_in_days: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AutomaticActions:
    download: Control | None = None
    install_os_updates: Control | None = None
    install_security_update: Control | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RapidSecurityResponse:
    enable: bool | None = None
    enable_rollback: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BetaProgram:
    description: str
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Beta:
    program_enrollment: Control | None = None
    offer_programs: tuple[BetaProgram, ...] | None = None
    require_program: BetaProgram | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftwareUpdateSettings:
    """What a user sees and may do. None: not said, so that another declaration or Apple's default holds."""

    notifications: bool | None = None
    deferrals: Deferrals | None = None
    recommended_cadence: Cadence | None = None
    automatic_actions: AutomaticActions | None = None
    rapid_security_response: RapidSecurityResponse | None = None
    allow_standard_user_os_updates: bool | None = None
    beta: Beta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusSubscriptions:
    """Which status items the device is to report; `rules.status_items` names those that it knows."""

    items: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivationSimple:
    """Puts configurations into force. Without an activation that names it, a configuration does nothing."""

    configurations: tuple[str, ...]  # identifiers
    predicate: str = ""


Content: TypeAlias = EnforcementSpecific | SoftwareUpdateSettings | StatusSubscriptions | ActivationSimple

_TYPES: Mapping[type[Content], str] = {
    EnforcementSpecific: ENFORCEMENT,
    SoftwareUpdateSettings: SETTINGS,
    StatusSubscriptions: SUBSCRIPTIONS,
    ActivationSimple: ACTIVATION,
}


def declaration_type(content: Content) -> str:
    return _TYPES[type(content)]


def check_identifier(identifier: str) -> str:
    """The identifier, if every server can hold it. Raises ProtocolError.

    Narrower than Apple's 64 bytes: key-value storage joins its keys with dots, and addresses end at slashes.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]+", identifier, re.ASCII) or len(identifier) > MAX_IDENTIFIER_BYTES:
        raise ProtocolError(
            f"{identifier[:80]!r} cannot name a declaration or a set.",
            remedy=f"Use letters, digits, - and _ only, {MAX_IDENTIFIER_BYTES} at most; a version as 26-7.",
        )
    return identifier


# --- to the wire and back ---


def payload(content: Content) -> dict[str, Any]:
    """The `Payload` dictionary; what is not said is left out."""
    match content:
        case EnforcementSpecific():
            return _said(
                TargetOSVersion=content.target_os_version.text,
                TargetLocalDateTime=content.target_local_date_time.isoformat(timespec="seconds"),
                TargetBuildVersion=content.target_build_version or None,
                DetailsURL=content.details_url or None,
            )
        case StatusSubscriptions():
            return {"StatusItems": [{"Name": name} for name in content.items]}
        case ActivationSimple():
            return _said(StandardConfigurations=list(content.configurations), Predicate=content.predicate or None)
        case SoftwareUpdateSettings(deferrals=deferrals, automatic_actions=actions, rapid_security_response=responses):
            return _said(
                Notifications=content.notifications,
                Deferrals=deferrals
                and _said(
                    CombinedPeriodInDays=deferrals.combined_period_in_days,
                    MajorPeriodInDays=deferrals.major_period_in_days,
                    MinorPeriodInDays=deferrals.minor_period_in_days,
                    SystemPeriodInDays=deferrals.system_period_in_days,
                ),
                RecommendedCadence=content.recommended_cadence,
                AutomaticActions=actions
                and _said(
                    Download=actions.download,
                    InstallOSUpdates=actions.install_os_updates,
                    InstallSecurityUpdate=actions.install_security_update,
                ),
                RapidSecurityResponse=responses
                and _said(Enable=responses.enable, EnableRollback=responses.enable_rollback),
                AllowStandardUserOSUpdates=content.allow_standard_user_os_updates,
                Beta=content.beta and _beta(content.beta),
            )


def declaration(content: Content, identifier: str) -> dict[str, Any]:
    """The declaration as a server is given it: without ServerToken, which is the server's to make."""
    return {
        "Type": declaration_type(content),
        "Identifier": check_identifier(identifier),
        "Payload": payload(content),
    }


def encode(content: Content, identifier: str) -> bytes:
    """The declaration as canonical JSON. Raises ProtocolError for what is malformed for every device."""
    fields = declaration(content, identifier)
    book = Book()
    _check_form(fields, book)
    if book.violations:
        first = book.violations[0]
        raise ProtocolError(f"The declaration {identifier}: {first.reason}", remedy=first.remedy)
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def decode(body: bytes) -> tuple[str, Content]:
    """Identifier and content of a declaration's JSON; a ServerToken is passed over. Strict: ProtocolError otherwise."""
    fields = read_json(body)
    book = Book()
    _check_form(fields, book)
    if book.violations:
        raise ProtocolError(f"No declaration of the kit's: {book.violations[0].reason}", remedy=_REMEDY)
    return str(fields["Identifier"]), _content(str(fields["Type"]), fields["Payload"])


def _content(kind: str, told: Mapping[str, Any]) -> Content:
    if kind == ENFORCEMENT:
        return EnforcementSpecific(
            target_os_version=OSVersion.parse(told["TargetOSVersion"]),
            target_local_date_time=datetime.fromisoformat(told["TargetLocalDateTime"]),
            target_build_version=told.get("TargetBuildVersion", ""),
            details_url=told.get("DetailsURL", ""),
        )
    if kind == SUBSCRIPTIONS:
        return StatusSubscriptions(items=tuple(item["Name"] for item in told["StatusItems"]))
    if kind == ACTIVATION:
        return ActivationSimple(
            configurations=tuple(told["StandardConfigurations"]), predicate=told.get("Predicate", "")
        )
    days, actions = told.get("Deferrals"), told.get("AutomaticActions")
    responses, beta, cadence = told.get("RapidSecurityResponse"), told.get("Beta"), told.get("RecommendedCadence")
    return SoftwareUpdateSettings(
        notifications=told.get("Notifications"),
        deferrals=None
        if days is None
        else Deferrals(
            combined_period_in_days=days.get("CombinedPeriodInDays"),
            major_period_in_days=days.get("MajorPeriodInDays"),
            minor_period_in_days=days.get("MinorPeriodInDays"),
            system_period_in_days=days.get("SystemPeriodInDays"),
        ),
        recommended_cadence=Cadence(cadence) if cadence else None,
        automatic_actions=None
        if actions is None
        else AutomaticActions(
            download=_control(actions, "Download"),
            install_os_updates=_control(actions, "InstallOSUpdates"),
            install_security_update=_control(actions, "InstallSecurityUpdate"),
        ),
        rapid_security_response=None
        if responses is None
        else RapidSecurityResponse(enable=responses.get("Enable"), enable_rollback=responses.get("EnableRollback")),
        allow_standard_user_os_updates=told.get("AllowStandardUserOSUpdates"),
        beta=None
        if beta is None
        else Beta(
            program_enrollment=_control(beta, "ProgramEnrollment"),
            offer_programs=tuple(map(_program, beta["OfferPrograms"])) if "OfferPrograms" in beta else None,
            require_program=_program(beta["RequireProgram"]) if "RequireProgram" in beta else None,
        ),
    )


def _control(told: Mapping[str, Any], key: str) -> Control | None:
    return Control(told[key]) if key in told else None


def _program(told: Mapping[str, str]) -> BetaProgram:
    return BetaProgram(description=told["Description"], token=told["Token"])


def _beta(beta: Beta) -> dict[str, Any]:
    offered, required = beta.offer_programs, beta.require_program
    return _said(
        ProgramEnrollment=beta.program_enrollment,
        OfferPrograms=None if offered is None else [_named(program) for program in offered],
        RequireProgram=required and _named(required),
    )


def _named(program: BetaProgram) -> dict[str, str]:
    return {"Description": program.description, "Token": program.token}


def _said(**values: Any) -> dict[str, Any]:
    return {
        key: value.value if isinstance(value, StrEnum) else value for key, value in values.items() if value is not None
    }


# --- the rules ---


def check_declaration(fields: Mapping[str, Any], device: RequestContext) -> Findings:
    """Every rule that this declaration would break on this device."""
    book = Book()
    if _check_form(fields, book):
        _check_device(str(fields["Type"]), device, book)
        told = fields.get("Payload")
        if isinstance(told, dict):
            _check_keys(str(fields["Type"]), told, device, book)
            if fields["Type"] == ENFORCEMENT:
                _check_target(told, device, book)
    return book.findings()


def _check_form(fields: Mapping[str, Any], book: Book) -> bool:
    """What is wrong with it for every device. False: of a type that the kit does not know."""
    kind, identifier, told = fields.get("Type"), fields.get("Identifier"), fields.get("Payload")
    for key in sorted(set(fields) - {"Type", "Identifier", "Payload", "ServerToken"}):
        book.breaks("D02", f"A declaration has no key {key[:40]!r}.")
    if not isinstance(kind, str) or kind not in DECLARATION_KEYS:
        book.breaks("D01", f"{str(kind)[:80]!r} is no declaration of the kit.")
        return False
    if book.require(isinstance(identifier, str) and bool(identifier), "D02", "Identifier is missing."):
        size = len(str(identifier).encode(errors="surrogatepass"))
        book.require(size <= MAX_IDENTIFIER_BYTES, "D02", f"Identifier has {size} bytes, not {MAX_IDENTIFIER_BYTES}.")
    if not isinstance(told, dict):
        book.breaks("D02", "Payload is no dictionary.")
        return True
    _check_values(DECLARATION_KEYS[kind], told, "", book)
    if kind == ENFORCEMENT:
        _check_enforcement(told, book)
    elif kind == SETTINGS and isinstance(beta := told.get("Beta"), dict):
        _check_beta(beta, book)
    elif kind == ACTIVATION and isinstance(named := told.get("StandardConfigurations"), list):
        texts = all(isinstance(one, str) and one for one in named)
        book.require(texts, "D02", "StandardConfigurations holds something that is no identifier.")
    return True


_PYTHON: Mapping[str, type] = {"string": str, "boolean": bool, "integer": int, "dictionary": dict, "array": list}


def _check_values(keys: Mapping[str, DeclarationKey], told: Mapping[str, Any], above: str, book: Book) -> None:
    """Required keys, types, words and numbers of one dictionary and of those within it."""
    for key in sorted(set(told) - {path.removeprefix(above) for path in keys if path.startswith(above)}):
        book.breaks("D02", f"{above}{key[:40]} is no key of it.")
    for path, row in keys.items():
        key = path.removeprefix(above)
        if not path.startswith(above) or "." in key:
            continue
        value: Any = told.get(key)
        if value is None:
            if row.required or key in told:
                book.breaks("D02", f"{path} is {'null' if key in told else 'missing'}.")
        elif not _is_a(value, row.type):
            book.breaks("D02", f"{path} is no {row.type}.")
        elif row.type == "string":
            book.require(_is_text(value), "D02", f"{path} is empty or holds characters that cannot be sent.")
            known = not row.words or value in row.words
            book.require(known, "D02", f"{path} is none of {', '.join(row.words)}.")
        elif row.span:
            least, most = row.span
            book.require(least <= value <= most, "D05", f"{path} is {value}, not {least} to {most}.")
        elif row.type == "dictionary":
            _check_values(keys, value, f"{path}.", book)
        elif row.type == "array" and any(inner.startswith(f"{path}.") for inner in keys):
            for item in value:
                if book.require(isinstance(item, dict), "D02", f"{path} holds something that is no dictionary."):
                    _check_values(keys, item, f"{path}.", book)


def _is_a(value: object, name: str) -> bool:
    return type(value) is _PYTHON[name]


def _is_text(value: str) -> bool:
    return bool(value) and value.isprintable()


def _check_enforcement(told: Mapping[str, Any], book: Book) -> None:
    version, when = told.get("TargetOSVersion"), told.get("TargetLocalDateTime")
    if isinstance(version, str) and version:
        try:
            _full(OSVersion.parse(version))
        except ProtocolError as error:
            book.breaks("D02", f"TargetOSVersion: {error.args[0]}")
    if isinstance(when, str) and when:
        good = bool(_LOCAL.fullmatch(when))
        try:
            datetime.fromisoformat(when)
        except ValueError:
            good = False
        book.require(good, "D03", f"TargetLocalDateTime {when[:40]!r} is no local date and time.")


def _check_beta(beta: Mapping[str, Any], book: Book) -> None:
    control = beta.get("ProgramEnrollment", Control.ALLOWED)
    offers, requires = "OfferPrograms" in beta, "RequireProgram" in beta
    book.require(not (offers and requires), "D02", "Beta has both OfferPrograms and RequireProgram.")
    book.require(not offers or control != Control.ALWAYS_OFF, "D02", "Beta offers programmes and forbids them.")
    book.require(
        not requires or control == Control.ALWAYS_ON, "D02", "RequireProgram goes with ProgramEnrollment AlwaysOn only."
    )


def _check_device(kind: str, device: RequestContext, book: Book) -> None:
    rule, platform = DECLARATIONS[kind], device.platform.schema
    row = rule.since.get(platform)
    where = f"{device.platform} {device.os_version}"
    if row is None:
        book.breaks("D01", f"{kind} does not exist on {device.platform}.")
    elif device.os_version < row.introduced:
        book.breaks("D01", f"{kind} came with {device.platform} {row.introduced}; the device has {where}.")
    by_user = device.enrollment == "user"
    book.require(rule.user_enrollment or not by_user, "D01", "It came by User Enrollment.")
    if platform in rule.supervised and not (by_user and rule.user_enrollment):
        unknown = device.supervised is None
        reason = "Nobody has said whether it is supervised." if unknown else "It is not supervised."
        book.require(device.supervised is True, "D01", reason)
    if kind in (ENFORCEMENT, SETTINGS):
        book.require(device.channel == "device", "D01", f"{kind} was meant for a user channel.")


def _check_keys(kind: str, told: Mapping[str, Any], device: RequestContext, book: Book) -> None:
    """The keys that this device does not know, or knows only if supervised."""
    platform = device.platform.schema
    if not known_on(DECLARATIONS[kind].since, platform, device.os_version):
        return  # said once, by D01
    for path in _paths(told):
        row = DECLARATION_KEYS[kind].get(path)
        if row is None:
            continue
        known = known_on(row.since, platform, device.os_version)
        if book.require(known, "D06", f"{device.platform} {device.os_version} does not know {path}."):
            alone = platform in row.supervised and platform not in DECLARATIONS[kind].supervised
            needs = alone and device.supervised is not True
            book.require(not needs, "D06", f"{path} is for supervised devices only.")


def _paths(told: Mapping[str, Any], above: str = "") -> list[str]:
    found = []
    for key, value in told.items():
        found.append(path := f"{above}{key}")
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict):
                found += _paths(inner, f"{path}.")
    return found


def _check_target(told: Mapping[str, Any], device: RequestContext, book: Book) -> None:
    try:
        target = OSVersion.parse(told.get("TargetOSVersion", ""))
    except ProtocolError:
        return  # said by D02
    supplement = target == device.os_version and "TargetBuildVersion" in told  # only the device knows its build
    newer = target > device.os_version or supplement
    book.require(newer, "D04", f"{target} is not newer than {device.os_version}.")


def _full(version: OSVersion) -> None:
    """A device installs exactly what is named, so half a version would mean another one."""
    if "." not in version.text:
        raise ProtocolError(f"{version.text!r} is no full version.", remedy="Write it with its minor number: 26.0.")


# --- the deadline ---


def deadline_local(start: date, days: int, *, at: time | str = "19:00", weekends: bool = False) -> datetime:
    """The local date and time by which to enforce: `days` after the date of `start`, in the evening.

    Each device reads it in its own time zone, so it has none. start: a date, or an instant of which the date counts as
    it stands there. weekends: may it be a Saturday or Sunday? Otherwise it moves to the Monday after, never earlier.
    """
    if days < 0:
        raise ProtocolError(f"A deadline {days} days after the start.", remedy="Give 0 days or more.")
    hour = _time_of_day(at)
    day = start.date() if isinstance(start, datetime) else start
    try:
        day += timedelta(days=days)
        if not weekends and day.weekday() >= 5:
            day += timedelta(days=7 - day.weekday())
    except OverflowError:
        day = date.max
    if day.year > _LAST_YEAR:
        raise ProtocolError(f"A deadline {days} days after {start}.", remedy="Give fewer days.")
    return datetime.combine(day, hour)


def _time_of_day(at: time | str) -> time:
    if isinstance(at, time):
        if at.tzinfo is None:
            return at.replace(microsecond=0)
    elif match := _HOUR.fullmatch(at):
        return time(int(match[1]), int(match[2]))
    raise ProtocolError(f"{str(at)[:40]!r} is no time of day.", remedy="Write it such as 19:00, without time zone.")
