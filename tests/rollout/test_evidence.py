"""Progress is a rank: what is further on is more, and what happens within one step never outranks the next step."""

from hypothesis import given
from hypothesis import strategies as st

from osupdate_kit.protocol.results import CommandResult, read_result
from osupdate_kit.protocol.terms import RequestType
from osupdate_kit.rollout.evidence import words_of
from osupdate_kit.rollout.state import Facts, Step

QUERY = {"of": "query", "type": RequestType.OS_UPDATE_STATUS}


def told(*items: dict[str, object]) -> CommandResult:
    return read_result({"UDID": "U", "CommandUUID": "C", "Status": "Acknowledged", "OSUpdateStatus": list(items)})


def rank(*items: dict[str, object], steps: int = 1) -> int:
    facts = Facts(steps={number: Step(1) for number in range(1, steps + 1)})
    return int(words_of(told(*items), QUERY, facts).get("progress", 0))


def item(status: str, *, there: bool = False, share: float = 0.0, remaining: int | None = None) -> dict[str, object]:
    words: dict[str, object] = {
        "ProductKey": "k", "Status": status, "IsDownloaded": there, "DownloadPercentComplete": share,
    }  # fmt: skip
    return words | ({"MaxDeferrals": 5, "DeferralsRemaining": remaining} if remaining is not None else {})


def test_each_stage_outranks_the_one_before() -> None:
    ranks = [
        rank(item("Idle")),
        rank(item("Downloading")),
        rank(item("Downloading", share=0.4)),
        rank(item("Downloading", share=0.9)),
        rank(item("Idle", there=True)),
        rank(item("Idle", there=True, remaining=4)),
        rank(item("Idle", there=True, remaining=2)),
        rank(item("Installing", there=True)),
    ]
    assert ranks == sorted(ranks)
    assert len(set(ranks)) == len(ranks)


def test_of_several_items_the_furthest_counts() -> None:
    near, far = item("Downloading", share=0.2), item("Installing", there=True)
    assert rank(near, far) == rank(far, near) == rank(far)


STAGES = st.builds(
    item,
    st.sampled_from(["Idle", "Downloading", "Installing"]),
    there=st.booleans(),
    share=st.floats(0, 1),
    remaining=st.none() | st.integers(0, 5),
)


@given(STAGES, STAGES, st.integers(1, 5))
def test_nothing_within_a_step_outranks_the_next_step(
    one: dict[str, object], other: dict[str, object], steps: int
) -> None:
    later = rank(other, steps=steps + 1)
    assert not later or rank(one, steps=steps) < later
