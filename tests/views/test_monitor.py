import json
import plistlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import time
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
from comm.base_comm import BaseComm

from osupdate_kit.errors import StoreError
from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.kit import Rollout
from osupdate_kit.kit.notebook import LOOK_SECONDS
from osupdate_kit.kit.watch import Watching, watch
from osupdate_kit.rollout.windows import Window
from osupdate_kit.views.grid.widget import FLUSH_SECONDS
from osupdate_kit.views.status import GROUPS, STATES
from osupdate_kit.views.widgets import DeviceLine, Head, RolloutMonitor, Subset, Watched, watched
from osupdate_kit.views.widgets.sections import sections
from osupdate_kit.views.widgets.watch import NAMED, retry_helps
from tests.views.scene import HOSTILE, MACS, Scene, click, eventually, scene

ME = "this display"


class Source(Watching):
    """The kit's own, which counts the looks and fails when it is told to."""

    looks = 0
    fault: Exception | None = None

    def look(self, seen: str) -> Watched | None:
        assert threading.current_thread() is not threading.main_thread()
        self.looks += 1
        if self.fault:
            raise self.fault
        return super().look(seen)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    made = scene(tmp_path_factory.mktemp("fleet"), 90)
    yield made
    made.kit.close()


@pytest.fixture(scope="module")
def rollout(world: Scene) -> Rollout:
    """Macs that may put it off five times, two days and a half later."""
    begun = world.started(MACS, actions=["macOS=InstallLater"], max_user_deferrals=5)
    world.run(2.5)
    return begun


@pytest.fixture
def source(world: Scene, rollout: Rollout) -> Source:
    return Source(world.kit, rollout.id)


@pytest.fixture
def monitor(source: Source) -> Iterator[RolloutMonitor]:
    monitor = RolloutMonitor(source, every_seconds=0.02)
    click(monitor, kind="shown", nonce=ME)
    eventually(lambda: monitor.watched)
    yield monitor
    monitor.close()


def changes(monitor: RolloutMonitor, what: Callable[[], object]) -> Counter[str]:
    """Which sections are sent while this happens."""
    seen: Counter[str] = Counter()
    names = [name for name in monitor.keys if not name.startswith("_") and name != "beat"]
    monitor.observe(lambda change: seen.update([change["name"]]), names)
    what()
    monitor.unobserve_all()
    return seen


# --- what is counted --------------------------------------------------------------------------------------------------

HEAD = Head(
    rollout=7, name="Night", target="26.1", status="running", started_at=1, deadline_at=10**15, now=10**14, version="1"
)


def line(number: int, state: str, **more: object) -> DeviceLine:
    return DeviceLine(key=DeviceKey("lab", f"D{number:04}"), state=state, **more)  # type: ignore[arg-type]


REASONS = {"held": "window shut", "downloaded": "paused", "knocking": "cancelled"}
LINES = [
    *(line(n, state, wave=f"w{n % 2}", reason=REASONS.get(state, "")) for n, state in enumerate(STATES)),
    *(line(100 + n, "failed", cause="space", cause_text=f"code {n}", remedy="Make room.") for n in range(30)),
    *(line(200 + n, "failed", cause="unsupported", armed="on the server") for n in range(5)),
    *(line(300 + n, "expired") for n in range(3)),
    *(
        line(
            400 + n,
            "deferred",
            deferrals_used=n % 4,
            deferrals_remaining=3 - n % 4,
            next_install_at=10**14 + 97 * n % 61,
        )
        for n in range(50)
    ),
    *(line(500 + n, "deferred", presumed=True) for n in range(4)),
    *(line(600 + n, "silent", seen_at=10**13 - 7 * n) for n in range(40)),
]


def test_every_device_is_counted_once_in_each_way() -> None:
    seen = watched(HEAD, LINES)
    assert seen.selected == len(LINES) == sum(seen.states.values())
    assert sum(sum(states.values()) for states in seen.waves.values()) == len(LINES)
    lost = sum(seen.states[state] for state in GROUPS["lost"][1])
    assert sum(cause.devices for cause in seen.causes) == lost
    waiting = sum(seen.states[state] for group in ("active", "put_off", "waiting") for state in GROUPS[group][1])
    assert sum(wait.devices for wait in seen.waits) == waiting
    assert seen.deferred.devices + seen.presumed.devices == seen.states["deferred"]
    assert seen.attention.devices == sum(seen.states[state] for state in GROUPS["attention"][1])
    assert seen.exhausted == sum(row.deferrals_remaining == 0 for row in LINES)


def test_the_named_few_are_the_first_in_order() -> None:
    seen = watched(HEAD, reversed(LINES))
    installs = sorted(row.next_install_at for row in LINES if row.state == "deferred" and row.next_install_at)
    assert [row.next_install_at for row in seen.deferred.lines] == installs[:NAMED]
    unseen = sorted(row.seen_at for row in LINES if row.state in GROUPS["attention"][1])
    assert [row.seen_at for row in seen.attention.lines] == unseen[:NAMED]
    assert seen.armed.devices == 5


def test_a_part_holds_the_devices_that_its_count_names() -> None:
    seen = watched(HEAD, LINES)
    parts = {
        **{Subset("state", state): devices for state, devices in seen.states.items()},
        **{Subset("cause", cause.cause): cause.devices for cause in seen.causes},
        **{Subset("wave", wave): sum(states.values()) for wave, states in seen.waves.items()},
        **{Subset("wait", f"{wait.state} {wait.reason}".strip()): wait.devices for wait in seen.waits},
        Subset("armed"): seen.armed.devices,
        Subset("deferred", "told"): seen.deferred.devices,
        Subset("deferred", "presumed"): seen.presumed.devices,
        Subset("group", "attention"): seen.attention.devices,
        Subset("nonsense"): 0,
    }
    for part, devices in parts.items():
        assert sum(part.fits(row) for row in LINES) == devices, part


def test_a_sum_that_does_not_hold_is_not_shown() -> None:
    seen = watched(HEAD, LINES)
    with pytest.raises(ValueError, match="selected, but the states sum up to"):
        replace(seen, selected=1)


def test_causes_come_with_remedy_and_whether_a_retry_helps() -> None:
    rows = {row["cause"]: row for row in sections(watched(HEAD, LINES))["causes"]["rows"]}
    assert (rows["space"]["words"], rows["space"]["devices"], rows["space"]["remedy"]) == (
        "Not enough space", 30, "Make room.",
    )  # fmt: skip
    assert "30 devices" in rows["space"]["retry"]
    assert rows["unsupported"]["retry"] == ""
    assert rows["deadline"]["retry"] == ""
    assert retry_helps("refused")
    assert next(iter(rows)) == "space"  # most frequent first


def test_it_says_for_whom_it_waits() -> None:
    night = replace(HEAD, window=Window(opens=time(22), closes=time(5)))
    rows = sections(watched(night, LINES))["waits"]["rows"]
    assert len(rows) == len({row["value"] for row in rows})
    assert all(row["words"] for row in rows)
    words = {row["state"]: row["words"] for row in rows}
    assert words["held"] == "for the install window, 22:00-05:00 device-local"
    assert words["downloaded"] == "for a person to resume: the rollout is paused"
    assert words["knocking"].endswith("(cancelled)")
    assert "person" in words["deferred"]


# --- live, on the kit itself ------------------------------------------------------------------------------------------


def test_it_shows_what_the_kit_says(world: Scene, rollout: Rollout, monitor: RolloutMonitor) -> None:
    status = world.kit.status(rollout.id)
    assert monitor.counts["states"] == {state: n for state, n in status.states.items() if n}
    assert monitor.counts["selected"] == status.selected
    assert {row["cause"]: row["devices"] for row in monitor.causes["rows"]} == status.failures
    assert monitor.armed["devices"] == len(status.armed)
    assert {row["words"]: row["devices"] for row in monitor.counts["barred"]} == status.excluded
    assert monitor.deferrals["told"] + monitor.deferrals["presumed"] == status.states["deferred"]
    assert (monitor.head["status"], monitor.head["target"]) == ("running", MACS)


def test_nothing_is_sent_when_nothing_happens(monitor: RolloutMonitor, source: Source) -> None:
    looks = source.looks
    assert not changes(monitor, lambda: eventually(lambda: source.looks > looks + 5))


def test_news_is_sent_and_only_the_sections_that_it_changes(
    world: Scene, monitor: RolloutMonitor, source: Source
) -> None:
    before = monitor.watched

    def news() -> None:
        world.run(0.3)
        eventually(lambda: monitor.watched and monitor.watched.head.now == world.kit.now())

    seen = changes(monitor, news)
    assert monitor.watched is not before
    assert seen["head"]
    assert not {"waves", "drawer", "tale", "trouble", "asked"} & set(seen)


class Wire(BaseComm):
    """Keeps what is sent to the browser."""

    def __init__(self) -> None:
        self.sent: list[Mapping[str, Any]] = []
        super().__init__()

    def publish_msg(self, msg_type: str, data: Any = None, *_: Any, **__: Any) -> None:
        if (data or {}).get("method") == "update":
            self.sent.append(data["state"])


def test_what_a_look_finds_is_one_message_and_is_a_sign_of_life_as_well(
    world: Scene, monitor: RolloutMonitor, source: Source
) -> None:
    wire = Wire()
    monitor.comm = wire
    looks = source.looks
    for _ in range(3):
        world.run(0.05)
        eventually(lambda: monitor.watched and monitor.watched.head.now == world.kit.now())
    assert len(wire.sent) <= source.looks - looks
    assert any(len(sections) > 1 for sections in wire.sent)
    assert not [sections for sections in wire.sent if "beat" in sections]


def test_looks_come_often_enough_for_two_seconds() -> None:
    """What happens right after a look is read by the next one, which takes its time as well."""
    every = signature(RolloutMonitor).parameters["every_seconds"].default
    assert max(every, LOOK_SECONDS) + FLUSH_SECONDS <= 1.75


def test_a_part_is_listed_and_its_devices_are_chosen(monitor: RolloutMonitor, source: Source) -> None:
    assert monitor.watched is not None
    for state, devices in monitor.watched.states.items():
        click(monitor, kind="devices", nonce=ME, part="state", value=state, title=state)
        assert monitor.wait()
        assert len(set(monitor.chosen_devices)) == devices == monitor.drawer["devices"]
        assert all(row["state"] == state for row in monitor.drawer["rows"])
    click(monitor, kind="close", nonce=ME, what="drawer")
    assert monitor.wait()
    assert not monitor.drawer


def test_an_act_is_asked_for_once_sure_then_done_by_the_service(world: Scene, monitor: RolloutMonitor) -> None:
    click(monitor, kind="act", nonce=ME, what="halt", detail="too many")
    click(monitor, kind="act", nonce="another", what="halt", detail="too many", sure=True)
    click(monitor, kind="act", nonce=ME, what="resume", sure=True)  # it is running: not offered
    click(monitor, kind="act", nonce=ME, what="explode", sure=True)
    assert monitor.wait()
    assert monitor.asked == []
    click(monitor, kind="act", nonce=ME, what="halt", detail="too many", sure=True)
    assert monitor.wait()
    assert [(act["what"], act["outcome"]) for act in monitor.asked] == [("halt", None)]
    world.turn()
    eventually(lambda: monitor.asked[0]["outcome"] == "done" and monitor.head["status"] == "halted")
    assert "resume" in monitor.head["asks"]
    assert "halt" not in monitor.head["asks"]
    assert (monitor.head["acts"][0]["who"], monitor.head["acts"][0]["what"]) == ("ann", "halt")
    click(monitor, kind="act", nonce=ME, what="resume", sure=True)
    assert monitor.wait()
    world.turn()
    eventually(lambda: monitor.head["status"] == "running")
    click(monitor, kind="act", nonce=ME, what="pause")  # the next click undoes it: one is enough
    assert monitor.wait()
    world.turn()
    eventually(lambda: monitor.head["status"] == "paused")
    click(monitor, kind="act", nonce=ME, what="resume", sure=True)
    assert monitor.wait()
    world.turn()
    eventually(lambda: monitor.head["status"] == "running")


def test_an_act_that_has_become_impossible_is_refused_with_its_remedy(
    world: Scene, rollout: Rollout, source: Source, monitor: RolloutMonitor
) -> None:
    source.fault = StoreError("The store is away.")  # so that the monitor does not see what another does
    eventually(lambda: monitor.trouble)
    rollout.pause()
    world.turn()
    click(monitor, kind="act", nonce=ME, what="pause")
    assert monitor.wait()
    assert "only a running one takes 'pause'" in monitor.asked[-1]["outcome"]
    rollout.resume()
    world.turn()


def test_retry_gives_the_failed_of_a_cause_their_tries_anew(world: Scene, monitor: RolloutMonitor) -> None:
    causes = {row["cause"]: row["devices"] for row in monitor.causes["rows"]}
    assert causes["space"]
    click(monitor, kind="act", nonce=ME, what="retry", detail="space", sure=True)
    assert monitor.wait()
    world.turn()
    eventually(lambda: monitor.asked[-1]["outcome"] == "done")
    eventually(lambda: "space" not in {row["cause"] for row in monitor.causes["rows"]})
    assert monitor.head["acts"][0]["count"] == causes["space"]
    world.run(0.5)


def test_old_figures_stay_with_their_time_when_looking_fails(monitor: RolloutMonitor, source: Source) -> None:
    counts = monitor.counts
    source.fault = StoreError("The store is away.", remedy="Start it.")
    eventually(lambda: monitor.trouble)
    assert monitor.trouble == {"text": "The store is away. Start it.", "since": monitor.head["as_of"]}
    assert monitor.counts == counts
    source.fault = None
    click(monitor, kind="shown", nonce=ME)  # looks at once
    eventually(lambda: not monitor.trouble)


def test_what_cannot_be_read_at_all_is_said_and_shown_when_it_can(source: Source) -> None:
    source.fault = RuntimeError("odd")
    monitor = RolloutMonitor(source, every_seconds=0.02)
    eventually(lambda: monitor.trouble)
    assert monitor.trouble["text"].startswith("RuntimeError")
    assert monitor.head == {}
    source.fault = None
    click(monitor, kind="shown", nonce=ME)
    eventually(lambda: monitor.head and not monitor.trouble)
    monitor.close()


def test_it_rests_while_it_is_on_no_screen(monitor: RolloutMonitor, source: Source, world: Scene) -> None:
    click(monitor, kind="closed", nonce=ME)
    looks = source.looks
    world.run(0.1)  # takes as long as many looks
    assert source.looks <= looks + 1  # one may have been on its way
    click(monitor, kind="shown", nonce="again")
    eventually(lambda: monitor.watched and monitor.watched.head.now == world.kit.now())


def test_it_ends_when_it_is_closed(source: Source) -> None:
    monitor = RolloutMonitor(source, every_seconds=0.02)
    eventually(lambda: monitor.watched)
    monitor.close()
    eventually(lambda: not any(t.name == "monitor" and t is monitor._thread for t in threading.enumerate()))


def test_names_from_devices_arrive_as_text_cut_and_without_marks_of_direction(
    world: Scene, rollout: Rollout, monitor: RolloutMonitor
) -> None:
    click(monitor, kind="devices", nonce=ME, part="state", value="barred", title="Barred")
    keys = {device.name: device.key for device in world.kit.inventory()}
    assert set(HOSTILE) <= set(keys)
    shown = []
    for name in HOSTILE:
        click(monitor, kind="story", nonce=ME, server=keys[name].server, id=keys[name].enrollment_id)
        assert monitor.wait()
        shown.append(monitor.tale["name"])
    assert shown == [HOSTILE[0], HOSTILE[1], "gnp.exe", "x" * 199 + "…"]
    everything = json.dumps([getattr(monitor, name) for name in ("head", "armed", "deferrals", "drawer", "tale")])
    assert "\\u202e" not in everything
    assert "x" * 201 not in everything


# --- stories ----------------------------------------------------------------------------------------------------------


def some(world: Scene, rollout: Rollout, state: str) -> DeviceKey:
    return next(DeviceKey(d.server, d.udid) for d in world.kit.status(rollout.id).devices if d.state == state)


def lines_of(monitor: RolloutMonitor, **wanted: object) -> Sequence[dict[str, object]]:
    click(monitor, kind="story", nonce=ME, **wanted)
    assert monitor.wait()
    lines: Sequence[dict[str, object]] = monitor.tale["lines"]
    return lines


def test_a_story_ends_where_the_device_stands(world: Scene, rollout: Rollout, monitor: RolloutMonitor) -> None:
    for state in ("done", "failed", "deferred", "barred"):
        if state not in ((monitor.watched and monitor.watched.states) or {}):
            continue
        key = some(world, rollout, state)
        lines = lines_of(monitor, server=key.server, id=key.enrollment_id)
        assert monitor.tale["state"] == lines[-1]["state"] == state
        assert lines[-1]["changed"] or any(one["changed"] for one in lines)


def test_a_story_is_found_by_serial_and_a_stranger_is_said_to_be_none(
    world: Scene, rollout: Rollout, monitor: RolloutMonitor
) -> None:
    device = world.kit.inventory()[0]
    lines_of(monitor, wanted=f" {device.serial} ")
    assert monitor.tale["id"] == device.key.enrollment_id
    click(monitor, kind="story", nonce=ME, wanted="<b>nobody</b>")
    assert monitor.wait()
    assert monitor.tale == {"missing": "<b>nobody</b>"}


def test_what_a_device_said_is_shown_redacted_on_demand(
    world: Scene, rollout: Rollout, monitor: RolloutMonitor
) -> None:
    sent: list[dict[str, object]] = []
    monitor.send = lambda content, buffers=None: sent.append(content)  # type: ignore[method-assign]
    key = some(world, rollout, "done")
    lines = lines_of(monitor, server=key.server, id=key.enrollment_id)
    raw = [one["seq"] for one in lines if one["raw"]]
    assert raw
    for seq in raw:
        click(monitor, kind="raw", nonce=ME, seq=seq)
    assert monitor.wait()
    texts = [str(message["text"]) for message in sent if message["kind"] == "raw"]
    plists = [plistlib.loads(text.encode()) for text in texts]
    assert len(plists) == len(raw)
    assert any("OSVersion" in plist.get("QueryResponses", {}) for plist in plists)
    assert not any(word in text for text in texts for word in ("UnlockToken", "PushMagic", "SetBootstrapToken"))


def test_a_rollout_that_nobody_can_take_says_so(tmp_path: Path) -> None:
    world = scene(tmp_path, 12)
    rollout = world.started("9.1")
    monitor = RolloutMonitor(watch(world.kit, rollout.id), every_seconds=0.02)
    eventually(lambda: monitor.watched)
    assert monitor.counts["finding"] == "None of these devices can take 9.1."
    assert monitor.counts["states"] == {"barred": 12}
    assert monitor.waits["rows"] == []
    monitor.close()
    world.kit.close()
