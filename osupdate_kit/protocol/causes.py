"""The one catalogue of causes: what words and codes mean, what to do, whether trying again helps, whose job it is.

A code that is not listed here is shown as it came, and equal ones are counted together. Apple calls error codes
informative: they may change. Sources: Apple's device-management schema; Apple's MDM Protocol Reference (2018) for
MCMDMErrorDomain; openradar-mirror 19571, 19665 for "no update available".
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from osupdate_kit.protocol.terms import CommandStatus, InstallState, UpdateStatus


class FailureClass(StrEnum):
    """Why something is no success, as far as the kit acts on it; the value goes to stores and reports."""

    BUG = "bug"
    UNSUPPORTED = "unsupported"
    SUPERVISION = "supervision"
    NO_UPDATE = "no_update"
    PROGRESS = "progress"
    NEEDS_DOWNLOAD = "needs_download"
    USER = "user"
    SPACE = "space"
    POWER = "power"
    NETWORK = "network"
    RETRY = "retry"
    BUSY = "busy"
    LOST_MODE = "lost_mode"
    TETHER = "tether"
    FAILED = "failed"
    UNKNOWN = "unknown"
    INVALID = "invalid"  # the declaration, says the device
    REFUSED = "refused"  # by the server: the device never heard of it
    DEADLINE = "deadline"  # nobody named another cause


class Retry(StrEnum):
    """Does the same command help when it is sent again?"""

    YES = "yes"
    LATER = "later"  # once what stands in its way is gone
    NO = "no"  # only another command or another device would


class Owner(StrEnum):
    """Whose move it is, as reports call them."""

    USER = "the device's user"
    TECHNICIAN = "site IT"
    ADMIN = "MDM team"
    KIT = "osupdate-kit's developers"


class Cause(NamedTuple):
    """What people are told about one class of failures."""

    title: str
    meaning: str
    remedy: str
    retry: Retry
    owner: Owner


CAUSES: Mapping[FailureClass, Cause] = {
    FailureClass.BUG: Cause(
        "Malformed command",
        "The device found the command malformed.",
        "Report it with the command: sending the same again will not help.",
        Retry.NO,
        Owner.KIT,
    ),
    FailureClass.UNSUPPORTED: Cause(
        "Not supported by its OS",
        "The device does not know the command.",
        "Check the OS version: from OS 27 on updates go by declaration, which its server must be able to give.",
        Retry.NO,
        Owner.ADMIN,
    ),
    FailureClass.SUPERVISION: Cause(
        "Not supervised",
        "The device is not supervised.",
        "Supervise it: by automated enrolment or Apple Configurator.",
        Retry.NO,
        Owner.ADMIN,
    ),
    FailureClass.NO_UPDATE: Cause(
        "No such update for it",
        "The device sees no update for itself.",
        "Check its version, and whether this model can take the target.",
        Retry.LATER,
        Owner.ADMIN,
    ),
    FailureClass.PROGRESS: Cause(
        "Another update is in progress",
        "The update is under way already.",
        "Wait, and look at its status.",
        Retry.LATER,
        Owner.ADMIN,
    ),
    FailureClass.NEEDS_DOWNLOAD: Cause(
        "Not downloaded yet",
        "The update must be downloaded before it can be installed.",
        "Send the download step first.",
        Retry.LATER,
        Owner.ADMIN,
    ),
    FailureClass.USER: Cause(
        "Needs its user",
        "The device waits for a person.",
        "Ask its user to enter the passcode, accept the update, or attach it to a computer.",
        Retry.LATER,
        Owner.USER,
    ),
    FailureClass.SPACE: Cause(
        "Not enough space",
        "The device has too little free space.",
        "Free storage on it: download size and install size together must fit.",
        Retry.LATER,
        Owner.USER,
    ),
    FailureClass.POWER: Cause(
        "Not enough power", "The battery is too low.", "Attach it to power.", Retry.LATER, Owner.TECHNICIAN
    ),
    FailureClass.NETWORK: Cause(
        "Network not good enough",
        "The network is not good enough for the download.",
        "Bring it to Wi-Fi that reaches Apple's update servers.",
        Retry.LATER,
        Owner.TECHNICIAN,
    ),
    FailureClass.RETRY: Cause(
        "Download or scan failed",
        "The download or the scan failed.",
        "Let it try again; if it goes on, check its way to Apple's update servers.",
        Retry.YES,
        Owner.ADMIN,
    ),
    FailureClass.BUSY: Cause(
        "In use",
        "The device is in use: somebody is logged in, or on the phone.",
        "Try again when nobody uses it; a Shared iPad installs at the login screen only.",
        Retry.LATER,
        Owner.USER,
    ),
    FailureClass.LOST_MODE: Cause(
        "In Lost Mode",
        "The device is in Lost Mode.",
        "End Lost Mode, then try again.",
        Retry.LATER,
        Owner.TECHNICIAN,
    ),
    FailureClass.TETHER: Cause(
        "Needs a network by cable",
        "The device is not tethered to a network, and the command asked for that.",
        "Attach it to a network by cable.",
        Retry.LATER,
        Owner.TECHNICIAN,
    ),
    FailureClass.FAILED: Cause(
        "Installation failed",
        "The installation failed, and the device does not say why.",
        "Restart it and try again; then update it by hand once.",
        Retry.YES,
        Owner.TECHNICIAN,
    ),
    FailureClass.UNKNOWN: Cause(
        "Unknown cause",
        "The device gives a reason that Apple does not document.",
        "Look up domain and code, and look at the device.",
        Retry.LATER,
        Owner.ADMIN,
    ),
    FailureClass.INVALID: Cause(
        "Declaration not accepted",
        "The device calls the declaration invalid, and does not run its target.",
        "Read its reasons; check that this model can take the target, then plan anew.",
        Retry.NO,
        Owner.ADMIN,
    ),
    FailureClass.REFUSED: Cause(
        "Refused by the server",
        "The server refused the command.",
        "Read what the server said; then check that the device is still enrolled there.",
        Retry.LATER,
        Owner.ADMIN,
    ),
    FailureClass.DEADLINE: Cause(
        "The deadline passed",
        "The deadline passed, and no failure was reported.",
        "Look at where it stands; then plan anew.",
        Retry.NO,
        Owner.ADMIN,
    ),
}


# --- names: what failures are counted by ---

LONGEST_NAME = 120
_CODED = re.compile(r"\((\S+ -?\d+)\)\Z")


def words_of_failure(text: str, domain: str, code: int | None) -> str:
    """The device's words, with domain and code at their end; so they are kept."""
    return f"{text} ({domain}{'' if code is None else f' {code}'})".lstrip() if domain else text


def name_of(failure: str, words: str) -> str:
    """What a failure is counted as: its class, or of an unlisted one domain and code, in whatever language it speaks.

    Where there is no code, the words themselves. words: as `words_of_failure` puts them.
    """
    if failure != FailureClass.UNKNOWN:
        return failure
    coded = _CODED.search(words)
    return " ".join((coded[1] if coded else words).split())[:LONGEST_NAME] or failure


def class_of(name: str) -> FailureClass:
    """The class that a name stands for."""
    return FailureClass(name) if name in _CLASSES else FailureClass.UNKNOWN


def cause_of(name: str) -> Cause:
    """The cause by its name; one that is not listed is shown as it is, as an unknown cause."""
    if name in _CLASSES:
        return CAUSES[FailureClass(name)]
    return CAUSES[FailureClass.UNKNOWN]._replace(title=name, meaning=name)


_CLASSES = frozenset(FailureClass)


# --- who says it, and how ---

_MCMDM = {
    12008: FailureClass.BUG,
    12021: FailureClass.UNSUPPORTED,
    12048: FailureClass.NO_UPDATE,
    12049: FailureClass.USER,
    12050: FailureClass.RETRY,
    12051: FailureClass.PROGRESS,
    12052: FailureClass.PROGRESS,
    12053: FailureClass.USER,
    12054: FailureClass.SPACE,
    12055: FailureClass.POWER,
    12056: FailureClass.NETWORK,
    12057: FailureClass.RETRY,
    12058: FailureClass.PROGRESS,
    12059: FailureClass.NEEDS_DOWNLOAD,
    12060: FailureClass.SPACE,
    12061: FailureClass.POWER,
    12062: FailureClass.FAILED,
    12063: FailureClass.USER,
    12077: FailureClass.BUSY,
    12078: FailureClass.LOST_MODE,
    12081: FailureClass.TETHER,
}
CODES: Mapping[tuple[str, int | None], FailureClass] = {  # as devices write them; None: no code
    **{("MCMDMErrorDomain", code): failure for code, failure in _MCMDM.items()},
    ("DeviceManagement.error", 2213): FailureClass.NO_UPDATE,
    ("com.apple.softwareupdateservices.errors", 3): FailureClass.NO_UPDATE,
    ("MCChaperoneErrorDomain", 29000): FailureClass.SUPERVISION,
}
STATUS_FAILURES: Mapping[UpdateStatus, FailureClass] = {
    UpdateStatus.DOWNLOAD_FAILED: FailureClass.RETRY,
    UpdateStatus.DOWNLOAD_REQUIRES_COMPUTER: FailureClass.USER,
    UpdateStatus.DOWNLOAD_INSUFFICIENT_SPACE: FailureClass.SPACE,
    UpdateStatus.DOWNLOAD_INSUFFICIENT_POWER: FailureClass.POWER,
    UpdateStatus.DOWNLOAD_INSUFFICIENT_NETWORK: FailureClass.NETWORK,
    UpdateStatus.INSTALL_INSUFFICIENT_SPACE: FailureClass.SPACE,
    UpdateStatus.INSTALL_INSUFFICIENT_POWER: FailureClass.POWER,
    UpdateStatus.INSTALL_PHONE_CALL_IN_PROGRESS: FailureClass.BUSY,
    UpdateStatus.INSTALL_FAILED: FailureClass.FAILED,
}
COMMAND_FAILURES: Mapping[CommandStatus, FailureClass] = {  # where no code says more
    CommandStatus.ERROR: FailureClass.UNKNOWN,
    CommandStatus.COMMAND_FORMAT_ERROR: FailureClass.BUG,
}
INSTALL_STATE_FAILURES: Mapping[InstallState, FailureClass] = {InstallState.FAILED: FailureClass.FAILED}

SIGNALS: tuple[tuple[str, str, FailureClass], ...] = (
    *(("Status", status.value, failure) for status, failure in COMMAND_FAILURES.items()),
    *(("UpdateResults", status.value, failure) for status, failure in STATUS_FAILURES.items()),
    *((domain, str(code), failure) for (domain, code), failure in CODES.items()),
    *(("softwareupdate.install-state", state.value, failure) for state, failure in INSTALL_STATE_FAILURES.items()),
    ("MDM server", "command_error", FailureClass.REFUSED),
    ("MDM server", "an HTTP status that refuses the call", FailureClass.REFUSED),
)
"""Everything above in one list: who says it, its word or code, the class."""
