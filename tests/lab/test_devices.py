"""Simulated devices do what Apple's protocol and the field say of real ones."""

import pytest

from osupdate_kit.lab.clock import DAY, HOUR
from osupdate_kit.lab.truth import What
from tests.lab.worlds import MONDAY, SmallWorld, ipad, mac


def codes(report: dict[str, object]) -> list[int]:
    chain = report["ErrorChain"]
    assert isinstance(chain, list)
    return [error["ErrorCode"] for error in chain]


# --- iOS, iPadOS, tvOS ------------------------------------------------------------------------------------------------


def test_an_ipad_is_updated_in_two_steps() -> None:
    small = SmallWorld(ipad())
    first = small.schedule("DownloadOnly")
    small.hours(0.05)
    (result,) = small.reports(first)[0]["UpdateResults"]
    assert (result["InstallAction"], result["Status"]) == ("DownloadOnly", "Downloading")
    (item,) = small.status("PAD")
    assert not item["IsDownloaded"]
    assert 0 <= item["DownloadPercentComplete"] < 1
    (item,) = small.hours(3).status("PAD")
    assert (item["IsDownloaded"], item["Status"]) == (True, "Idle")
    second = small.schedule("InstallASAP")
    small.hours(2)
    assert small.reports(second)[0]["UpdateResults"][0]["Status"] == "Installing"
    assert small.truth.version("PAD") == "18.7.2"
    assert small.truth.version("PAD", MONDAY) == "18.6.2"
    assert small.ask("DeviceInformation", "PAD", Queries=["OSVersion"])["QueryResponses"] == {"OSVersion": "18.7.2"}


def test_install_asap_before_the_download_is_refused() -> None:
    small = SmallWorld(ipad(download_minutes=(60, 60)))
    uuid = small.schedule("InstallASAP")
    small.hours(0.1)
    assert codes(small.reports(uuid)[0]) == [12059]
    small.schedule("DownloadOnly")
    small.hours(0.1)
    during = small.schedule("InstallASAP")
    small.hours(0.1)
    assert codes(small.reports(during)[0]) == [12051]


def test_a_default_that_is_delivered_after_the_download_installs() -> None:
    small = SmallWorld(ipad())
    first = small.schedule("Default")
    small.hours(3)
    assert small.reports(first)[0]["UpdateResults"][0]["InstallAction"] == "DownloadOnly"
    second = small.schedule("Default")
    small.hours(2)
    assert small.reports(second)[0]["UpdateResults"][0]["InstallAction"] == "InstallASAP"
    assert small.truth.version("PAD") == "18.7.2"


def test_a_passcode_user_puts_the_prompt_off_and_ios_says_nothing_of_it() -> None:
    small = SmallWorld(ipad(passcode=True, prompt_hours=(20, 20)))
    small.schedule("DownloadOnly")
    small.hours(3)
    step = small.schedule("InstallASAP")
    (item,) = small.hours(5).status("PAD")
    assert (item["Status"], item["IsDownloaded"]) == ("Idle", True)
    assert "DeferralsRemaining" not in item
    small.days(2)
    (started,) = small.happened("PAD", What.INSTALL_STARTED)
    assert (started.command_uuid, started.detail) == (step, "user")
    assert small.truth.version("PAD") == "18.7.2"


def test_without_an_update_ios_answers_an_error() -> None:
    small = SmallWorld(ipad(version="27.0"), mac(version="15.7.2"))
    system = small.device("PAD").updates
    system.version = system.releases[0].number
    system.releases = system.releases[:1]
    report = small.ask("AvailableOSUpdates", "PAD")
    assert [error["ErrorDomain"] for error in report["ErrorChain"]] == [
        "DeviceManagement.error",
        "com.apple.softwareupdateservices.errors",
    ]
    assert codes(report) == [2213, 3]


def test_ios_lists_only_the_newest() -> None:
    small = SmallWorld(ipad())
    (item,) = small.ask("AvailableOSUpdates", "PAD")["AvailableOSUpdates"]
    assert (item["Version"], item["ProductKey"]) == ("27.0", "iOSUpdate24A330")


@pytest.mark.parametrize("kind", ["ScheduleOSUpdate", "AvailableOSUpdates", "OSUpdateStatus", "ScheduleOSUpdateScan"])
def test_os_27_knows_the_four_commands_no_more(kind: str) -> None:
    small = SmallWorld(ipad(version="27.0"))
    updates = (
        {"Updates": [{"ProductVersion": "27.1", "InstallAction": "Default"}]} if kind == "ScheduleOSUpdate" else {}
    )
    assert codes(small.ask(kind, "PAD", **updates)) == [12021]
    assert small.ask("DeviceInformation", "PAD", Queries=["OSVersion", "SoftwareUpdateDeviceID"])["QueryResponses"] == {
        "OSVersion": "27.0"
    }


def test_os_26_still_works() -> None:
    small = SmallWorld(ipad(version="26.6"))
    assert small.ask("OSUpdateStatus", "PAD")["Status"] == "Acknowledged"


def test_an_unsupervised_device_refuses() -> None:
    small = SmallWorld(ipad(supervised=False), mac(supervised=False))
    updates = [{"ProductVersion": "18.7.2", "InstallAction": "DownloadOnly"}]
    (error,) = small.ask("ScheduleOSUpdate", "PAD", Updates=updates)["ErrorChain"]
    assert (error["ErrorDomain"], error["ErrorCode"]) == ("MCChaperoneErrorDomain", 29000)
    assert small.ask("AvailableOSUpdates", "MAC")["Status"] == "Acknowledged"


@pytest.mark.parametrize(
    "updates",
    [
        None,
        [],
        [{"ProductVersion": "18.7.2"}],
        [{"InstallAction": "Default"}],
        [{"ProductVersion": "18.7.2", "InstallAction": "NotifyOnly"}],
        [{"ProductVersion": "18.7.2", "InstallAction": "installasap"}],
        [{"ProductVersion": "18.7.2", "InstallAction": "Default", "MaxUserDeferrals": 1}],
    ],
)
def test_what_apple_does_not_know_is_a_format_error(updates: object) -> None:
    small = SmallWorld(ipad())
    keys = {} if updates is None else {"Updates": updates}
    assert small.ask("ScheduleOSUpdate", "PAD", **keys)["Status"] == "CommandFormatError"


def test_a_full_disk_stops_the_download_until_somebody_makes_room() -> None:
    small = SmallWorld(ipad(disk_full=True, disk_full_hours=10))
    first = small.schedule("DownloadOnly")
    small.hours(11)
    assert codes(small.reports(first)[0]) == [12054]
    second = small.schedule("DownloadOnly")
    small.hours(3)
    assert small.reports(second)[0]["Status"] == "Acknowledged"


def test_a_flat_battery_stops_the_install() -> None:
    small = SmallWorld(ipad(battery_flat=True, battery_flat_hours=5))
    small.schedule("DownloadOnly")
    small.hours(3)
    step = small.schedule("InstallASAP")
    small.hours(6)
    assert codes(small.reports(step)[0]) == [12061]
    small.schedule("InstallASAP")
    small.hours(2)
    assert small.truth.version("PAD") == "18.7.2"


def test_a_failed_download_leaves_nothing_in_progress_and_is_named_when_asked_again() -> None:
    small = SmallWorld(ipad(downloads_fail=2))
    small.schedule("DownloadOnly")
    small.hours(3)
    assert small.status("PAD") == []
    again = small.schedule("DownloadOnly")
    small.hours(1)
    assert codes(small.reports(again)[0]) == [12057]
    small.schedule("DownloadOnly")
    assert small.hours(3).status("PAD")[0]["IsDownloaded"]


def test_an_install_can_fail_in_silence() -> None:
    small = SmallWorld(ipad(installs_fail=1))
    small.schedule("DownloadOnly")
    small.hours(3)
    small.schedule("InstallASAP")
    small.hours(2)
    assert [entry.what for entry in small.happened("PAD", What.INSTALL_FAILED, What.INSTALLED)] == [What.INSTALL_FAILED]
    assert small.status("PAD")[0]["IsDownloaded"]


def test_an_error_may_be_answered_although_it_installs() -> None:
    small = SmallWorld(ipad(false_error=True))
    small.schedule("DownloadOnly")
    small.hours(3)
    step = small.schedule("InstallASAP")
    small.hours(2)
    assert small.reports(step)[0]["Status"] == "Error"
    assert small.truth.version("PAD") == "18.7.2"


def test_a_restart_swallows_the_answer_and_the_command_is_handed_out_again() -> None:
    small = SmallWorld(ipad(swallows=1.0))
    small.schedule("DownloadOnly")
    small.hours(3)
    step = small.schedule("InstallASAP")
    small.hours(4)
    handed = [entry for entry in small.happened("PAD", What.HANDED) if entry.command_uuid == step]
    assert len(handed) == 2
    assert small.happened("PAD", What.UNANSWERED)[0].detail == "restarted"
    (report,) = small.reports(step)
    assert "UpdateResults" not in report
    assert report["Status"] == "Acknowledged" or codes(report) == [12048]
    assert small.truth.version("PAD") == "18.7.2"


def test_a_shared_ipad_refuses_while_somebody_is_logged_in() -> None:
    small = SmallWorld(*(ipad(f"PAD{i}", shared_ipad=True, seed=i) for i in range(12)))
    uuid = small.schedule("DownloadOnly")
    small.hours(0.1)
    assert {12077} == {code for report in small.reports(uuid) if report["Status"] == "Error" for code in codes(report)}


# --- macOS ------------------------------------------------------------------------------------------------------------


def test_a_mac_lists_after_a_scan() -> None:
    small = SmallWorld(mac())
    assert small.ask("AvailableOSUpdates", "MAC")["AvailableOSUpdates"] == []
    assert small.ask("ScheduleOSUpdateScan", "MAC", Force=True)["ScanInitiated"] is True
    (item,) = small.hours(0.2).ask("AvailableOSUpdates", "MAC")["AvailableOSUpdates"]
    assert (item["Version"], item["Build"]) == ("15.7.2", "24G325")
    assert item["ProductKey"] == "MSU_UPDATE_24G325_patch_15.7.2_minor"
    assert item["IsMajorOSUpdate"] is False


def test_a_scan_may_fail() -> None:
    small = SmallWorld(mac(scans_fail=1))
    assert codes(small.ask("AvailableOSUpdates", "MAC")) == [12050]
    assert small.ask("AvailableOSUpdates", "MAC")["Status"] == "Acknowledged"


def test_a_mac_says_beside_the_item_what_stands_against_it() -> None:
    small = SmallWorld(mac(disk_full=True))
    uuid = small.schedule("InstallASAP")
    small.hours(0.1)
    (item,) = small.reports(uuid)[0]["UpdateResults"]
    assert (item["InstallAction"], item["Status"]) == ("Error", "DownloadInsufficientSpace")
    assert codes(item) == [12054]


def test_a_mac_downloads_and_installs_in_one_step() -> None:
    small = SmallWorld(mac())
    uuid = small.schedule("InstallASAP")
    small.hours(4)
    assert small.reports(uuid)[0]["UpdateResults"][0]["Status"] == "Downloading"
    assert small.truth.version("MAC") == "15.7.2"


def test_user_deferrals_are_counted_day_by_day_and_then_forced() -> None:
    small = SmallWorld(mac(put_offs=99))
    small.schedule("InstallLater", MaxUserDeferrals=3)
    left = []
    for _ in range(4):
        (item,) = small.days(1).status("MAC")
        left.append(item["DeferralsRemaining"])
        assert item["MaxDeferrals"] == 3
        assert len(item["PastNotifications"]) == 3 - left[-1]
        if left[-1] == 0:
            break
    assert left == [2, 1, 0]
    small.days(1)
    assert small.happened("MAC", What.INSTALL_STARTED)[0].detail == "forced"
    assert small.truth.version("MAC") == "15.7.2"


def test_notify_only_and_download_only_install_nothing() -> None:
    small = SmallWorld(mac("ONE"), mac("TWO", seed=2))
    small.schedule("NotifyOnly", "ONE")
    small.schedule("DownloadOnly", "TWO")
    small.days(5)
    assert small.happened("ONE", What.NOTIFIED)
    assert small.happened("TWO", What.DOWNLOAD_DONE)
    assert set(small.truth.versions().values()) == {"15.6.1"}


def test_another_action_may_be_returned_than_asked() -> None:
    small = SmallWorld(mac(substitutes=True))
    uuid = small.schedule("InstallForceRestart")
    small.hours(0.1)
    assert small.reports(uuid)[0]["UpdateResults"][0]["InstallAction"] == "InstallASAP"


def test_without_a_bootstrap_token_apple_silicon_waits_for_a_person() -> None:
    small = SmallWorld(mac(bootstrap_token=False, prompt_hours=(30, 30)))
    small.schedule("InstallForceRestart")
    small.hours(10)
    assert small.happened("MAC", What.PROMPT)
    assert small.truth.version("MAC") == "15.6.1"
    info = small.ask("SecurityInfo", "MAC")["SecurityInfo"]
    assert info["BootstrapTokenAllowedForAuthentication"] == "disallowed"
    assert info["BootstrapTokenRequiredForSoftwareUpdate"] is True


def test_power_nap_answers_not_now_and_polls_later_by_itself() -> None:
    small = SmallWorld(mac(not_now=0.7, not_now_minutes=(5, 10), seed=3))
    uuid = small.schedule("DownloadOnly")
    small.hours(8)
    statuses = [report["Status"] for report in small.reports(uuid)]
    assert statuses[:-1] == ["NotNow"] * (len(statuses) - 1)
    assert statuses[-1] == "Acknowledged"


def test_after_a_not_now_that_was_not_the_last_word_only_a_push_helps() -> None:
    small = SmallWorld(mac(not_now=1.0, not_now_minutes=(5, 5), self_wake_days=(9, 9)))
    small.schedule("DownloadOnly", push=False)
    small.enqueue("DeviceInformation", Queries=["OSVersion"])
    small.hours(2)
    answered = [entry.detail for entry in small.happened("MAC", What.ANSWERED)]
    assert answered[:2] == ["NotNow", "Acknowledged"]
    assert answered[2:3] == ["NotNow"]  # offered again after the other answer: now it is the last word


# --- Waking -----------------------------------------------------------------------------------------------------------


def test_devices_wake_by_push_only_and_rarely_by_themselves() -> None:
    small = SmallWorld(ipad(self_wake_days=(3, 4)))
    small.schedule("DownloadOnly", push=False)
    small.days(2.9)
    assert not small.happened("PAD", What.AWAKE)
    small.days(1.2)
    assert len(small.happened("PAD", What.AWAKE)) == 1


def test_a_push_wakes_within_the_minute() -> None:
    small = SmallWorld(ipad())
    small.push("PAD")
    small.hours(1 / 60)
    assert len(small.happened("PAD", What.AWAKE)) == 1


def test_a_device_that_is_asleep_connects_in_the_morning() -> None:
    small = SmallWorld(ipad(night_share=0.0, kept_pushes=1.0))
    small.hours(15)  # midnight UTC
    small.push("PAD")
    small.hours(5.9)
    assert not small.happened("PAD", What.AWAKE)
    small.hours(1)
    assert len(small.happened("PAD", What.AWAKE)) == 1


def test_presence_does_not_depend_on_who_asks() -> None:
    from osupdate_kit.lab.habits import Presence

    spec = ipad(offline_share=0.3, night_share=0.5, seed=7)
    hours = [MONDAY + hour * HOUR for hour in range(24 * 21)]
    forward = [Presence(spec).reachable(at) for at in hours]
    again = Presence(spec)
    assert [again.reachable(at) for at in reversed(hours)] == forward[::-1]
    assert 0.2 < sum(forward) / len(forward) < 0.9
    assert all(again.reachable(again.reachable_from(at)) for at in hours)


def test_a_repeated_enrolment_clears_the_queue_and_keeps_the_version() -> None:
    small = SmallWorld(ipad())
    small.schedule("DownloadOnly", push=False)
    small.world.enrol(["PAD"])
    assert small.server.open_uuids("PAD") == []
    assert len(small.happened("PAD", What.ENROLLED)) == 2


def test_a_device_that_checked_out_is_never_seen_again() -> None:
    small = SmallWorld(ipad())
    small.world.check_out("PAD")
    small.schedule("DownloadOnly")
    small.days(9)
    assert not small.happened("PAD", What.AWAKE)


def test_the_system_may_update_by_itself() -> None:
    small = SmallWorld(ipad(updates_itself_days=(0.1, 0.2), newest_major=18))
    small.days(3)
    (started,) = small.happened("PAD", What.INSTALL_STARTED)
    assert (started.command_uuid, started.detail) == ("", "system")
    assert small.truth.version("PAD") == "18.7.2"
    assert started.at < MONDAY + 3 * DAY
