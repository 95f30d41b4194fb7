"""How many ids a second a server is sent."""

from random import Random

import pytest

from osupdate_kit.service.sender import Rate


@pytest.mark.parametrize("per_second", [3.0, 40.0, 500.0, 1_500.0])
@pytest.mark.parametrize("seed", range(5))
def test_a_rate_is_kept_within_a_twentieth_over_ten_seconds(per_second: float, seed: int) -> None:
    """However long a call takes, and although an idle thread looks again only after a fifth of a second."""
    luck, now, sent = Random(seed), 0.0, list[tuple[float, int]]()
    rate = Rate(per_second, seconds=lambda: now)
    while now < 60:
        if rate.allows():
            ids = rate.most(200)
            rate.spend(ids)
            sent.append((now, ids))
            now += luck.uniform(0, 0.1)
        else:
            now += 0.2
    for begins in range(1, 49, 7):
        within = sum(ids for at, ids in sent if begins <= at < begins + 10)
        assert within == pytest.approx(10 * per_second, rel=0.05, abs=1)


def test_without_a_rate_nothing_waits() -> None:
    rate = Rate(0)
    rate.spend(1_000_000)
    assert rate.allows()
    assert rate.most(200) == 200


def test_an_hour_of_silence_is_not_made_up_for() -> None:
    now = 0.0
    rate = Rate(100, seconds=lambda: now)
    rate.spend(100)
    now = 3600.0
    sent = 0
    while rate.allows():
        rate.spend(25)
        sent += 25
    assert sent <= 125
