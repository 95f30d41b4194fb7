"""How a device stands with its declaration, and how long until it enforces it."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osupdate_kit.rollout.deadlines import BOUNDS, Due, Standing, due, left_words, standing
from osupdate_kit.rollout.journey import Armed, Instrument
from osupdate_kit.rollout.policy import DAY, HOUR, MINUTE
from osupdate_kit.rollout.state import ENDS, State

NOW = 1_795_507_200_000_000
SOON = NOW + 3 * HOUR


@pytest.mark.parametrize(
    ("state", "armed", "enforce_at", "where", "when"),
    [
        (State.HELD, Armed.NO, 0, Standing.NOT_YET, Due.NOT_YET),
        (State.QUEUED, Armed.ON_SERVER, SOON, Standing.ON_SERVER, Due.DAY),
        (State.SCHEDULED, Armed.ON_DEVICE, SOON, Standing.ON_DEVICE, Due.DAY),
        (State.DOWNLOADED, Armed.ON_DEVICE, NOW, Standing.LATE, Due.OVERDUE),
        (State.SILENT, Armed.ON_DEVICE, NOW + 2 * DAY, Standing.ON_DEVICE, Due.THREE_DAYS),
        (State.HELD, Armed.ON_DEVICE, SOON, Standing.LEAVING, Due.DAY),
        (State.HELD, Armed.NO, SOON, Standing.TAKEN_BACK, Due.TAKEN_BACK),
        (State.DONE, Armed.ON_DEVICE, SOON, Standing.NO, None),
        (State.FAILED, Armed.NO, SOON, Standing.NO, None),
    ],
)  # fmt: skip
def test_where_a_declaration_stands_follows_from_the_journey(
    state: State, armed: Armed, enforce_at: int, where: Standing, when: Due | None
) -> None:
    assert standing(state, Instrument.DECLARATION, armed, enforce_at, NOW) is where
    assert due(where, enforce_at, NOW) is when
    assert standing(state, Instrument.COMMAND, armed, enforce_at, NOW) is Standing.NO


@given(st.sampled_from(State), st.sampled_from(Armed), st.integers(-40 * DAY, 40 * DAY))
def test_every_declared_device_that_goes_on_is_due_at_one_time_and_no_other_is(
    state: State, armed: Armed, left: int
) -> None:
    where = standing(state, Instrument.DECLARATION, armed, NOW + left, NOW)
    when = due(where, NOW + left, NOW)
    assert (when is None) == (state in ENDS)
    if when and where.in_force:
        assert (when is Due.OVERDUE) == (left <= 0)
        assert bool(left_words(NOW + left, NOW).endswith("late")) == (left <= 0)


@pytest.mark.parametrize(
    ("left", "when"),
    [
        (24 * HOUR, Due.DAY), (24 * HOUR + 1, Due.THREE_DAYS), (72 * HOUR, Due.THREE_DAYS), (72 * HOUR + 1, Due.WEEK),
        (7 * DAY, Due.WEEK), (7 * DAY + 1, Due.LATER), (1, Due.DAY), (0, Due.OVERDUE), (-1, Due.OVERDUE),
    ],
)  # fmt: skip
def test_a_deadline_is_counted_by_its_name(left: int, when: Due) -> None:
    for where in (Standing.ON_SERVER, Standing.ON_DEVICE, Standing.LATE, Standing.LEAVING):
        assert due(where, NOW + left, NOW) is when
    assert due(Standing.NOT_YET, NOW + left, NOW) is Due.NOT_YET
    assert due(Standing.TAKEN_BACK, NOW + left, NOW) is Due.TAKEN_BACK
    assert due(Standing.NO, NOW + left, NOW) is None


def test_what_may_still_make_a_device_install_is_in_force() -> None:
    in_force = {Standing.ON_SERVER, Standing.ON_DEVICE, Standing.LATE, Standing.LEAVING}
    assert {where for where in Standing if where.in_force} == in_force


def test_the_bounds_rise_and_meet() -> None:
    bounds = [bound for _, bound in BOUNDS]
    assert bounds == sorted(bounds)
    times = [0, 1, *(bound + more for bound in bounds for more in (0, 1))]
    whens = [due(Standing.ON_DEVICE, NOW + left, NOW) for left in times]
    assert whens == [
        Due.OVERDUE,
        Due.DAY,
        Due.DAY,
        *itertools.chain(*[(d, d) for d in (Due.THREE_DAYS, Due.WEEK)]),
        Due.LATER,
    ]


@pytest.mark.parametrize(
    ("left", "words"),
    [(3 * DAY + HOUR, "3 d left"), (47 * HOUR, "47 h left"), (59 * MINUTE, "59 min left"), (-2 * HOUR, "2 h late"),
     (0, "0 min late"), (-50 * HOUR, "2 d late"),
     (48 * HOUR, "2 d left"), (48 * HOUR - 1, "47 h left"), (HOUR, "1 h left"), (HOUR - 1, "59 min left"),
     (MINUTE - 1, "0 min left"), (-HOUR, "1 h late"), (1, "0 min left"), (72 * HOUR - 1, "2 d left")],
)  # fmt: skip
def test_time_left_is_told_in_one_unit(left: int, words: str) -> None:
    assert left_words(NOW + left, NOW) == words
    assert left_words(0, NOW) == ""
