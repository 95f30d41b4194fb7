"""A rule from its words to proof: each device has its own target in plan, command, verdict of done, and figures."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from osupdate_kit.analysis.versions import adoption
from osupdate_kit.fleet.inventory import as_row, from_row
from osupdate_kit.fleet.selection import Selection
from osupdate_kit.kit import Draft
from osupdate_kit.lab.clock import DAY
from osupdate_kit.lab.fleet import make_fleet, makeup
from osupdate_kit.lab.truth import What
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rehearsal import SERVER, Rehearsal, write_list
from osupdate_kit.rollout.plan import RolloutPlan
from osupdate_kit.rollout.preflight import Finding, Kind
from osupdate_kit.views.charts import adoption as adoption_chart

v = OSVersion.parse


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    """A school of 60 that has told what it is."""
    folder = tmp_path_factory.mktemp("targets")
    parts = makeup("school")
    specs = make_fleet(parts, 60, 2)
    made = Rehearsal.of(parts, specs, f"sqlite:///{folder / 'store.db'}", seed=2, who="ada")
    made.kit.sync(str(write_list(specs, folder / "fleet.csv")), SERVER)
    made.run(1)
    yield made
    made.kit.close()


@pytest.fixture(scope="module")
def draft(lived: Rehearsal) -> Draft:
    return lived.kit.plan(lived.kit.select(), target="latest-minor", after_days=2, deadline="3d")


def test_each_device_has_a_target_of_its_own_and_the_catalogue_is_frozen_with_it(
    lived: Rehearsal, draft: Draft
) -> None:
    taking = [member for member in draft.members if not member.barrier]
    assert len({member.target for member in taking}) > 3
    assert sum(draft.targets.values()) == draft.by_command == len(taking)
    for member in taking:
        assert v(member.target).major == v(member.os_version).major
        assert v(member.target) > v(member.os_version)
    plan = RolloutPlan.from_yaml(draft.plan.to_yaml())
    assert plan.releases == lived.kit.feeds.catalogue().ref
    assert plan.target_label == "latest minor, 2 days after release"


def test_preflight_counts_what_devices_have_told(draft: Draft) -> None:
    found = {count.finding: count for count in draft.findings}
    assert found[Finding.SHARED_IPAD].kind is Kind.WARNING
    assert 0 < found[Finding.SHARED_IPAD].devices < draft.by_command
    assert found[Finding.RELEASE_MAY_HAVE_ENDED].devices == draft.by_command  # the sample is of August
    assert Finding.BOOTSTRAP_UNKNOWN not in found  # the census asked every Mac
    for count in draft.findings:
        assert any(count.words in sentence and count.remedy in sentence for sentence in draft.warnings)


def test_rows_of_a_frame_are_judged_by_what_the_store_was_told(lived: Rehearsal, draft: Draft) -> None:
    rebuilt = Selection(tuple(from_row(as_row(device)) for device in lived.kit.inventory()), {})
    assert not any(device.told for device in rebuilt.devices)
    again = lived.kit.plan(rebuilt, target="latest-minor", after_days=2, deadline="3d")
    assert (again.findings, again.members) == (draft.findings, draft.members)


def test_a_saved_plan_is_looked_at_again(lived: Rehearsal, draft: Draft) -> None:
    shown = lived.kit.preview(lived.kit.save(draft))
    assert shown.members == draft.members
    assert {count.finding for count in shown.findings} == {count.finding for count in draft.findings}


def test_a_rule_runs_to_proof_and_every_figure_knows_whose_target_is_which(lived: Rehearsal, draft: Draft) -> None:
    kit = lived.kit
    rollout = kit.start(draft)
    lived.run(2)
    devices = {device.udid: device for device in rollout.status().devices}
    targets = {member.udid: member.target for member in draft.members if not member.barrier}
    done = {udid for udid, device in devices.items() if device.state == "done"}
    assert len(done) > len(targets) / 2
    for udid, target in targets.items():
        reported = devices[udid].os_version_reported
        assert (udid in done) == bool(reported and v(reported) >= v(target)), (udid, target, reported)
    ran = {
        (entry.udid, entry.detail.partition("(")[0].strip()) for entry in lived.truth if entry.what is What.INSTALLED
    }
    assert {(udid, targets[udid]) for udid in done} <= ran  # the very version that the rule came to, and no other
    assert kit.verify() == []
    with rollout._scope() as scope:
        frame = adoption(scope)
        last = frame[frame["at"] == frame["at"].max()]
        there = int(last[last["there"]]["devices"].sum())
        assert int(last["devices"].sum()) == len(draft.members)
        already = sum(member.barrier == "already_there" for member in draft.members)
        assert there == len(done) + already
        assert "their own target" in adoption_chart(frame, scope.subject).title
    assert "latest minor" in rollout.status().finding


def test_what_macs_listed_and_reported_is_kept_for_the_next_plan(lived: Rehearsal) -> None:
    silicon = [one for one in lived.kit.inventory() if one.told.get("IsAppleSilicon") is True]
    assert silicon
    for device in silicon:
        assert device.told["BootstrapTokenAllowedForAuthentication"] in ("allowed", "disallowed")
    listing = [one for one in silicon if "AvailableOSUpdates" in one.told]
    assert listing
    sizes = [row for one in listing for row in one.told["AvailableOSUpdates"]]  # type: ignore[attr-defined]
    assert all(isinstance(version, str) and download > 0 for version, download, _, _ in sizes)


def test_a_rollout_by_rule_is_not_revised_by_one_version_for_all(lived: Rehearsal) -> None:
    rollout = lived.kit.rollout()
    act = lived.kit.plan(lived.kit.select('platform == "macOS"'), target="15.7.9", deadline="9d")
    rollout.revise(act)
    lived.run(0.01)
    refused = lived.kit.rollout().status(keep=lambda device: False)
    assert refused.target == "latest minor, 2 days after release"


def test_the_catalogue_is_a_frame_with_its_age_and_its_hash(lived: Rehearsal) -> None:
    frame = lived.kit.releases()
    assert {"platform", "version", "released_at", "offered", "exploited"} <= set(frame)
    assert frame.attrs["sha256"] == lived.kit.feeds.catalogue().sha256
    assert set(frame["platform"]) == {Platform.IOS.value, Platform.MACOS.value, Platform.TVOS.value}


def test_devices_whose_word_is_old_are_asked_again(lived: Rehearsal, tmp_path: Path) -> None:
    path = write_list(tuple(device.spec for device in lived.world.devices.values()), tmp_path / "fleet.csv")
    known = lived.kit.sync(str(path), SERVER, ask=False).known
    assert lived.kit.sync(str(path), SERVER).asked < known
    lived.clock.advance_to(lived.clock.now() + 8 * DAY)
    assert lived.kit.sync(str(path), SERVER).asked == known
