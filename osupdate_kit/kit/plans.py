"""From a selection to a plan with the verdict on each device, before anything is stored."""

import contextlib
import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any

from osupdate_kit.errors import PlanError
from osupdate_kit.fleet.selection import Selection
from osupdate_kit.protocol.terms import Priority
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.eligibility import WORDS, Barrier, Judge
from osupdate_kit.rollout.journey import Instrument, Member
from osupdate_kit.rollout.plan import RolloutPlan, parse_actions
from osupdate_kit.rollout.policy import DAY, HOUR
from osupdate_kit.rollout.targets import Target
from osupdate_kit.rollout.windows import window_of
from osupdate_kit.views.status import count, moment


@dataclass(frozen=True, slots=True)
class Draft:
    """A plan and its members in key order, each with its verdict; `unmatched`: wanted names that no device has."""

    plan: RolloutPlan
    members: tuple[Member, ...] = field(repr=False)
    unmatched: tuple[str, ...] = ()

    @property
    def by_command(self) -> int:
        return sum(member.instrument is Instrument.COMMAND for member in self.members)

    @property
    def excluded(self) -> dict[str, int]:
        """Barred devices by their first reason, in words; most frequent first."""
        barred = Counter(member.barrier for member in self.members if member.barrier)
        return {barrier_words(barrier): number for barrier, number in barred.most_common()}

    def _repr_html_(self) -> str:
        rows = [("by command", self.by_command), *((f"barred: {why}", n) for why, n in self.excluded.items())]
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
    time_zone: str = "",
    deadline: str = "14d",
    name: str = "",
) -> RolloutPlan:
    """A plan from the words that people write.

    target: a version, or product_key of a macOS item; actions: "iPadOS=DownloadOnly+InstallASAP"; window: "20:00-05:00"
    in the devices' own time; deadline: "14d", "36h", or an ISO moment with its offset. Raises PlanError.
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
        window=window_of(window),
        time_zone=time_zone,
    )


def draft(selection: Selection, plan: RolloutPlan) -> Draft:
    """The verdict on each selected device: by command, or everything that bars it."""
    judge = Judge(plan)
    members = []
    for device in selection.devices:
        verdict = judge.verdict(device)
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
                wave=plan.waves[0].name,
                instrument=verdict.instrument,
                barrier=verdict.barriers[0] if verdict.barriers else "",
                reason=verdict.reason,
            )
        )
    members.sort(key=lambda member: member.key)
    counted = replace(plan, members=len(members), members_sha256=_digest(members))
    return Draft(counted, tuple(members), selection.unmatched)


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
