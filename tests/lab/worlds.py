"""A small world for tests: a lab server, devices made for the purpose, commands written by hand."""

import json
import plistlib
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from osupdate_kit.lab.clock import DAY, HOUR, SECOND, VirtualClock
from osupdate_kit.lab.ddm import LabDDM
from osupdate_kit.lab.devices import SimulatedDevice
from osupdate_kit.lab.server import LabServer, Response, WebhookFaults, basic_authorization
from osupdate_kit.lab.specs import DeviceSpec, release
from osupdate_kit.lab.truth import Entry, TruthLog, What
from osupdate_kit.lab.world import World
from osupdate_kit.protocol.terms import Platform

API_KEY = "lab-key"
MONDAY = int(datetime(2026, 11, 23, 9, 0, tzinfo=UTC).timestamp()) * SECOND
RELEASES = {
    Platform.IPADOS: (release(Platform.IPADOS, "18.7.2", "22H124"), release(Platform.IPADOS, "27.0", "24A330")),
    Platform.MACOS: (release(Platform.MACOS, "15.7.2", "24G325"),),
    Platform.TVOS: (release(Platform.TVOS, "18.6", "22M84"),),
}
ALWAYS = {"night_share": 1.0, "weekend_share": 1.0, "not_now": 0.0, "drops": 0.0, "repeats": 0.0}
BUILD = {Platform.IPADOS: "22G100", Platform.MACOS: "24G90", Platform.TVOS: "22L200"}


def ipad(udid: str = "PAD", *, version: str = "18.6.2", seed: int = 1, **more: Any) -> DeviceSpec:
    """An iPad that is always there and has no habits but those given; fields of DeviceSpec and habits may be mixed."""
    return _spec(Platform.IPADOS, udid, version, seed, "iPad12,1", more)


def mac(udid: str = "MAC", *, version: str = "15.6.1", seed: int = 1, **more: Any) -> DeviceSpec:
    return _spec(Platform.MACOS, udid, version, seed, "Mac14,2", more)


def apple_tv(udid: str = "TV", *, version: str = "18.5", seed: int = 1, **more: Any) -> DeviceSpec:
    return _spec(Platform.TVOS, udid, version, seed, "AppleTV14,1", more)


def _spec(platform: Platform, udid: str, version: str, seed: int, product: str, more: Mapping[str, Any]) -> DeviceSpec:
    fields = {key: value for key, value in more.items() if key in DeviceSpec.__dataclass_fields__}
    habits = {key: value for key, value in more.items() if key not in fields}
    spec = DeviceSpec(
        udid=udid,
        serial=f"S{udid}",
        platform=platform,
        os_version=version,
        build=BUILD[platform],
        model="M1",
        product_name=product,
        seed=seed,
        **fields,
    )
    return spec.behaving(**(ALWAYS | habits))


ITEMS = (
    "device.operating-system.version", "softwareupdate.install-state", "softwareupdate.install-reason",
    "softwareupdate.pending-version", "softwareupdate.failure-reason",
)  # fmt: skip
_WHOLE = {"softwareupdate.install-reason", "softwareupdate.pending-version", "softwareupdate.failure-reason",
          "management.declarations", "management.client-capabilities"}  # fmt: skip


def _flat(items: Mapping[str, Any], above: str) -> Iterator[tuple[str, Any]]:
    for key, value in items.items():
        if isinstance(value, dict) and above + key not in _WHOLE:
            yield from _flat(value, f"{above}{key}.")
        else:
            yield above + key, value


class SmallWorld:
    """Enrolled at 9 o'clock UTC on a Monday. `reports` are the devices' plists as the webhook told them."""

    def __init__(
        self,
        *specs: DeviceSpec,
        storage: Literal["kv", "pgsql"] = "kv",
        seed: int = 0,
        faults: WebhookFaults | None = None,
    ) -> None:
        self.clock, self.truth = VirtualClock(MONDAY), TruthLog()
        self.events: list[dict[str, Any]] = []
        self.server = LabServer(
            self.clock, API_KEY, storage=storage, webhook=self._take, seed=seed, faults=faults, truth=self.truth,
            declarations=LabDDM(self.clock, API_KEY, truth=self.truth),
        )  # fmt: skip
        devices = [SimulatedDevice(spec, RELEASES[spec.platform], self.truth) for spec in specs]
        self.world = World(self.clock, self.server, devices, self.truth)
        self.world.enrol()
        self._numbers = 0
        self.hours(0.01)

    def _take(self, body: bytes, headers: Mapping[str, str]) -> int:
        self.events.append(json.loads(body))
        return 200

    def hours(self, hours: float) -> "SmallWorld":
        self.world.run_until(self.clock.now() + int(hours * HOUR))
        return self

    def days(self, days: float) -> "SmallWorld":
        self.world.run_until(self.clock.now() + int(days * DAY))
        return self

    def device(self, udid: str) -> SimulatedDevice:
        return self.world.devices[udid]

    def call(self, target: str, body: bytes = b"") -> Response:
        path, _, query = target.partition("?")
        named = dict(pair.split("=") for pair in query.split("&") if pair)
        return self.server.handle("PUT", path, named, {"Authorization": basic_authorization(API_KEY)}, body)

    def enqueue(self, request_type: str, *udids: str, push: bool = True, **keys: Any) -> str:
        """Queue a command for some devices, or for all; its UUID."""
        self._numbers += 1
        uuid = str(UUID(int=self._numbers)).upper()
        body = plistlib.dumps({"CommandUUID": uuid, "Command": {"RequestType": request_type, **keys}})
        ids = ",".join(udids or self.world.devices)
        answer = self.call(f"/v1/enqueue/{ids}{'' if push else '?nopush=1'}", body)
        assert answer.status == 200, answer.body
        return uuid

    def schedule(self, action: str, *udids: str, push: bool = True, **keys: Any) -> str:
        version = RELEASES[self.device(udids[0] if udids else next(iter(self.world.devices))).spec.platform][0].version
        asked = {"ProductVersion": version, "InstallAction": action, **keys}
        return self.enqueue("ScheduleOSUpdate", *udids, push=push, Updates=[asked])

    # --- declarations ---

    def declarations(self, method: str, target: str, fields: Mapping[str, Any] | None = None) -> Response:
        """A call of the KMFDDM beside the server; nobody is woken."""
        path, _, query = target.partition("?")
        named = dict(pair.split("=") for pair in query.split("&") if pair) | {"nonotify": "1"}
        headers = {"Authorization": basic_authorization(API_KEY, "kmfddm")}
        body = json.dumps(fields).encode() if fields else b""
        return self.server.handle_declarations(method, f"/v1/{path}", named, headers, body)

    def declare(self, identifier: str, kind: str, **payload: Any) -> None:
        """Put a declaration into the set "all"."""
        fields = {"Type": f"com.apple.{kind}", "Identifier": identifier, "Payload": payload}
        assert self.declarations("PUT", "declarations", fields).status == 204
        assert self.declarations("PUT", f"set-declarations/all?declaration={identifier}").status == 204

    def enforce(self, version: str, target: str, *udids: str, subscribe: Sequence[str] = ITEMS) -> None:
        """Declare an update for these devices, with subscriptions, and tell them."""
        self.declare("update", "configuration.softwareupdate.enforcement.specific",
                     TargetOSVersion=version, TargetLocalDateTime=target)  # fmt: skip
        names = [{"Name": name} for name in subscribe]
        self.declare("status", "configuration.management.status-subscriptions", StatusItems=names)
        self.declare("active", "activation.simple", StandardConfigurations=["update", "status"])
        self.assign(*udids)

    def assign(self, *udids: str, method: str = "PUT") -> None:
        """Give the set "all" to these devices, or take it, and tell them."""
        for udid in udids:
            assert self.declarations(method, f"enrollment-sets/{udid}?set=all").status == 204
        self.enqueue("DeclarativeManagement", *udids)

    def told(self, udid: str) -> list[dict[str, Any]]:
        """The status reports of a device, the oldest first, as the server keeps them."""
        found: list[dict[str, Any]] = []
        while (answer := self.declarations("GET", f"status-report/{udid}?index={len(found)}")).status == 200:
            found.append(json.loads(answer.body))
        return found[::-1]

    def state(self, udid: str) -> dict[str, Any]:
        """What a device has said in all, the newest of each item, by its name with dots."""
        state: dict[str, Any] = {}
        for report in self.told(udid):
            state |= dict(_flat(report["StatusItems"], ""))
        return state

    def push(self, *udids: str) -> None:
        assert self.call(f"/v1/push/{','.join(udids or self.world.devices)}").status == 200

    def reports(self, uuid: str) -> list[dict[str, Any]]:
        """What the devices reported to this command, in the order in which the webhook told it."""
        parts = [event["acknowledge_event"] for event in self.events if "acknowledge_event" in event]
        mine = [part for part in parts if part.get("command_uuid") == uuid]
        return [plistlib.loads(b64decode(part["raw_payload"])) for part in mine]

    def ask(self, request_type: str, udid: str, **keys: Any) -> dict[str, Any]:
        """Queue a query, wait five minutes, and give the one report."""
        uuid = self.enqueue(request_type, udid, **keys)
        self.hours(1 / 12)
        (report,) = self.reports(uuid)
        return report

    def status(self, udid: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.ask("OSUpdateStatus", udid)["OSUpdateStatus"]
        return items

    def happened(self, udid: str, *whats: What) -> list[Entry]:
        return self.truth.of(udid, *whats)
