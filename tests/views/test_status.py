"""The finding of a rollout: one sentence or two, true for any counts."""

import pytest

from osupdate_kit.views.status import RolloutStatusView


def finding(**states: int) -> str:
    return RolloutStatusView(
        rollout=1, name="may", status="running", reason="", as_of="now", target="26.5", deadline_at="then",
        selected=sum(states.values()), excluded={}, states=states, failures={}, armed=(),
    ).finding  # fmt: skip


@pytest.mark.parametrize(
    ("states", "words"),
    [
        ({"done": 4, "failed": 1, "queued": 2, "barred": 3}, "4 of 7 devices run 26.5. 1 needs a person."),
        ({"done": 1, "failed": 1, "silent": 1}, "1 of 3 devices runs 26.5. 2 need a person."),
        ({"queued": 1}, "0 of 1 device run 26.5. The others are on their way."),
        ({"done": 1_200, "barred": 1}, "All 1,200 devices run 26.5."),
        ({"done": 1}, "The device runs 26.5."),
        ({"barred": 2}, "None of 2 devices can take 26.5."),
    ],
)
def test_finding_speaks_of_one_and_of_many(states: dict[str, int], words: str) -> None:
    assert finding(**states) == words
