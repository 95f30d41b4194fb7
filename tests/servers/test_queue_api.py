"""What each answer of the queue's API proves about each device: one hand-made answer after another, for both kinds."""

import json
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Barrier, Thread
from typing import Any, get_args

import pytest
import requests

from osupdate_kit.lab.clock import VirtualClock
from osupdate_kit.lab.http import Call as HTTPCall
from osupdate_kit.lab.http import Loopback
from osupdate_kit.lab.server import LabServer, basic_authorization
from osupdate_kit.lab.server import Response as LabResponse
from osupdate_kit.rollout.ports import Outcome
from osupdate_kit.servers.kinds import KINDS
from osupdate_kit.servers.nanohub import NanoHUB
from osupdate_kit.servers.nanomdm import NanoMDM
from osupdate_kit.servers.queue_api import QueueServer
from osupdate_kit.servers.transport import Call, in_process_session
from osupdate_kit.settings import ServerSettings

KEY = "planted-api-key"
UUID = "11297CF5-D6FC-457F-A1B3-EB9A7CD1AEB2"
BODY = f"""<?xml version="1.0" encoding="UTF-8"?>
<plist version="1.0"><dict><key>CommandUUID</key><string>{UUID}</string>
<key>Command</key><dict><key>RequestType</key><string>OSUpdateStatus</string></dict></dict></plist>""".encode()
TOLD = {"command_uuid": UUID, "request_type": "OSUpdateStatus"}
FOREIGN_KEY = (
    'pq: insert or update on table "enrollment_queue" violates foreign key constraint "enrollment_queue_id_fkey"'
)
NO_CERT = 'retrieving push cert for topic "com.apple.mgmt.External.x": getting x.pem: key not found: x.pem'


@dataclass
class Answer:
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def says(status: int, value: Mapping[str, Any], **headers: str) -> Answer:
    return Answer(status, json.dumps(value, indent="\t").encode(), headers)


def server(
    answer: Answer | Callable[[Call], Answer],
    calls: list[Call] | None = None,
    *,
    made: type[QueueServer] = NanoMDM,
    **options: Any,
) -> QueueServer:
    def handle(method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes) -> Answer:
        call = Call(method, path, query, headers, body)
        if calls is not None:
            calls.append(call)
        return answer(call) if callable(answer) else answer

    return made("school", "http://mdm.test:9000/", KEY, session=in_process_session(handle), **options)


Q, R, N, U = Outcome.QUEUED, Outcome.REFUSED, Outcome.UNTAKEN, Outcome.UNKNOWN

TABLE = {
    "good, no push": (says(200, {"no_push": True} | TOLD), Q, Q, set(), False),
    "good, both woken": (
        says(200, {"status": {"A": {"push_result": "x"}, "B": {"push_result": "y"}}} | TOLD), Q, Q, {"A", "B"}, False,
    ),
    "no push certificate": (says(500, {"push_error": NO_CERT} | TOLD), Q, Q, set(), False),
    "one unknown to the pusher": (
        says(207, {"status": {"A": {"push_result": "x"}, "B": {"push_error": "push data missing for id"}}} | TOLD),
        Q, Q, {"A"}, False,
    ),
    "nobody can be pushed, kv": (
        says(500, {"status": {"A": {"push_error": "push data missing for id"},
                              "B": {"push_error": "push data missing for id"}}} | TOLD), Q, Q, set(), False,
    ),
    "push error for one, no certificate": (
        says(500, {"status": {"B": {"push_error": "push data missing for id"}}, "push_error": NO_CERT} | TOLD),
        Q, Q, set(), False,
    ),
    "one refused": (says(207, {"status": {"B": {"command_error": "disk full"}}} | TOLD), Q, R, set(), False),
    "one known before": (
        says(207, {"status": {"B": {"command_error": f"command already exists: {UUID}"}}} | TOLD), Q, Q, set(), False,
    ),
    "foreign key": (says(500, {"no_push": True, "command_error": FOREIGN_KEY} | TOLD), R, R, set(), True),
    "same UUID again, kv": (says(500, {"command_error": f"command already exists: {UUID}"} | TOLD), Q, Q, set(), False),
    "same UUID again, pgsql": (
        says(500, {"command_error": 'pq: duplicate key value violates unique constraint "commands_pkey"'} | TOLD),
        Q, Q, set(), False,
    ),
    "same id twice, pgsql": (
        says(500, {"command_error": 'pq: duplicate key value violates unique constraint "enrollment_queue_pkey"'}),
        R, R, set(), False,
    ),
    "binary plist, pgsql": (
        says(500, {"command_error": 'pq: invalid byte sequence for encoding "UTF8": 0xd8'}), R, R, set(), False,
    ),
    "no plist": (says(500, {"command_error": "decoding command: parse error: plist: x"}), R, R, set(), False),
    "no UUID": (says(500, {"command_error": "decoding command: invalid command"}), R, R, set(), False),
    "nothing to do": (says(500, {"no_push": True, "command_error": "must enqueue or push"}), R, R, set(), False),
    "empty path": (says(500, {"command_error": "getting enrollment ids: empty path"}), R, R, set(), False),
    "wrong key": (Answer(401, b"Unauthorized\n"), N, N, set(), False),
    "forbidden by a proxy": (Answer(403, b"<html>no</html>"), N, N, set(), False),
    "no such address": (Answer(404, b"404 page not found\n"), N, N, set(), False),
    "body too large for a proxy": (Answer(413, b"<html>"), R, R, set(), False),
    "URL too long for a proxy": (Answer(414, b"<html>"), R, R, set(), True),
    "head too large": (Answer(431, b"431 Request Header Fields Too Large"), R, R, set(), True),
    "redirected": (Answer(301, b"", {"Location": "https://elsewhere.test/"}), N, N, set(), False),
    "proxy without its server": (Answer(502, b"<html>Bad Gateway</html>"), U, U, set(), False),
    "a proxy's JSON": (says(503, {"status": 503, "message": "no upstream"}), U, U, set(), False),
    "a proxy's time-out": (Answer(504, b""), U, U, set(), False),
    "a web page with 200": (Answer(200, b"<html>Welcome</html>"), U, U, set(), False),
    "JSON of somebody else": (says(200, {"ok": True}), U, U, set(), False),
    "an answer to another command": (
        says(200, {"no_push": True, "command_uuid": "6000D985-D402-4549-84AE-58CB1F0D4DC2"}), U, U, set(), False,
    ),
    "half an answer": (Answer(200, b'{"no_push": true, "command_uu'), U, U, set(), False),
    "nothing with 200": (Answer(200), U, U, set(), False),
    "nothing with 500": (Answer(500), U, U, set(), False),
    "a list": (Answer(200, b"[1]"), U, U, set(), False),
    "a status of another kind": (says(200, {"status": ["A"]} | TOLD), Q, Q, set(), False),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_an_answer_proves_what_the_table_says(name: str) -> None:
    answer, a, b, pushed, separable = TABLE[name]
    found = server(answer).enqueue(BODY, ["A", "B"], push=True)
    assert found.outcomes == {"A": a, "B": b}
    assert found.pushed == pushed
    assert found.separable is separable
    assert all(found.reasons[one] for one in ("A", "B") if found.outcomes[one] is not Q)


def test_reasons_are_the_servers_words_for_refused_and_for_not_woken() -> None:
    assert server(TABLE["foreign key"][0]).enqueue(BODY, ["A", "B"], push=False).reasons["A"] == FOREIGN_KEY
    found = server(TABLE["push error for one, no certificate"][0]).enqueue(BODY, ["A", "B"], push=True)
    assert found.reasons == {"A": NO_CERT, "B": "push data missing for id"}
    assert "API key" in server(TABLE["wrong key"][0]).enqueue(BODY, ["A"], push=True).reasons["A"]


def test_one_unknown_device_alone_cannot_be_separated() -> None:
    assert not server(TABLE["foreign key"][0]).enqueue(BODY, ["A"], push=False).separable


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (requests.ReadTimeout(), U),
        (requests.ConnectionError("Connection aborted.", ConnectionResetError()), U),
        (requests.exceptions.ChunkedEncodingError(), U),
        (requests.exceptions.ProxyError(), U),
        (requests.exceptions.SSLError(), U),
        (requests.ConnectTimeout(), N),
    ],
)
def test_a_broken_line_proves_nothing_unless_no_byte_left(error: Exception, outcome: Outcome) -> None:
    def broken(call: Call) -> None:
        raise error

    session = in_process_session(lambda *call: says(200, TOLD), before=broken)
    found = NanoMDM("school", "http://mdm.test", KEY, session=session).enqueue(BODY, ["A"], push=True)
    assert found.outcomes == {"A": outcome}
    assert found.reasons["A"]


def test_an_answer_lost_on_the_way_back_is_unknown_although_the_server_acted() -> None:
    acted: list[Call] = []

    def lost(call: Call, answer: Any) -> Any:
        raise requests.ReadTimeout

    def handle(*words: Any) -> Answer:
        acted.append(Call(*words))
        return says(200, TOLD)

    kit = NanoMDM("school", "http://mdm.test", KEY, session=in_process_session(handle, after=lost))
    assert kit.enqueue(BODY, ["A"], push=True).outcomes == {"A": U}
    assert len(acted) == 1


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def test_a_refused_connection_proves_that_nothing_was_queued() -> None:
    kit = NanoMDM("school", f"http://127.0.0.1:{free_port()}", KEY)
    found = kit.enqueue(BODY, ["A"], push=True)
    assert found.outcomes == {"A": N}
    assert found.reasons == {"A": "no connection can be made"}
    assert kit.push(["A"]).pushed == frozenset()


def test_a_dropped_connection_and_half_a_body_by_real_sockets_are_unknown() -> None:
    with Loopback(lambda call: None) as dropping:
        assert NanoMDM("school", dropping.url, KEY).enqueue(BODY, ["A"], push=True).outcomes == {"A": U}
    whole = says(200, TOLD).body
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(whole) + 9}\r\n\r\n".encode()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def half() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(head + whole)

        thread = Thread(target=half)
        thread.start()
        kit = NanoMDM("school", f"http://127.0.0.1:{listener.getsockname()[1]}", KEY)
        found = kit.enqueue(BODY, ["A"], push=True)
        thread.join()
    assert found.outcomes == {"A": U}
    assert "half an answer" in found.reasons["A"]


def test_a_server_that_never_answers_is_unknown_after_the_time_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        kit = NanoMDM("school", f"http://127.0.0.1:{silent.getsockname()[1]}", KEY, timeout_seconds=0.2)
        found = kit.enqueue(BODY, ["A"], push=True)
    assert found.outcomes == {"A": U}
    assert found.reasons == {"A": "no answer in time"}


def test_ids_go_out_once_each_and_bad_ones_stay_here() -> None:
    calls: list[Call] = []
    bad = ["", "A,B", "A/B", "..", "A B", "A\nB", "x" * 256]
    found = server(says(200, TOLD), calls).enqueue(BODY, ["A", *bad, "A", "U:1"], push=False)
    assert [call.path for call in calls] == ["/v1/enqueue/A,U:1"]
    assert found.outcomes == {"A": Q, "U:1": Q} | dict.fromkeys(bad, R)
    assert all(found.reasons[one] for one in bad)
    assert server(says(200, TOLD), calls).enqueue(BODY, [""], push=False).outcomes == {"": R}
    assert server(says(200, TOLD), calls).enqueue(BODY, [], push=False).outcomes == {}
    assert len(calls) == 1


def test_only_xml_goes_out_and_a_call_beyond_the_head_limit_is_refused_here() -> None:
    calls: list[Call] = []
    kit = server(says(200, TOLD), calls)
    assert kit.enqueue(b"bplist00...", ["A"], push=False).outcomes == {"A": R}
    assert kit.enqueue(b"", ["A"], push=True).outcomes == {"A": R}
    many = kit.enqueue(BODY, [f"{n:036d}" for n in range(30_000)], push=False)
    assert set(many.outcomes.values()) == {R}
    assert many.separable
    assert calls == []


@pytest.mark.parametrize(
    ("made", "user", "root"),
    [(NanoMDM, "nanomdm", "/v1"), (NanoHUB, "nanohub", "/api/v1/nanomdm")],
    ids=["nanomdm", "nanohub"],
)
def test_the_call_is_as_each_kind_expects_it(made: type[QueueServer], user: str, root: str) -> None:
    calls: list[Call] = []
    kit = server(says(200, TOLD), calls, made=made)
    kit.enqueue(BODY, ["A", "B"], push=True)
    kit.enqueue(BODY, ["A"], push=False)
    kit.push(["A", "B"])
    assert [(call.method, call.path, dict(call.query), call.body) for call in calls] == [
        ("PUT", f"{root}/enqueue/A,B", {}, BODY),
        ("PUT", f"{root}/enqueue/A", {"nopush": "1"}, BODY),
        ("GET", f"{root}/push/A,B", {}, b""),
    ]
    assert {call.headers["Authorization"] for call in calls} == {basic_authorization(KEY, user)}


def test_another_user_than_the_kinds_own_can_be_set() -> None:
    calls: list[Call] = []
    server(says(200, TOLD), calls, made=NanoHUB, user="kit").push(["A"])
    assert calls[0].headers["Authorization"] == basic_authorization(KEY, "kit")


def test_the_kinds_are_those_that_the_settings_know() -> None:
    assert set(KINDS) == set(get_args(ServerSettings.model_fields["kind"].annotation))
    assert all(made.dialect.kind == kind for kind, made in KINDS.items())


def test_the_date_header_becomes_the_servers_time() -> None:
    dated = says(200, TOLD, Date="Tue, 24 Nov 2026 06:55:07 GMT")
    assert server(dated).enqueue(BODY, ["A"], push=False).server_at == 1_795_503_307_000_000
    assert server(says(200, TOLD, Date="yesterday")).enqueue(BODY, ["A"], push=False).server_at == 0
    assert server(Answer(200, b"", {"Date": "Tue, 24 Nov 2026 06:55:07 GMT"})).push(["A"]).server_at > 0


def test_a_push_tells_whom_it_woke_and_why_not_the_others() -> None:
    mixed = says(500, {"status": {"A": {"push_result": "x"}, "B": {"push_error": "gone"}}, "push_error": NO_CERT})
    found = server(mixed).push(["A", "B", "C", ""])
    assert found.pushed == {"A"}
    assert found.reasons == {"B": "gone", "C": NO_CERT, "": "the enrollment ID is empty"}
    assert server(Answer(401)).push(["A"]).reasons == {"A": "it does not accept the API key"}
    assert server(Answer(200, b"<html>")).push(["A"]).reasons["A"].startswith("a web page")


def test_one_call_is_in_flight_at_a_time() -> None:
    """A second call while the first is being handled would meet it at the barrier and be counted."""
    inside, most = [0], [0]
    together = Barrier(4)

    def handle(call: Call) -> Answer:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        for _ in range(20_000):
            pass
        inside[0] -= 1
        return says(200, TOLD)

    kit = server(handle)

    def work() -> None:
        together.wait()
        for _ in range(20):
            kit.enqueue(BODY, ["A"], push=False)

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


# --- the check ---


def good(call: Call) -> Answer:
    if call.path == "/version":
        return says(200, {"version": "unknown"})
    if "Authorization" not in call.headers:
        return Answer(401, b"Unauthorized\n")
    return says(500, {"no_push": True, "command_error": "must enqueue or push"})


@pytest.mark.parametrize("made", KINDS.values(), ids=KINDS)
def test_a_check_of_a_good_server_queues_nothing(made: type[QueueServer]) -> None:
    calls: list[Call] = []
    found = server(good, calls, made=made).check()
    assert (found.ok, found.version, found.remedy) == (True, "unknown", "")
    assert [(call.path, call.body, dict(call.query)) for call in calls] == [
        ("/version", b"", {}), (f"{made.dialect.enqueue}check", b"", {"nopush": "1"}),
    ]  # fmt: skip


def test_the_key_is_not_shown_to_another_kind_of_server() -> None:
    calls: list[Call] = []

    def nanohub(call: Call) -> Answer:
        return good(call) if call.path.startswith(("/version", "/api/v1/nanomdm/")) else no_api(call)

    found = server(nanohub, calls).check()
    assert "is a NanoHUB, no NanoMDM" in found.message
    assert 'kind = "nanohub"' in found.remedy
    assert [call.path for call in calls if "Authorization" in call.headers] == ["/v1/enqueue/check"]


def wrong_key(call: Call) -> Answer:
    return says(200, {"version": "v0.9.0"}) if call.path == "/version" else Answer(401, b"Unauthorized\n")


def no_api(call: Call) -> Answer:
    return says(200, {"version": "unknown"}) if call.path == "/version" else Answer(404, b"404 page not found\n")


@pytest.mark.parametrize(
    ("answer", "words", "remedy"),
    [
        (wrong_key, "does not accept the API key", "-api"),
        (no_api, "is no NanoMDM", "url"),
        (Answer(200, b"<html>Welcome to nginx</html>"), "a web page", "url"),
        (Answer(404, b"404 page not found"), "HTTP status 404", "url"),
        (Answer(302, b"", {"Location": "https://login.test"}), "redirects", "url"),
        (Answer(502, b"<html>"), "down behind its proxy", "Start the server"),
        (says(200, {"hello": "world"}), "JSON that is not NanoMDM's", "url"),
    ],
)
def test_a_check_names_the_trouble_and_the_remedy(answer: Any, words: str, remedy: str) -> None:
    found = server(answer).check()
    assert not found.ok
    assert found.message.startswith("school ")
    assert words in found.message
    assert remedy in found.remedy


def test_a_check_of_a_server_that_is_down_says_so() -> None:
    found = NanoMDM("school", f"http://127.0.0.1:{free_port()}", KEY).check()
    assert not found.ok
    assert "does not answer: no connection can be made" in found.message
    assert found.remedy.startswith("Start the server")


# --- with the lab's server ---


def test_by_address_too_and_the_check_finds_a_wrong_key() -> None:
    lab = LabServer(VirtualClock(1_795_503_307_000_000), KEY)

    def answer(call: HTTPCall) -> LabResponse:
        return lab.handle(call.method, call.path, call.query, call.headers, call.body)

    with Loopback(answer) as address:
        kit = NanoMDM("school", address.url, KEY)
        assert kit.check().ok
        assert kit.enqueue(BODY, ["A", "B"], push=True).outcomes == {"A": Q, "B": Q}
        wrong = NanoMDM("school", address.url, "wrong")
        assert "API key" in wrong.check().message
        assert wrong.enqueue(BODY, ["A"], push=True).outcomes == {"A": N}


def test_the_key_is_in_no_repr_reason_or_message() -> None:
    shown = []
    for answer in (*[row[0] for row in TABLE.values()], wrong_key):
        kit = server(answer)
        shown += [
            repr(kit),
            str(kit),
            repr(kit.enqueue(BODY, ["A"], push=True)),
            repr(kit.push(["A"])),
            repr(kit.check()),
        ]
    assert KEY not in "".join(shown)
