"""What ended since, and what needs a person now, over all rollouts: counted by the database, worded here."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from html import escape
from typing import TYPE_CHECKING

from osupdate_kit.errors import AnalysisError, PlanError
from osupdate_kit.protocol.causes import Cause, Owner, Retry
from osupdate_kit.rollout.alerts import AlertKind
from osupdate_kit.rollout.deadlines import Due
from osupdate_kit.rollout.journey import RolloutStatus
from osupdate_kit.rollout.needs import need_of
from osupdate_kit.rollout.people import APPROVE
from osupdate_kit.rollout.policy import DAY, HOUR
from osupdate_kit.rollout.state import State
from osupdate_kit.service.loop import TAIL
from osupdate_kit.stores.ledger import StoredRollout, Transaction
from osupdate_kit.views.status import count, iso, moment

if TYPE_CHECKING:
    import ibis

    from osupdate_kit.kit import Kit

SINCE = "24h"
KINDS = ("failed", "expired", "silent", "stalled", "unknown", "armed")
_OVER = (RolloutStatus.CANCELLED, RolloutStatus.ENDED)
_NOWHERE = "site unknown"
_NEEDS_TOO = (AlertKind.HALTED, AlertKind.APPROVAL, AlertKind.GATE, AlertKind.ARMED)  # which needs name, too

_ARMED = Cause(
    "Armed, and not to be sent anything now",
    "They may still install because of us, though their window is shut or the rollout does not run.",
    "Tell whom it would disturb; a server with a queue can take back what was not fetched yet.",
    Retry.NO,
    Owner.ADMIN,
)
_HALTED = "Look at what it names; then resume it, or cancel it."
_LIFT = "Look at the devices that failed; then lift the halt, or leave them out."
_BY_HAND = ("a person to open it", "a person may open it")  # as `rollout/gates.py` words it
_OPEN = "Look at the waves before it; then open it."
_UNSERVED = "Run `osupdate-kit serve`: until then nothing is sent, and no answer is read."


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """One rollout: how many of its devices came to an end since. `expired` counts where it ended itself since."""

    rollout: int
    name: str
    status: str
    done: int = 0
    failed: int = 0
    expired: int = 0
    others: int = 0  # told or downloaded, where the plan wants no more
    began: bool = False  # since then
    stopped: bool = False  # halted, cancelled or ended since then


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Something for a person. `devices` 0: it is about the rollout, or the service."""

    kind: str  # one of KINDS; halted, approval, gate, plan, service
    what: str
    why: str
    remedy: str
    owner: str  # whose move it is
    devices: int = 0
    rollouts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An alert that stands; `told`: when somebody was last told without asking, empty: nobody was."""

    kind: str
    what: str
    since: str
    told: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Today:
    """As of `at`; times in microseconds UTC. `sites`: devices by kind of need, by site, most needy first."""

    since: int
    at: int
    rollouts: int  # that there are at all
    ended: tuple[Ended, ...]
    needs: tuple[Need, ...]
    sites: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    alerts: tuple[Standing, ...] = ()
    deadlines: Mapping[str, int] = field(default_factory=dict)  # declared devices that go on, by when they enforce

    def total(self, what: str) -> int:
        """done, failed, expired or others, over all rollouts."""
        return sum(int(getattr(one, what)) for one in self.ended)

    @property
    def in_need(self) -> int:
        """Devices that need a person; the armed are watched only, and may be among them."""
        return sum(need.devices for need in self.needs if need.kind != "armed")

    @property
    def finding(self) -> str:
        """What happened, and what is to be done, in one sentence each; computed, so that it cannot be false."""
        if not self.rollouts:
            return "No rollout has begun yet. Plan one, and confirm it."
        parts = [
            f"{count(number)} {what}"
            for what in ("done", "failed", "expired", "others")
            if (number := self.total(what))
        ]
        ended = f"Since {moment(self.since)}: {', '.join(parts) or 'no device came to an end'}."
        told = [need.what for need in self.needs if not need.devices]
        if self.in_need:
            told.append(f"{count(self.in_need)} {'device needs' if self.in_need == 1 else 'devices need'} a person")
        if armed := sum(need.devices for need in self.needs if need.kind == "armed"):
            told.append(f"{count(armed)} may still install, though nothing is to be sent to them now")
        if soon := self.deadlines.get(Due.DAY, 0):
            told.append(f"{count(soon)} by declaration enforce within a day")
        if late := self.deadlines.get(Due.OVERDUE, 0):
            told.append(f"{count(late)} by declaration {'is' if late == 1 else 'are'} past the deadline")
        told += [alert.what.rstrip(".") for alert in self.alerts if alert.kind not in _NEEDS_TOO]
        return f"{ended} {'. '.join(told or ['Nothing needs a person'])}."

    def to_dict(self) -> dict[str, object]:
        """JSON values, in the order in which people read them."""
        words = asdict(self) | {"since": iso(self.since), "at": iso(self.at), "finding": self.finding}
        return {"finding": words.pop("finding"), **words}

    def _repr_html_(self) -> str:
        import pandas as pd

        from osupdate_kit.views.tables import Table

        tables = (
            ("Ended since", pd.DataFrame(ended_rows(self), columns=ENDED)),
            ("Needs a person", pd.DataFrame(need_rows(self), columns=NEEDS)),
            ("By site", pd.DataFrame(site_rows(self), columns=("site", *KINDS))),
            ("Deadlines of declarations", pd.DataFrame(self.deadlines.items(), columns=DEADLINES)),
            ("Alerts that stand", pd.DataFrame(alert_rows(self), columns=ALERTS)),
        )
        parts = [f"<p>{what}</p>{Table(frame)._repr_html_()}" for what, frame in tables if len(frame)]
        return f"<p><b>{escape(self.finding)}</b><br>as of {moment(self.at)}</p>{''.join(parts)}"


DEADLINES = ("they enforce", "devices")
ENDED = ("rollout", "name", "now", "done", "failed", "expired", "others")
ALERTS = ("since", "kind", "what", "told")
NEEDS = ("devices", "what", "whose move", "what to do", "rollouts")


def ended_rows(today: Today) -> list[tuple[object, ...]]:
    return [(one.rollout, one.name, one.status, one.done, one.failed, one.expired, one.others) for one in today.ended]


def need_rows(today: Today) -> list[tuple[object, ...]]:
    """Why is told of what names no state or cause, which have a page of their own."""
    return [
        (
            need.devices or None,
            need.what if need.devices else f"{need.what}. {need.why}",
            need.owner,
            need.remedy,
            ", ".join(map(str, need.rollouts)),
        )
        for need in today.needs
    ]


def site_rows(today: Today) -> list[tuple[object, ...]]:
    return [(site, *(kinds.get(kind, 0) for kind in KINDS)) for site, kinds in today.sites.items()]


def alert_rows(today: Today) -> list[tuple[object, ...]]:
    return [(one.since, one.kind, one.what, one.told or "nobody") for one in today.alerts]


def since_of(text: str, now: int) -> int:
    """`24h`, `7d`, `2026-11-24` (its beginning in UTC) or `2026-11-24T08:00+01:00`. Raises AnalysisError."""
    units = {"d": DAY, "h": HOUR}
    at: int | None = None
    if text[-1:] in units and text[:-1].isdecimal():
        at = now - int(text[:-1]) * units[text[-1]]
    with suppress(ValueError):
        day = datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
        at = (day - _EPOCH) // timedelta(microseconds=1)
    if at is None:
        with suppress(ValueError):
            moment_there = datetime.fromisoformat(text)
            at = (moment_there - _EPOCH) // timedelta(microseconds=1) if moment_there.tzinfo else None
    if at is None or not 0 <= at <= now:
        why = "is no time to begin at" if at is None or at < 0 else "is still to come"
        raise AnalysisError(f"{text!r} {why}.", remedy="Write 24h, 7d, 2026-11-24, or 2026-11-24T08:00+01:00.")
    return at


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def today(kit: "Kit", since: str = SINCE) -> Today:
    """Read from the store at once, whatever the number of devices; nothing is kept of it."""
    from osupdate_kit.stores.reader import reading

    now = kit.clock.now()
    begins = since_of(since, now)
    rollouts = kit.rollouts()
    seen = [(stored, name) for stored, name in rollouts if _matters(stored, begins, now)]
    counted = _Counted()
    with reading(kit.ledger.url) as backend:
        ended, unreadable = [], []
        for stored, name in seen:
            try:
                ended.append(_look(kit, backend, stored, name, begins, now, counted))
            except PlanError as error:  # one that cannot be read holds up no other (I9)
                unreadable.append(_unreadable(stored, name, error))
    with kit.ledger.read() as tx:
        halted = list(_halted(tx, seen))
        alerts = tuple(
            Standing(kind=one.kind, what=one.text, since=iso(one.at), told=iso(one.sent_at) if one.sent_at else "")
            for one in tx.open_alerts()
        )
    needs = [*_unserved(kit, rollouts), *unreadable, *halted, *counted.needs()]
    return Today(
        since=begins,
        at=now,
        rollouts=len(rollouts),
        ended=tuple(one for one in ended if _tells(one)),
        needs=tuple(needs),
        sites=counted.sites(),
        alerts=alerts,
        deadlines=counted.deadlines(),
    )


def _matters(stored: StoredRollout, since: int, now: int) -> bool:
    """One that is over may still be heard of for a while."""
    return stored.status not in _OVER or stored.changed_at >= min(since, now - TAIL)


def _tells(one: Ended) -> bool:
    return any((one.done, one.failed, one.expired, one.others, one.began, one.stopped))


class _Counted:
    """Needs of all rollouts, added up."""

    def __init__(self) -> None:
        self._devices: Counter[tuple[str, str]] = Counter()
        self._rollouts: dict[tuple[str, str], set[int]] = {}
        self._sites: dict[str, Counter[str]] = {}
        self._deadlines: Counter[str] = Counter()

    def enforce(self, rows: Iterable[tuple[str, int]]) -> None:
        """rows: declared devices by when they enforce."""
        self._deadlines.update(dict(rows))

    def deadlines(self) -> dict[str, int]:
        return {when.value: self._deadlines[when] for when in Due if self._deadlines[when]}

    def add(self, kind: str, cause: str, rows: Iterable[tuple[str, int]], rollout: int) -> None:
        """rows: devices by site."""
        for site, devices in rows:
            self._devices[kind, cause] += devices
            self._rollouts.setdefault((kind, cause), set()).add(rollout)
            self._sites.setdefault(site or _NOWHERE, Counter())[kind] += devices

    def needs(self) -> Iterator[Need]:
        """By kind, and within it the most frequent first."""
        for (kind, name), devices in sorted(
            self._devices.items(), key=lambda one: (KINDS.index(one[0][0]), -one[1], one[0][1])
        ):
            cause = _ARMED if kind == "armed" else need_of(kind, name)
            what = {"failed": f"Failed: {cause.title}", "expired": f"Expired: {cause.title}", "armed": f"Armed {name}"}
            yield Need(
                kind=kind,
                what=what.get(kind, cause.title),
                why=cause.meaning,
                remedy=cause.remedy,
                owner=cause.owner.value,
                devices=devices,
                rollouts=tuple(sorted(self._rollouts[kind, name])),
            )

    def sites(self) -> dict[str, dict[str, int]]:
        ranked = sorted(self._sites.items(), key=lambda one: (-one[1].total(), one[0]))
        return {site: dict(kinds) for site, kinds in ranked}


def _look(
    kit: "Kit", backend: "ibis.BaseBackend", stored: StoredRollout, name: str, since: int, now: int, counted: _Counted
) -> Ended:
    """One rollout: what ended, and its needs into `counted`."""
    from osupdate_kit.analysis.deadlines import deadlines
    from osupdate_kit.analysis.needs import armed_at_large, ended, needs
    from osupdate_kit.analysis.scope import Scope

    scope = Scope.of(backend, stored.id, now=now, cadences=kit.cadences)
    ends = ended(scope, since)
    over = stored.status in _OVER
    expired = 0
    if not over or stored.changed_at > since:  # what one that was over by then left behind is old news
        for (state, cause), rows in needs(scope).groupby(["state", "cause"]):
            counted.add(state, cause, rows[["site", "devices"]].itertuples(index=False), stored.id)
            expired += int(rows["devices"].sum()) if state == State.EXPIRED else 0
    if not over:
        counted.enforce(deadlines(scope)[["due", "devices"]].itertuples(index=False, name=None))
    for armed, rows in armed_at_large(scope).groupby("armed"):
        counted.add("armed", armed, rows[["site", "devices"]].itertuples(index=False), stored.id)
    others = sum(ends.get(state, 0) for state in (State.NOTIFIED, State.DOWNLOADED_END))
    stopped = stored.status not in (RolloutStatus.RUNNING, RolloutStatus.PAUSED)
    return Ended(
        rollout=stored.id,
        name=name,
        status=stored.status.value,
        done=ends.get(State.DONE, 0),
        failed=ends.get(State.FAILED, 0),
        expired=expired,
        others=others,
        began=stored.started_at > since,
        stopped=stopped and stored.changed_at > since,
    )


def _halted(tx: Transaction, seen: Sequence[tuple[StoredRollout, str]]) -> Iterator[Need]:
    """Whole rollouts, slices of those that go on, and waves that only a person opens."""
    for stored, name in seen:
        if stored.status in _OVER:
            continue
        what = f"Rollout {stored.id}, {name}"
        if stored.status is RolloutStatus.HALTED:
            why = f"{stored.reason.rstrip('.') or 'No reason was given'}; since {moment(stored.changed_at)}."
            yield _of_team("halted", f"{what}, is halted", why, _HALTED, stored.id)
        if stored.waits:
            asked = tx.approval(stored.id)
            assert asked is not None, stored
            why = f"{asked.asked_by} asked on {moment(asked.asked_at)}: {count(asked.devices)} devices take it."
            yield _of_team("approval", f"{what}, waits for a second person", why, APPROVE.format(stored.id), stored.id)
        for halt in tx.halts(stored.id):
            part = f" for {halt.dimension.replace('_', ' ')} {halt.value}" if halt.dimension else ""
            why = f"{halt.reason.rstrip('.')}; since {moment(halt.at)}."
            yield _of_team("halted", f"{what}, stands still{part}", why, _LIFT, stored.id)
        for wave in tx.waves(stored.id):
            if not wave.opened_at and wave.waits_for.endswith(_BY_HAND):
                yield _of_team(
                    "gate", f"{what}: wave {wave.name} waits", f"It waits for {wave.waits_for}.", _OPEN, stored.id
                )


def _of_team(kind: str, what: str, why: str, remedy: str, rollout: int) -> Need:
    return Need(kind=kind, what=what, why=why, remedy=remedy, owner=Owner.ADMIN.value, rollouts=(rollout,))


def _unreadable(stored: StoredRollout, name: str, error: PlanError) -> Need:
    why = f"Its plan cannot be read: {error.args[0]}"
    return _of_team("plan", f"Rollout {stored.id}, {name}, waits", why, error.remedy, stored.id)


def _unserved(kit: "Kit", rollouts: Sequence[tuple[StoredRollout, str]]) -> Iterator[Need]:
    running = tuple(stored.id for stored, _ in rollouts if stored.status is RolloutStatus.RUNNING)
    if running and not kit.is_served():
        yield Need(
            kind="service",
            what="No service works on this store",
            why="Rollouts run, and nobody carries them on.",
            remedy=_UNSERVED,
            owner=Owner.ADMIN.value,
            rollouts=running,
        )
