"""Apple's closed lists of words, as enums that hold the wire value. Source: Apple's device-management schema."""

from enum import StrEnum


class Platform(StrEnum):
    IOS = "iOS"
    IPADOS = "iPadOS"
    MACOS = "macOS"
    TVOS = "tvOS"
    VISIONOS = "visionOS"
    WATCHOS = "watchOS"

    @property
    def schema(self) -> "Platform":
        """The platform whose rows in Apple's schema apply: iPadOS follows iOS."""
        return Platform.IOS if self is Platform.IPADOS else self


class RequestType(StrEnum):
    SCHEDULE_OS_UPDATE = "ScheduleOSUpdate"
    AVAILABLE_OS_UPDATES = "AvailableOSUpdates"
    OS_UPDATE_STATUS = "OSUpdateStatus"
    SCHEDULE_OS_UPDATE_SCAN = "ScheduleOSUpdateScan"
    DEVICE_INFORMATION = "DeviceInformation"
    SECURITY_INFO = "SecurityInfo"
    DECLARATIVE_MANAGEMENT = "DeclarativeManagement"


class InstallAction(StrEnum):
    DEFAULT = "Default"
    DOWNLOAD_ONLY = "DownloadOnly"
    INSTALL_ASAP = "InstallASAP"
    NOTIFY_ONLY = "NotifyOnly"
    INSTALL_LATER = "InstallLater"
    INSTALL_FORCE_RESTART = "InstallForceRestart"
    ERROR = "Error"  # in replies only

    @property
    def can_install(self) -> bool:
        """May a device that is handed this action install? A `Default` re-delivered after the download does."""
        return self not in (InstallAction.DOWNLOAD_ONLY, InstallAction.NOTIFY_ONLY, InstallAction.ERROR)


class Priority(StrEnum):
    LOW = "Low"
    HIGH = "High"


class CommandStatus(StrEnum):
    IDLE = "Idle"
    ACKNOWLEDGED = "Acknowledged"
    ERROR = "Error"
    COMMAND_FORMAT_ERROR = "CommandFormatError"
    NOT_NOW = "NotNow"


class UpdateStatus(StrEnum):
    """`Status` of an item of UpdateResults; OSUpdateStatus uses Idle, Downloading and Installing of it."""

    IDLE = "Idle"
    DOWNLOADING = "Downloading"
    DOWNLOAD_FAILED = "DownloadFailed"
    DOWNLOAD_REQUIRES_COMPUTER = "DownloadRequiresComputer"
    DOWNLOAD_INSUFFICIENT_SPACE = "DownloadInsufficientSpace"
    DOWNLOAD_INSUFFICIENT_POWER = "DownloadInsufficientPower"
    DOWNLOAD_INSUFFICIENT_NETWORK = "DownloadInsufficientNetwork"
    INSTALLING = "Installing"
    INSTALL_INSUFFICIENT_SPACE = "InstallInsufficientSpace"
    INSTALL_INSUFFICIENT_POWER = "InstallInsufficientPower"
    INSTALL_PHONE_CALL_IN_PROGRESS = "InstallPhoneCallInProgress"
    INSTALL_FAILED = "InstallFailed"


class InstallReason(StrEnum):
    """What set a pending update off: `reason` of the declarative status item `softwareupdate.install-reason`."""

    SYSTEM_SETTINGS = "system-settings"
    INSTALL_TONIGHT = "install-tonight"
    AUTO_UPDATE = "auto-update"
    NOTIFICATION = "notification"
    SETUP_ASSISTANT = "setup-assistant"
    COMMAND_LINE = "command-line"
    MDM = "mdm"
    DECLARATION = "declaration"


class InstallState(StrEnum):
    """Value of the declarative status item `softwareupdate.install-state`."""

    NONE = "none"
    WAITING = "waiting"  # in the schema's text only
    DOWNLOADING = "downloading"
    PREPARED = "prepared"
    INSTALLING = "installing"
    FAILED = "failed"
