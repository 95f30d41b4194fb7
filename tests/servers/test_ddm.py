"""The way to a server of declarations: what a broken line proves, when a dead one is given up, how reports move."""

import threading
from collections.abc import Callable, Mapping

import pytest
import requests

from osupdate_kit.lab.clock import SECOND, VirtualClock
from osupdate_kit.lab.ddm import LabDDM
from osupdate_kit.lab.http import Call as Received
from osupdate_kit.lab.http import Loopback
from osupdate_kit.lab.server import LabServer, Response
from osupdate_kit.protocol.declarations import ActivationSimple, encode
from osupdate_kit.rollout.ports import Outcome
from osupdate_kit.servers.ddm import DIALECTS, KMFDDM, Declarations
from osupdate_kit.servers.transport import Answer, Call, in_process_session

KEY = "ddm-key"
Q, R, N, U = Outcome.QUEUED, Outcome.REFUSED, Outcome.UNTAKEN, Outcome.UNKNOWN
BODY = encode(ActivationSimple(configurations=("a",)), "name")


class Line:
    """The lab's KMFDDM behind a line that a test breaks."""

    def __init__(
        self,
        before: Callable[[Call], None] = lambda call: None,
        after: Callable[[Call, Answer], Answer] = lambda call, answer: answer,
        *,
        connections: int = 4,
    ) -> None:
        clock = VirtualClock(1_795_000_000 * SECOND)
        self.ddm = LabDDM(clock, KEY)
        self.server = LabServer(clock, "key", declarations=self.ddm)
        self.calls: list[Call] = []

        def count(call: Call) -> None:
            self.calls.append(call)
            before(call)

        self.kit = Declarations(
            "school", KMFDDM, "http://lab", KEY, connections=connections,
            session=lambda: in_process_session(self.server.handle_declarations, before=count, after=after),
        )  # fmt: skip

    def report(self, udid: str, word: str, *, full: bool = False) -> None:
        told = f'{{"StatusItems":{{"softwareupdate":{{"install-state":"{word}"}}}},"FullReport":{str(full).lower()}}}'
        assert self.ddm.device("status", udid, told.encode()) == (200, b"")


def answers(status: int, body: bytes) -> Callable[[Call, Answer], Answer]:
    return lambda call, answer: Response(status=status, headers={}, body=body)


def fails(error: requests.RequestException) -> Callable[[Call], None]:
    def fail(call: Call) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (204, b"", Q),
        (304, b"", Q),
        (200, b"<html>a proxy's page</html>", U),
        (200, b"", U),
        (500, b"<html>error</html>", U),
        (502, b"bad gateway", U),
        (503, b'{"message":"busy"}', U),
        (500, b'{"error":"declaration not found"}', R),
        (400, b'{"error":"invalid declaration"}', R),
        (401, b"Unauthorized", N),
        (302, b"", N),
        (404, b"404 page not found", N),
        (429, b"", N),
        (500, b'{"error":"notify enrollment: enqueueing DM command: push error"}', Q),
    ],
)
def test_an_answer_proves_so_much_and_no_more(status: int, body: bytes, outcome: Outcome) -> None:
    kit = Line(after=answers(status, body)).kit
    assert kit.put(BODY).outcome is outcome
    assert kit.assign("set", ["A"]).outcomes == {"A": outcome}
    assert bool(kit.assign("set", ["A"]).reasons) is (body.startswith(b'{"error":"notify') or outcome is not Q)


@pytest.mark.parametrize(
    ("error", "outcome"), [(requests.ReadTimeout(), U), (requests.ConnectionError(), U), (requests.ConnectTimeout(), N)]
)
def test_a_line_that_breaks_is_an_answer(error: requests.RequestException, outcome: Outcome) -> None:
    line = Line(before=fails(error), connections=1)
    assert line.kit.put(BODY).outcome is outcome
    found = line.kit.assign("set", ["A", "B", "C"])
    assert list(found.outcomes.values()) == [outcome, N, N]
    assert set(found.reasons) == {"A", "B", "C"}
    assert len(line.calls) == 2
    assert line.kit.declarations().trouble
    assert line.kit.get("x").trouble
    assert line.kit.given("A").trouble
    assert line.kit.declaration_status(["A"]).troubles.keys() == {"A"}
    answer = line.kit.reports({"A": "mark", "B": "b"})
    assert [(answer[one].mark, answer[one].whole) for one in "AB"] == [("mark", False), ("b", False)]
    assert all(answer[one].trouble for one in "AB")


def test_a_dead_server_is_given_up_after_a_call_of_each_connection() -> None:
    line = Line(before=fails(requests.ConnectTimeout()))
    ids = [f"D{number}" for number in range(500)]
    assert set(line.kit.assign("set", ids).outcomes.values()) == {N}
    assert len(line.calls) <= 4


def test_a_refusal_of_one_device_is_no_refusal_of_the_next() -> None:
    def after(call: Call, answer: Answer) -> Answer:
        return Response(status=500, headers={}, body=b'{"error":"odd"}') if "/B" in call.path else answer

    found = Line(after=after).kit.assign("set", ["A", "B", "C"])
    assert (found.outcomes, found.reasons) == ({"A": Q, "B": R, "C": Q}, {"B": "odd"})


def test_ids_that_no_call_may_carry_are_refused_with_the_reason() -> None:
    line = Line()
    found = line.kit.assign("set", ["A", "x,y", "a.b", "", "a/b"])
    assert found.outcomes == {"A": Q, "x,y": R, "a.b": R, "": R, "a/b": R}
    assert "dot" in found.reasons["a.b"]
    assert len(line.calls) == 1


def test_a_report_that_comes_in_during_the_walk_is_neither_lost_nor_told_twice() -> None:
    def meanwhile(call: Call) -> None:
        if call.query.get("index") == "1":
            line.report("A", "prepared")

    line = Line(before=meanwhile)
    for word in ("none", "waiting", "downloading"):
        line.report("A", word, full=word == "none")
    first = line.kit.reports({"A": ""})["A"]
    assert [one.report.install_state_text for one in first.reports if one.report] == ["none", "waiting", "downloading"]
    assert first.whole
    line.report("A", "installing")
    news = line.kit.reports({"A": first.mark})["A"]
    assert [one.report.install_state_text for one in news.reports if one.report][:1] == ["prepared"]


def test_a_report_that_cannot_be_read_stays_where_it_was() -> None:
    line = Line()
    line.report("A", "none", full=True)
    assert line.ddm.device("status", "A", b'{"StatusItems":{"x":"\\u0000"}}')[0] == 200
    answer = line.kit.reports({"A": ""})["A"]
    assert [one.report is None for one in answer.reports] == [False, True]
    assert answer.reports[-1].report_id == answer.mark


def test_a_server_that_has_forgotten_its_reports_begins_anew() -> None:
    line = Line()
    line.report("A", "none")
    answer = line.kit.reports({"A": "a-report-of-yesterday"})["A"]
    assert (len(answer.reports), answer.whole) == (1, True)


def test_a_device_without_news_costs_one_call() -> None:
    line = Line()
    for number in range(30):
        line.report("A", "waiting" if number % 2 else "none")
    mark = line.kit.reports({"A": ""}, most=50)["A"].mark
    line.calls.clear()
    assert line.kit.reports(dict.fromkeys(["A"], mark))["A"].reports == ()
    assert len(line.calls) == 1


def test_the_check_says_what_stands_there_instead() -> None:
    def page(call: Received) -> Response:
        if call.path == "/version":
            return Response(status=200, headers={}, body=b'{"version":"1"}')
        return Response(status=404, headers={}, body=b"404 page not found")

    with Loopback(page) as other:
        found = Declarations("school", KMFDDM, other.url, KEY).check()
    assert not found.ok
    assert "/v1/" in found.message
    assert found.remedy
    assert not Declarations("school", KMFDDM, other.url, KEY).check().ok  # nobody is there any more


def test_cookies_and_keys_go_where_they_belong() -> None:
    seen: list[Mapping[str, str]] = []

    def take(call: Received) -> Response:
        seen.append({name.lower(): value for name, value in call.headers.items()})
        return Response(status=204, headers={"Set-Cookie": "node=7; Path=/"}, body=b"")

    with Loopback(take) as server:
        kit = Declarations("school", KMFDDM, server.url, KEY, connections=1)
        for _ in range(2):
            assert kit.put(BODY).outcome is Q
        kit.delete("name")
    assert [headers.get("cookie") for headers in seen] == [None, "node=7", "node=7"]
    assert len({headers["authorization"] for headers in seen}) == 1
    assert [headers.get("content-type") for headers in seen] == ["application/json", "application/json", None]


def test_many_threads_may_use_one_adapter() -> None:
    line = Line()
    found: list[Outcome] = []

    def assign(number: int) -> None:
        found.extend(line.kit.assign(f"set-{number}", [f"D{i}" for i in range(50)]).outcomes.values())

    threads = [threading.Thread(target=assign, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [Q] * 300
    assert line.kit.sets_of("D7").names == {f"set-{number}" for number in range(6)}


def test_a_dialect_goes_by_the_name_in_the_settings() -> None:
    assert {name: dialect.name for name, dialect in DIALECTS.items()} == {"kmfddm": "KMFDDM", "nanohub": "NanoHUB"}
