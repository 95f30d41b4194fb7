"""The report as one frozen value; every format says what stands here, so all say the same.

Built from a status and one pass over its devices, which must add up (I5). Keeps only what a page can hold: what names
each device is read anew while Excel and CSV are written.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from osupdate_kit.errors import ReportError
from osupdate_kit.protocol.causes import Owner, cause_of, class_of
from osupdate_kit.rollout.eligibility import WORDS, Barrier
from osupdate_kit.rollout.needs import IN_NEED
from osupdate_kit.views.charts import Chart
from osupdate_kit.views.status import GROUPS, DeviceStatus, RolloutStatusView, count

Devices = Callable[[], Iterable[DeviceStatus]]  # all devices of the rollout, each call anew, of one snapshot

PUT_OFF = GROUPS["put_off"][1]
SHOWN = 50  # devices that a page names; the rest stands in Excel and CSV


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One line of the audit log."""

    at: int  # microseconds since 1970 UTC
    who: str
    what: str
    count: int = 0  # devices
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why devices failed, or why they are barred."""

    name: str
    meaning: str
    devices: int
    remedy: str
    owner: str  # whose move it is; nobody's where nothing is to be done


@dataclass(frozen=True, slots=True)
class Deferral:
    """Devices that people put off alike. None: not reported (iOS never says), so that they are presumed to wait."""

    state: str
    used: int | None
    remaining: int | None
    devices: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A rollout as of an instant, for people who were not there. `exceptions`: the first of `needs_person`."""

    status: RolloutStatusView
    at: int  # as of, microseconds since 1970 UTC
    known_at: int  # newest evidence recorded by then
    made_by: str
    store: str  # its kind; never an address
    servers: tuple[str, ...]  # names in the settings
    charts: tuple[Chart, ...]
    failures: tuple[Cause, ...]
    barred: tuple[Cause, ...]
    deferrals: tuple[Deferral, ...]
    exceptions: tuple[DeviceStatus, ...]
    acts: tuple[Act, ...]
    devices: Devices

    def count(self, *states: str) -> int:
        return sum(self.status.states.get(state, 0) for state in states)

    @property
    def needs_person(self) -> int:
        return self.status.needs_person


def report_of(
    status: RolloutStatusView,
    devices: Devices,
    *,
    at: int,
    known_at: int,
    made_by: str,
    store: str,
    servers: Sequence[str],
    charts: Sequence[Chart] = (),
    acts: Sequence[Act] = (),
) -> Report:
    """One pass over `devices`. Raises ReportError if they do not add up to `status`."""
    states: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    remedies: dict[str, str] = {}
    barred: Counter[str] = Counter()
    deferrals: Counter[tuple[str, int | None, int | None]] = Counter()
    exceptions: dict[str, list[DeviceStatus]] = {state: [] for state in IN_NEED}
    for device in devices():
        state = device.state
        states[state] += 1
        if state in exceptions:
            if len(exceptions[state]) < SHOWN:
                exceptions[state].append(device)
            if device.cause:
                failures[device.cause] += 1
                remedies.setdefault(device.cause, device.remedy)
        elif state in PUT_OFF:
            deferrals[state, device.deferrals_used, device.deferrals_remaining] += 1
        elif state == "barred":
            barred[device.barrier] += 1
    check_sum(states, status)
    return Report(
        status=status,
        at=at,
        known_at=known_at,
        made_by=made_by,
        store=store,
        servers=tuple(servers),
        charts=tuple(charts),
        failures=tuple(_failure(name, number, remedies[name]) for name, number in failures.most_common()),
        barred=tuple(_barred(name, number) for name, number in barred.most_common()),
        deferrals=tuple(
            Deferral(*kind, number)
            for kind, number in sorted(
                deferrals.items(), key=lambda item: (item[0][0], -1 if item[0][2] is None else item[0][2])
            )
        ),
        exceptions=tuple(device for state in IN_NEED for device in exceptions[state])[:SHOWN],
        acts=tuple(acts),
        devices=devices,
    )


def check_sum(states: Mapping[str, int], status: RolloutStatusView) -> None:
    """I5: the devices that were read are those that were counted."""
    wrong = {
        state: (states.get(state, 0), status.states.get(state, 0))
        for state in states.keys() | status.states.keys()
        if states.get(state, 0) != status.states.get(state, 0)
    }
    if wrong:
        said = ", ".join(f"{state}: {count(read)} read, {count(told)} counted" for state, (read, told) in wrong.items())
        raise ReportError(
            f"The devices do not add up to the status of rollout {status.rollout} ({said}).",
            remedy="Read both within one transaction, and devices anew for each pass.",
        )


def _failure(name: str, devices: int, remedy: str) -> Cause:
    cause = cause_of(name)
    return Cause(name=class_of(name), meaning=cause.meaning, devices=devices, remedy=remedy, owner=cause.owner)


def _barred(name: str, devices: int) -> Cause:
    meaning, remedy = WORDS[Barrier(name)]
    owner = "" if name == Barrier.ALREADY_THERE else Owner.ADMIN
    return Cause(name=name, meaning=f"{meaning[0].upper()}{meaning[1:]}.", devices=devices, remedy=remedy, owner=owner)
