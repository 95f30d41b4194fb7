"""What a simulated device is: its make, its habits, and the releases it knows. Values only; nothing happens here."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from osupdate_kit.protocol.terms import Platform
from osupdate_kit.protocol.versions import OSVersion

Span = tuple[float, float]  # from, to; the seed decides where between


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One update as the device lists it. `os=False`: a macOS item that is no OS update, named by its key only."""

    version: str
    build: str
    product_key: str
    name: str
    extra: str = ""  # "(a)" of a rapid security response; it needs `version` installed
    download_bytes: int = 1_200_000_000
    install_bytes: int = 3_000_000_000
    os: bool = True

    @property
    def number(self) -> OSVersion:
        return OSVersion.parse(self.version)


def release(platform: Platform, version: str, build: str, *, since: str = "") -> Release:
    """An OS release with a product key as the platform words it; `since`: the major it is an upgrade from, if it is."""
    if platform is Platform.MACOS:
        kind = "major" if since else "minor"
        key, name = f"MSU_UPDATE_{build}_patch_{version}_{kind}", f"macOS {version}"
        return Release(version=version, build=build, product_key=key, name=name, download_bytes=3_400_000_000)
    key = f"{'tvOS' if platform is Platform.TVOS else 'iOS'}Update{build}"
    return Release(version=version, build=build, product_key=key, name=f"{platform.value} {version}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """A device's habits. Shares are 0–1; spans are drawn from its own seed; `tries`: so often before it goes well."""

    reach_seconds: Span = (2, 45)  # from a push to the connection
    kept_pushes: float = 0.9  # share of the pushes that wait until a sleeping device is back
    night_share: float = 0.9  # of the nights (22–6 local) in which it can be reached
    weekend_share: float = 0.9  # of the days of a weekend in which it can be reached
    off_hours: Span | None = None  # local hours in which it is switched off, every day
    offline_share: float = 0.0  # of the days on which an offline spell begins
    offline_hours: Span = (6, 48)
    self_wake_days: Span = (2, 6)  # how rarely it connects unasked
    not_now: float = 0.02  # share of the update commands answered so, whatever the hour
    night_not_now: float = 0.0  # the same at night: Power Nap on battery, locked
    not_now_minutes: Span = (10, 240)  # until it polls again by itself after a last NotNow
    download_minutes: Span = (4, 90)
    install_minutes: Span = (8, 35)
    prompt_hours: Span = (0.2, 30)  # a passcode user puts the prompt off for so long
    put_offs: int = 1  # a Mac user's deferrals before agreeing
    scan_seconds: Span = (20, 400)
    drops: float = 0.002  # share of the exchanges in which the connection drops, half of them after the server took it
    repeats: float = 0.001  # share of the reports sent twice
    swallows: float = 0.0  # share of the installs that begin without an answer to their command
    substitutes: bool = False  # returns another InstallAction than asked
    false_error: bool = False  # answers Error although it installs
    downloads_fail: int = 0  # tries: the first in silence, further ones answered with 12057
    installs_fail: int = 0  # tries that end in silence with the old version
    installs_refused: int = 0  # tries answered with 12062
    scans_fail: int = 0  # tries answered with 12050 (macOS)
    fails_unlisted: bool = False  # answers ScheduleOSUpdate with a code of no list, in a language of its own
    disk_full: bool = False
    disk_full_hours: float = 0.0  # until somebody makes room; 0 = never
    battery_flat: bool = False
    battery_flat_hours: float = 9.0  # until it hangs on the charger
    battery_stays_flat: bool = False
    updates_itself_days: Span | None = None  # the system installs the newest release unasked
    agrees_early: float = 0.3  # share of the people who install a declared update before its deadline
    mute: bool = False  # acknowledges DeclarativeManagement, and never asks for a declaration


PROFILES: Mapping[str, Behaviour] = MappingProxyType(
    {
        "steady": Behaviour(),
        "always_on": Behaviour(night_share=1, weekend_share=1, not_now=0, self_wake_days=(3, 7)),
        "asleep_at_night": Behaviour(night_share=0.15, weekend_share=0.3, night_not_now=0.5),
        "traveller": Behaviour(offline_share=0.35, offline_hours=(10, 60), kept_pushes=0.7),
        "busy": Behaviour(not_now=0.6, not_now_minutes=(20, 300)),
        "puts_off": Behaviour(prompt_hours=(20, 130), put_offs=9),
        "slow_network": Behaviour(download_minutes=(180, 900), downloads_fail=1, drops=0.05),
        "loses_answers": Behaviour(drops=0.15, repeats=0.1, swallows=0.5),
        "silent_restart": Behaviour(swallows=1.0),
        "substitutes": Behaviour(substitutes=True),
        "false_error": Behaviour(false_error=True),
        "full_disk": Behaviour(disk_full=True),
        "full_for_a_day": Behaviour(disk_full=True, disk_full_hours=26),
        "flat_battery": Behaviour(battery_flat=True),
        "download_fails": Behaviour(downloads_fail=1_000),
        "install_fails_once": Behaviour(installs_fail=1),
        "install_fails": Behaviour(installs_refused=1_000),
        "scan_fails": Behaviour(scans_fail=2),
        "updates_itself": Behaviour(updates_itself_days=(0.2, 6)),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSpec:
    """One device as it leaves the stock room. `model` is the part number, `product_name` the type ("iPad12,1")."""

    udid: str
    serial: str
    platform: Platform
    os_version: str
    build: str
    model: str
    product_name: str
    name: str = ""
    site: str = ""
    ring: str = ""
    time_zone: str = "UTC"
    supervised: bool = True
    passcode: bool = False  # a person with a passcode has to agree to an install (iOS, iPadOS)
    shared_ipad: bool = False
    apple_silicon: bool = True  # macOS
    bootstrap_token: bool = True  # macOS: escrowed with the server
    newest_major: int = 99  # the last major release that this model takes
    behaviour: Behaviour = field(default_factory=Behaviour)
    seed: int = 0

    @property
    def version(self) -> OSVersion:
        return OSVersion.parse(self.os_version)

    def behaving(self, **habits: object) -> "DeviceSpec":
        """The same device with other habits."""
        return replace(self, behaviour=replace(self.behaviour, **habits))  # type: ignore[arg-type]
