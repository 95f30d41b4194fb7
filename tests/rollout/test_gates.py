"""May a wave open, how many may begin, has a slice to stop? The figures, and how often they are wrong."""

import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osupdate_kit.rollout.gates import (
    LOADS,
    Count,
    Finding,
    Progress,
    Slice,
    bad_slices,
    counts_of,
    enough,
    evidence,
    is_under_way,
    next_pace,
    waits_for,
)
from osupdate_kit.rollout.policy import HOUR, MINUTE
from osupdate_kit.rollout.state import ENDS, State
from osupdate_kit.rollout.waves import Limits, Opening

NOW = 1_795_507_200_000_000
LIMITS = Limits(failure_share=0.15, by=("model", "site"))  # a good release has 2 percent
ALL = Slice()
COUNTS = st.builds(lambda n, share: Count(n, int(n * share)), st.integers(0, 60), st.floats(0, 1))


def model(name: str) -> Slice:
    return Slice("model", name)


def stopped(cells: Mapping[tuple[str, ...], Count], *still: Slice, limits: Limits = LIMITS) -> list[Finding]:
    return bad_slices(cells, limits, stopped=still)


# --- words and figures ---


@pytest.mark.parametrize(
    ("finding", "words"),
    [
        (
            Finding(model("iPad13,18"), Count(18, 8)),
            "8 of the 18 devices that began have failed (44%): model iPad13,18",
        ),
        (Finding(ALL, Count(2000, 1)), "1 of the 2,000 devices that began has failed (0%): all devices"),
        (
            Finding(Slice("wave", "pilot"), Count(4, 2), silent=True),
            "2 of the 4 devices that began are silent (50%): wave pilot",
        ),
        (Finding(Slice("site"), Count(4, 1), True), "1 of the 4 devices that began is silent (25%): site unknown"),
        (Finding(ALL, Count(0, 0)), "0 of the 0 devices that began have failed (0%): all devices"),
    ],
)  # fmt: skip
def test_a_halt_is_told_with_the_figures_that_say_so(finding: Finding, words: str) -> None:
    assert str(finding) == words


def test_counts_add_up_and_are_never_below_nothing() -> None:
    assert Count(5, 2).plus(Count(7, 1)) == Count(12, 3)
    assert Count(5, 2).minus(Count(3, 1)) == Count(2, 1)
    assert Count(5, 2).minus(Count(5, 2)) == Count(3, 1).minus(Count(9, 9)) == Count(0, 0) == Count()


def test_each_device_counts_for_its_model_its_site_and_all_unless_one_of_them_stands_still() -> None:
    cells = {("A", "North"): Count(4, 1), ("A", "South"): Count(6, 2), ("B", "North"): Count(10, 0)}
    north, south = Slice("site", "North"), Slice("site", "South")
    assert counts_of(cells, LIMITS.by, frozenset()) == {
        ALL: Count(20, 3), model("A"): Count(10, 3), model("B"): Count(10, 0), north: Count(14, 1), south: Count(6, 2),
    }  # fmt: skip
    assert counts_of(cells, LIMITS.by, frozenset({north})) == {
        ALL: Count(6, 2), model("A"): Count(6, 2), south: Count(6, 2),
    }  # fmt: skip
    assert counts_of(cells, LIMITS.by, frozenset({ALL})) == {}


# --- the sequential test ---


@pytest.mark.parametrize("count", [Count(1, 0), Count(1, 1), Count(18, 8), Count(40, 0)])
def test_evidence_is_how_much_likelier_the_figures_are_with_a_bad_release(count: Count) -> None:
    bad = 0.15**count.failed * 0.85 ** (count.begun - count.failed)
    good = 0.02**count.failed * 0.98 ** (count.begun - count.failed)
    assert math.exp(evidence(count, LIMITS)) == pytest.approx(bad / good)


def test_the_allowed_error_is_shared_among_the_slices() -> None:
    assert math.exp(-enough(LIMITS, 1)) == pytest.approx(0.005)
    assert math.exp(-enough(LIMITS, 10)) == pytest.approx(0.0005)
    assert enough(LIMITS, 0) == enough(LIMITS, 1)


def ever_halted(share: float, devices: int) -> float:
    """With what probability a slice of so many devices reaches the line, however often one looks."""
    line, going, halted = enough(LIMITS, 1), {0: 1.0}, 0.0
    for begun in range(1, devices + 1):
        after: dict[int, float] = {}
        for failed, chance in going.items():
            for more, part in ((1, share), (0, 1 - share)):
                after[failed + more] = after.get(failed + more, 0.0) + chance * part
        over = {failed for failed in after if evidence(Count(begun, failed), LIMITS) >= line}
        halted += sum(after.pop(failed) for failed in over)
        going = after
    return halted


def test_a_good_release_is_halted_as_seldom_as_was_asked_and_a_bad_one_soon() -> None:
    assert 0.0005 < ever_halted(0.02, 400) <= LIMITS.false_halt
    assert ever_halted(0.15, 200) > 0.95
    assert ever_halted(0.35, 40) > 0.95


def test_who_has_begun_and_not_failed_speaks_for_the_release() -> None:
    assert stopped({("A", "N"): Count(3, 3), ("B", "S"): Count(0, 0)}) == []
    assert stopped({("A", "N"): Count(8, 4), ("B", "S"): Count(60, 0)}) != []
    assert stopped({("A", "N"): Count(30, 4), ("B", "S"): Count(60, 0)}) == []


def test_evidence_that_just_reaches_the_line_is_enough() -> None:
    figures = Count(10, 5)
    exact = Limits(failure_share=0.15, false_halt=2 * math.exp(-evidence(figures, LIMITS)), by=("model",))
    less = Limits(failure_share=0.15, false_halt=exact.false_halt * 0.999, by=("model",))
    more = Limits(failure_share=0.15, false_halt=exact.false_halt * 1.001, by=("model",))
    assert stopped({("A",): figures}, limits=more) == [Finding(ALL, figures)]  # two slices: the model, and all
    assert stopped({("A",): figures}, limits=less) == []


def test_without_a_share_nothing_is_judged() -> None:
    assert stopped({("A", "N"): Count(99, 99)}, limits=Limits(failures=1, by=("model", "site"))) == []
    assert stopped({}) == []


# --- which slices stop ---


def test_the_broken_model_stops_and_not_the_site_that_has_many_of_it() -> None:
    cells = {("A", "North"): Count(12, 8), ("B", "North"): Count(12, 0), ("B", "South"): Count(60, 1)}
    assert stopped(cells) == [Finding(model("A"), Count(12, 8))]


def test_two_broken_models_stop_the_worst_first_each_without_the_other() -> None:
    cells = {("A", "N"): Count(20, 8), ("B", "N"): Count(20, 16), ("C", "N"): Count(200, 0), ("C", "S"): Count(200, 4)}
    assert stopped(cells) == [Finding(model("B"), Count(20, 16)), Finding(model("A"), Count(20, 8))]


@pytest.mark.parametrize(("others", "part"), [(20, model("A")), (19, ALL)])
def test_slices_that_hold_more_than_half_of_what_began_stop_everything(others: int, part: Slice) -> None:
    cells = {("A", "N"): Count(20, 10), ("B", "S"): Count(others, 0)}
    whole = Count(20 + others, 10)
    assert stopped(cells) == [Finding(part, Count(20, 10) if part.dimension else whole)]


def test_where_only_all_together_is_bad_all_of_it_stops() -> None:
    cells = {(f"m{n}", f"s{n}"): Count(4, 1) for n in range(40)}
    assert stopped(cells) == [Finding(ALL, Count(160, 40))]


def test_a_slice_that_stands_still_is_not_stopped_twice_nor_counted_for_others() -> None:
    cells = {("A", "North"): Count(12, 8), ("B", "North"): Count(12, 0), ("B", "South"): Count(60, 1)}
    assert stopped(cells, model("A")) == []
    assert stopped(cells, ALL) == []
    late = {**cells, ("C", "South"): Count(20, 9)}
    assert stopped(late, model("A")) == [Finding(model("C"), Count(20, 9))]


@given(st.dictionaries(st.tuples(st.sampled_from("ABC"), st.sampled_from("NS")), COUNTS, min_size=1))
def test_what_is_left_after_a_halt_is_not_bad(cells: dict[tuple[str, str], Count]) -> None:
    found = stopped(cells)
    parts = [one.part for one in found]
    assert len(parts) == len(set(parts))
    assert ALL not in parts or parts == [ALL]
    assert all(one.figures.begun >= one.figures.failed > 0 for one in found)
    assert stopped(cells, *parts) == []


# --- openings ---

SHARE = Opening(done_share=0.9, soak_hours=24)
ALL_ENDED = ": all have ended, a person may open it"


@pytest.mark.parametrize(
    ("opening", "before", "words"),
    [
        (Opening(), None, ""),
        (Opening(at=NOW + 1), None, "its time has not come"),
        (Opening(at=NOW), None, ""),
        (Opening(at=NOW - 1, by_hand=True), None, "a person to open it"),
        (Opening(by_hand=True), Progress(10, 0, 0, 0), "a person to open it"),
        (SHARE, Progress(1000, 500, 600, 0), "500 of 1,000 are done in the wave before it (50%), 90% are asked for"),
        (SHARE, Progress(10, 5, 10, 0), f"5 of 10 are done in the wave before it (50%), 90% are asked for{ALL_ENDED}"),
        (SHARE, Progress(0, 0, 0, 0), f"0 of 0 are done in the wave before it (100%), 90% are asked for{ALL_ENDED}"),
        (SHARE, Progress(10, 9, 9, NOW - 4 * HOUR), "the wave before it to soak, 20 more hours"),
        (SHARE, Progress(10, 9, 9, NOW - 24 * HOUR + 25 * MINUTE), "the wave before it to soak, 1 more hour"),
        (SHARE, Progress(10, 9, 9, NOW - 24 * HOUR), ""),
        (Opening(soak_hours=0.5), Progress(10, 0, 0, NOW - 30 * MINUTE), ""),
        (Opening(done_share=0.5, by_hand=True), Progress(10, 5, 5, NOW), "a person to open it"),
        (Opening(done_share=1), Progress(9), "0 of 9 are done in the wave before it (0%), 100% are asked for"),
        (Opening(at=NOW + 1, done_share=0.5), Progress(10, 4, 4, 0), "its time has not come"),
        (SHARE, None, ""),
    ],
)  # fmt: skip
def test_a_wave_says_what_it_waits_for(opening: Opening, before: Progress | None, words: str) -> None:
    assert waits_for(opening, NOW, before, stopped=False, allowed=False) == words
    assert waits_for(opening, NOW, before, stopped=True, allowed=True) == ""


@pytest.mark.parametrize(("hours", "length"), [(24, 24 * HOUR), (0.5, 30 * MINUTE)])
def test_a_wave_soaks_to_the_last_moment(hours: float, length: int) -> None:
    opening = Opening(done_share=0.9, soak_hours=hours)
    just, over = Progress(10, 9, 9, NOW - length + 1), Progress(10, 9, 9, NOW - length)
    assert "to soak" in waits_for(opening, NOW, just, stopped=False, allowed=False)
    assert waits_for(opening, NOW, over, stopped=False, allowed=False) == ""


def test_a_halt_keeps_waves_shut_that_follow_another_and_no_others() -> None:
    ready = Progress(10, 10, 10, NOW - 48 * HOUR)
    assert waits_for(SHARE, NOW, ready, stopped=True, allowed=False) == "a person to lift what was halted"
    assert waits_for(Opening(at=NOW), NOW, ready, stopped=True, allowed=False) == ""


def test_progress_is_nothing_until_it_is_told() -> None:
    assert waits_for(SHARE, NOW, Progress(), stopped=False, allowed=False).startswith("0 of 0 are done")


# --- places ---


@pytest.mark.parametrize(
    ("pace", "done", "healthy", "after"),
    [(20, 19, True, 20), (20, 20, True, 40), (20, 21, True, 40), (20, 99, False, 20), (0, 9, True, 0), (1, 1, True, 2)],
)  # fmt: skip
def test_the_pace_doubles_once_as_many_are_done_and_nothing_stands_still(
    pace: int, done: int, healthy: bool, after: int
) -> None:
    assert next_pace(pace, done, healthy=healthy) == after


def test_a_device_takes_a_place_until_its_end() -> None:
    assert {state for state in State if not is_under_way(state)} == ENDS


def test_a_slot_is_free_again_as_soon_as_the_download_is_there() -> None:
    free = {
        State.DOWNLOADED,
        State.DEFERRED,
        State.INSTALLING,
        State.VERIFYING,
        State.DONE,
        State.NOTIFIED,
        State.FAILED,
    }
    assert not free & LOADS
    assert {State.HELD, State.KNOCKING, State.LISTING, State.QUEUED, State.NOT_NOW, State.DOWNLOADING} < LOADS
