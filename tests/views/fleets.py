"""A rollout's devices in every state, made by rule, so that a test can count them by another way."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial

from osupdate_kit.kit.status import due_of
from osupdate_kit.rollout.deadlines import Due
from osupdate_kit.rollout.eligibility import Barrier
from osupdate_kit.views import charts
from osupdate_kit.views.charts import Chart
from osupdate_kit.views.reports import Act, Report, report_of
from osupdate_kit.views.status import DeviceStatus, RolloutStatusView, iso, moment, summary
from tests.views import frames

AT = 1_795_507_200_000_000  # Tue 24 Nov 2026, 08:00 UTC
MINUTE = 60_000_000
HOSTILE = (
    "<img src=x onerror=alert(1)>",
    '=HYPERLINK("http://example.invalid")',
    "+1+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\u202egnp.exe\u202c",
    "x" * 4_000,
    '#import "x.typ": * $x$ *b* @ref <label> [c] `raw`',
    "</script><script>alert(1)</script>",
    "bell\x07 null\x00 line\r\nend",
)

_SHARES = (  # of 100 devices, by state
    ("done", 40), ("deferred", 14), ("held", 6), ("knocking", 4), ("queued", 3), ("not_now", 3), ("downloading", 4),
    ("downloaded", 3), ("installing", 2), ("failed", 6), ("silent", 3), ("stalled", 2), ("unknown", 1), ("expired", 2),
    ("notified", 2), ("downloaded_end", 1), ("barred", 4),
)  # fmt: skip
_GOES_ON = ("held", "queued", "downloading", "downloaded", "installing", "silent", "stalled", "unknown")
_STATE_OF = tuple(state for state, share in _SHARES for _ in range(share))
_CAUSES = (
    ("space", "Free storage on it."), ("space", "Free storage on it."), ("power", "Attach it to power."),
    ("user", "Ask its user."),
)  # fmt: skip
_BARRIERS = (Barrier.NOT_SUPERVISED, Barrier.ALREADY_THERE, Barrier.NOT_SUPERVISED)


def device(number: int) -> DeviceStatus:
    state = _STATE_OF[number * 37 % 100]
    failed = state in ("failed", "expired")
    cause, remedy = _CAUSES[number // 100 % 4] if failed else ("", "")
    counted = state == "deferred" and number % 3 > 0
    barrier = _BARRIERS[number // 100 % 3] if state == "barred" else ""
    declared = not barrier and number % 4 == 1
    return DeviceStatus(
        udid=f"00008030-{number:016X}",
        serial=HOSTILE[number // 50] if failed and number // 50 < len(HOSTILE) else f"DMPX{number:08}",
        server="school" if number % 2 else "company",
        platform="macOS" if number % 3 else "iPadOS",
        state=state,
        flags=("armed on the device",) if state == "installing" else (),
        instrument="none" if barrier else "command",
        route="none" if barrier else "declaration" if declared else "command",
        declaration="on the device" if declared and state in _GOES_ON else "",
        deadline=iso(AT + (number % 9 - 2) * 720 * MINUTE) if declared else None,
        time_left="3 d left" if declared and state in _GOES_ON else "",
        os_version_at_start="26.4.1",
        os_version_reported="26.5" if state == "done" else "26.4.1",
        action_asked="InstallASAP",
        action_returned="",
        deferrals_used=number % 4 if counted else None,
        deferrals_remaining=3 - number % 4 if counted else None,
        failure_class=cause,
        reason=f"MCMDMErrorDomain 12054: {HOSTILE[number % len(HOSTILE)]}" if failed else "",
        remedy=remedy,
        commands_sent=0 if barrier else 2,
        updated_at=iso(AT - number % 3_000 * MINUTE) if state != "barred" else None,
        barrier=barrier,
        cause=cause,
        name="" if number % 5 == 0 else HOSTILE[number // 7 % len(HOSTILE)] if number % 7 == 0 else f"iPad {number}",
    )


def devices(number: int) -> Iterator[DeviceStatus]:
    return map(device, range(number))


def status(number: int) -> RolloutStatusView:
    states, failures, armed, selected, instruments = summary(devices(number))
    dues = Counter(when for device in devices(number) if (when := due_of(device, AT)))
    return RolloutStatusView(
        rollout=7,
        name="November security",
        status="running",
        reason="",
        as_of=moment(AT),
        target="26.5",
        deadline_at=moment(AT + 4_920 * MINUTE),
        selected=selected,
        excluded={},
        states=dict(states),
        failures=dict(failures),
        armed=tuple(armed),
        instruments=instruments,
        deadlines={when.value: dues[when] for when in Due if dues[when]},
    )


def report(number: int, *, drawn: Sequence[Chart] = (), made_by: str = "r.abara") -> Report:
    return report_of(
        status(number),
        partial(devices, number),
        at=AT,
        known_at=AT + 4_000_000,
        made_by=made_by,
        store="SQLite",
        servers=("school", "company"),
        charts=drawn,
        acts=(
            Act(at=AT - 5_000 * MINUTE, who="r.abara", what="start", count=number, detail="November security"),
            Act(at=AT - 900 * MINUTE, who="<b>o</b>", what="pause", detail="=1+1 lorries full of printers"),
        ),
    )


def all_charts() -> list[Chart]:
    """Eight figures of 5,000 devices."""
    subject = frames.subject()
    progress = frames.progress(subject)
    now = frames.shown(progress)
    return [
        charts.states_over_time(progress, now, subject),
        charts.done_over_time(progress, subject),
        charts.funnel(frames.stages(now), subject),
        charts.adoption(frames.versions(progress, subject), subject),
        charts.deferrals(frames.put_off((0, 5, 120), (1, 4, 200), (2, 3, 90), (5, 0, 29), presumed=126), subject),
        charts.next_installs(frames.nights(), subject),
        charts.failures(frames.causes(("space", "", 49), ("user", "", 36), ("power", "", 10)), subject),
        charts.time_to_update(frames.curves(Canary=156, Pilot=592, Broad=2_000), subject),
    ]
