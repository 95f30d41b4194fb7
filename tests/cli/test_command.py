"""The command as people and programs use it, before a lab server: words in, sentences, JSON and exit status out."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir, closing, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import date, time, timedelta
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from osupdate_kit.cli import main
from osupdate_kit.kit import Kit
from osupdate_kit.lab.clock import DAY, RunningClock
from osupdate_kit.lab.devices import SimulatedDevice
from osupdate_kit.lab.http import Loopback, Response, serve
from osupdate_kit.lab.server import LabServer
from osupdate_kit.lab.truth import TruthLog
from osupdate_kit.lab.world import World
from osupdate_kit.rollout.plan import RolloutPlan
from osupdate_kit.rollout.windows import Window
from osupdate_kit.settings import Settings
from tests.lab.worlds import MONDAY, RELEASES, ipad, mac

KEY = "the-key-of-the-lab"
HOSTILE = "<img src=x onerror=alert(1)>"


class Told(NamedTuple):
    stdout: str
    stderr: str


@dataclass
class Place:
    """A folder with settings for a lab server; `run` is the command there."""

    folder: Path
    server: LabServer

    def run(self, *words: str, exits: int = 0) -> Told:
        """The command in this process, as it is called in a shell in this folder."""
        out, err = StringIO(), StringIO()
        with chdir(self.folder), redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main(words)
        told = Told(out.getvalue(), err.getvalue())
        assert (ended.value.code or 0) == exits, (words, ended.value.code, told)
        assert KEY not in told.stdout + told.stderr
        return told

    def json(self, *words: str) -> Any:
        return json.loads(self.run(*words, "--json").stdout)

    def kit(self) -> Kit:
        return Kit.open(Settings.load(self.folder / "osupdate-kit.toml"))

    def settings(self, url: str, **engine: float) -> None:
        text = (
            f'store_url = "sqlite:///{self.folder / "store.db"}"\n[servers.lab]\nurl = "{url}"\nkey_file = "lab.key"\n'
        )
        (self.folder / "osupdate-kit.toml").write_text(text)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    truth, clock = TruthLog(), RunningClock(start_at=MONDAY)
    server = LabServer(clock, KEY, truth=truth)
    specs = [ipad("PAD-1"), ipad("PAD-2"), mac("MAC-1")]
    world = World(clock, server, [SimulatedDevice(spec, RELEASES[spec.platform], truth) for spec in specs], truth)
    world.enrol()
    with serve(server) as running:
        made = Place(tmp_path, server)
        (tmp_path / "lab.key").touch(mode=0o600)
        (tmp_path / "lab.key").write_text(KEY)
        made.settings(running.url)
        (tmp_path / "fleet.csv").write_text(
            "udid,serial,name,platform,os_version,supervised,site\n"
            f"PAD-1,SPAD1,{HOSTILE},iPadOS,18.6.2,yes,North\n"
            "PAD-2,SPAD2,[bold]two[/bold],iPadOS,18.7.2,yes,South\n"
            "MAC-1,SMAC1,three,macOS,15.6.1,no,North\n"
        )
        yield made


def planned(place: Place, *more: str) -> Any:
    place.run("devices", "sync", "--from", "fleet.csv")
    return place.json("plan", "create", "--target", "18.7.2", "-o", "plan.yaml", *more)


def test_from_a_list_to_a_running_rollout(place: Place) -> None:
    assert place.json("servers", "check")[0]["ok"] is True
    told = place.json("devices", "sync", "--from", "fleet.csv")
    assert told == {"listed": 3, "new": 3, "known": 0, "asked": 3, "remarks": []}
    assert [d["serial"] for d in place.json("devices", "list", "--where", 'site == "North"')] == ["SMAC1", "SPAD1"]
    draft = place.json("plan", "create", "--target", "18.7.2", "--where", 'platform == "iPadOS"', "-o", "plan.yaml")
    assert (draft["selected"], draft["by_command"], draft["excluded"]) == (2, 1, {"it runs the target or newer": 1})
    assert place.json("plan", "preview", "plan.yaml")["devices"] == draft["devices"]
    refused = place.run("rollout", "start", "plan.yaml", exits=2)
    assert "Say --yes" in refused.stderr
    begun = place.run("rollout", "start", "plan.yaml", "--yes")
    assert "No service works on this store yet" in begun.stderr
    status = place.json("rollout", "status", "1")
    assert (status["selected"], sum(status["states"].values()), status["states"]["barred"]) == (2, 2, 1)
    assert {d["udid"]: d["state"] for d in status["devices"]}["PAD-2"] == "barred"
    asked = place.json("rollout", "pause", "1")
    assert (asked["outcome"], asked["armed"]) == (None, [])
    assert [r["rollout"] for r in place.json("rollout", "list")] == [1]
    assert place.json("store", "verify") == []


def test_the_status_names_what_the_issue_of_each_device_is(place: Place) -> None:
    planned(place)
    place.run("rollout", "start", "plan.yaml", "--yes")
    status = place.json("rollout", "status", "1")
    assert set(status) >= {"rollout", "as_of", "target", "selected", "excluded", "states", "devices"}
    assert set(status["devices"][0]) >= {
        "udid", "serial", "server", "platform", "state", "flags", "instrument", "os_version_at_start",
        "os_version_reported", "action_asked", "action_returned", "deferrals_used", "deferrals_remaining",
        "failure_class", "reason", "remedy", "commands_sent", "updated_at",
    }  # fmt: skip
    shown = place.run("rollout", "status", "1", "--state", "barred").stdout
    assert "it runs the target or newer" in shown


def test_names_that_devices_gave_themselves_stay_text(place: Place) -> None:
    place.run("devices", "sync", "--from", "fleet.csv")
    shown = place.run("devices", "list").stdout
    squeezed = "".join(shown.split())
    assert "[bold]two[/" in squeezed
    assert "<img" in squeezed


def test_what_is_wrong_is_said_with_its_remedy(place: Place) -> None:
    planned(place)
    for words, told in {
        ("plan", "create", "--target", "18.7.2", "--where", "sight == 1", "-o", "x.yaml"): "There is no column 'sight'",
        ("plan", "create", "--target", "18.x", "-o", "x.yaml"): "18.x",
        ("plan", "create", "-o", "x.yaml"): "A plan has one target",
        ("plan", "create", "--target", "18.7.2", "--where", 'site == "West"', "-o", "x.yaml"): "Nothing is selected",
        ("plan", "create", "--target", "18.7.2", "--window", "late", "-o", "x.yaml"): "is no window",
        ("plan", "create", "--target", "18.7.2", "--deadline", "soon", "-o", "x.yaml"): "is no deadline",
        ("plan", "create", "--target", "18.7.2", "--action", "iPadOS=InstallLater", "-o", "x.yaml"): "not for iPadOS",
        ("plan", "preview", "fleet.csv"): "not in the store",
        ("rollout", "start", "gone.yaml", "--yes"): "cannot be read",
        ("rollout", "status", "7"): "There is no rollout 7",
        ("rollout", "status", "7", "--state", "happy"): "no such state",
        ("rollout", "pause", "7"): "There is no rollout 7",
        ("devices", "sync", "--from", "gone.csv"): "cannot be read",
        ("devices", "sync", "--from", "fleet.csv", "--server", "other"): "There is no server 'other'",
        ("report", "7"): "There is no rollout 7",
        ("--config", "gone.toml", "rollout", "list"): "There is no settings file",
    }.items():
        assert told in place.run(*words, exits=2).stderr, words


def test_a_plan_for_a_device_that_is_gone_and_two_rollouts_for_one_device(place: Place) -> None:
    planned(place)
    place.run("plan", "create", "--target", "18.7.2", "--name", "again", "-o", "again.yaml")
    kit = place.kit()
    with kit.ledger.write() as tx:
        for stored in tx.devices(device.key for device in tx.all_devices()).values():
            tx.save_devices([_gone(stored)] if stored.device.udid == "PAD-1" else [])
    refused = place.run("rollout", "start", "plan.yaml", "--yes", exits=2)
    assert "planned devices are gone, SPAD1 among them" in refused.stderr
    with kit.ledger.write() as tx:
        for stored in tx.devices(device.key for device in tx.all_devices()).values():
            tx.save_devices([_gone(stored, enrolled=True)])
    kit.close()
    place.run("rollout", "start", "plan.yaml", "--yes")
    assert "rollout 1" in place.run("rollout", "start", "again.yaml", "--yes", exits=2).stderr


def _gone(stored: Any, *, enrolled: bool = False) -> Any:
    return replace(stored, device=replace(stored.device, enrolled=enrolled))


def test_a_plan_changed_by_hand_is_no_plan_of_this_store(place: Place) -> None:
    planned(place)
    file = place.folder / "plan.yaml"
    file.write_text(file.read_text().replace("tries: 3", "tries: 9"))
    assert "was changed after it was made" in place.run("rollout", "start", "plan.yaml", "--yes", exits=2).stderr


def test_servers_that_are_not_there_or_not_what_they_should_be(place: Place) -> None:
    (place.folder / "lab.key").write_text("wrong")
    assert "does not accept the API key" in place.run("servers", "check", exits=1).stdout
    with Loopback(lambda call: Response(status=200, headers={}, body=b"<html>It works!</html>")) as page:
        place.settings(page.url)
        assert "no NanoMDM" in place.run("servers", "check", exits=1).stdout
    assert "does not answer" in place.run("servers", "check", exits=1).stdout
    (place.folder / "lab.key").chmod(0o644)
    assert "chmod 600" in place.run("servers", "check", exits=2).stderr


def test_a_list_from_excel_s_unicode_text_with_a_serial_twice(place: Place) -> None:
    content = "serial\tudid\tsite\r\nSPAD1\tPAD-1\tNorth\r\nSPAD1\tPAD-1\tSouth\r\n"
    (place.folder / "list.txt").write_bytes(content.encode("utf-16"))
    told = place.json("devices", "sync", "--from", "list.txt")
    assert told["listed"] == 1
    assert "the same device" in told["remarks"][0]


def test_the_installed_command_answers() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "osupdate_kit.cli", "--help"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert "rollout" in done.stdout


def test_waiting_ends_with_one_when_the_rollout_is_halted(place: Place) -> None:
    planned(place)
    words = [sys.executable, "-m", "osupdate_kit.cli", "rollout", "start", "plan.yaml", "--yes", "--wait"]
    waiting = subprocess.Popen(words, cwd=place.folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert waiting.stdout is not None
    assert "Rollout 1 has begun" in waiting.stdout.readline()
    kit = place.kit()
    kit.act("halt", 1, detail="the canary does not boot")
    assert kit.turns().actor.turn() == 1
    told, _ = waiting.communicate(timeout=60)
    assert waiting.returncode == 1
    assert "the canary does not boot" in told
    assert "only a running" in place.run("rollout", "pause", "1", exits=2).stderr
    kit.close()


def test_the_deadline_passes_and_waiting_ends(place: Place) -> None:
    planned(place, "--deadline", "1h")
    kit = place.kit()
    rollout = kit.start((place.folder / "plan.yaml").read_text())
    assert rollout.status().states == {"held": 1, "barred": 2}
    late = RunningClock(start_at=kit.clock.now() + DAY)
    waiting = Kit(kit.ledger, kit.servers, late, kit.cadences)
    assert waiting.rollout(rollout.id).finished
    assert waiting.status(rollout.id).states == {"expired": 1, "barred": 2}
    kit.close()


def test_today_says_what_ended_and_what_needs_a_person(place: Place) -> None:
    assert place.run("today").stdout.strip() == "No rollout has begun yet. Plan one, and confirm it."
    planned(place, "--deadline", "1h")
    place.run("rollout", "start", "plan.yaml", "--yes")
    told = place.json("today")
    assert [need["kind"] for need in told["needs"]] == ["service"]
    assert [(one["rollout"], one["began"], one["done"]) for one in told["ended"]] == [(1, True, 0)]
    shown = place.run("today", "--since", "2026-01-01").stdout
    assert "No service works on this store" in shown
    assert "MDM team" in shown
    assert "is still to come" in place.run("today", "--since", "2999-01-01", exits=2).stderr
    kit = place.kit()
    late = Kit(kit.ledger, kit.servers, RunningClock(start_at=kit.clock.now() + DAY), kit.cadences)
    assert late.today().sites == {"North": {"expired": 1}}
    kit.close()


def test_why_tells_the_story_of_one_device(place: Place) -> None:
    planned(place)
    place.run("rollout", "start", "plan.yaml", "--yes")
    told = place.json("why", "SPAD1")
    assert [(one["rollout"], one["state"]) for one in told["parts"]] == [(1, "held")]
    assert told["enrolments"][0]["name"] == HOSTILE
    shown = place.run("why", "PAD-2").stdout
    assert "barred in rollout 1" in shown
    assert "What to do: Nothing to do." in shown
    assert "No device is called 'nobody'" in place.run("why", "nobody", exits=2).stderr


WAVES = """
waves:
- {name: canary, who: {cover: [model, os_version]}, pace: 20}
- {name: broad, opens: {done_share: 0.9, soak_hours: 24}}
limits: {failure_share: 0.15}
blackouts:
- {from: 2026-12-24, to: 2026-12-26, reason: holidays}
"""
EXAMS = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:exams\nDTSTART;VALUE=DATE:{}\nEND:VEVENT\nEND:VCALENDAR\n"


def test_a_plan_has_waves_windows_and_blackouts(place: Place) -> None:
    (place.folder / "waves.yaml").write_text(WAVES)
    today = place.kit().clock.now() // DAY
    tomorrow = date(1970, 1, 1) + timedelta(days=today + 1)
    (place.folder / "exams.ics").write_text(EXAMS.format(f"{tomorrow:%Y%m%d}"))
    draft = planned(
        place, "--where", 'platform == "iPadOS"', "--waves", "waves.yaml", "--download-window", "08:00-18:00",
        "--days", "mon-fri", "--time-zone", "Europe/Berlin", "--blackouts", "exams.ics",
        "--blackouts-for", 'site == "North"',
    )  # fmt: skip
    assert draft["waves"] == [
        {"wave": "canary", "who": "one of every model × os_version", "opens": "at once", "devices": 1},
        {"wave": "broad", "who": "the rest", "opens": "when 90% of the wave before are done, 24 hours later",
         "devices": 0},
    ]  # fmt: skip
    assert [(d["serial"], d["wave"]) for d in draft["devices"]] == [("SPAD1", "canary"), ("SPAD2", "")]
    plan = RolloutPlan.from_yaml((place.folder / "plan.yaml").read_text())
    assert plan.window == Window(days=(0, 1, 2, 3, 4))
    assert plan.download_window == Window(opens=time(8), closes=time(18), days=(0, 1, 2, 3, 4))
    assert [(one.first, one.where, one.reason) for one in plan.blackouts] == [
        (date(2026, 12, 24), "", "holidays"), (tomorrow, 'site == "North"', "exams"),
    ]  # fmt: skip
    told = place.run("plan", "preview", "plan.yaml")
    assert "opens" in told.stdout
    assert "Wave broad takes no device." in told.stderr


def test_the_hold_list_is_kept_by_people(place: Place) -> None:
    planned(place)
    (place.folder / "vips.csv").write_text("serial\nSPAD1\nSPAD9\n")
    told = place.run("hold", "add", "--serials", "vips.csv", "SMAC1", "--reason", "board", "--group", "vip")
    assert "2 devices are held." in told.stdout
    assert "SPAD9" in told.stderr
    held = {line["serial"]: line for line in place.json("hold", "list")}
    assert held.keys() == {"SPAD1", "SMAC1"}
    assert (held["SPAD1"]["reason"], held["SPAD1"]["until"]) == ("vip: board", None)
    assert "onerror=alert(1)>" in place.run("hold", "list").stdout
    assert "1 of them are on the hold list" in place.run("plan", "preview", "plan.yaml").stderr
    assert place.json("hold", "release", "SMAC1") == {"released": 1}
    assert place.json("hold", "release", "SMAC1") == {"released": 0}
    assert len(place.json("hold", "list")) == 1
    for words in (("add", "SPAD1"), ("add", "--reason", "why"), ("add", "SPAD9", "--reason", "why"), ("release",),
                  ("add", "SPAD1", "--reason", "why", "--until", "soon"),
                  ("add", "SPAD1", "--reason", "why", "--until", "2020-01-01")):  # fmt: skip
        assert "osupdate-kit: " in place.run("hold", *words, exits=2).stderr


def test_a_second_person_is_asked_for_and_notes_and_hands_are_shown(place: Place) -> None:
    planned(place)
    settings = place.folder / "osupdate-kit.toml"
    settings.write_text(settings.read_text() + '\n[people]\nsecond_approver_over = 1\nshared_accounts = ["nobody"]\n')
    with closing(place.kit()) as kit:
        kit.turns()  # a service begins
    (place.folder / "plan.yaml").unlink()
    place.run("plan", "create", "--target", "26.6.2", "--allow-major", "-o", "plan.yaml", "--where", 'model != "x"')
    told = place.run("rollout", "start", "plan.yaml", "--yes")
    assert "Nothing is sent yet: not approved by another person." in told.stderr
    assert "osupdate-kit rollout approve 1" in told.stderr
    assert place.json("rollout", "list")[0]["waits_for_approval"] is True
    refused = place.run("rollout", "approve", "1", exits=2)
    assert "asked for it, and cannot be the second person" in refused.stderr
    place.run("note", "add", "[bold]look[/bold] here", "--device", "SPAD1", "--rollout", "1")
    assert place.json("note", "list", "--device", "SPAD1")[0]["text"] == "[bold]look[/bold] here"
    assert "[bold]look[/bold] here" in place.run("note", "list").stdout
    assert "on nothing" in place.run("note", "add", "hello", exits=2).stderr
    place.run("rollout", "hand-over", "1", "--to", "bob", "--why", "leave")
    shown = place.run("rollout", "status", "1").stdout
    assert "In the hands of bob." in shown
    assert "not approved by another person" in shown
    assert any(need["kind"] == "approval" for need in place.json("today")["needs"])
