"""One device proved in the lab: the whole way on one page, and each odd habit of the device named on it."""

import json
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from osupdate_kit.errors import PlanError, RolloutError
from osupdate_kit.kit.prove import begin, proof, write_proof
from osupdate_kit.lab.fleet import make_fleet, makeup
from osupdate_kit.lab.specs import DeviceSpec
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.rehearsal import SERVER, Rehearsal, write_list
from osupdate_kit.views.proof import Departure, Exchange, Proof

TARGETS = {Platform.IPADOS: "26.6.1", Platform.MACOS: "26.6.2"}


def device(platform: Platform, **habits: Any) -> DeviceSpec:
    """A device that can be reached at any hour, with these habits."""
    spec = next(one for one in make_fleet(makeup("school"), 60, 3) if one.platform is platform)
    steady = {"night_share": 1, "weekend_share": 1, "not_now": 0, "drops": 0, "repeats": 0, "prompt_hours": (0.2, 1)}
    return replace(spec, newest_major=99).behaving(**(steady | habits))


def proved(tmp_path: Path, spec: DeviceSpec, days: float = 2) -> Proof:
    rehearsal = Rehearsal.of(makeup("school"), (spec,), f"sqlite:///{tmp_path / 'store.db'}")
    kit = rehearsal.kit
    kit.sync(str(write_list((spec,), tmp_path / "fleet.csv")), SERVER)
    rehearsal.run(0.5)
    with kit.ledger.service_lock():
        rollout = begin(kit, spec.serial, TARGETS[spec.platform], allow_major=True)
    rehearsal.run(days)
    found = proof(kit, rollout)
    kit.close()
    return found


@pytest.mark.parametrize("platform", TARGETS)
def test_a_steady_device_departs_in_nothing(tmp_path: Path, platform: Platform) -> None:
    found = proved(tmp_path, device(platform))
    assert found.state == "done", found.finding
    assert [one for one in found.departures if not one.known] == []
    told = [(one.what, one.command) for one in found.exchanges]
    assert ("sent", "ScheduleOSUpdate") in told
    assert ("answered", "ScheduleOSUpdate") in told
    assert told[-1][0] == "answered"
    answers = [one for one in found.exchanges if one.what == "answered"]
    assert all(one.payload and one.word for one in answers), "with its payload"
    assert found.device["OS version now"] == TARGETS[platform]
    assert [one.at for one in found.exchanges] == sorted(one.at for one in found.exchanges)


@pytest.mark.parametrize(
    ("platform", "habits", "rule"),
    [
        (Platform.IPADOS, {"swallows": 1.0}, "UpdateResults"),
        (Platform.MACOS, {"substitutes": True}, "InstallAction"),
        (Platform.MACOS, {"false_error": True}, "Status"),
        (Platform.MACOS, {"fails_unlisted": True}, "ErrorCode"),
    ],
)
def test_odd_habits_are_named(tmp_path: Path, platform: Platform, habits: dict[str, Any], rule: str) -> None:
    found = proved(tmp_path, device(platform, **habits))
    assert rule in {one.rule for one in found.departures if one.known}, found.departures
    assert "that others have met" in found.finding


def test_the_page_and_the_data_are_written_for_their_owner(tmp_path: Path) -> None:
    found = proved(tmp_path, device(Platform.IPADOS))
    page, data = write_proof(found, tmp_path / "out")
    assert stat.S_IMODE(page.stat().st_mode) == stat.S_IMODE(data.stat().st_mode) == 0o600
    told = json.loads(data.read_text())
    assert told["finding"] == found.finding
    assert len(told["exchanges"]) == len(found.exchanges)
    html = page.read_text()
    assert html.count("<details>") >= 4
    assert "default-src 'none'" in html
    assert "ScheduleOSUpdate" in html


def test_what_a_device_says_is_text_on_the_page() -> None:
    hostile = "<img src=x onerror=alert(1)>"
    made = Proof(
        device={"serial": hostile}, rollout=1, target=hostile, state="failed", reason=hostile, began_at=1, until_at=2,
        departures=(Departure(at=1, command=hostile, rule=hostile, seen=hostile, expected=hostile, known=hostile),),
        exchanges=(Exchange(at=1, what=hostile, payload={hostile: hostile, "</pre><script>": 1}),),
    )  # fmt: skip
    for html in (made.to_html(), made._repr_html_()):
        assert "<img" not in html
        assert "<script" not in html


def test_what_cannot_be_proved_is_refused_with_a_remedy(tmp_path: Path) -> None:
    spec = device(Platform.IPADOS)
    rehearsal = Rehearsal.of(makeup("school"), (spec,), f"sqlite:///{tmp_path / 'store.db'}")
    kit = rehearsal.kit
    kit.sync(str(write_list((spec,), tmp_path / "fleet.csv")), SERVER)
    rehearsal.run(0.5)
    with pytest.raises(RolloutError, match="No service works"):
        begin(kit, spec.serial, "26.6.1")
    with kit.ledger.service_lock(), pytest.raises(PlanError, match="does not take") as caught:
        begin(kit, spec.serial, spec.os_version)
    assert "doctor --device" in caught.value.remedy
    assert kit.rollouts() == []
    kit.close()
