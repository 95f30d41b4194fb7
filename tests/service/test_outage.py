"""Servers that take no calls for hours, by the kit's figures and the fleet's own log."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import requests
from urllib3.exceptions import NewConnectionError

from osupdate_kit.kit import Kit
from osupdate_kit.lab.server import Response
from osupdate_kit.rehearsal import SERVER, Rehearsal
from osupdate_kit.rollout.alerts import AlertKind
from osupdate_kit.servers.ddm import KMFDDM, Declarations
from osupdate_kit.servers.nanomdm import NanoMDM
from osupdate_kit.servers.transport import Call, in_process_session
from tests.service.test_declaring import WORDS, given, site, states

KEY = "rehearsal"


class Lines:
    """The lines to the MDM server and to its declarations, each of which a test can cut; the calls on them."""

    def __init__(self, rehearsal: Rehearsal) -> None:
        self.cut: set[str] = set()
        self.locked: set[str] = set()
        self.calls: list[str] = []
        self.keeps = (
            ""  # of the calls by which sets are given (PUT) or taken back (DELETE): underway, without an answer
        )
        self.underway: list[Call] = []
        lab, kit = rehearsal.world.server, rehearsal.kit
        adapter = NanoMDM(
            SERVER, "http://lab.invalid", KEY,
            session=in_process_session(self._door("commands", lab.handle), before=self._before("commands")),
        )  # fmt: skip
        beside = Declarations(
            SERVER, KMFDDM, "http://lab.invalid", KEY,
            session=lambda: in_process_session(
                self._door("declarations", lab.handle_declarations), before=self._before("declarations")
            ),
        )  # fmt: skip
        self.kit = Kit(
            kit.ledger, {SERVER: adapter}, rehearsal.clock, kit.cadences, who="ada", declarations={SERVER: beside}
        )
        self.rehearsal = Rehearsal(self.kit, rehearsal.world, self.kit.turns(), rehearsal.clock, rehearsal.truth)

    def _before(self, name: str) -> Callable[[Call], None]:
        def before(call: Call) -> None:
            self.calls.append(name)
            if name in self.cut:
                raise requests.ConnectionError(NewConnectionError(None, "Connection refused"))
            if call.method == self.keeps and call.path.startswith("/v1/enrollment-sets/"):
                self.underway.append(call)
                raise requests.ReadTimeout("no answer")

        return before

    def let_go(self) -> set[str]:
        """What was underway comes to the server of declarations now; to which devices."""
        late = {unquote(call.path.rpartition("/")[2]) for call in self.underway}
        for call in self.underway:
            self.rehearsal.world.server.handle_declarations(call.method, call.path, call.query, call.headers, call.body)
        self.underway.clear()
        return late

    def _door(self, name: str, handle: Callable[..., Response]) -> Callable[..., Response]:
        def answer(*words: Any) -> Response:
            return Response(status=401, headers={}, body=b"Unauthorized\n") if name in self.locked else handle(*words)

        return answer


@pytest.fixture
def lines(tmp_path: Path) -> Lines:
    return Lines(site(tmp_path))


def alerts(lines: Lines) -> list[tuple[str, str]]:
    with lines.kit.ledger.read() as tx:
        return [(said.kind, said.subject) for said in tx.open_alerts()]


@pytest.mark.parametrize("reason", ["no connection can be made", "it does not accept the API key"])
@pytest.mark.parametrize(("calls", "state"), [("declarations", "held"), ("commands", "knocking")])
def test_no_device_fails_for_a_server_that_takes_no_calls_and_all_go_on_when_it_does(
    lines: Lines, calls: str, state: str, reason: str
) -> None:
    kit, rehearsal = lines.kit, lines.rehearsal
    words = WORDS if calls == "declarations" else {"target": "26.6.1", "deadline": "5d", "declaring_servers": {}}
    shut = lines.locked if "key" in reason else lines.cut
    shut.add(calls)
    rollout = kit.start(kit.plan(kit.select(), tries=1, **words))
    rehearsal.run(0.25)
    assert states(rehearsal, rollout) == {state: 8}
    assert lines.calls.count(calls) <= 6 * 60  # one a minute
    assert alerts(lines) == [(AlertKind.UNTAKEN, f"{SERVER} {calls}")]
    found = kit.why(next(iter(rehearsal.world.devices)))
    assert f"It waits for {SERVER}, which takes no {calls}: {reason}" in found.finding
    shut.clear()
    rehearsal.run(3)
    assert states(rehearsal, rollout) == {"done": 8}
    assert alerts(lines) == []


def test_what_was_declared_is_taken_back_though_the_server_is_away_when_the_rollout_is_cancelled(lines: Lines) -> None:
    kit, rehearsal = lines.kit, lines.rehearsal
    rollout = kit.start(kit.plan(kit.select(), **WORDS))
    rehearsal.run(0.05)
    assert len(given(rehearsal)) == 8
    lines.cut.add("declarations")
    kit.act("cancel", rollout.id)
    rehearsal.run(0.5)
    assert len(kit.status(rollout.id).armed) == 8
    lines.cut.clear()
    rehearsal.run(0.1)
    assert not given(rehearsal)
    rehearsal.run(0.5)
    assert not kit.status(rollout.id).armed


def sets(rehearsal: Rehearsal) -> dict[str, frozenset[str]]:
    """By device, what the server of declarations gives it."""
    server = rehearsal.kit.declarations[SERVER]
    return {udid: server.sets_of(udid).names for udid in rehearsal.world.devices}


@pytest.mark.parametrize(
    ("keeps", "acts", "days", "many"),
    [
        ("PUT", ["pause"], 0.06, 0),  # what is given too late, and was taken back
        ("DELETE", ["pause", "resume"], 0.06, 1),  # what is taken back too late, and was given again
        ("PUT", ["pause", "resume"], 0.6, 1),  # what is given too late, beside another
    ],
)
def test_a_call_that_comes_hours_late_is_set_right_within_a_day_and_the_device_told(
    lines: Lines, keeps: str, acts: list[str], days: float, many: int
) -> None:
    kit, rehearsal = lines.kit, lines.rehearsal
    rollout = kit.start(kit.plan(kit.select(), **WORDS | {"enforce_days": 6, "deadline": "9d"}))
    for act in ["", *acts]:
        if act:
            kit.act(act, rollout.id)
        lines.keeps = keeps
        rehearsal.run(0.02)
        lines.keeps = ""
        rehearsal.run(days)
    right = sets(rehearsal)
    assert {len(names) for names in right.values()} == {many}
    late = lines.let_go()
    wrong = {udid for udid, names in sets(rehearsal).items() if names != right[udid]}
    assert wrong
    assert wrong <= late
    rehearsal.run(1)
    assert sets(rehearsal) == right
    assert states(rehearsal, rollout) == {"downloaded" if many else "held": 8}
    title = "Assigned the declaration" if many else "Declaration taken back"
    for udid in wrong:
        story = list(rollout.story(udid)["what"])
        assert "Told of its declarations" in story[story.index(f"{title}, once more") :]
    assert not kit.verify()
