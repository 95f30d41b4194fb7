"""From a selection to a plan with the verdict on each device, before anything is stored."""

import contextlib
import hashlib
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from html import escape
from types import MappingProxyType
from typing import Any

from osupdate_kit.errors import PlanError
from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.fleet.selection import Selection
from osupdate_kit.protocol.terms import Priority
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.eligibility import WORDS, Barrier, Judge
from osupdate_kit.rollout.journey import Instrument, Member
from osupdate_kit.rollout.plan import RolloutPlan, parse_actions
from osupdate_kit.rollout.policy import DAY, HOUR
from osupdate_kit.rollout.slicing import slices
from osupdate_kit.rollout.targets import Target
from osupdate_kit.rollout.waves import Limits, Wave, waves_of
from osupdate_kit.rollout.windows import Blackout, Window, window_of
from osupdate_kit.views.status import count, moment


@dataclass(frozen=True, slots=True)
class Draft:
    """A plan and its members in key order, each with its verdict; `unmatched`: wanted names that no device has.

    held: how many of those that take it are on the hold list now, and would wait.
    """

    plan: RolloutPlan
    members: tuple[Member, ...] = field(repr=False)
    unmatched: tuple[str, ...] = ()
    held: int = 0

    @property
    def by_command(self) -> int:
        return sum(member.instrument is Instrument.COMMAND for member in self.members)

    @property
    def excluded(self) -> dict[str, int]:
        """Barred devices by their first reason, in words; most frequent first."""
        barred = Counter(member.barrier for member in self.members if member.barrier)
        return {barrier_words(barrier): number for barrier, number in barred.most_common()}

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
        found = []
        if self.held:
            found.append(f"{count(self.held)} of them are on the hold list: they wait until they are released.")
        if self.by_command:
            empty = [name for name, size in self.waves.items() if not size]
            found += [f"Wave {name} takes no device." for name in empty]
        return tuple(found)

    def _repr_html_(self) -> str:
        rows = [("by command", self.by_command), *((f"barred: {why}", n) for why, n in self.excluded.items())]
        if len(self.plan.waves) > 1:
            rows += [(f"wave {name}, opens {opens}", size) for name, _, opens, size in self.wave_rows()]
        cells = "".join(f"<tr><td>{escape(how)}</td><td>{count(number)}</td></tr>" for how, number in rows)
        head = f"{escape(self.plan.name)}: {count(len(self.members))} selected for {escape(str(self.plan.target))}"
        return f"<p><b>{head}</b></p><table><tr><th>how</th><th>devices</th></tr>{cells}</table>"


def plan_of(
    *,
    author: str,
    now: int,
    target: str = "",
    build: str = "",
    extra: str = "",
    product_key: str = "",
    where: str = "",
    actions: Sequence[str] = (),
    max_user_deferrals: int | None = None,
    priority: str = "",
    tries: int = 3,
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

    target: a version, or product_key of a macOS item; actions: "iPadOS=DownloadOnly+InstallASAP"; window,
    download_window: "20:00-05:00" in the devices' own time, on `days` such as "mon-fri"; waves and limits: values, or
    mappings as a plan's YAML has them; timing: what `timing_of` read from such a YAML, the other words win over it;
    deadline: "14d", "36h", or an ISO moment with its offset. Raises PlanError.
    """
    if bool(target) == bool(product_key):
        raise PlanError("A plan has one target.", remedy="Give a version, or the product key of a macOS item.")
    deadline_at = deadline_of(deadline, now)
    return RolloutPlan(
        name=name or f"{target or product_key} by {moment(deadline_at)}",
        author=author,
        created_at=now,
        target=Target(
            version=OSVersion.parse(target) if target else None, build=build, extra=extra, product_key=product_key
        ),
        deadline_at=deadline_at,
        where=where,
        actions=parse_actions(actions),
        max_user_deferrals=max_user_deferrals,
        priority=_priority(priority),
        tries=tries,
        **_timing(timing, window, download_window, days, blackouts, waves, limits, slots_per_site),
        time_zone=time_zone,
    )


def draft(selection: Selection, plan: RolloutPlan, *, held: Container[DeviceKey] = ()) -> Draft:
    """The verdict on each selected device: by command, or everything that bars it; and the wave of those that take it.

    held: who is on the hold list. Raises PlanError when no wave takes some of them.
    """
    judge = Judge(plan)
    members = []
    judged = [(device, judge.verdict(device)) for device in selection.devices]
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
                instrument=verdict.instrument,
                barrier=verdict.barriers[0] if verdict.barriers else "",
                reason=verdict.reason,
            )
        )
    members.sort(key=lambda member: member.key)
    counted = replace(plan, members=len(members), members_sha256=_digest(members))
    waiting = sum(key in held for key in waves)
    return Draft(counted, tuple(members), selection.unmatched, waiting)


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
