"""`feeds` and plans by rule, as they are called in a shell."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cli.test_command import Place, place
from tests.feeds.feeds import IOS, MACOS, Shelf, body, shelf

__all__ = ["place"]


@pytest.fixture
def served(place: Place) -> Iterator[Shelf]:
    """Settings that name two feeds on this machine, and a folder for their copies."""
    with shelf() as made:
        made.bodies = {"/ios": body(IOS), "/macos": body(MACOS)}
        settings = place.folder / "osupdate-kit.toml"
        place.settings("http://127.0.0.1:9")
        lines = f'[feeds]\nsofa_ios = "{made.url}/ios"\nsofa_macos = "{made.url}/macos"\nsofa_tvos = ""\napple = ""\n'
        settings.write_text(f'{settings.read_text()}{lines}folder = "feeds"\n')
        yield made


def test_feeds_are_fetched_shown_with_their_age_and_kept_when_they_fail(place: Place, served: Shelf) -> None:
    assert "SOFA, Apple, as of 2026-08-22" in place.run("feeds", "show").stdout
    told = place.json("feeds", "refresh")
    assert [(one["feed"], one["news"], one["trouble"]) for one in told] == [
        ("sofa_ios", True, ""),
        ("sofa_macos", True, ""),
    ]
    assert (place.folder / "feeds" / "sofa_ios.feed").is_file()
    shown = place.run("feeds", "show").stdout
    assert "sofa_ios, sofa_macos, as of 2026-08-22T18:45:03Z" in shown
    assert "26.6.1" in shown
    before = place.json("feeds", "show")
    served.bodies["/ios"] = b"<html>"
    failed = place.run("feeds", "refresh", exits=1)
    assert "The feed is no JSON." in failed.stderr
    assert place.json("feeds", "show")["releases"] == before["releases"]


def test_a_rule_is_written_into_the_plan_and_each_device_says_its_target(place: Place, served: Shelf) -> None:
    place.run("feeds", "refresh")
    (place.folder / "fleet.csv").write_text(
        'udid,platform,model,os_version,supervised\nA,iPadOS,"iPad13,18",18.6,yes\nB,iPadOS,"iPad7,11",18.6,yes\n'
        'C,macOS,"Mac14,2",15.6,yes\nD,iPadOS,"iPad99,1",18.6,yes\n'
    )
    place.run("devices", "sync", "--from", "fleet.csv", "--no-ask")
    draft = place.json(
        "plan", "create", "--target", "latest-minor", "--where", "udid in ('A', 'B', 'C', 'D')", "-o", "p"
    )
    told = {one["udid"]: (one["target"], one["barrier"]) for one in draft["devices"]}
    assert told == {
        "A": ("18.7.8", ""), "B": ("18.7.10", ""), "C": ("15.7.9", ""), "D": ("", "model_unknown"),
    }  # fmt: skip
    assert draft["targets"] == {"18.7.8": 1, "18.7.10": 1, "15.7.9": 1}
    assert {one["finding"]: (one["kind"], one["devices"]) for one in draft["findings"]} == {
        "never_told": ("unknown", 3), "release_may_have_ended": ("warning", 3),
    }  # fmt: skip
    plan = yaml.safe_load((place.folder / "p").read_text())
    assert plan["target"] == {"latest": "minor"}
    assert plan["releases"]["source"] == "sofa_ios, sofa_macos"
    assert plan["releases"]["sha256"] == place.json("feeds", "show")["sha256"]
    shown = place.run("plan", "preview", "p")
    assert "barred: the catalogue" in shown.stdout
    assert "Run `osupdate-kit" in shown.stdout
    assert "3 devices, unknown: it has told nothing of itself yet." in " ".join(shown.stderr.split())
    assert "There is no way back" in shown.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--target", "latest"), "A rule is latest-minor"),
        (("--target", "18.7.2", "--after-days", "7"), "after_days"),
        (("--by-major", "15"), "by_major"),
        (("--floor", "new"), "floor"),
        (("--target", "latest-minor", "--build", "22H1"), "names no build"),
        ((), "one target"),
    ],
)
def test_a_rule_that_makes_no_sense_is_said_in_a_sentence(place: Place, words: tuple[str, ...], said: str) -> None:
    place.settings("http://127.0.0.1:9")
    told = place.run("plan", "create", *words, "-o", "p", exits=2)
    assert said in told.stderr
    assert not Path(place.folder / "p").exists()


def test_another_major_version_needs_a_yes_of_its_own(place: Place, served: Shelf) -> None:
    (place.folder / "fleet.csv").write_text(
        'udid,platform,model,os_version,supervised\nA,iPadOS,"iPad13,18",18.6,yes\n'
    )
    place.run("devices", "sync", "--from", "fleet.csv", "--no-ask")
    words = ("plan", "create", "--target", "26.6.1", "--where", "udid == 'A'", "-o", "p")
    assert place.json(*words)["devices"][0]["barrier"] == "major_jump"
    assert place.json(*words, "--allow-major")["devices"][0]["barrier"] == ""
