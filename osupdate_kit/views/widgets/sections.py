"""A watched rollout as the sections of the monitor: what the browser draws, in words and numbers. Pure.

Each section is compared with the one before, so that only what changed is sent.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from osupdate_kit.protocol.terms import Platform
from osupdate_kit.rollout.deadlines import Due, Standing, left_words
from osupdate_kit.rollout.people import APPROVAL
from osupdate_kit.rollout.windows import Window
from osupdate_kit.views.status import GROUPS, ROUTES, count, moment
from osupdate_kit.views.text import clean, devices
from osupdate_kit.views.widgets.drafts import platform_name
from osupdate_kit.views.widgets.story import Story, StoryLine, Told
from osupdate_kit.views.widgets.watch import (
    NO_WAVE,
    ActLine,
    Cause,
    DeviceLine,
    HaltLine,
    Some,
    Wait,
    Watched,
    WaveLine,
    cause_words,
)
from osupdate_kit.views.widgets.words import clock, day, local

ACTS = ("approve", "pause", "resume", "halt", "cancel", "retry")

Section = dict[str, Any]


def sections(watched: Watched) -> dict[str, Section]:
    return {
        "head": _head(watched),
        "counts": _counts(watched),
        "causes": {"rows": [_cause(cause) for cause in watched.causes]},
        "waits": {"rows": [_wait(wait, watched) for wait in watched.waits]},
        "deferrals": _deferrals(watched),
        "armed": _some(watched.armed, watched),
        "attention": _some(watched.attention, watched),
        "waves": _waves(watched),
        "instruments": _instruments(watched),
    }


# --- head and acts ----------------------------------------------------------------------------------------------------


def _head(watched: Watched) -> Section:
    head = watched.head
    return {
        "rollout": head.rollout,
        "name": clean(head.name),
        "target": head.target,
        "status": head.status,
        "reason": clean(head.reason),
        "changed": moment(head.changed_at) if head.changed_at else "",
        "by": clean(head.by),
        "started": moment(head.started_at),
        "deadline": moment(head.deadline_at),
        "last_event": clock(head.last_event_at),
        "as_of": moment(head.now),
        "served": head.served,
        "over": is_over(watched),
        "asks": {
            what: _ask(what, watched)._asdict() for what in ACTS if what in head.allowed and _helps(what, watched)
        },
        "acts": [_act(act) for act in head.acts],
    }


def _act(act: ActLine) -> Section:
    return {
        "at": day(act.at),
        "who": clean(act.who),
        "what": act.what,
        "count": act.count,
        "detail": clean(act.detail),
    }


def is_over(watched: Watched) -> bool:
    """Has it ended or been cancelled, and can nothing of it install any more? Then there is nothing to watch."""
    return watched.head.status in ("ended", "cancelled") and not watched.armed.devices


class Ask(NamedTuple):
    """How an act is asked for. An empty question: it is done at the first click, for the next click undoes it."""

    label: str
    question: str = ""
    button: str = ""
    reason: bool = False  # may people say why?


def _ask(what: str, watched: Watched) -> Ask:
    armed = watched.armed.devices
    stays = (
        f" {devices(armed)} may still install what was sent before; they are listed as armed."
        if armed
        else " Nothing that was sent before can still install."
    )
    match what:
        case "approve":
            taking = watched.selected - watched.states.get("barred", 0)
            return Ask(
                "Approve…",
                f"You are the second person: {devices(taking)} take its plan, and are sent their commands from now on, "
                "each inside its window.",
                "Approve",
            )
        case "pause":
            return Ask("Pause")
        case "resume":
            waiting = sum(watched.states.get(state, 0) for state in ("held", "downloaded", "knocking"))
            return Ask(
                "Resume…",
                f"Sending goes on: {devices(waiting)} waiting take their next step, each inside its window.",
                "Resume",
            )
        case "halt":
            return Ask("Halt…", f"Nothing more is sent until a person resumes it.{stays}", "Halt now", reason=True)
        case "cancel":
            return Ask(
                "Cancel…",
                f"It ends for good, and its devices are free for another rollout.{stays}",
                "Cancel the rollout",
                reason=True,
            )
    helped = sum(cause.devices for cause in watched.causes if cause.retry_helps)
    return Ask(
        "Retry…",
        f"Of the failed, {devices(helped)} get their tries anew. They are sent the command again inside "
        "their window, and may restart. Causes that a retry cannot help are left out.",
        f"Retry {devices(helped)}",
    )


def _helps(what: str, watched: Watched) -> bool:
    """A retry is offered where it can help at least one device."""
    return what != "retry" or any(cause.retry_helps for cause in watched.causes)


def retry_question(cause: Cause) -> str:
    return (
        f"{devices(cause.devices)} get their tries anew: the command is sent again inside "
        f"their window, and they may restart. First: {cause.remedy or 'see what they said.'}"
    )


# --- figures ----------------------------------------------------------------------------------------------------------


def _counts(watched: Watched) -> Section:
    return {
        "selected": watched.selected,
        "done": watched.states.get("done", 0),
        "states": dict(watched.states),
        "barred": [{"words": words, "devices": devices} for words, devices in watched.barred.items()],
        "finding": finding(watched),
        "as_of": moment(watched.head.now),
    }


def finding(watched: Watched) -> str:
    """What needs a person, in one sentence; computed, so that it cannot be false."""
    eligible = watched.selected - watched.states.get("barred", 0)
    done = watched.states.get("done", 0)
    if not eligible:
        return f"None of these devices can take {watched.head.target}."
    if done == eligible:
        return f"All {count(eligible)} that can take it run {watched.head.target}."
    needy = sum(watched.states.get(state, 0) for group in ("attention", "lost") for state in GROUPS[group][1])
    if needy:
        return f"{count(needy)} {'need' if needy > 1 else 'needs'} a person."
    if "approve" in watched.head.allowed:
        return f"Nothing is sent: {APPROVAL}."
    return "The others are on their way."


def _cause(cause: Cause) -> Section:
    return {
        "cause": cause.cause,
        "words": cause_words(cause.cause),
        "devices": cause.devices,
        "text": clean(cause.text),
        "remedy": cause.remedy,
        "retry": retry_question(cause) if cause.retry_helps else "",
    }


def _wait(wait: Wait, watched: Watched) -> Section:
    return {
        "state": wait.state,
        "value": wait.value,
        "devices": wait.devices,
        "words": wait_words(wait.state, wait.reason, watched.head.window, wait.declaration),
    }


_WAITS: Mapping[str, str] = {
    "held": "for the next step, which is decided when it is due",
    "knocking": "for a sign of life; pushed, and not seen since",
    "queued": "to fetch the command from the server",
    "not_now": "to be unlocked or idle; the answered command stays the open one",
    "listing": "to scan for updates and list them (macOS)",
    "scheduled": "to begin; accepted, and asked for progress",
    "downloading": "to finish the download",
    "downloaded": "for a sign of life, then for the install step; the download is complete",
    "deferred": "for a person to let it install",
    "installing": "to install, restart, and report the version",
    "verifying": "to say which version runs now",
}


_DECLARED: Mapping[Standing, str] = {
    Standing.NOT_YET: "to be assigned the declaration",
    Standing.ON_SERVER: "to be told of the declaration, at the next connection",
    Standing.ON_DEVICE: "for the deadline; the declaration is on the device, which installs by itself",
    Standing.LATE: "for the install, whose deadline has passed; a device that was off then has an hour from its start",
    Standing.LEAVING: "to be told that the declaration is taken back; until then the device may install",
    Standing.TAKEN_BACK: "to be assigned the declaration anew; it was taken back, or the server refused it",
}
_BY_ITSELF: Mapping[str, str] = {
    "downloading": "to finish the download, by itself",
    "downloaded": "for the deadline; the download is complete, and the device installs by itself",
    "installing": "to install, restart, and report the version",
    "verifying": "for the version; the device calls the declaration invalid, as one that runs the target does",
}  # with the declaration on the device


def wait_words(state: str, reason: str, window: Window, declaration: Standing = Standing.NO) -> str:
    """For what such devices wait: completes "104 devices wait …" or "it waits …"; empty where they wait for nothing."""
    words = _WAITS.get(state, "")
    if words and declaration:
        words = _DECLARED[declaration]
        if declaration is Standing.ON_DEVICE or (declaration is Standing.LATE and state in ("installing", "verifying")):
            words = _BY_ITSELF.get(state, words)
    if reason == "window shut":
        where = "" if window.opens == window.closes else f", {window} device-local"
        return f"for the install window{where}" + ("; the download is complete" if state == "downloaded" else "")
    if reason == APPROVAL:
        return "for another person to approve of the plan"
    if reason in ("paused", "halted"):
        return f"for a person to resume: the rollout is {reason}"
    if reason == "cancelled" and state in ("held", "downloaded") and declaration is not Standing.LEAVING:
        return "for nothing: the rollout is cancelled"
    return f"{words} ({reason})" if reason and words else words


def _instruments(watched: Watched) -> Section:
    """How each instrument does, and by when declared devices enforce; nothing where all go by command."""
    declared = watched.routes.get("declaration", {})
    if not declared:
        return {"rows": [], "deadlines": [], "next": ""}
    return {
        "rows": [
            {"route": route, "words": words, "states": dict(watched.routes[route])}
            for route, words in ROUTES.items()
            if route in watched.routes and route != "none"
        ],
        "declared": sum(declared.values()),
        "over": sum(declared.values()) - sum(watched.deadlines.values()),
        "deadlines": [
            {"due": when.value, "devices": devices, "words": due_words(when)}
            for when, devices in watched.deadlines.items()
        ],
        "next": f"{moment(watched.next_deadline)}, {left_words(watched.next_deadline, watched.head.now)}"
        if watched.next_deadline
        else "",
    }


def due_words(when: Due) -> str:
    """Completes "12 …"."""
    if when in (Due.NOT_YET, Due.TAKEN_BACK):
        return when.value
    return "overdue: their deadline has passed" if when is Due.OVERDUE else f"due {when}"


def _deferrals(watched: Watched) -> Section:
    return {
        "told": watched.deferred.devices,
        "presumed": watched.presumed.devices,
        "exhausted": watched.exhausted,
        "rows": [device(line, watched) for line in watched.deferred.lines],
        "presumed_rows": [device(line, watched) for line in watched.presumed.lines[:5]],
    }


def _some(some: Some, watched: Watched) -> Section:
    return {"devices": some.devices, "rows": [device(line, watched) for line in some.lines]}


def _waves(watched: Watched) -> Section:
    """Nothing for a single wave: it would repeat the whole. Barred devices are in none."""
    head = watched.head
    halts = [
        {"number": halt.number, "reason": clean(halt.reason), "since": moment(halt.at), "ask": _lift(halt)}
        for halt in head.halts
    ]
    several = len(watched.waves.keys() - {""}) > 1 or any(wave.pace or not wave.opened_at for wave in head.waves)
    if not several:
        return {"rows": [], "halts": halts}
    standing = {wave.name: wave for wave in head.waves}
    names = [*standing, *(name for name in watched.waves if name not in standing)]
    rows = [_wave(name, standing.get(name), watched.waves.get(name, {})) for name in names]
    return {"rows": rows, "halts": halts}


def _wave(name: str, wave: WaveLine | None, states: Mapping[str, int]) -> Section:
    row: Section = {"wave": clean(name) or NO_WAVE, "states": dict(states)}
    if wave is None:
        return row
    if wave.opened_at:
        pace = f", at most {devices(wave.pace)} under way at once" if wave.pace else ""
        return row | {"standing": f"open since {moment(wave.opened_at)}, by {clean(wave.by)}{pace}"}
    question = f"Wave {clean(name)} begins at once, whatever it waits for: {devices(sum(states.values()))}."
    ask = Ask("Open…", question, f"Open {clean(name)}")
    return row | {"standing": f"waits: {clean(wave.waits_for) or 'for the service'}", "ask": ask._asdict()}


def _lift(halt: HaltLine) -> Section:
    question = f"It goes on, and is judged by what happens from now on. Halted were: {clean(halt.reason)}."
    return Ask("Lift…", question, f"Let {clean(halt.part)} go on")._asdict()


# --- devices ----------------------------------------------------------------------------------------------------------


def device(line: DeviceLine, watched: Watched) -> Section:
    """One device as a row. Its texts are data: the browser sets them as text, never as markup."""
    return {
        "server": line.key.server,
        "id": line.key.enrollment_id,
        "name": clean(line.name or line.serial or line.udid or line.key.enrollment_id),
        "serial": clean(line.serial),
        "platform": platform_name(line.platform),
        "state": line.state,
        "reason": clean(line.barrier or line.cause_text or line.reason),
        "armed": line.armed,
        "regressed": line.regressed,
        "presumed": line.presumed,
        "used": line.deferrals_used,
        "remaining": line.deferrals_remaining,
        "next_install": local(line.next_install_at, line.time_zone or watched.head.time_zone),
        "seen": day(line.seen_at),
        "route": line.route,
        "deadline": local(line.enforce_at, line.time_zone or watched.head.time_zone)
        if line.declaration.in_force
        else "",
        "left": left_words(line.enforce_at, watched.head.now) if line.declaration.in_force else "",
    }


def told_section(told: Told, tale: Story) -> Section:
    line = told.line
    zone = line.time_zone or told.device.time_zone
    return {
        "server": line.key.server,
        "id": line.key.enrollment_id,
        "name": clean(line.name or line.serial or line.key.enrollment_id),
        "serial": clean(line.serial),
        "about": " · ".join(
            part
            for part in (
                platform_name(line.platform) if line.platform in tuple(Platform) else "",
                clean(told.device.model),
                f"reports {line.os_version}" if line.os_version else "no version reported",
                f"on {line.key.server}",
                zone or "time zone unknown",
                ROUTES.get(line.route, "") if line.route != "none" else "",
            )
            if part
        ),
        "state": line.state,
        "reason": clean(line.reason),
        "declaration": declared_words(told, zone),
        "armed": line.armed,
        "regressed": line.regressed,
        "earlier": tale.earlier,
        "lines": [_story_line(entry, zone) for entry in tale.lines],
    }


def declared_words(told: Told, zone: str) -> str:
    """Where its declaration stands, by when it installs, and how long that is; empty where it goes by command."""
    line = told.line
    if not line.declaration:
        return ""
    words = f"Its declaration is {line.declaration}"
    if not line.declaration.in_force:
        return f"{words}."
    where = "" if zone else ", its time zone unknown"
    return f"{words}: it installs by {local(line.enforce_at, zone)}{where}, {left_words(line.enforce_at, told.now)}."


def _story_line(line: StoryLine, zone: str) -> Section:
    return {
        "at": day(line.at),
        "local": local(line.at, zone) if zone else "",
        "seq": line.seq,
        "title": clean(line.title),
        "detail": clean(line.detail),
        "state": line.state,
        "changed": line.changed,
        "minor": line.minor,
        "raw": line.raw,
    }
