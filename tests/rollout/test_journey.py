"""The rows and values beside a journey: before anything is known they claim nothing; what is stored keeps its words."""

from collections.abc import Iterable
from itertools import pairwise, permutations

import pytest

from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.rollout.events import EventKind, RolloutEvent
from osupdate_kit.rollout.journey import (
    Armed,
    Box,
    Instrument,
    Journey,
    Member,
    OutboxKind,
    OutboxRow,
    OutboxStatus,
)
from osupdate_kit.rollout.ports import (
    Change,
    DeclarationsOnDevices,
    EnqueueAnswer,
    Names,
    Outcome,
    PushAnswer,
    ReceivedReport,
    ReportsAnswer,
    ServerCheck,
    ServerEvent,
    StoredDeclaration,
    Topic,
)
from osupdate_kit.rollout.state import Step

KEY = DeviceKey("mdm", "D")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (Journey(rollout=1, key=KEY, state="held"), {"rollout", "key", "state", "route"}),
        (Member(key=KEY), {"key", "instrument"}),
        (OutboxRow(key=KEY, rollout=1, kind=OutboxKind.STEP), {"key", "rollout", "kind", "status"}),
        (RolloutEvent(key=KEY, kind=EventKind.IDLE, at=1, recorded_at=2, digest="d"),
         {"key", "kind", "at", "recorded_at", "digest"}),
        (ServerEvent(topic=Topic.CONNECT, created_at=1, enrollment_id="D"), {"topic", "created_at", "enrollment_id"}),
        (EnqueueAnswer(outcomes={"D": Outcome.QUEUED}), {"outcomes"}),
        (PushAnswer(pushed=frozenset("D")), {"pushed"}),
        (ServerCheck(server="mdm", ok=True), {"server", "ok"}),
        (Change(outcome=Outcome.QUEUED), {"outcome"}),
        (StoredDeclaration(identifier="i"), {"identifier"}),
        (ReceivedReport(report=None, received_at=1, report_id="r"), {"received_at", "report_id"}),
        (Names(), set()),
        (DeclarationsOnDevices(), set()),
        (ReportsAnswer(), {"whole"}),
    ],
)  # fmt: skip
def test_what_nobody_has_told_is_empty(value: object, told: set[str]) -> None:
    fields = getattr(value, "__struct_fields__", None) or tuple(getattr(value, "__dataclass_fields__", ()))
    assert {name for name in fields if getattr(value, name)} == told


def test_a_member_goes_by_nothing_until_its_verdict_and_a_journey_by_command_until_its_route_is_read() -> None:
    assert Member(key=KEY).instrument is Instrument.NONE
    assert Journey(rollout=1, key=KEY, state="held").route is Instrument.COMMAND
    assert OutboxRow(key=KEY, rollout=1, kind=OutboxKind.STEP).status is OutboxStatus.INTENDED


def test_who_is_not_armed_is_false() -> None:
    assert [bool(armed) for armed in (Armed.NO, Armed.ON_SERVER, Armed.ON_DEVICE)] == [False, True, True]


def box_after(boxes: Iterable[Box]) -> int:
    step = Step(1)
    for box in boxes:
        step = step.join(Step(1, box=box))
    return step.box


def test_the_later_word_on_an_intention_wins_and_queued_is_a_proof_that_wins_over_all() -> None:
    story = [Box.INTENDED, Box.SENDING, Box.WITHDRAWN, Box.REFUSED, Box.QUEUED]
    assert all(one < other for one, other in pairwise(story))
    for length in range(1, len(story) + 1):
        assert {box_after(order) for order in permutations(story[:length])} == {story[length - 1]}
