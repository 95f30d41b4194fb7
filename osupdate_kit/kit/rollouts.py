"""One rollout in the hands of an operator: frames, charts, report, monitor, acts. What is heavy is imported late."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from difflib import unified_diff
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from osupdate_kit.errors import PlanError, RolloutError
from osupdate_kit.kit import people as _people
from osupdate_kit.kit import status as _status
from osupdate_kit.kit.plans import deadline_of
from osupdate_kit.rollout.state import ATTENTION, ENDS
from osupdate_kit.stores.ledger import Ledger
from osupdate_kit.views.status import DeviceStatus, RolloutStatusView

if TYPE_CHECKING:
    import pandas as pd

    from osupdate_kit.analysis.scope import Scope
    from osupdate_kit.kit import Draft, Kit
    from osupdate_kit.views.charts import Chart
    from osupdate_kit.views.grid import DeviceGrid
    from osupdate_kit.views.widgets import RolloutMonitor

LOOK_SECONDS = 1.0
STRIPS = 40  # up to so many devices each one gets a strip of its own


class Rollout:
    """A begun plan. Frames are as of now, or of an earlier instant where `as_of` is offered."""

    def __init__(self, kit: "Kit", number: int) -> None:
        self._kit, self.id = kit, number

    def __repr__(self) -> str:
        return f"Rollout({self.id})"

    def _repr_html_(self) -> str:
        status = self.status(keep=_nobody)
        head = f"Rollout {self.id}, {status.name}: {status.status}"
        lines = (status.finding, status.reconciliation, f"as of {status.as_of}")
        return f"<p><b>{escape(head)}</b><br>{'<br>'.join(map(escape, lines))}</p>"

    # --- where it stands ---

    def status(self, *, keep: Callable[[DeviceStatus], bool] = lambda device: True) -> RolloutStatusView:
        """Everything as of now. `keep`: which devices to list; all are counted."""
        with self._kit.ledger.read() as tx:
            return _status.status(tx, self.id, self._kit.clock.now(), self._kit.cadences, keep=keep)

    @property
    def finished(self) -> bool:
        """Has every device reached an end, or needs a person?"""
        return all(state in ENDS or state in ATTENTION for state in self.status(keep=_nobody).states)

    def wait_for(self, *, done: float, seconds: float) -> RolloutStatusView:
        """Wait until this share (0-1) of the devices that take the plan is done, but no longer than `seconds`."""
        ends, pause = time.monotonic() + seconds, threading.Event()
        while True:
            status = self.status(keep=_nobody)
            wanted = done * (status.selected - status.states.get("barred", 0))
            if status.states.get("done", 0) >= wanted or time.monotonic() >= ends:
                return status
            pause.wait(LOOK_SECONDS)

    def devices(self, as_of: datetime | None = None) -> "pd.DataFrame":
        """One row per device: who it is, and its state then or now (see `analysis.progress.devices`)."""
        from osupdate_kit.analysis import progress

        with self._scope(as_of) as scope:
            return progress.devices(scope)

    def progress(self, as_of: datetime | None = None) -> "pd.DataFrame":
        """Devices per state over time: `at` (UTC), `state`, `devices`."""
        from osupdate_kit.analysis import progress

        with self._scope(as_of) as scope:
            return progress.progress(scope)

    def deferrals(self) -> "pd.DataFrame":
        """Devices by deferrals used and remaining; what is presumed (iOS) apart."""
        from osupdate_kit.analysis import deferrals

        with self._scope() as scope:
            return deferrals.deferrals(scope)

    def failures(self) -> "pd.DataFrame":
        """Failed and expired devices by their last cause, most frequent first."""
        from osupdate_kit.analysis import failures

        with self._scope() as scope:
            return failures.failures(scope)

    def contradictions(self) -> "pd.DataFrame":
        """Whose evidence does not fit together: `serial`, `platform`, `what`, `asked`, `returned`, `os_version`.

        Another InstallAction came back, or a lower version after the target, or the state is *unknown*.
        """
        import pandas as pd

        found = [
            (
                device.serial,
                device.platform,
                what,
                device.action_asked,
                device.action_returned,
                device.os_version_reported,
            )
            for device in self.status(keep=_contradicts).devices
            for what in _contradictions(device)
        ]
        return pd.DataFrame(found, columns=["serial", "platform", "what", "asked", "returned", "os_version"])

    def story(self, wanted: str) -> "pd.DataFrame":
        """What happened to a device, by serial or UDID: `at` (UTC), `what`, `detail`, and the `state` after it."""
        import pandas as pd

        from osupdate_kit.kit.watch import watch
        from osupdate_kit.views.widgets.story import story

        told = watch(self._kit, self.id).story(wanted)
        if told is None:
            raise RolloutError(f"No device of rollout {self.id} is {wanted!r}.", remedy="Give its serial or its UDID.")
        lines = [(line.at, line.title, line.detail, line.state) for line in story(told).lines if not line.minor]
        frame = pd.DataFrame(lines, columns=["at", "what", "detail", "state"])
        return frame.assign(at=pd.to_datetime(frame["at"], unit="us", utc=True).dt.floor("s"))

    # --- pictures ---

    def charts(self) -> "list[Chart]":
        """All figures of this rollout, in the order in which a report shows them."""
        with self._scope() as scope:
            return _charts(scope)

    def chart(self, name: str) -> "Chart":
        """One figure by its name, such as `states` or `failures`."""
        made = {chart.name: chart for chart in self.charts()}
        if name not in made:
            raise RolloutError(f"There is no chart {name!r}.", remedy=f"Charts: {', '.join(made)}.")
        return made[name]

    def monitor(self, *, grid: "DeviceGrid | None" = None) -> "RolloutMonitor":
        """The live view, with pause, resume, halt, cancel and retry. `grid`: where to show the devices one chooses."""
        from osupdate_kit.kit.notebook import show_chosen
        from osupdate_kit.kit.watch import watch
        from osupdate_kit.views.widgets import RolloutMonitor

        monitor = RolloutMonitor(watch(self._kit, self.id))
        if grid is not None:
            show_chosen(monitor, grid, "chosen in the monitor")
        return monitor

    def report(
        self,
        folder: Path | str,
        formats: Sequence[str] = (),
        *,
        progress: Callable[[str, float], None] = lambda what, share: None,
    ) -> list[Path]:
        """Write the report in these formats (html, pdf, xlsx, csv); the paths.

        pdf needs a Chromium for its charts. No formats: all that can be written here.
        """
        from osupdate_kit.analysis.scope import Scope
        from osupdate_kit.stores.reader import within
        from osupdate_kit.views.reports import Act, Format, browser, report_of, write_report

        formats = formats or [one for one in Format if one is not Format.PDF or browser()]

        kit, now = self._kit, self._kit.clock.now()
        with closing(Ledger.open(kit.ledger.url)) as ledger, ledger.read() as tx:  # charts and counts of one snapshot
            scope = Scope.of(within(tx), self.id, now=now, cadences=kit.cadences)
            report = report_of(
                _status.status(tx, self.id, now, kit.cadences, keep=_nobody),
                lambda: _status.device_rows(tx, self.id, now, kit.cadences),
                at=now,
                known_at=now,
                made_by=kit.who,
                store=kit.ledger.kind,
                servers=tuple(kit.servers),
                charts=_charts(scope),
                acts=[Act(at=a.at, who=a.who, what=a.what, count=a.count, detail=a.detail) for a in tx.audits(self.id)],
            )
            return write_report(report, Path(folder), formats, progress=progress)

    # --- acts: the service carries them out in its next turn ---

    def pause(self, why: str = "") -> int:
        """Send nothing new until resumed; the act's number."""
        return self._kit.act("pause", self.id, detail=why)

    def resume(self, why: str = "") -> int:
        """Go on after a pause or a halt."""
        return self._kit.act("resume", self.id, detail=why)

    def halt(self, why: str = "") -> int:
        """Stop because something is wrong; only a person lifts it."""
        return self._kit.act("halt", self.id, detail=why)

    def cancel(self, why: str = "") -> int:
        """End it for good."""
        return self._kit.act("cancel", self.id, detail=why)

    def retry(self, cause: str = "") -> int:
        """Give failed devices their tries anew: those of one cause, or all."""
        return self._kit.act("retry", self.id, detail=cause)

    def open(self, wave: str) -> int:
        """Let a wave begin now, whatever it waits for."""
        return self._kit.act("open", self.id, detail=wave)

    def lift(self, halt: int = 0) -> int:
        """Let a slice go on that its figures halted, by the halt's number; 0: all of them. Judged anew from here."""
        return self._kit.act("lift", self.id, detail=str(halt or ""))

    def extend(self, deadline: str) -> int:
        """Put the deadline off: `3d` from now, or an ISO moment with its offset."""
        deadline_at = deadline_of(deadline, self._kit.clock.now())
        return self._kit.act("extend", self.id, detail=str(deadline_at))

    def approve(self) -> int:
        """As the second person: let it go on by its plan. Refused for whoever asked for it."""
        return self._kit.act("approve", self.id)

    def hand_over(self, to: str, why: str = "") -> None:
        """Somebody else answers for it from now on; nothing of what is sent changes."""
        _people.hand_over(self._kit, self.id, to, why)

    def note(self, text: str, *, device: str = "") -> int:
        """Leave a note for others on the rollout, or on one of its devices; the note's number."""
        return _people.note(self._kit, text, device=device, rollout=self.id)

    def revise(self, draft: "Draft | str") -> str:
        """Go on by another plan, and take in the devices that are new in it; what differs from the plan so far.

        Devices under way stay, whether the new plan names them or not: `hold` keeps one out.
        """
        kit = self._kit
        yaml = draft if isinstance(draft, str) else kit.save(draft)
        with kit.ledger.read() as tx:
            stored, plan = _status.rollout_and_plan(tx, self.id)
            new = tx.plan(hashlib.sha256(yaml.encode()).hexdigest())
        if new is None:
            raise PlanError("This plan is not in the store.", remedy="Make it by `osupdate-kit plan create`.")
        kit.act("revise", self.id, detail=str(new.id))
        lines = unified_diff(
            plan.to_yaml().splitlines(), yaml.splitlines(), f"plan {stored.plan_id}", f"plan {new.id}", lineterm=""
        )
        return "\n".join(lines)

    @contextmanager
    def _scope(self, as_of: datetime | None = None) -> "Iterator[Scope]":
        from osupdate_kit.analysis.scope import Scope
        from osupdate_kit.stores.reader import reading

        kit = self._kit
        with reading(kit.ledger.url) as backend:
            yield Scope.of(backend, self.id, now=kit.clock.now(), cadences=kit.cadences, as_of=_micros(as_of))


def _charts(scope: "Scope") -> "list[Chart]":
    from osupdate_kit.analysis import deadlines, deferrals, failures, funnel, progress, shown, survival, versions
    from osupdate_kit.views import charts

    subject = scope.subject
    over_time = progress.progress(scope)
    if subject.selected <= STRIPS:
        made = [charts.device_strips(progress.spells(scope), progress.devices(scope), subject)]
    else:
        made = [charts.states_over_time(over_time, shown.states_now(scope), subject)]
    due = deadlines.deadlines(scope)
    both = bool(len(due))  # do some go by declaration? Else there is nothing to tell apart
    if both:
        made += [
            charts.states_by_instrument(shown.states_by_instrument(scope), subject),
            charts.deadlines(due, subject),
        ]
    made += [
        charts.done_over_time(over_time, subject),
        charts.funnel(funnel.funnel(scope), subject),
        charts.failures(failures.failures(scope), subject),
    ]
    dimensions = ("model", "site", *(("route",) if both else ()))
    made += [charts.failures_by(failures.failures_by(scope, by), subject, dimension=by) for by in dimensions]
    made += [
        charts.deferrals(deferrals.deferrals(scope), subject),
        charts.next_installs(deferrals.next_installs(scope), subject),
        charts.adoption(versions.adoption(scope), subject),
        charts.time_to_update(survival.time_to_update(scope, by="platform"), subject, by="platform"),
    ]
    if both:
        made += [
            charts.reached_by_instrument(versions.reached_by(scope), subject),
            charts.time_to_update(survival.time_to_update(scope, by="route"), subject, by="route"),
        ]
    return made


def _contradictions(device: DeviceStatus) -> Iterator[str]:
    if device.state == "unknown":
        yield device.reason or "its evidence contradicts itself"
    if "regressed" in device.flags:
        yield "reported the target, and later less"
    if device.action_returned and device.action_returned != device.action_asked:
        yield "does something else than it was asked for"


def _contradicts(device: DeviceStatus) -> bool:
    return any(_contradictions(device))


def _nobody(device: DeviceStatus) -> bool:
    return False


def _micros(moment: datetime | None) -> int:
    if moment is None:
        return 0
    if moment.tzinfo is None:
        raise RolloutError(f"{moment} names no time zone.", remedy="Give as_of with its zone, such as UTC.")
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
