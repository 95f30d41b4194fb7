"""A plan with the verdict on each device, before anything is stored."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from osupdate_kit.fleet.selection import Selection
from osupdate_kit.rollout.eligibility import WORDS, Barrier, Judge
from osupdate_kit.rollout.journey import Instrument, Member
from osupdate_kit.rollout.plan import RolloutPlan


@dataclass(frozen=True, slots=True)
class Draft:
    """A plan and its members in key order, each with its verdict; `unmatched`: wanted names that no device has."""

    plan: RolloutPlan
    members: tuple[Member, ...]
    unmatched: tuple[str, ...] = ()

    @property
    def by_command(self) -> int:
        return sum(member.instrument is Instrument.COMMAND for member in self.members)

    @property
    def excluded(self) -> dict[str, int]:
        """Barred devices by their first reason, in words; most frequent first."""
        barred = Counter(member.barrier for member in self.members if member.barrier)
        return {barrier_words(barrier): count for barrier, count in barred.most_common()}


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


def _digest(members: Iterable[Member]) -> str:
    digest = hashlib.sha256()
    for m in members:
        digest.update(f"{m.key.server}\t{m.key.enrollment_id}\t{m.instrument}\t{m.barrier}\n".encode())
    return digest.hexdigest()
