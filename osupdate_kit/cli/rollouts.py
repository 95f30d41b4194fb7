"""`plan` and `rollout`: intend, look, begin, watch, stop."""

import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from osupdate_kit.cli.common import Common, counted, print_json, remark, remarks, say, some, table
from osupdate_kit.cli.fleet import AsJson
from osupdate_kit.errors import PlanError, RolloutError
from osupdate_kit.feeds.calendars import days_of, read_calendar
from osupdate_kit.feeds.inventory import read_list
from osupdate_kit.kit import Draft, Kit
from osupdate_kit.kit.alerts import reporting
from osupdate_kit.kit.people import owners, second_person
from osupdate_kit.kit.plans import deadline_of
from osupdate_kit.rollout.journey import RolloutStatus
from osupdate_kit.rollout.people import APPROVAL, APPROVE
from osupdate_kit.rollout.plan import timing_of
from osupdate_kit.rollout.preflight import NO_WAY_BACK
from osupdate_kit.rollout.state import ATTENTION, ENDS
from osupdate_kit.rollout.windows import Blackout
from osupdate_kit.views.status import GROUPS, ROUTES, STATES, RolloutStatusView, WaveStatus, iso

plan = typer.Typer(no_args_is_help=True, help="Plans: who takes which version, how, and by when.")
rollout = typer.Typer(no_args_is_help=True, help="Rollouts: begun plans.")

POLL_SECONDS = 1.0
ACT_SECONDS, ACT_POLL_SECONDS = 60.0, 0.1
ARMED = "Armed, may still install because of us"
T = TypeVar("T")
_STOPPED = (RolloutStatus.HALTED, RolloutStatus.CANCELLED)

PlanFile = Annotated[Path, typer.Argument(help="The plan's YAML, as `plan create` wrote it.")]
Rollout = Annotated[int, typer.Argument(help="The rollout's number; `rollout list` shows them.")]


def add_to(app: typer.Typer) -> None:
    app.add_typer(plan, name="plan")
    app.add_typer(rollout, name="rollout")
    app.command("report")(report)


# --- plans ---


@plan.command("create")
def create(
    context: typer.Context,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the plan's YAML goes.")],
    target: Annotated[
        str, typer.Option(help="The version to reach, such as 18.7.2; or latest-minor, latest-major: each its own.")
    ] = "",
    after_days: Annotated[float, typer.Option(help="Of the latest: only what has been out for so many days.")] = 0,
    by_major: Annotated[
        list[str] | None, typer.Option(help="A version by the installed major version: 15=15.7.2; repeatable.")
    ] = None,
    floor: Annotated[str, typer.Option(help="Devices that run this version or newer have nothing to do.")] = "",
    allow_major: Annotated[
        bool, typer.Option("--allow-major", help="Devices may leave their major version. There is no way back.")
    ] = False,
    build: Annotated[str, typer.Option(help="The build to reach, too.")] = "",
    extra: Annotated[str, typer.Option(help="A Rapid Security Response's suffix, such as (a).")] = "",
    product_key: Annotated[str, typer.Option(help="Instead of a version: a macOS item that is no OS update.")] = "",
    where: Annotated[str, typer.Option(help='Which devices, such as: platform == "iPadOS" and site == "North"')] = "",
    serials: Annotated[
        Path | None, typer.Option(help="A list of serials or UDIDs; together with --where both hold.")
    ] = None,
    action: Annotated[
        list[str] | None, typer.Option(help="PLATFORM=ACTION or PLATFORM=FIRST+SECOND; repeatable.")
    ] = None,
    max_user_deferrals: Annotated[int | None, typer.Option(help="macOS, with InstallLater.")] = None,
    priority: Annotated[str, typer.Option(help="Low or High: macOS, within a major version.")] = "",
    tries: Annotated[int, typer.Option(help="How often each step is tried.")] = 3,
    declare_since: Annotated[
        list[str] | None,
        typer.Option(help="PLATFORM=VERSION from which on devices go by declaration, such as macOS=14; repeatable."),
    ] = None,
    enforce_days: Annotated[int, typer.Option(help="Days after which a declaration enforces the update.")] = 3,
    enforce_at: Annotated[str, typer.Option(help="At which time of the device's day.")] = "19:00",
    enforce_weekends: Annotated[bool, typer.Option("--enforce-weekends", help="On weekends, too.")] = False,
    details_url: Annotated[str, typer.Option(help="A page about the update, for the users of declared devices.")] = "",
    window: Annotated[str, typer.Option(help="Device-local hours for installs, such as 20:00-05:00.")] = "",
    download_window: Annotated[str, typer.Option(help="And for downloads, such as 08:00-18:00; else the same.")] = "",
    days: Annotated[str, typer.Option(help="Weekdays on which these windows open, such as mon-fri.")] = "",
    waves: Annotated[
        Path | None, typer.Option(help="YAML: waves, limits, slots_per_site, windows and blackouts.")
    ] = None,
    blackouts: Annotated[
        list[Path] | None, typer.Option(help="iCalendar file of days on which nothing is sent; repeatable.")
    ] = None,
    blackouts_for: Annotated[
        str, typer.Option(help='Whom these files concern, such as: site == "North"; else all.')
    ] = "",
    time_zone: Annotated[str, typer.Option(help="Of devices that name none.")] = "",
    deadline: Annotated[str, typer.Option(help="When it ends: 14d, 36h, or 2026-12-04T18:00+01:00.")] = "14d",
    name: Annotated[str, typer.Option(help="What people call it.")] = "",
    as_json: AsJson = False,
) -> None:
    """Judge every chosen device, keep plan and membership in the store, and write the plan's YAML. Nothing is sent."""
    common: Common = context.obj
    with common.kit() as kit:
        wanted = _wanted(serials) if serials else ()
        draft = kit.plan(
            kit.select(where=where, wanted=wanted),
            target=target,
            after_days=after_days,
            by_major=by_major or (),
            floor=floor,
            allow_major=allow_major,
            build=build,
            extra=extra,
            product_key=product_key,
            where=where,
            actions=action or (),
            max_user_deferrals=max_user_deferrals,
            priority=priority,
            tries=tries,
            declare_since=declare_since or (),
            enforce_days=enforce_days,
            enforce_at=enforce_at,
            enforce_weekends=enforce_weekends,
            details_url=details_url,
            window=window,
            download_window=download_window,
            days=days,
            timing=timing_of(_read(waves, "the YAML of waves, windows and limits")) if waves else {},
            blackouts=_calendars(blackouts or (), deadline, blackouts_for, kit.clock.now()),
            time_zone=time_zone,
            deadline=deadline,
            name=name,
        )
        yaml = kit.save(draft)
    _write(output, yaml)
    _show(draft, as_json=as_json)
    if not as_json:
        say(f"Written to {output}. Begin it: osupdate-kit rollout start {output} --yes")


@plan.command("preview")
def preview(context: typer.Context, file: PlanFile, as_json: AsJson = False) -> None:
    """What would happen to each device: by command, or not, because of what, and what to do."""
    common: Common = context.obj
    with common.kit() as kit:
        _show(kit.preview(_read(file)), as_json=as_json)


def _show(draft: Draft, *, as_json: bool) -> None:
    if as_json:
        members = [
            {
                "udid": m.udid, "serial": m.serial, "server": m.key.server, "platform": m.platform,
                "os_version": m.os_version, "instrument": m.instrument.value, "barrier": m.barrier, "reason": m.reason,
                "wave": m.wave, "target": m.target or str(draft.plan.target),
            }
            for m in draft.members
        ]  # fmt: skip
        print_json(
            {
                "name": draft.plan.name, "target": draft.plan.target_label, "selected": len(draft.members),
                "by_command": draft.by_command, "by_declaration": draft.by_declaration,
                "excluded": draft.excluded, "unmatched": list(draft.unmatched),
                "waves": [
                    {"wave": name, "who": who, "opens": opens, "devices": devices}
                    for name, who, opens, devices in draft.wave_rows()
                ],
                "targets": draft.targets,
                "findings": [
                    {"finding": f.finding, "kind": f.kind, "devices": f.devices, "words": f.words, "remedy": f.remedy}
                    for f in draft.findings
                ],
                "held": draft.held, "devices": members,
            }
        )  # fmt: skip
        return
    rows = [(way, "", devices) for way, devices in draft.ways()]
    rows += [(f"barred: {why}", remedy, devices) for why, remedy, devices in draft.excluded_rows()]
    table(
        f"{draft.plan.name}: {len(draft.members):,} selected for {draft.plan.target_label}",
        ["how", "what to do", "devices"],
        rows,
        numbers=1,
    )
    if draft.plan.goal and draft.targets:
        table("", ["target", "devices"], draft.targets.items(), numbers=1)
    if len(draft.plan.waves) > 1:
        table("", ["wave", "takes", "opens", "devices"], draft.wave_rows(), numbers=1)
    for warning in draft.warnings:
        remark(warning)
    if draft.installs:
        remark(NO_WAY_BACK)
    if draft.unmatched:
        remark(f"{len(draft.unmatched):,} names of the list match no device: {some(draft.unmatched, 5)}")


def _calendars(files: Iterable[Path], deadline: str, where: str, now: int) -> list[Blackout]:
    """Their events from today to the deadline."""
    first, last = days_of(now, deadline_of(deadline, now))
    return [one for file in files for one in read_calendar(file, first=first, last=last, where=where)]


def _wanted(path: Path) -> Collection[str]:
    found = read_list(path)
    for words in found.remarks:
        remark(f"{path}: {words}")
    return {row.enrollment_id or row.udid or row.serial for row in found.rows}


def _read(file: Path, what: str = "the file that `plan create` wrote") -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError(f"{file} cannot be read: {error}.", remedy=f"Name {what}.") from None


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, "utf-8")
    except OSError as error:
        raise PlanError(
            f"{file} cannot be written: {error.strerror}.",
            remedy="Choose another place with -o; the plan is in the store.",
        ) from None


# --- rollouts ---


@rollout.command("start")
def start(
    context: typer.Context,
    file: PlanFile,
    yes: Annotated[bool, typer.Option("--yes", help="I have seen the preview.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Until every device reached an end or needs a person.")] = False,
    as_json: AsJson = False,
) -> None:
    """Begin a plan's rollout. With --wait: exit 0 when every device reached an end or needs a person, 1 when halted."""
    common: Common = context.obj
    with common.kit() as kit:
        yaml = _read(file)
        draft = kit.preview(yaml)
        if not yes:
            _show(draft, as_json=False)
            raise PlanError(
                f"Not begun: {_will(draft)}, and restart. {NO_WAY_BACK}",
                remedy="Say --yes if that is what you want.",
            )
        number = kit.start(yaml).id
        waits = kit.status(number, keep=lambda device: False).approval
        if not as_json:
            ways = ", ".join(f"{devices:,} devices {way}" for way, devices in draft.ways())
            say(f"Rollout {number} has begun: {ways}.")
        if waits:
            remark(f"Nothing is sent yet: {APPROVAL}. {APPROVE.format(number)}")
        if not kit.is_served():
            remark("No service works on this store yet: run `osupdate-kit serve`, else nothing is sent.")
        stopped = wait and not _waited(kit, number)
        if as_json:
            words = {"rollout": number, "by_command": draft.by_command, "excluded": draft.excluded}
            words["by_declaration"] = draft.by_declaration
            print_json(words | {"waits_for_approval": bool(waits)})
        elif wait:
            _print(kit.status(number))
    if stopped:
        raise typer.Exit(1)


def _will(draft: Draft) -> str:
    told = []
    if draft.by_command or not draft.taking:
        told.append(f"{draft.by_command:,} devices would be sent ScheduleOSUpdate")
    if draft.by_declaration:
        told.append(f"{draft.by_declaration:,} devices would be declared the target")
    return " and ".join(told)


def _waited(kit: Kit, number: int) -> bool:
    """Wait for every device's end; False if the rollout was halted or cancelled before."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    pause = threading.Event()
    with Progress(*columns, console=remarks, transient=True) as progress:
        task = progress.add_task("devices at an end", total=None)
        while True:
            status = kit.status(number, keep=lambda device: False)
            ended = sum(count for state, count in status.states.items() if state in ENDS or state in ATTENTION)
            progress.update(task, completed=ended, total=status.selected)
            if ended == status.selected:
                return True
            if status.status in _STOPPED:
                return False
            pause.wait(POLL_SECONDS)


@rollout.command("list")
def list_rollouts(context: typer.Context, as_json: AsJson = False) -> None:
    """All rollouts of this store."""
    common: Common = context.obj
    with common.kit() as kit:
        answers = owners(kit)
        found = [
            {
                "rollout": r.id, "name": name, "status": r.status.value, "reason": r.reason,
                "started_at": iso(r.started_at), "deadline_at": iso(r.deadline_at), "by": r.by,
                "owner": answers[r.id], "waits_for_approval": r.waits,
            }
            for r, name in kit.rollouts()
        ]  # fmt: skip
    if as_json:
        print_json(found)
    else:
        headings = ("rollout", "name", "status", "reason", "started_at", "deadline_at", "by", "owner")
        found = [one | {"reason": one["reason"] or (APPROVAL if one["waits_for_approval"] else "")} for one in found]
        table("", headings, [[row[heading] for heading in headings] for row in found])


@rollout.command("status")
def status(
    context: typer.Context,
    number: Rollout,
    as_json: AsJson = False,
    state: Annotated[list[str] | None, typer.Option(help="List the devices in these states only; repeatable.")] = None,
) -> None:
    """Where every device stands, as of now."""
    common: Common = context.obj
    if unknown := set(state or ()) - set(STATES):
        raise PlanError(f"{', '.join(sorted(unknown))}: no such state.", remedy=f"States: {', '.join(STATES)}.")
    chosen = set(state or ())
    with common.kit() as kit:
        found = kit.status(
            number, keep=lambda device: (not chosen or device.state in chosen) and (as_json or bool(chosen))
        )
    if as_json:
        print_json(found.to_dict())
        return
    _print(found)
    if chosen:
        rows = [
            (
                d.serial or d.udid,
                d.platform,
                d.os_version_reported,
                d.state,
                d.route,
                f"{d.deadline}, {d.time_left}" if d.time_left else "",
                ", ".join(d.flags),
                f"{d.reason} {d.remedy}".strip(),
            )
            for d in found.devices
        ]
        heads = ("device", "platform", "reports", "state", "by", "deadline", "flags", "why, and what to do")
        dull = () if found.declares else (4, 5)
        table("", _without(dull, heads), [_without(dull, row) for row in rows])


def _print(status: RolloutStatusView) -> None:
    say(f"Rollout {status.rollout}, {status.name}: {status.status}. {status.reason}".strip())
    table(
        status.finding, ["state", "devices"], [(s, status.states[s]) for s in STATES if s in status.states], numbers=1
    )
    say(f"{status.reconciliation}. As of {status.as_of}; deadline {status.deadline_at}.")
    if status.approval:
        say(f"Nothing is sent: {APPROVAL}. {status.approval}. {APPROVE.format(status.rollout)}")
    if status.owner:
        say(f"In the hands of {status.owner}.")
    if status.declares:
        _instruments(status)
    if status.excluded:
        say(f"Barred: {counted(status.excluded)}.")
    if status.waves:
        cells = [(w.name, _opening(w), w.devices, w.done, w.lost, w.pace or "all") for w in status.waves]
        table("", ("wave", "open since, or waits for", "devices", "done", "lost", "at once"), cells, numbers=4)
    for halt in status.halts:
        say(f"Halted since {halt.since}: {halt.reason}. Lift it by: rollout lift {status.rollout} {halt.number}")
    if status.failures:
        say(f"Failed by cause: {counted(status.failures)}.")
    if status.armed:
        say(f"{ARMED} ({len(status.armed):,}): {some(status.armed, 20)}")


def _instruments(status: RolloutStatusView) -> None:
    """By which instrument, and by when declared devices enforce."""
    cells = [
        (ROUTES[route], sum(states.values()), *(_of(group, states) for group in GROUPS))
        for route, states in status.instruments.items()
    ]
    table("", ("instrument", "devices", *(words for words, _ in GROUPS.values())), cells, numbers=1 + len(GROUPS))
    if status.deadlines:
        say(f"Deadlines of declarations: {counted(status.deadlines)}.")


def _of(group: str, states: Mapping[str, int]) -> int:
    return sum(states.get(state, 0) for state in GROUPS[group][1])


def _without(places: Collection[int], row: Sequence[T]) -> list[T]:
    return [cell for place, cell in enumerate(row) if place not in places]


def _opening(wave: WaveStatus) -> str:
    return f"{wave.opened_at} by {wave.opened_by}" if wave.opened_at else wave.waits_for or "the service"


def report(
    context: typer.Context,
    number: Rollout,
    formats: Annotated[str, typer.Option("--format", help="Of html, pdf, xlsx, csv, with commas.")] = "html,xlsx,csv",
    out: Annotated[Path, typer.Option(help="The folder they go to.")] = Path(),
) -> None:
    """Write the report: the same numbers in every format, each file whole or not there."""
    common: Common = context.obj
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with (
        common.kit() as kit,
        Progress(*columns, console=remarks, transient=True) as progress,
        reporting(kit, number),
    ):
        task = progress.add_task("Report", total=1)
        written = kit.rollout(number).report(
            out,
            [part.strip() for part in formats.split(",")],
            progress=lambda what, share: progress.update(task, description=what, completed=share),
        )
    say(*(str(path) for path in written))


def _act(context: typer.Context, number: int, what: str, why: str, *, as_json: bool) -> None:
    """Ask the service, wait until it has done so, then print who is armed: whoever it sent to until then is on it."""
    common: Common = context.obj
    with common.kit() as kit:
        act = kit.act(what, number, detail=why)
        outcome = _outcome(kit, act) if kit.is_served() else None
        found = kit.status(number, keep=lambda device: False)
    if as_json:
        print_json({"rollout": number, "asked": what, "outcome": outcome, "armed": list(found.armed)})
        return
    if outcome is None:
        remark("No service carries it out yet: run `osupdate-kit serve`. Nothing is sent until one does.")
    say(f"{what} of rollout {number}: {outcome or 'asked for'}.")
    if what != "resume":
        say(f"{ARMED} ({len(found.armed):,}): {some(found.armed, len(found.armed))}")


def _outcome(kit: Kit, act: int) -> str | None:
    pause = threading.Event()
    for _ in range(int(ACT_SECONDS / ACT_POLL_SECONDS)):
        if outcome := kit.outcome(act):
            return outcome
        pause.wait(ACT_POLL_SECONDS)
    return None


Why = Annotated[str, typer.Option("--why", help="For the audit log.")]


@rollout.command("pause")
def pause(context: typer.Context, number: Rollout, why: Why = "", as_json: AsJson = False) -> None:
    """Send nothing new until resumed. Prints who may still install."""
    _act(context, number, "pause", why, as_json=as_json)


@rollout.command("resume")
def resume(context: typer.Context, number: Rollout, why: Why = "", as_json: AsJson = False) -> None:
    """Go on after a pause or a halt."""
    _act(context, number, "resume", why, as_json=as_json)


@rollout.command("halt")
def halt(context: typer.Context, number: Rollout, why: Why = "", as_json: AsJson = False) -> None:
    """Stop because something is wrong; only a person lifts it. Prints who may still install."""
    _act(context, number, "halt", why, as_json=as_json)


@rollout.command("cancel")
def cancel(context: typer.Context, number: Rollout, why: Why = "", as_json: AsJson = False) -> None:
    """End it for good. Prints who may still install."""
    _act(context, number, "cancel", why, as_json=as_json)


@rollout.command("retry")
def retry(
    context: typer.Context,
    number: Rollout,
    cause: Annotated[
        str, typer.Option(help="Only devices that failed by this cause: a class such as space, or a code.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Give failed devices their tries anew."""
    _act(context, number, "retry", cause, as_json=as_json)


@rollout.command("open")
def open_wave(
    context: typer.Context,
    number: Rollout,
    wave: Annotated[str, typer.Argument(help="Its name in the plan.")],
    as_json: AsJson = False,
) -> None:
    """Let a wave begin now, whatever it waits for."""
    _act(context, number, "open", wave, as_json=as_json)


@rollout.command("lift")
def lift(
    context: typer.Context,
    number: Rollout,
    halt: Annotated[int, typer.Argument(help="The halt's number; `rollout status` shows it. 0: all of them.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Let go on what its figures halted; it is judged by what happens from then on."""
    _act(context, number, "lift", str(halt or ""), as_json=as_json)


@rollout.command("extend")
def extend(
    context: typer.Context,
    number: Rollout,
    deadline: Annotated[str, typer.Argument(help="3d or 12h from now, or a moment such as 2026-12-04T18:00+01:00.")],
    as_json: AsJson = False,
) -> None:
    """Put the deadline off."""
    with context.obj.kit() as kit:
        deadline_at = deadline_of(deadline, kit.clock.now())
    _act(context, number, "extend", str(deadline_at), as_json=as_json)


@rollout.command("approve")
def approve(context: typer.Context, number: Rollout, as_json: AsJson = False) -> None:
    """As the second person: let a rollout begin, or go on by a new plan, that waits for somebody else's approval."""
    _act(context, number, "approve", "", as_json=as_json)


@rollout.command("hand-over")
def hand_over(
    context: typer.Context,
    number: Rollout,
    to: Annotated[str, typer.Option("--to", help="Who answers for it from now on.")],
    why: Annotated[str, typer.Option("--why", help="What they should know.")] = "",
) -> None:
    """Give a rollout into another person's hands; nothing of what is sent changes."""
    common: Common = context.obj
    with common.kit() as kit:
        kit.rollout(number).hand_over(to, why)
    say(f"Rollout {number} is in the hands of {to}.")


@rollout.command("revise")
def revise(context: typer.Context, number: Rollout, file: PlanFile) -> None:
    """Go on by another plan, and take in the devices that are new in it. Devices under way stay."""
    common: Common = context.obj
    with common.kit() as kit:
        say(kit.rollout(number).revise(_read(file)))
        if (rule := second_person(kit)).over:
            remark(f"Where more than {rule.over:,} devices take it, it waits for another person's approval.")
        if not kit.is_served():
            remark("No service carries it out yet: run `osupdate-kit serve`.")


@rollout.command("abandon")
def abandon(
    context: typer.Context,
    number: Rollout,
    device: Annotated[str, typer.Argument(help="Its serial, UDID or enrollment ID.")],
    as_json: AsJson = False,
) -> None:
    """Declare a device's open or accepted install steps dead: only you can know that. Then it may be sent another."""
    common: Common = context.obj
    with common.kit() as kit:
        meant = kit.select(wanted=[device]).devices
    if len(meant) != 1:
        raise RolloutError(
            f"{len(meant)} devices are called {device}.",
            remedy="Name one by its UDID; `osupdate-kit devices list` shows them.",
        )
    _act(context, number, "abandon", f"{meant[0].key.server} {meant[0].key.enrollment_id}", as_json=as_json)
