from collections.abc import Sequence

from osupdate_kit.fleet.devices import Device, DeviceKey
from osupdate_kit.protocol.terms import InstallAction
from osupdate_kit.rollout.events import EventKind, RolloutEvent
from osupdate_kit.rollout.history import Start
from osupdate_kit.rollout.policy import MINUTE, Steps
from osupdate_kit.rollout.state import Course, State
from osupdate_kit.views.widgets import DeviceLine, Told
from osupdate_kit.views.widgets.sections import told_section
from osupdate_kit.views.widgets.story import SHOWN, story

KEY = DeviceKey("lab", "PAD")
BEGAN = 1_795_507_200_000_000  # Tue 24 Nov 2026, 08:00 UTC
STEPS = Steps(actions=(InstallAction.DOWNLOAD_ONLY, InstallAction.INSTALL_ASAP))
STEP = {"of": "step", "role": 1, "action": "DownloadOnly"}
INFO = {"of": "query", "type": "DeviceInformation", "answer": "acknowledged"}


def event(number: int, kind: EventKind, words: dict[str, object], **more: object) -> RolloutEvent:
    """The `number`th event, as many minutes after the rollout began."""
    at = BEGAN + number * MINUTE
    fields = {"rollout": 7, "outbox": 1, "command_uuid": "UUID-1", "server_at": at, "at": at, "recorded_at": at} | more
    return RolloutEvent(key=KEY, kind=kind, digest=f"{number}", evidence=words, seq=100 + number, **fields)  # type: ignore[arg-type]


def told(*events: RolloutEvent, state: str = "held", course: Course | None = Course(7, STEPS), **more: object) -> Told:  # noqa: B008
    return Told(
        device=Device(key=KEY, name="pad", time_zone="Asia/Tokyo"),
        line=DeviceLine(key=KEY, state=state, time_zone="Asia/Tokyo", **more),  # type: ignore[arg-type]
        events=events,
        course=course,
        start=Start(BEGAN, 100),
    )


def titles(lines: Sequence[object]) -> list[str]:
    return [line.title for line in lines]  # type: ignore[attr-defined]


A_DOWNLOAD = (
    event(1, EventKind.INTENDED, STEP),
    event(2, EventKind.SENDING, STEP),
    event(3, EventKind.QUEUED, STEP),
    event(4, EventKind.ANSWERED, STEP | {"answer": "not_now"}),
    event(5, EventKind.ANSWERED, STEP | {"answer": "acknowledged"}),
)


def test_each_command_each_answer_and_the_state_it_led_to() -> None:
    lines = story(told(*A_DOWNLOAD)).lines
    assert [(line.title, line.state) for line in lines if line.changed] == [
        ("The rollout began", State.HELD),
        ("ScheduleOSUpdate on its way", State.QUEUED),
        ("NotNow", State.NOT_NOW),
        ("Acknowledged", State.DOWNLOADING),
    ]
    assert titles([line for line in lines if line.minor]) == ["Decided: DownloadOnly"]
    assert all("UUID-1" in line.detail for line in lines[2:])
    assert [line.raw for line in lines] == [False, False, False, False, True, True]


def test_what_changes_the_state_is_never_minor() -> None:
    push = {"of": "push", "gate": BEGAN}
    lines = story(told(event(1, EventKind.SENDING, push, command_uuid=""))).lines
    assert (lines[-1].title, lines[-1].state, lines[-1].minor) == ("Push on its way", State.KNOCKING, False)


def test_what_was_known_before_shows_in_the_state_and_not_as_a_line() -> None:
    before = event(-5, EventKind.IDLE, {}, rollout=0)
    lines = story(told(before, event(1, EventKind.IDLE, {}, rollout=0))).lines
    assert titles(lines) == ["The rollout began", "Showed itself"]


def test_proof_is_called_proof_and_a_mere_report_is_not() -> None:
    report = event(6, EventKind.ANSWERED, INFO | {"os_version": "18.7.1", "build": "22H1"})
    proof = event(7, EventKind.ANSWERED, INFO | {"os_version": "18.7.2", "build": "22H124", "proves": [7]})
    *_, one, other = story(told(*A_DOWNLOAD, report, proof)).lines
    assert (one.title, one.detail) == ("Reported 18.7.1 (22H1)", "")
    assert (other.title, other.detail, other.state) == (
        "Reported 18.7.2 (22H124)",
        "this proves the target",
        State.DONE,
    )


def test_a_device_that_does_something_else_says_so() -> None:
    answer = event(5, EventKind.ANSWERED, STEP | {"answer": "acknowledged", "returned": "InstallASAP"})
    assert (
        "asked for DownloadOnly, the device says InstallASAP" in story(told(*A_DOWNLOAD[:3], answer)).lines[-1].detail
    )


def test_a_failure_keeps_the_devices_words_whatever_stands_in_them() -> None:
    words = STEP | {"answer": "failed", "failure": ["space", "{action} {0} <b>no</b> %s"]}
    line = story(told(*A_DOWNLOAD[:3], event(4, EventKind.ANSWERED, words))).lines[-1]
    assert line.title == "Error"
    assert "{action} {0} <b>no</b> %s" in line.detail


def test_deferrals_and_downloads_are_told_as_seen() -> None:
    look = {"of": "query", "type": "OSUpdateStatus", "answer": "acknowledged"}
    loading = event(6, EventKind.ANSWERED, look | {"look": "loading", "share": 0.44})
    put_off = event(7, EventKind.ANSWERED, look | {"look": "ready", "deferrals": [5, 3, 0]})
    *_, one, other = story(told(*A_DOWNLOAD, loading, put_off)).lines
    assert one.title == "Downloading, 44%"
    assert (other.title, other.detail) == ("Downloaded", "3 of 5 deferrals remain")


def test_a_command_of_another_rollout_is_named() -> None:
    line = story(told(event(1, EventKind.QUEUED, STEP, rollout=4))).lines[-1]
    assert "for rollout 4" in line.detail


def test_a_barred_device_has_a_story_of_one_line() -> None:
    (line,) = story(told(state="barred", course=None, reason="It is not supervised. Supervise it.")).lines
    assert (line.state, line.detail) == (State.BARRED, "It is not supervised. Supervise it.")


def test_a_long_story_counts_what_it_does_not_show() -> None:
    events = [event(n, EventKind.IDLE, {}, rollout=0) for n in range(1, SHOWN + 50)]
    tale = story(told(*events))
    assert (len(tale.lines), tale.earlier) == (SHOWN, 50)
    assert tale.lines[-1].seq == events[-1].seq


def test_every_kind_of_event_has_words() -> None:
    query = {"of": "query", "type": "OSUpdateStatus"}
    for kind in EventKind:
        for words in ({"of": "push", "gate": 0}, STEP | {"answer": "failed"}, query, query | {"answer": "not_now"}):
            line = story(told(event(1, kind, words))).lines[-1]
            assert line.title[0].isupper()
            assert "{" not in line.title + line.detail


def test_a_persons_acts_are_part_of_the_story() -> None:
    lines = story(told(*A_DOWNLOAD[:3], event(8, EventKind.ABANDONED, STEP), event(9, EventKind.RETRIED, {}))).lines
    assert titles(lines[-2:]) == ["Declared dead by a person", "A person gave it its tries anew"]
    assert not lines[-1].minor


def test_times_are_shown_in_utc_and_where_the_device_is() -> None:
    one = told(*A_DOWNLOAD)
    lines = told_section(one, story(one))["lines"]
    assert (lines[1]["at"], lines[1]["local"]) == ("24 Nov 08:01", "Tue 24 Nov 17:01")


def test_what_is_said_once_more_says_why_and_where_it_was_not_says_so() -> None:
    words = {"of": "assignment", "role": 2, "set": "s", "enforce_at": 0, "again": True}
    kinds = (EventKind.INTENDED, EventKind.WITHDRAWN, EventKind.SENDING, EventKind.QUEUED)
    lines = story(told(*(event(number, kind, words) for number, kind in enumerate(kinds, 1)))).lines[1:]
    assert [(line.title, line.detail) for line in lines] == [
        ("Decided: take the declaration back, once more", "lest a call that had no answer has come late"),
        ("Not said once more", "what was said before stands"),
        ("End of the declaration on its way, once more", "lest a call that had no answer has come late"),
        ("Declaration taken back, once more", "lest a call that had no answer has come late"),
    ]
