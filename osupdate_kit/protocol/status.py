"""What a device reports of its declarations → StatusReport: everything readable, and a remark for everything else.

Reads liberally: a report is often an increment, so what it does not name is *not said*, which is another thing than
empty. Leaves to `rollout` what a report means for a device. Sources: Apple's device-management schema,
declarative/protocol/statusreport and declarative/status; reports of real devices among KMFDDM's test data.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from msgspec import Struct

from osupdate_kit.errors import ProtocolError
from osupdate_kit.protocol.json_text import read_json
from osupdate_kit.protocol.terms import InstallState
from osupdate_kit.protocol.versions import OSVersion

MAX_DECLARATIONS = 2_000  # of one report: a device with more of them is none of ours
MAX_REASONS = 50
_MAX_TEXT = 1_000
_LOCAL = re.compile(r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d)(?:\.\d+)?(?:[Zz]|[+-]\d\d:?\d\d)?", re.ASCII)
_INSTANT = re.compile(r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_REMEDY = "See whether this is a device's status report."

Fields = Mapping[str, Any]


class Reason(NamedTuple):
    """Why a declaration is not in force, or a status item not reported."""

    code: str  # "Error.ConfigurationCannotBeApplied", …
    description: str = ""
    detail: str = ""  # `details.Error`: the words of the underlying error


class InstallReasons(NamedTuple):
    """What set the pending update off: Apple's words (`terms.InstallReason`) or others; empty = none is pending."""

    reasons: tuple[str, ...]
    declaration_id: str = ""


class PendingVersion(NamedTuple):
    """The update that the device is at; empty texts = none. `target_local_date_time`: only while it is enforced."""

    os_version: str
    build_version: str
    target_local_date_time: datetime | None = None  # naive: the device's own time


class InstallFailure(NamedTuple):
    """failures 0: none, or no update is pending."""

    failures: int  # Apple's `count`
    reason: str = ""
    timestamp: datetime | None = None


class DeclarationStatus(NamedTuple):
    """What the device says of one declaration. `active` True with `valid` "invalid" occurs: judge by `valid`."""

    identifier: str
    active: bool | None
    valid: str  # "valid", "invalid", "unknown", or a later word
    server_token: str = ""
    reasons: tuple[Reason, ...] = ()

    @property
    def broken(self) -> bool:
        return self.valid == "invalid"


class ClientCapabilities(NamedTuple):
    """What the device can be sent and asked, by its own word."""

    versions: tuple[str, ...] = ()
    activations: frozenset[str] = frozenset()
    configurations: frozenset[str] = frozenset()
    status_items: frozenset[str] = frozenset()


class StatusReport(Struct, frozen=True, kw_only=True):
    """One report. None: not said in it, so what was said before still holds (unless `full_report`)."""

    full_report: bool = False
    install_state: InstallState | None = None
    install_state_text: str | None = None  # as written, also where the word is none of Apple's
    install_reason: InstallReasons | None = None
    pending_version: PendingVersion | None = None
    failure: InstallFailure | None = None
    device_id: str | None = None  # for Apple's lookup service
    beta_enrollment: str | None = None
    os_version: OSVersion | None = None
    build_version: str | None = None
    supplemental_build_version: str | None = None
    supplemental_extra_version: str | None = None
    serial_number: str | None = None
    udid: str | None = None
    capabilities: ClientCapabilities | None = None
    declarations: Mapping[str, DeclarationStatus] | None = None  # by identifier: all that the device holds
    errors: Mapping[str, tuple[Reason, ...]] = {}  # by status item
    remarks: tuple[str, ...] = ()

    def over(self, before: "StatusReport") -> "StatusReport":
        """What is known after this report when `before` was known: an increment changes only what it names.

        A report that speaks of declarations names all of them, as servers take it, too.
        """
        if self.full_report:
            return self
        changed: dict[str, Any] = {}
        for name in _ITEMS:
            now = getattr(self, name)
            changed[name] = getattr(before, name) if now is None else now
        if self.install_state_text is not None:
            changed["install_state"] = self.install_state
        return StatusReport(
            full_report=before.full_report, errors={**before.errors, **self.errors}, remarks=self.remarks, **changed
        )


_ITEMS = tuple(name for name in StatusReport.__struct_fields__ if name not in ("full_report", "errors", "remarks"))


def read_status(body: bytes) -> StatusReport:
    """The report in a status check-in's `Data`, or as a server gives it. Raises ProtocolError for what is none."""
    return read_status_fields(read_json(body))


def read_status_fields(fields: Fields) -> StatusReport:
    """The report in a JSON object. Raises ProtocolError if it has neither status items nor errors."""
    items, errors = fields.get("StatusItems"), fields.get("Errors")
    if not isinstance(items, dict) and not isinstance(errors, list):
        raise ProtocolError("No status report: neither StatusItems nor Errors.", remedy=_REMEDY)
    book = _Reader()
    items = book.section(items, "StatusItems")
    device, management = (
        book.section(items.get("device"), "device"),
        book.section(items.get("management"), "management"),
    )
    update = book.section(items.get("softwareupdate"), "softwareupdate")
    identity = book.section(device.get("identifier"), "device.identifier")
    system = book.section(device.get("operating-system"), "device.operating-system")
    extra = book.section(system.get("supplemental"), "device.operating-system.supplemental")
    state = book.text(update, "install-state")
    version = book.text(system, "version")
    return StatusReport(
        full_report=book.flag(fields, "FullReport") is True,
        install_state=book.state(state),
        install_state_text=state,
        install_reason=_part(update, "install-reason", _install_reason, book),
        pending_version=_part(update, "pending-version", _pending, book),
        failure=_part(update, "failure-reason", _failure, book),
        device_id=book.text(update, "device-id"),
        beta_enrollment=book.text(update, "beta-enrollment"),
        os_version=book.version(version),
        build_version=book.text(system, "build-version"),
        supplemental_build_version=book.text(extra, "build-version"),
        supplemental_extra_version=book.text(extra, "extra-version"),
        serial_number=book.text(identity, "serial-number"),
        udid=book.text(identity, "udid"),
        capabilities=_part(management, "client-capabilities", _capabilities, book),
        declarations=_part(management, "declarations", _declarations, book),
        errors=_errors(errors, book),
        remarks=tuple(book.remarks),
    )


def _part(fields: Fields, key: str, read: Any, book: "_Reader") -> Any:
    """A status item that is a dictionary, read; None if it is not there or no dictionary."""
    value = fields.get(key)
    if isinstance(value, dict):
        return read(value, book)
    if value is not None:
        book.remark(f"{key} is no dictionary")
    return None


def _install_reason(item: Fields, book: "_Reader") -> InstallReasons:
    told = item.get("reason", item.get("reasons"))
    words = [told] if isinstance(told, str) else told
    return InstallReasons(book.texts(words, "install-reason"), book.text(item, "declaration-id") or "")


def _pending(item: Fields, book: "_Reader") -> PendingVersion:
    when = book.text(item, "target-local-date-time")
    local = _local(when) if when else None
    if when and local is None:
        book.remark(f"target-local-date-time {when[:40]!r} is no date")
    return PendingVersion(book.text(item, "os-version") or "", book.text(item, "build-version") or "", local)


def _failure(item: Fields, book: "_Reader") -> InstallFailure:
    count = item.get("count")
    if type(count) is not int or not 0 <= count < 1 << 31:
        book.remark("failure-reason.count is no number")
        count = 1 if item.get("reason") else 0
    when = book.text(item, "timestamp")
    at = _instant(when) if when else None
    if when and at is None:
        book.remark(f"failure-reason.timestamp {when[:40]!r} is no instant")
    return InstallFailure(count, book.text(item, "reason") or "", at)


def _capabilities(item: Fields, book: "_Reader") -> ClientCapabilities:
    payloads = book.section(item.get("supported-payloads"), "supported-payloads")
    declared = book.section(payloads.get("declarations"), "supported-payloads.declarations")
    return ClientCapabilities(
        book.texts(item.get("supported-versions"), "supported-versions"),
        frozenset(book.texts(declared.get("activations"), "activations")),
        frozenset(book.texts(declared.get("configurations"), "configurations")),
        frozenset(book.texts(payloads.get("status-items"), "status-items")),
    )


def _declarations(item: Fields, book: "_Reader") -> dict[str, DeclarationStatus]:
    found: dict[str, DeclarationStatus] = {}
    for kind in ("activations", "configurations", "assets", "management"):
        told = item.get(kind)
        if told is None:
            continue
        if not isinstance(told, list):
            book.remark(f"declarations.{kind} is no array")
            continue
        for one in told:
            if len(found) >= MAX_DECLARATIONS:
                book.remark(f"more than {MAX_DECLARATIONS} declarations")
                return found
            status = _declaration(one, book) if isinstance(one, dict) else None
            if status is None:
                book.remark(f"declarations.{kind} holds something without an identifier")
                continue
            found[status.identifier] = status
    return found


def declaration_status(item: Fields) -> DeclarationStatus | None:
    """What a device says of one declaration, as it stands in a report or as a server gives it; None: it names none."""
    return _declaration(item, _Reader())


def _declaration(item: Fields, book: "_Reader") -> DeclarationStatus | None:
    identifier = book.text(item, "identifier")
    if not identifier:
        return None
    return DeclarationStatus(
        identifier,
        book.flag(item, "active"),
        book.text(item, "valid") or "unknown",
        book.text(item, "server-token") or "",
        _reasons(item.get("reasons"), book),
    )


def _reasons(told: object, book: "_Reader") -> tuple[Reason, ...]:
    """Reasons stand in small letters in a status item and with capitals in Errors."""
    if told is None:
        return ()
    if not isinstance(told, list):
        book.remark("reasons is no array")
        return ()
    found = []
    for one in told[:MAX_REASONS]:
        if isinstance(one, dict):
            code = book.text(one, "code") or book.text(one, "Code") or ""
            description = book.text(one, "description") or book.text(one, "Description") or ""
            details = book.section(one.get("details", one.get("Details")), "details")
            found.append(Reason(code, description, book.text(details, "Error") or ""))
    return tuple(found)


def _errors(told: object, book: "_Reader") -> dict[str, tuple[Reason, ...]]:
    if told is None:
        return {}
    if not isinstance(told, list):
        book.remark("Errors is no array")
        return {}
    found: dict[str, tuple[Reason, ...]] = {}
    for one in told[:MAX_DECLARATIONS]:
        item = (book.text(one, "StatusItem") or book.text(one, "status-item")) if isinstance(one, dict) else None
        if item:
            found[item] = _reasons(one.get("Reasons", one.get("reasons")), book)
        else:
            book.remark("Errors holds something that names no status item")
    return found


class _Reader:
    """Single values: the readable one, and a remark where the type is not Apple's."""

    def __init__(self) -> None:
        self.remarks: list[str] = []

    def remark(self, words: str) -> None:
        if len(self.remarks) < MAX_REASONS and words not in self.remarks:
            self.remarks.append(words)

    def section(self, value: object, key: str) -> Fields:
        if isinstance(value, dict):
            return value
        if value is not None:
            self.remark(f"{key} is no dictionary")
        return {}

    def text(self, fields: Fields, key: str) -> str | None:
        value = fields.get(key)
        if isinstance(value, str):
            return value[:_MAX_TEXT]
        if value is not None:
            self.remark(f"{key} is no string")
        return None

    def texts(self, value: object, key: str) -> tuple[str, ...]:
        if isinstance(value, list):
            return tuple(one[:_MAX_TEXT] for one in value[:MAX_DECLARATIONS] if isinstance(one, str))
        if value is not None:
            self.remark(f"{key} is no array")
        return ()

    def flag(self, fields: Fields, key: str) -> bool | None:
        value = fields.get(key)
        if isinstance(value, bool) or value is None:
            return value
        if value in (0, 1):
            return bool(value)
        self.remark(f"{key} is no boolean")
        return None

    def state(self, word: str | None) -> InstallState | None:
        if word is None:
            return None
        if word not in _STATES:
            self.remark(f"install-state {word[:40]!r} is not Apple's")
        return _STATES.get(word)

    def version(self, text: str | None) -> OSVersion | None:
        if not text:
            return None
        try:
            return OSVersion.parse(text)
        except ProtocolError:
            self.remark(f"operating-system.version {text[:40]!r} is no version")
            return None


_STATES = {state.value: state for state in InstallState}


def _local(text: str) -> datetime | None:
    """A local time; a zone, which Apple's format has not, is passed over."""
    match = _LOCAL.fullmatch(text)
    try:
        return datetime.fromisoformat(match[1].upper().replace(" ", "T")) if match else None
    except ValueError:
        return None


def _instant(text: str) -> datetime | None:
    """RFC 3339 as aware UTC."""
    match = _INSTANT.fullmatch(text)
    try:
        if not match:
            return None
        zone = "+00:00" if match[3] in "Zz" else match[3]
        whole = datetime.fromisoformat(match[1].upper().replace(" ", "T") + zone)
        return whole.replace(microsecond=int((match[2] or "0").ljust(6, "0")[:6])).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
