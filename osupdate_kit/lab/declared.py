"""What a simulated device does with declarations: fetches, judges and enforces them, and reports of itself.

Speaks Apple's check-in DeclarativeManagement through an `exchange`, JSON within plists, all by itself: it knows nothing
of the kit. What the system does with an update is `updates.py`'s. Sources: Apple's device-management schema; reports of
real devices among KMFDDM's test data.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any

from osupdate_kit.lab.clock import DAY, HOUR, SECOND
from osupdate_kit.lab.habits import Presence
from osupdate_kit.lab.plists import write_plist
from osupdate_kit.lab.specs import DeviceSpec, Release
from osupdate_kit.lab.truth import TruthLog, What
from osupdate_kit.lab.updates import Agenda, Phase, Refusal, SoftwareUpdates, Update
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.protocol.versions import OSVersion

ENFORCEMENT = "com.apple.configuration.softwareupdate.enforcement.specific"
SETTINGS = "com.apple.configuration.softwareupdate.settings"
SUBSCRIPTIONS = "com.apple.configuration.management.status-subscriptions"
ACTIVATION = "com.apple.activation.simple"

Items = dict[str, Any]


def _from(**versions: str) -> Mapping[Platform, OSVersion]:
    return {Platform(name): OSVersion.parse(text) for name, text in versions.items()}


_ENGINE = _from(iOS="15.0", macOS="13.0", tvOS="16.0", visionOS="1.1", watchOS="10.0")
_UPDATES = _from(iOS="17.0", macOS="14.0", tvOS="18.4", visionOS="26.0")
_SETTINGS = _from(iOS="18.0", macOS="15.0", tvOS="18.4", visionOS="26.0")
_IDENTITY = _from(iOS="16.0", macOS="13.0", tvOS="16.0", visionOS="1.1", watchOS="10.0")
_TYPES = {ACTIVATION: _ENGINE, SUBSCRIPTIONS: _ENGINE, ENFORCEMENT: _UPDATES, SETTINGS: _SETTINGS}
_ITEMS = {
    "device.identifier.serial-number": _IDENTITY,
    "device.identifier.udid": _IDENTITY,
    "device.operating-system.version": _ENGINE,
    "device.operating-system.build-version": _ENGINE,
    "device.operating-system.supplemental.build-version": _IDENTITY,
    "device.operating-system.supplemental.extra-version": _IDENTITY,
    "softwareupdate.install-state": _UPDATES,
    "softwareupdate.install-reason": _UPDATES,
    "softwareupdate.pending-version": _UPDATES,
    "softwareupdate.failure-reason": _UPDATES,
    "softwareupdate.device-id": _SETTINGS,
}
_FULL_REPORTS = _from(iOS="17.0", macOS="14.0", tvOS="17.0")
_KINDS = {"Activations": "activation", "Configurations": "configuration", "Assets": "asset", "Management": "management"}
_WORDS = {
    12054: "There is not enough free space.",
    12057: "The download failed.",
    12061: "The battery is too low.",
    12062: "The update could not be prepared.",
}
_TRIES = 6  # of a synchronisation, a report


@dataclass(frozen=True, slots=True)
class Declaration:
    type: str
    token: str
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Enforcement:
    """An update that a valid and active configuration asks for."""

    identifier: str
    release: Release | None  # None: not among what the system knows; it stays active, and nothing happens
    version: str
    target: str  # as written
    due_at: int


class Declarative:
    """The declarative side of one device. exchange: as the device's own, at the time of the call."""

    def __init__(
        self,
        spec: DeviceSpec,
        updates: SoftwareUpdates,
        presence: Presence,
        random: Random,
        agenda: Agenda,
        truth: TruthLog,
        exchange: Callable[[str, bytes], bytes],
    ) -> None:
        self._spec, self._updates, self._presence, self._random = spec, updates, presence, random
        self._agenda, self._truth, self._exchange = agenda, truth, exchange
        self._epoch = 0  # counts enrolments: what was booked before is void
        self._held: dict[str, Declaration] = {}
        self._judged: dict[str, Items] = {}
        self._enabled = False
        self._token = ""
        self._enforced: dict[str, Enforcement] = {}
        self._managing = ""  # the one of them that is being carried out
        self._subscribed: set[str] = set()
        self._reported: Items = {}
        self._full_due = False
        self._sending = False
        self._failures, self._failure, self._failed_at, self._failing = 0, "", 0, False
        self._user = False  # a person started the install
        updates.told = self._told

    # --- what others ask ----------------------------------------------------------------------------------------------

    @property
    def able(self) -> bool:
        """Does the system know DeclarativeManagement at all?"""
        return self._knows(_ENGINE)

    @property
    def enforcing(self) -> bool:
        """Does a declaration manage the updates, so that commands are ignored?"""
        return bool(self._enforced)

    def manages(self, release: Release) -> bool:
        return any(one.version == release.version for one in self._enforced.values())

    def command(self, now: int, data: object) -> None:
        """DeclarativeManagement was received: synchronise after the session. data: the tokens, if it holds them."""
        try:
            token = str(json.loads(data)["SyncTokens"]["DeclarationsToken"]) if isinstance(data, bytes) else ""
        except (ValueError, KeyError, TypeError):
            token = ""
        if not self._enabled:
            self._enabled, self._full_due = True, True
            epoch = self._epoch
            self._agenda.at(now + DAY, lambda at: self._daily(at, epoch))
        if not self._spec.behaviour.mute:
            self._soon(now, (2, 8), lambda at: self._synchronise(at, token, 1))

    def forget(self, now: int) -> None:
        """The device enrols anew, or leaves: it knows of no declarations any more."""
        self._epoch += 1
        for identifier in list(self._enforced):
            self._let_go(now, identifier)
        self._held, self._judged, self._reported, self._subscribed = {}, {}, {}, set()
        self._enabled, self._token, self._sending, self._full_due = False, "", False, False

    def awake(self, now: int) -> None:
        """The system is up again after a restart."""
        if self._enabled:
            self._evaluate(now)
            self._report_soon(now)
            update, one = self._updates.current, self._enforced.get(self._managing)
            if one is not None and (update is None or not update.declared):
                self._soon(now, (30, 900), lambda at: self._download(at, one))

    # --- fetching -----------------------------------------------------------------------------------------------------

    def _soon(self, now: int, seconds: tuple[float, float], act: Callable[[int], None]) -> None:
        epoch = self._epoch
        at = now + int(self._random.uniform(*seconds) * SECOND)
        self._agenda.at(at, lambda then: act(then) if epoch == self._epoch else None)

    def _ask(self, endpoint: str, data: bytes = b"") -> bytes:
        words: dict[str, object] = {"MessageType": "DeclarativeManagement", "UDID": self._spec.udid}
        words |= {"Endpoint": endpoint} | ({"Data": data} if data else {})
        return self._exchange("checkin", write_plist(words))

    def _synchronise(self, now: int, token: str, tries: int) -> None:
        """Fetch what is new. A connection that fails is tried again later."""
        try:
            if not token:
                token = str(json.loads(self._ask("tokens"))["SyncTokens"]["DeclarationsToken"])
            if token != self._token:
                manifest = json.loads(self._ask("declaration-items"))
                held = self._fetched(manifest["Declarations"])
                self._token, self._held = str(manifest["DeclarationsToken"]), held
        except (OSError, ValueError, KeyError):
            if tries < _TRIES:
                self._soon(now, (600, 2400), lambda at: self._synchronise(at, "", tries + 1))
            return
        self._evaluate(now)
        self._report_soon(now)

    def _fetched(self, manifest: Mapping[str, Any]) -> dict[str, Declaration]:
        held = {}
        for name, kind in _KINDS.items():
            for row in manifest.get(name) or ():
                identifier, token = row["Identifier"], row["ServerToken"]
                mine = self._held.get(identifier)
                if mine is None or mine.token != token:
                    told = json.loads(self._ask(f"declaration/{kind}/{identifier}"))
                    mine = Declaration(told["Type"], told["ServerToken"], told["Payload"])
                held[identifier] = mine
        return held

    # --- judging ------------------------------------------------------------------------------------------------------

    def _knows(self, since: Mapping[Platform, OSVersion]) -> bool:
        first = since.get(self._spec.platform.schema)
        return first is not None and self._updates.version >= first

    def _evaluate(self, now: int) -> None:
        """Judge every declaration anew, and put into force what is valid and activated."""
        activated = self._judge_activations()
        enforced: dict[str, Enforcement] = {}
        self._subscribed = set()
        for identifier, one in self._held.items():
            if one.type.startswith("com.apple.activation."):
                continue
            words: Items = {"active": identifier in activated, "valid": "valid"}
            if not one.type.startswith("com.apple.configuration."):
                words = {"active": False, "valid": "valid"}
            elif not self._supported(one.type):
                words = {"active": False, "valid": "invalid"}
                words["reasons"] = [_reason("Error.ConfigurationNotSupported", "Configuration is not supported")]
            elif identifier not in activated:
                words = {"active": False, "valid": "unknown"}
                words["reasons"] = [_reason("Info.NotReferencedByActivation", "Not referenced by an activation")]
            elif one.type == SUBSCRIPTIONS:
                self._subscribed |= {item["Name"] for item in one.payload.get("StatusItems", ())}
            elif one.type == ENFORCEMENT:
                try:
                    enforced[identifier] = self._enforceable(identifier, one.payload)
                except ValueError as error:
                    words["valid"] = "invalid"
                    text = "Configuration cannot be applied"
                    words["reasons"] = [_reason("Error.ConfigurationCannotBeApplied", text, str(error))]
            self._judged[identifier] = {"identifier": identifier, "server-token": one.token} | words
        self._judged = {identifier: self._judged[identifier] for identifier in self._held}
        self._put_into_force(now, enforced)

    def _supported(self, kind: str) -> bool:
        bound = self._updates.mac and kind in (ENFORCEMENT, SETTINGS)
        return kind in _TYPES and self._knows(_TYPES[kind]) and (self._spec.supervised or not bound)

    def _judge_activations(self) -> set[str]:
        activated: set[str] = set()
        for identifier, one in self._held.items():
            if one.type.startswith("com.apple.activation."):
                named = list(one.payload.get("StandardConfigurations", ()))
                missing = [name for name in named if name not in self._held]
                words: Items = {"active": not missing, "valid": "invalid" if missing else "valid"}
                if missing:
                    reason = _reason("Error.MissingConfigurations", "Configurations are missing")
                    reason["details"] = {"Identifier": identifier, "ConfigurationIdentifiers": missing}
                    words["reasons"] = [reason]
                else:
                    activated |= set(named)
                self._judged[identifier] = {"identifier": identifier, "server-token": one.token} | words
        return activated

    def _enforceable(self, identifier: str, payload: Mapping[str, Any]) -> Enforcement:
        """Raises ValueError in the device's words."""
        try:
            wanted = str(payload["TargetOSVersion"])
            version, target = OSVersion.parse(wanted), str(payload["TargetLocalDateTime"])
            due_at = self._instant(target)
        except Exception as error:
            raise ValueError(f"The payload cannot be read: {error}") from error
        if version <= self._updates.version:
            raise ValueError(f"The device has {self._updates.version.text}, which is not older than {wanted}.")
        fits = [r for r in self._updates.releases if r.os and not r.extra and r.number == version]
        release = next((r for r in fits if self._updates.applies(r)), None)
        return Enforcement(identifier, release, version.text if release is None else release.version, target, due_at)

    def _instant(self, target: str) -> int:
        """A local time of the device."""
        local = datetime.strptime(target, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=self._presence.zone)
        return int(local.astimezone(UTC).timestamp()) * SECOND

    def _put_into_force(self, now: int, enforced: dict[str, Enforcement]) -> None:
        for identifier in [name for name, one in self._enforced.items() if enforced.get(name) != one]:
            self._let_go(now, identifier)
        for identifier, one in enforced.items():
            if identifier not in self._enforced:
                self._truth.add(now, self._spec.udid, What.DECLARED, identifier, one.version)
                self._enforced[identifier] = one
        possible = [one for one in self._enforced.values() if one.release]
        first = min(possible, key=lambda one: (one.due_at, one.identifier), default=None)
        if first and first.identifier != self._managing and not self._updates.installing:
            self._managing, self._user = first.identifier, False
            self._failures, self._failing = 0, False
            self._soon(now, (30, 900), lambda at: self._download(at, first))
            self._await_deadline(now, first)

    def _let_go(self, now: int, identifier: str) -> None:
        one = self._enforced.pop(identifier)
        self._truth.add(now, self._spec.udid, What.UNDECLARED, identifier, one.version)
        if self._managing == identifier:
            self._managing, self._failures, self._failing = "", 0, False
            self._updates.undeclare(identifier)

    # --- enforcing ----------------------------------------------------------------------------------------------------

    def _carried_out(self, one: Enforcement) -> bool:
        return self._managing == one.identifier and self._enforced.get(one.identifier) == one

    def _download(self, now: int, one: Enforcement) -> None:
        if not self._carried_out(one) or one.release is None or self._updates.installing:
            return
        try:
            self._updates.declare(now, one.release, one.identifier)
        except Refusal as refusal:
            self._failed(now, refusal)
            self._soon(now, (3 * 3600, 8 * 3600), lambda at: self._download(at, one))
            return
        self._failing = False
        self._report_soon(now)

    def _await_deadline(self, now: int, one: Enforcement) -> None:
        """A device that is off then installs an hour after it is back."""
        due_at = max(now, one.due_at)
        at = self._presence.reachable_from(due_at)
        self._soon(at if at == due_at else at + HOUR, (1, 90), lambda then: self._force(then, one))

    def _force(self, now: int, one: Enforcement) -> None:
        """The deadline has come: install what is loaded, or wait until it is."""
        update = self._updates.current
        if not self._carried_out(one) or self._updates.installing:
            return
        if update is None or update.declared != one.identifier or update.phase is Phase.LOADING:
            self._soon(now, (600, 1800), lambda at: self._force(at, one))
            return
        if self._spec.apple_silicon and self._updates.mac and not self._spec.bootstrap_token:
            hours = self._spec.behaviour.prompt_hours  # somebody has to type a password
            self._soon(now, (hours[0] * 3600, hours[1] * 3600), lambda at: self._install(at, one, "user"))
            return
        self._install(now, one, "declaration")

    def _install(self, now: int, one: Enforcement, by: str) -> None:
        update = self._updates.current
        if not self._carried_out(one) or update is None or update.declared != one.identifier:
            return
        if update.phase in (Phase.LOADING, Phase.INSTALLING):
            return
        try:
            self._user, self._failing = by == "user", False
            self._updates.install_declared(now, by)
        except Refusal as refusal:
            self._user = False
            self._failed(now, refusal)
            if by == "declaration":
                self._soon(now, (3600, 9 * 3600), lambda at: self._force(at, one))

    def _failed(self, now: int, refusal: Refusal | None) -> None:
        self._failures, self._failed_at, self._failing = self._failures + 1, now, True
        self._failure = _WORDS.get(refusal.code, "The update failed.") if refusal else "The update failed."
        self._report_soon(now)

    def _told(self, now: int, failure: str) -> None:
        """The system says that something about the update has changed."""
        one = self._enforced.get(self._managing)
        update = self._updates.current
        if failure and one is not None:
            self._user = False
            self._failed(now, Refusal(12057) if failure == "download" else None)
            retry = self._download if failure == "download" else self._force
            if failure == "download" or now >= one.due_at:
                self._soon(now, (3600, 5 * 3600), lambda at: retry(at, one))
        elif one is not None and update is not None and update.phase is Phase.LOADED and update.declared:
            self._failing = False
            if self._random.random() < self._spec.behaviour.agrees_early:
                hours = self._spec.behaviour.prompt_hours
                at = self._presence.reachable_from(now + int(self._random.uniform(*hours) * HOUR))
                if at < one.due_at:
                    self._soon(at, (0, 60), lambda then: self._install(then, one, "user"))
        if self._enabled and not failure:
            self._report_soon(now)

    # --- reporting ----------------------------------------------------------------------------------------------------

    def _daily(self, now: int, epoch: int) -> None:
        if epoch == self._epoch and self._enabled:
            self._full_due = True
            self._report_soon(now)
            self._agenda.at(now + DAY, lambda at: self._daily(at, epoch))

    def _report_soon(self, now: int) -> None:
        """One report tells all that has changed until it is sent."""
        if self._enabled and not self._sending and not self._spec.behaviour.mute:
            self._sending = True
            self._soon(self._presence.reachable_from(now), (2, 20), lambda at: self._report(at, 1))

    def _report(self, now: int, tries: int) -> None:
        self._sending = False
        values = self._values()
        full = self._full_due
        told = values if full else {name: value for name, value in values.items() if self._reported.get(name) != value}
        if not told:
            return
        body: Items = {"StatusItems": _nested(told), "Errors": self._unknown_items() if full else []}
        if full and self._knows(_FULL_REPORTS):
            body["FullReport"] = True
        try:
            self._ask("status", json.dumps(body).encode())
        except OSError:
            if tries < _TRIES:
                self._sending = True
                self._soon(now, (300, 1800), lambda at: self._report(at, tries + 1))
            return
        self._reported, self._full_due = values, False

    def _values(self) -> Items:
        """All that is subscribed, and what is always told."""
        values: Items = {"management.declarations": self._declarations()}
        if self._full_due or "management.client-capabilities" in self._reported:
            values["management.client-capabilities"] = self._capabilities()
            values["management.push-token"] = f"token-of-{self._spec.udid}"  # nobody but its server may keep it
        known = self._known()
        return values | {name: known[name] for name in sorted(self._subscribed & known.keys())}

    def _known(self) -> Items:
        spec, updates = self._spec, self._updates
        update = updates.current
        pending: Items = {"os-version": "", "build-version": ""}
        if update is not None:
            pending = {"os-version": update.release.version, "build-version": update.release.build}
        if (one := self._enforced.get(self._managing)) is not None and one.release is not None:
            pending = {"os-version": one.release.version, "build-version": one.release.build}
            pending["target-local-date-time"] = one.target
        failure: Items = {"count": self._failures}
        if self._failures:
            failure |= {"reason": self._failure, "timestamp": f"{_utc(self._failed_at):%Y-%m-%dT%H:%M:%SZ}"}
        values = {
            "device.identifier.serial-number": spec.serial,
            "device.identifier.udid": spec.udid,
            "device.operating-system.version": updates.version.text,
            "device.operating-system.build-version": updates.build,
            "device.operating-system.supplemental.build-version": updates.build,
            "device.operating-system.supplemental.extra-version": updates.extra,
            "softwareupdate.install-state": self._state(),
            "softwareupdate.install-reason": self._install_reason(update),
            "softwareupdate.pending-version": pending,
            "softwareupdate.failure-reason": failure,
            "softwareupdate.device-id": spec.product_name,
        }
        return {name: value for name, value in values.items() if self._knows(_ITEMS[name])}

    def _state(self) -> str:
        update, managed = self._updates.current, self._enforced.get(self._managing)
        if update is not None and update.phase is Phase.INSTALLING:
            return "installing"
        if self._failing:
            return "failed"
        if update is None:
            return "waiting" if managed is not None and managed.release is not None else "none"
        return "downloading" if update.phase is Phase.LOADING else "prepared"

    def _install_reason(self, update: Update | None) -> Items:
        if self._managing:
            if self._user:
                return {"reason": ["notification"]}
            return {"reason": ["declaration"], "declaration-id": self._managing}
        if update is None:
            return {"reason": []}
        return {"reason": ["mdm" if update.step else "auto-update"]}

    def _declarations(self) -> Items:
        rows: dict[str, list[Items]] = {f"{kind}s": [] for kind in ("activation", "configuration", "asset")}
        rows["management"] = []
        for identifier, words in self._judged.items():
            kind = self._held[identifier].type.removeprefix("com.apple.").partition(".")[0]
            rows["management" if kind == "management" else f"{kind}s"].append(words)
        return rows

    def _capabilities(self) -> Items:
        supported = sorted(kind for kind in _TYPES if self._supported(kind))
        declared = {
            "activations": [kind for kind in supported if kind == ACTIVATION],
            "assets": [],
            "configurations": ["com.apple.configuration.legacy", *(kind for kind in supported if kind != ACTIVATION)],
            "management": ["com.apple.management.organization-info"],
        }
        items = ["device.model.family", *sorted(name for name, since in _ITEMS.items() if self._knows(since))]
        payloads = {"declarations": declared, "status-items": items}
        return {"supported-versions": ["1.0.0"], "supported-payloads": payloads, "supported-features": {}}

    def _unknown_items(self) -> list[Items]:
        unknown = sorted(self._subscribed - self._known().keys())
        return [{"StatusItem": name, "Reasons": [{"Code": "Error.Unknown"}]} for name in unknown]


def _reason(code: str, description: str, error: str = "") -> Items:
    return {"code": code, "description": description} | ({"details": {"Error": error}} if error else {})


def _nested(values: Items) -> Items:
    """Names with dots, as the report nests them."""
    nested: Items = {}
    for name, value in values.items():
        *path, last = name.split(".")
        place = nested
        for key in path:
            place = place.setdefault(key, {})
        place[last] = value
    return nested


def _utc(at: int) -> datetime:
    return datetime.fromtimestamp(at // SECOND, UTC)
