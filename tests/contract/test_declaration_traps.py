"""What KMFDDM 0.8.3 gets wrong or leaves out, alone and within NanoHUB 0.2.0, seen on the real ones; and our way past.

Numbered as our notes number them. Where a trap is closed one day, its test says so, and a precaution may go.
"""

import json

import pytest

from osupdate_kit.protocol.commands import DeclarativeManagement, DeviceInformation
from osupdate_kit.protocol.commands import encode as command
from osupdate_kit.protocol.declarations import encode
from osupdate_kit.protocol.status import StatusReport
from osupdate_kit.protocol.terms import InstallState
from osupdate_kit.rollout.ports import Outcome
from osupdate_kit.servers.ddm import NANOHUB, Declarations
from tests.contract.declaring import DeclaredDevice, Declaring, enforcement, put_into
from tests.contract.subjects import KINDS, RealSubject, Sink, fresh
from tests.real import nanohub

OS = "device.operating-system.version"


def put(declaring: Declaring, identifier: str, kind: str = "configuration.softwareupdate.settings") -> None:
    body = {"Type": f"com.apple.{kind}", "Identifier": identifier, "Payload": {"Notifications": True}}
    assert declaring.call("PUT", "declarations", json.dumps(body).encode()).status == 204


def test_1_a_dot_in_a_set_name_takes_the_devices_of_another_set_down(real_declaring: Declaring) -> None:
    device = DeclaredDevice(real_declaring.subject)
    put(real_declaring, "t1")
    for name in ("t1set", "t1set.b"):
        assert real_declaring.call("PUT", f"set-declarations/{name}?declaration=t1").status == 204
    real_declaring.call("PUT", f"enrollment-sets/{device.udid}?set=t1set")
    assert "b.t1" in real_declaring.names("set-declarations/t1set")
    assert device.asks("declaration-items").status == device.asks("tokens").status == 500
    kit = real_declaring.adapter()
    assert kit.given(device.udid).trouble
    assert real_declaring.call("DELETE", "set-declarations/t1set.b?declaration=t1").status == 204
    assert kit.given(device.udid).names == {"t1"}
    refused = kit.fill("t1set.b", ["t1"])
    assert refused.outcome is Outcome.REFUSED
    assert real_declaring.names("set-declarations/t1set") == ["t1"]


def test_2_status_errors_misses_what_is_active_and_invalid_and_the_declaration_status_has_it(
    real_declaring: Declaring,
) -> None:
    device = DeclaredDevice(real_declaring.subject)
    row = {"identifier": "t2", "active": True, "valid": "invalid", "server-token": "t"}
    row |= {"reasons": [{"code": "Error.ConfigurationCannotBeApplied"}]}
    device.reports({"management": {"declarations": {"configurations": [row]}}})
    errors = json.loads(real_declaring.call("GET", f"status-errors/{device.udid}").body)
    assert not errors.get(device.udid)
    (found,) = real_declaring.adapter().declaration_status([device.udid]).of[device.udid]
    assert found.status.broken
    assert found.status.reasons[0].code == "Error.ConfigurationCannotBeApplied"


def test_3_status_values_never_forgets_and_knows_no_updates_and_the_reports_do(real_declaring: Declaring) -> None:
    device = DeclaredDevice(real_declaring.subject)
    for version, full in (("26.6", True), ("27.1", False)):
        device.reports(
            {
                "device": {"operating-system": {"version": version}},
                "softwareupdate": {"install-state": "none"},
            },
            full=full,
        )
    rows = json.loads(real_declaring.call("GET", f"status-values/{device.udid}").body)[device.udid]
    assert {row["value"] for row in rows if row["path"].endswith(OS)} == {"26.6", "27.1"}
    assert not [row for row in rows if "softwareupdate" in row["path"]]
    state = StatusReport()
    for one in real_declaring.adapter().reports({device.udid: ""})[device.udid].reports:
        assert one.report
        state = one.report.over(state)
    assert (str(state.os_version), state.install_state) == ("27.1", InstallState.NONE)


def test_4_the_newest_report_is_an_increment_and_the_state_is_the_fold(real_declaring: Declaring) -> None:
    device = DeclaredDevice(real_declaring.subject)
    device.reports({"device": {"operating-system": {"version": "26.0"}}}, full=True)
    device.reports({"softwareupdate": {"install-state": "prepared"}})
    newest = real_declaring.call("GET", f"status-report/{device.udid}?index=0")
    assert json.loads(newest.body)["StatusItems"] == {"softwareupdate": {"install-state": "prepared"}}
    answer = real_declaring.adapter().reports({device.udid: ""})[device.udid]
    older, newer = (one.report for one in answer.reports)
    assert older
    assert newer
    assert newer.os_version is None
    assert str(newer.over(older).os_version) == "26.0"


def test_5_current_is_false_where_the_look_up_fails_so_the_kit_compares_tokens(real_declaring: Declaring) -> None:
    device, kit = DeclaredDevice(real_declaring.subject), real_declaring.adapter()
    put(real_declaring, "t5")
    real_declaring.call("PUT", "set-declarations/t5set?declaration=t5")
    real_declaring.call("PUT", f"enrollment-sets/{device.udid}?set=t5set")
    token = kit.get("t5").server_token
    row = {"identifier": "t5", "active": True, "valid": "valid", "server-token": token}
    device.reports({"management": {"declarations": {"configurations": [row]}}})
    assert kit.declaration_status([device.udid]).of[device.udid][0].current
    real_declaring.call("PUT", "set-declarations/t5set.b?declaration=t5")
    (found,) = kit.declaration_status([device.udid]).of[device.udid]
    assert (found.current, found.status.server_token) == (False, token)
    real_declaring.call("DELETE", "set-declarations/t5set.b?declaration=t5")


def test_6_the_declarations_token_changes_by_itself_and_server_tokens_do_not(real_declaring: Declaring) -> None:
    device = DeclaredDevice(real_declaring.subject)
    for number in range(6):
        put(real_declaring, f"t6-{number}")
        real_declaring.call("PUT", f"set-declarations/t6set?declaration=t6-{number}")
    real_declaring.call("PUT", f"enrollment-sets/{device.udid}?set=t6set")
    tokens, rows = set(), set()
    for _ in range(40):
        told = json.loads(device.asks("declaration-items").body)
        tokens.add(told["DeclarationsToken"])
        found = [(row["Identifier"], row["ServerToken"]) for row in told["Declarations"]["Configurations"]]
        rows.add(tuple(sorted(found)))
    assert len(tokens) > 1
    assert len(rows) == 1


def test_7_other_white_space_is_another_token_so_the_kit_writes_canonically(real_declaring: Declaring) -> None:
    kit = real_declaring.adapter()
    body = encode(enforcement(), "t7")
    assert kit.put(body).changed
    token = kit.get("t7").server_token
    assert not kit.put(body).changed
    assert kit.get("t7").server_token == token
    loose = json.dumps(json.loads(body), indent=1).encode()
    assert real_declaring.call("PUT", "declarations", loose).status == 204
    assert kit.get("t7").server_token != token


def test_8_an_id_with_a_slash_can_be_stored_and_never_read_or_deleted(real_declaring: Declaring) -> None:
    put(real_declaring, "t8/slash")
    put(real_declaring, "t8-" + "x" * 80)
    assert "t8/slash" in real_declaring.names("declarations")
    assert real_declaring.call("GET", "declarations/t8/slash").status == 404
    assert real_declaring.call("DELETE", "declarations/t8/slash").status == 404
    kit = real_declaring.adapter()
    for name in ("t8/other", "t8-" + "y" * 80):
        fields = {"Type": "com.apple.activation.simple", "Identifier": name, "Payload": {"StandardConfigurations": []}}
        assert kit.put(json.dumps(fields).encode()).outcome is Outcome.REFUSED
    assert not [name for name in kit.declarations().names if name.startswith(("t8/other", "t8-y"))]


def test_9_a_type_of_another_kind_is_taken_and_handed_to_nobody(real_declaring: Declaring) -> None:
    device, kit = DeclaredDevice(real_declaring.subject), real_declaring.adapter()
    put(real_declaring, "t9", "wish.softwareupdate")
    assert real_declaring.call("PUT", "set-declarations/t9set?declaration=t9").status == 204
    real_declaring.call("PUT", f"enrollment-sets/{device.udid}?set=t9set")
    assert device.items() == {}
    fields = {"Type": "com.apple.wish.softwareupdate", "Identifier": "t9b", "Payload": {"a": 1}}
    assert kit.put(json.dumps(fields).encode()).outcome is Outcome.REFUSED


@pytest.mark.real_server
def test_10_a_server_with_shards_declares_more_than_its_preview_shows() -> None:
    """The adapter's `given` is without them; what a device asks for is not."""
    with nanohub(shards=True) as server:
        device = DeclaredDevice(RealSubject(KINDS["nanohub"], "kv", server, Sink()))
        kit = Declarations("school", NANOHUB, server.url, server.api_key)
        assert device.items()["Management"]
        assert kit.given(device.udid).names == frozenset()


def test_11_reports_are_never_deleted_so_the_kit_reads_only_what_is_new(real_declaring: Declaring) -> None:
    device, kit = DeclaredDevice(real_declaring.subject), real_declaring.adapter()
    for number in range(60):
        device.reports(
            {"softwareupdate": {"install-state": "waiting" if number % 2 else "none"}}, full=number % 20 == 0
        )
    oldest = real_declaring.call("GET", f"status-report/{device.udid}?index=59")
    assert (oldest.status, oldest.headers["X-Status-Report-Index"]) == (200, "0")
    first = kit.reports({device.udid: ""}, most=30)[device.udid]
    assert (len(first.reports), first.whole) == (20, True)
    assert kit.reports({device.udid: first.mark})[device.udid].reports == ()


# --- beside the eleven ---


def test_a_comma_list_is_one_device_that_does_not_exist_so_each_is_called_alone(real_declaring: Declaring) -> None:
    one, two = DeclaredDevice(real_declaring.subject), DeclaredDevice(real_declaring.subject)
    kit = real_declaring.adapter()
    put_into(real_declaring, kit, "comma")
    assert real_declaring.call("PUT", f"enrollment-sets/{one.udid},{two.udid}?set=comma").status == 204
    assert one.items() == two.items() == {}
    kit.assign("comma", [one.udid, two.udid])
    assert one.items() == two.items() != {}


def test_of_several_declarations_in_one_call_only_the_first_counts(real_declaring: Declaring) -> None:
    for name in ("many-a", "many-b"):
        put(real_declaring, name)
    target = "set-declarations/many?declaration=many-a&declaration=many-b"
    assert real_declaring.call("PUT", target).status == 204
    assert real_declaring.names("set-declarations/many") == ["many-a"]
    assert real_declaring.adapter().fill("many", ["many-a", "many-b"]).changed
    assert real_declaring.names("set-declarations/many") == ["many-a", "many-b"]


@pytest.mark.parametrize("twice", [True, False])
def test_overlapping_notify_loses_the_next_command_and_a_command_of_ours_does_not(
    real_declaring: Declaring, twice: bool
) -> None:
    device, commands = DeclaredDevice(real_declaring.subject), real_declaring.subject.adapter()
    sets = [f"overlap{'-twice' if twice else ''}-{name}" for name in ("a", "b")]
    kit = real_declaring.adapter()
    for name in sets:
        put(real_declaring, f"{name}-d")
        kit.fill(name, [f"{name}-d"])
        kit.assign(name, [device.udid])
    sync, following = fresh(2)
    if twice:
        real_declaring.bare("POST", f"notify?set={sets[0]}&set={sets[1]}", b"")
    else:
        commands.enqueue(command(DeclarativeManagement(), sync), [device.udid, device.udid], push=False)
    told = commands.enqueue(command(DeviceInformation(), following), [device.udid], push=False)
    assert told.outcomes == {device.udid: Outcome.QUEUED}
    handed = [device.says("Idle")]
    while handed[-1] and len(handed) < 6:
        handed.append(device.says("Acknowledged", handed[-1]))
    assert (following in handed) is not twice


def test_a_notifying_call_makes_its_change_and_queues_a_command_whatever_it_answers(real_declaring: Declaring) -> None:
    device, kit = DeclaredDevice(real_declaring.subject), real_declaring.adapter()
    update, _ = put_into(real_declaring, kit, "notifies")
    answer = real_declaring.bare("PUT", f"enrollment-sets/{device.udid}?set=notifies", b"")
    if real_declaring.dialect is NANOHUB:
        assert answer.status == 500
        assert "push" in json.loads(answer.body)["error"]
    else:
        assert answer.status == 204
    assert update in kit.given(device.udid).names
    assert device.says("Idle") not in ("", "500")


def test_a_device_that_enrols_anew_keeps_its_sets_and_loses_its_commands(real_declaring: Declaring) -> None:
    device, kit, (uuid,) = DeclaredDevice(real_declaring.subject), real_declaring.adapter(), fresh()
    put_into(real_declaring, kit, "anew")
    kit.assign("anew", [device.udid])
    real_declaring.subject.adapter().enqueue(command(DeclarativeManagement(), uuid), [device.udid], push=False)
    device.authenticate()
    device.token_update()
    assert device.says("Idle") == ""
    assert kit.sets_of(device.udid).names == {"anew"}
