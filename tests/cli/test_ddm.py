"""`ddm readiness`: the whole fleet in few rows, by words and as JSON; and what `rollout status` says of instruments."""

from osupdate_kit.cli.ddm import _WORDS
from osupdate_kit.rollout.readiness import Ready
from tests.cli.test_command import HOSTILE, Place, place, planned

__all__ = ["place"]


def test_readiness_says_who_could_go_by_declaration_and_why_the_others_not(place: Place) -> None:
    assert "The store knows no device yet." in place.run("ddm", "readiness").stdout
    place.run("devices", "sync", "--from", "fleet.csv")
    told = place.json("ddm", "readiness")
    assert (told["devices"], told["able"], told["stranded"]) == (3, 0, 0)
    assert {row["declaration"]: row["devices"] for row in told["standing"]} == {
        Ready.NO_SERVER: 2, Ready.NOT_SUPERVISED: 1,
    }  # fmt: skip
    assert sum(row["devices"] for row in told["parts"]) == 3
    shown = place.run("ddm", "readiness", "--list", "no-server").stdout
    assert "0 of 3 devices could go by declaration." in shown
    assert "3 devices still take commands, until the move to OS 27." in shown
    assert "SPAD1" in shown
    assert "SMAC1" not in shown


def test_devices_are_named_as_data_and_a_standing_that_is_none_is_refused(place: Place) -> None:
    place.run("devices", "sync", "--from", "fleet.csv")
    listed = place.json("ddm", "readiness", "--list", "no-server", "--list", "not-supervised")["listed"]
    assert [row["name"] for row in listed] == ["three", HOSTILE, "[bold]two[/bold]"]
    assert "'maybe' is no standing" in place.run("ddm", "readiness", "--list", "maybe", exits=2).stderr
    assert set(_WORDS.values()) == set(Ready)


def test_a_rollout_by_command_alone_shows_no_column_of_declarations(place: Place) -> None:
    planned(place)
    place.run("rollout", "start", "plan.yaml", "--yes")
    status = place.json("rollout", "status", "1")
    assert set(status["instruments"]) == {"command", "none"}
    assert sum(sum(states.values()) for states in status["instruments"].values()) == status["selected"]
    assert status["deadlines"] == {}
    shown = place.run("rollout", "status", "1", "--state", "held").stdout
    assert "deadline  " not in shown
    assert "by declaration" not in shown
