"""From what people write to a plan whose every device has its wave."""

from datetime import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osupdate_kit.errors import PlanError
from osupdate_kit.fleet.devices import Device, DeviceKey
from osupdate_kit.fleet.selection import Selection
from osupdate_kit.kit.plans import Draft, draft, plan_of
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.plan import RolloutPlan, timing_of
from osupdate_kit.rollout.waves import Limits, Wave, Who
from osupdate_kit.rollout.windows import Window

NOW = 1_795_420_800_000_000
THREE = [{"name": "canary", "who": {"cover": ["model"]}, "pace": 20}, {"name": "pilot", "who": {"percent": 5}},
         {"name": "broad", "opens": {"by_hand": True}}]  # fmt: skip


def planned(**words: object) -> RolloutPlan:
    return plan_of(author="ada", now=NOW, target="18.7.2", **words)  # type: ignore[arg-type]


def fleet(count: int) -> Selection:
    """Every tenth is barred: it is not supervised."""
    devices = [
        Device(key=DeviceKey("s", f"{n:04}"), serial=f"C{n:04}", platform=Platform.IPADOS, model=f"iPad{n % 4}",
               os_version=OSVersion.parse("18.6"), supervised=n % 10 > 0, time_zone="UTC")
        for n in range(count)
    ]  # fmt: skip
    return Selection(tuple(devices), {})


@given(st.integers(0, 300))
def test_every_device_that_takes_the_plan_has_a_wave_and_no_other(count: int) -> None:
    made = draft(fleet(count), planned(waves=THREE))
    assert {m.serial for m in made.members if not m.wave} == {m.serial for m in made.members if m.barrier}
    assert sum(made.waves.values()) == made.by_command
    assert list(made.waves) == ["canary", "pilot", "broad"]


def test_a_preview_says_of_each_wave_whom_it_takes_and_when_it_opens() -> None:
    made = draft(fleet(200), planned(waves=THREE))
    assert [row[:3] for row in made.wave_rows()] == [
        ("canary", "one of every model", "at once"), ("pilot", "5 %", "at once"), ("broad", "the rest", "by hand"),
    ]  # fmt: skip
    assert "wave broad, opens by hand" in made._repr_html_()
    assert made.warnings == ()


def test_what_waits_or_stays_empty_is_said_before_it_begins() -> None:
    chosen = fleet(20)
    made = draft(chosen, planned(waves=[Wave(name="vips", who=Who(serials=("nobody",))), Wave()]),
                 held={chosen.devices[0].key, chosen.devices[1].key})  # fmt: skip
    assert made.held == 1  # the other one is barred
    assert made.warnings == (
        "1 of them are on the hold list: they wait until they are released.", "Wave vips takes no device.",
    )  # fmt: skip


def test_a_plan_is_the_same_from_words_and_from_its_own_yaml(tmp_path: Path) -> None:
    written = planned(
        waves=THREE, limits={"failure_share": 0.15, "failures": 200}, slots_per_site=40, window="20:00-05:00",
        download_window="08:00-18:00", days="mon-fri",
    )  # fmt: skip
    assert written.limits == Limits(failure_share=0.15, failures=200)
    assert written.window == Window(opens=time(20), closes=time(5), days=(0, 1, 2, 3, 4))
    assert written.download_window == Window(opens=time(8), closes=time(18), days=(0, 1, 2, 3, 4))
    assert RolloutPlan.from_yaml(written.to_yaml()) == written


def test_words_win_over_the_file_of_waves() -> None:
    timing = timing_of('window: {opens: "20:00", closes: "05:00"}\nslots_per_site: 40\nwaves: [{name: one}]')
    plan = planned(timing=timing, window="21:00-04:00", days="sat,sun")
    assert plan.window == Window(opens=time(21), closes=time(4), days=(5, 6))
    assert (plan.slots_per_site, plan.waves) == (40, (Wave(name="one"),))
    assert planned(timing=timing, days="sat,sun").window == Window(opens=time(20), closes=time(5), days=(5, 6))


def test_waves_that_leave_devices_over_are_refused() -> None:
    with pytest.raises(PlanError, match="are in no wave"):
        draft(fleet(200), planned(waves=THREE[:2]))


def test_a_time_zone_must_be_known_wherever_the_clock_matters() -> None:
    nobody = Device(
        key=DeviceKey("s", "1"), platform=Platform.IPADOS, os_version=OSVersion.parse("18.6"), supervised=True
    )

    def barred(**words: object) -> bool:
        made: Draft = draft(Selection((nobody,), {}), planned(**words))
        return made.members[0].barrier == "time_zone_unknown"

    assert barred(download_window="08:00-18:00")
    assert barred(days="mon-fri")
    assert barred(window="20:00-05:00")
    assert not barred()
    assert not barred(window="20:00-05:00", time_zone="Europe/Berlin")
