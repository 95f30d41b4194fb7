"""From a selection to a plan with the verdict on each device, before anything is stored."""

import contextlib
import hashlib
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from html import escape
from types import MappingProxyType
from typing import Any

from osupdate_kit.errors import PlanError
from osupdate_kit.fleet.devices import Device, DeviceKey
from osupdate_kit.fleet.selection import Selection
from osupdate_kit.protocol.terms import Platform, Priority
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.eligibility import WORDS, Barrier, Judge, Verdict
from osupdate_kit.rollout.enforcement import Declaring, since_of
from osupdate_kit.rollout.journey import Instrument, Member
from osupdate_kit.rollout.plan import RolloutPlan, parse_actions
from osupdate_kit.rollout.policy import DAY, HOUR
from osupdate_kit.rollout.preflight import Count, Finding, Kind, Told, of_device, of_release, of_version
from osupdate_kit.rollout.releases import Catalogue
from osupdate_kit.rollout.slicing import slices
from osupdate_kit.rollout.targets import aim_of
from osupdate_kit.rollout.waves import Limits, Wave, waves_of
from osupdate_kit.rollout.windows import Blackout, Window, window_of
from osupdate_kit.views.status import count, moment


@dataclass(frozen=True, slots=True)
class Draft:
    """A plan and its members in key order, each with its verdict; `unmatched`: wanted names that no device has.

    held: how many of those that take it are on the hold list now, and would wait. findings: what preflight found on
    those that take it: blocking, warnings, unknown, the most devices first.
    """

    plan: RolloutPlan
    members: tuple[Member, ...] = field(repr=False)
    unmatched: tuple[str, ...] = ()
    held: int = 0
    findings: tuple[Count, ...] = ()

    @property
    def by_command(self) -> int:
        return sum(member.instrument is Instrument.COMMAND for member in self.members)

    @property
    def by_declaration(self) -> int:
        return sum(member.instrument is Instrument.DECLARATION for member in self.members)

    @property
    def taking(self) -> int:
        """Those that take the plan, by whichever instrument."""
        return self.by_command + self.by_declaration

    def ways(self) -> list[tuple[str, int]]:
        """How many by which instrument, those that somebody goes by; by command where nobody goes at all."""
        ways = [("by command", self.by_command), ("by declaration", self.by_declaration)]
        return [way for way in ways if way[1]] or ways[:1]

    @property
    def excluded(self) -> dict[str, int]:
        """Barred devices by their first reason, in words; most frequent first."""
        barred = Counter(member.barrier for member in self.members if member.barrier)
        return {barrier_words(barrier): number for barrier, number in barred.most_common()}

    def excluded_rows(self) -> list[tuple[str, str, int]]:
        """Of each first reason: its words, what to do, how many devices; most frequent first."""
        barred = Counter(member.barrier for member in self.members if member.barrier)
        return [(*WORDS[Barrier(barrier)], number) for barrier, number in barred.most_common()]

    @property
    def installs(self) -> bool:
        """May a device that takes it install, and so never go back?"""
        if self.by_declaration:
            return True
        platforms = {Platform(member.platform) for member in self.members if not member.barrier and member.platform}
        return any(self.plan.steps(platform).install for platform in platforms)

    @property
    def waves(self) -> dict[str, int]:
        """Devices that take the plan, by wave in their order."""
        sizes = Counter(member.wave for member in self.members if member.wave)
        return {wave.name: sizes[wave.name] for wave in self.plan.waves}

    def wave_rows(self) -> list[tuple[str, str, str, int]]:
        """Of each wave: its name, whom it takes, when it opens, how many."""
        sizes = self.waves
        return [(wave.name, str(wave.who), str(wave.opens), sizes[wave.name]) for wave in self.plan.waves]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What one should know before it begins, in a sentence each."""
        found = [
            f"{count(one.devices)} device{'s' * (one.devices != 1)}, {one.kind}: {one.words}. {one.remedy}"
            for one in self.findings
        ]
        if self.held:
            found.append(f"{count(self.held)} of them are on the hold list: they wait until they are released.")
        if self.taking:
            empty = [name for name, size in self.waves.items() if not size]
            found += [f"Wave {name} takes no device." for name in empty]
        return tuple(found)

    def _repr_html_(self) -> str:
        rows = [*self.ways(), *((f"barred: {why}", n) for why, n in self.excluded.items())]
        if len(self.plan.waves) > 1:
            rows += [(f"wave {name}, opens {opens}", size) for name, _, opens, size in self.wave_rows()]
        cells = "".join(f"<tr><td>{escape(how)}</td><td>{count(number)}</td></tr>" for how, number in rows)
        head = f"{escape(self.plan.name)}: {count(len(self.members))} selected for {escape(self.plan.target_label)}"
        more = "".join(f"<li>{escape(sentence)}</li>" for sentence in self.warnings)
        table = f"<table><tr><th>how</th><th>devices</th></tr>{cells}</table>"
        return f"<p><b>{head}</b></p>{table}<ul>{more}</ul>" if more else f"<p><b>{head}</b></p>{table}"

    @property
    def targets(self) -> dict[str, int]:
        """Devices that take the plan, by what its rule comes to for them; most frequent first."""
        found = Counter(member.target or str(self.plan.target) for member in self.members if not member.barrier)
        return dict(found.most_common())


def plan_of(
    *,
    author: str,
    now: int,
    target: str = "",
    build: str = "",
    extra: str = "",
    product_key: str = "",
    after_days: float = 0,
    by_major: Mapping[int, str] | Sequence[str] = (),
    floor: str = "",
    allow_major: bool = False,
    where: str = "",
    actions: Sequence[str] = (),
    max_user_deferrals: int | None = None,
    priority: str = "",
    tries: int = 3,
    declare_since: Mapping[str, str] | Sequence[str] = (),
    enforce_days: int = 3,
    enforce_at: str = "19:00",
    enforce_weekends: bool = False,
    details_url: str = "",
    declaring_servers: Iterable[str] = (),
    window: str = "",
    download_window: str = "",
    days: str = "",
    blackouts: Sequence[Blackout] = (),
    waves: Sequence[Wave | Mapping[str, Any]] = (),
    limits: Limits | Mapping[str, Any] | None = None,
    slots_per_site: int = 0,
    timing: Mapping[str, Any] = MappingProxyType({}),
    time_zone: str = "",
    deadline: str = "14d",
    name: str = "",
) -> RolloutPlan:
    """A plan from the words that people write.

    target: a version, or a rule such as latest-minor (`targets.aim_of`; also of after_days, by_major and floor), or
    product_key of a macOS item; allow_major: may devices leave their major version; actions:
    "iPadOS=DownloadOnly+InstallASAP"; window, download_window: "20:00-05:00" in the devices' own time, on `days` such
    as "mon-fri"; waves and limits: values, or mappings as a plan's YAML has them; timing: what `timing_of` read from
    such a YAML, the other words win over it;
    declare_since: the OS version by platform, such as "macOS=14", from which on devices go by declaration where both
    instruments work; enforce_*: how many days after its assignment a declaration enforces, at which local time, and
    whether on weekends; declaring_servers: those that can declare;
    deadline: "14d", "36h", or an ISO moment with its offset. Raises PlanError.
    """
    aim, goal = aim_of(
        target, after_days=after_days, by_major=by_major, floor=floor, build=build, extra=extra, product_key=product_key
    )
    deadline_at = deadline_of(deadline, now)
    return RolloutPlan(
        name=name or f"{goal or target or product_key} by {moment(deadline_at)}",
        author=author,
        created_at=now,
        target=aim,
        goal=goal,
        allow_major=allow_major,
        deadline_at=deadline_at,
        where=where,
        actions=parse_actions(actions),
        max_user_deferrals=max_user_deferrals,
        priority=_priority(priority),
        tries=tries,
        declaring=Declaring(
            servers=tuple(sorted(declaring_servers)),
            since=_since(declare_since),
            days=enforce_days,
            at=enforce_at,
            weekends=enforce_weekends,
            details_url=details_url,
        ),
        **_timing(timing, window, download_window, days, blackouts, waves, limits, slots_per_site),
        time_zone=time_zone,
    )


def _since(told: Mapping[str, str] | Sequence[str]) -> Mapping[Platform, OSVersion]:
    pairs = told if isinstance(told, Mapping) else dict(one.partition("=")[::2] for one in told)
    try:
        return since_of(pairs)
    except ValueError as error:
        raise PlanError(f"No line between the instruments: {error}.", remedy="Write macOS=14, for example.") from None


ToldOf = Callable[[Sequence[DeviceKey]], Mapping[DeviceKey, tuple[Told, int]]]
"""What devices have told of themselves by Apple's query names, and when (our clock; 0 = never)."""


def draft(
    selection: Selection,
    plan: RolloutPlan,
    *,
    held: Container[DeviceKey] = (),
    catalogue: Catalogue | None = None,
    told_of: ToldOf | None = None,
    now: int = 0,
) -> Draft:
    """The verdict on each selected device: its instrument, or all that bars it; and the wave of those that take it.

    held: who is on the hold list. catalogue, told_of: what preflight looks at besides the inventory. Raises PlanError
    when no wave takes some of the devices.
    """
    plan = replace(plan, releases=catalogue.ref) if catalogue else plan
    judge = Judge(plan, catalogue, now)
    members = []
    judged = list(_judged(judge, selection.devices, told_of))
    reached = [device for device, verdict in judged if not verdict.barriers]
    waves = dict(zip((device.key for device in reached), slices(reached, plan.waves), strict=True))
    for device, verdict in judged:
        members.append(
            Member(
                key=device.key,
                udid=device.udid,
                serial=device.serial,
                platform=device.platform.value if device.platform else "",
                model=device.model,
                os_version=str(device.os_version or ""),
                time_zone=device.time_zone or plan.time_zone,
                site=device.site,
                ring=device.ring,
                wave=waves.get(device.key, ""),
                target=verdict.target,
                instrument=verdict.instrument,
                barrier=verdict.barriers[0] if verdict.barriers else "",
                reason=verdict.reason,
            )
        )
    members.sort(key=lambda member: member.key)
    counted = replace(plan, members=len(members), members_sha256=_digest(members))
    waiting = sum(key in held for key in waves)
    findings = counted_findings(verdict for _, verdict in judged if not verdict.barriers)
    return Draft(counted, tuple(members), selection.unmatched, waiting, findings)


_AT_A_TIME = 5_000  # devices whose reports are read together


def _judged(judge: Judge, devices: Sequence[Device], told_of: ToldOf | None) -> Iterator[tuple[Device, Verdict]]:
    for start in range(0, len(devices), _AT_A_TIME):
        part = devices[start : start + _AT_A_TIME]
        known = told_of([device.key for device in part]) if told_of else {}
        for device in part:
            told, told_at = known.get(device.key, _NOTHING_TOLD) if told_of else (None, 0)
            yield device, judge.verdict(device, told, told_at)


_NOTHING_TOLD: tuple[Told, int] = ({}, 0)


def again(
    plan: RolloutPlan, members: Sequence[Member], catalogue: Catalogue, told_of: ToldOf, now: int
) -> tuple[Count, ...]:
    """What preflight finds now on those that take a plan which was made before; each keeps its target."""
    taking = [member for member in members if not member.barrier and member.platform and member.os_version]
    found: Counter[Finding] = Counter()
    for start in range(0, len(taking), _AT_A_TIME):
        part = taking[start : start + _AT_A_TIME]
        known = told_of([member.key for member in part])
        for member in part:
            told, told_at = known.get(member.key, _NOTHING_TOLD)
            found.update(_found(plan, member, catalogue, told, told_at, now))
    return _ordered(found)


def _found(
    plan: RolloutPlan, member: Member, catalogue: Catalogue, told: Told, told_at: int, now: int
) -> list[Finding]:
    platform, target = Platform(member.platform), plan.target_of(member.target)
    models = tuple(name for name in (member.model, told.get("SoftwareUpdateDeviceID")) if isinstance(name, str))
    found = [*of_version(platform, OSVersion.parse(member.os_version))]
    found += of_release(catalogue, target, platform, models, now)
    return found + of_device(told, told_at, platform, target, now)


def counted_findings(verdicts: Iterable[Verdict]) -> tuple[Count, ...]:
    """How many devices each finding of preflight is about."""
    found = Counter(verdict.findings for verdict in verdicts)
    counts: Counter[Finding] = Counter()
    for findings, devices in found.items():
        for finding in findings:
            counts[finding] += devices
    return _ordered(counts)


def _ordered(counts: Counter[Finding]) -> tuple[Count, ...]:
    """Blocking before warnings before unknown, the most devices first."""
    found = (Count(finding, devices) for finding, devices in counts.most_common())
    return tuple(sorted(found, key=lambda one: list(Kind).index(one.kind)))


def barrier_words(barrier: str) -> str:
    return WORDS[Barrier(barrier)][0]


def deadline_of(text: str, now: int) -> int:
    units = {"d": DAY, "h": HOUR}
    if text[-1:] in units and text[:-1].isdigit():
        return now + int(text[:-1]) * units[text[-1]]
    at: Any = None
    with contextlib.suppress(ValueError):
        at = datetime.fromisoformat(text)
    if at is None or at.tzinfo is None:
        raise PlanError(f"{text!r} is no deadline.", remedy="Write 14d, 36h, or 2026-12-04T18:00+01:00.")
    return int((at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1))


_WINDOWS = ("window", "download_window")


def _timing(
    timing: Mapping[str, Any],
    window: str,
    download_window: str,
    days: str,
    blackouts: Sequence[Blackout],
    waves: Sequence[Wave | Mapping[str, Any]],
    limits: Limits | Mapping[str, Any] | None,
    slots_per_site: int,
) -> dict[str, Any]:
    found = dict(timing)
    for name, hours in zip(_WINDOWS, (window, download_window), strict=True):
        if hours:
            found[name] = window_of(hours)
    if days:
        found.setdefault("window", Window())
        weekly = {name: replace(found[name], days=window_of("", days).days) for name in _WINDOWS if name in found}
        found |= weekly
    if waves:
        found["waves"] = waves_of([wave.words() if isinstance(wave, Wave) else wave for wave in waves])
    if limits is not None:
        found["limits"] = limits if isinstance(limits, Limits) else Limits.from_words(limits)
    if slots_per_site:
        found["slots_per_site"] = slots_per_site
    if blackouts:
        found["blackouts"] = (*found.get("blackouts", ()), *blackouts)
    return found


def _priority(text: str) -> Priority | None:
    try:
        return Priority(text) if text else None
    except ValueError:
        raise PlanError(f"{text!r} is no priority.", remedy="Write Low or High.") from None


def _digest(members: Iterable[Member]) -> str:
    digest = hashlib.sha256()
    for m in members:
        words = (*m.key, m.instrument, m.barrier, m.wave, m.target)
        digest.update(("\t".join(words) + "\n").encode())
    return digest.hexdigest()
