"""What Apple's words mean beside their spelling, which `test_against_apple` compares with the schema."""

import pytest

from osupdate_kit.protocol.terms import CommandStatus, InstallAction, Platform


def test_ipados_follows_ios_and_every_other_platform_itself() -> None:
    assert {platform: platform.schema for platform in Platform if platform.schema is not platform} == {
        Platform.IPADOS: Platform.IOS
    }


@pytest.mark.parametrize("action", InstallAction)
def test_only_downloads_notices_and_errors_install_nothing(action: InstallAction) -> None:
    assert action.can_install is (action.value not in {"DownloadOnly", "NotifyOnly", "Error"})


def test_a_reply_has_one_of_five_statuses() -> None:
    assert {status.value for status in CommandStatus} == {
        "Idle", "Acknowledged", "Error", "CommandFormatError", "NotNow",
    }  # fmt: skip
