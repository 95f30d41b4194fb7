"""From a seed to a story: who the devices are, what is planned, what people and strangers do, what goes wrong."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime, time, timedelta
from random import Random
from typing import Any

from osupdate_kit.lab.clock import DAY, HOUR, MINUTE, SECOND
from osupdate_kit.lab.specs import PROFILES, DeviceSpec, Release, release
from osupdate_kit.protocol.terms import InstallAction, Platform
from osupdate_kit.rollout.waves import Limits, Opening, Wave, Who
from osupdate_kit.rollout.windows import Blackout, Window
from tests.lab.worlds import MONDAY

TARGET = "26.1"
ITEM = "052-12345"  # a macOS item that is no OS update
STRANGER = "ScheduleOSUpdate of another party"

_ACTIONS = InstallAction
_TWO = (_ACTIONS.DOWNLOAD_ONLY, _ACTIONS.INSTALL_ASAP)
_MOBILE_POLICIES = (_TWO, _TWO, _TWO, (_ACTIONS.DEFAULT, _ACTIONS.DEFAULT), (_ACTIONS.DOWNLOAD_ONLY,))
_MAC_POLICIES = (
    (_ACTIONS.INSTALL_ASAP,), (_ACTIONS.INSTALL_ASAP,), (_ACTIONS.INSTALL_LATER,), (_ACTIONS.INSTALL_LATER,), _TWO,
    (_ACTIONS.NOTIFY_ONLY,), (_ACTIONS.DOWNLOAD_ONLY,), (_ACTIONS.INSTALL_FORCE_RESTART,), (_ACTIONS.DEFAULT,),
)  # fmt: skip
_PRODUCTS = {
    Platform.IOS: "iPhone14,5", Platform.IPADOS: "iPad12,1", Platform.MACOS: "Mac14,2", Platform.TVOS: "AppleTV14,1",
}  # fmt: skip
_STARTS = {
    Platform.IOS: ("18.6.2", "26.0", "26.0"),
    Platform.IPADOS: ("18.6.2", "26.0", "17.7"),
    Platform.MACOS: ("15.6.1", "26.0", "26.0", "11.7"),
    Platform.TVOS: ("18.6", "26.0"),
}
_ZONES = ("UTC", "Europe/Berlin", "America/Los_Angeles", "Asia/Tokyo", "Australia/Lord_Howe")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """Something that a person, another party or the world does; `device` is the number of a device."""

    at: int
    what: str  # pause resume halt cancel abandon retry extend hold release open lift | stranger enrol check_out rubbish
    #            move storm back_up restore
    device: int = 0  # its number, as its UDID ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Shares (0–1) of the commits, calls and events that fare so, while the chaos lasts."""

    crash_commit: float = 0.0  # the process dies just before, or just after, a commit
    crash_call: float = 0.0  # … just before a call leaves, or when the server has acted
    store_fails: float = 0.0  # the database refuses a commit; the process lives
    store_away: float = 0.0  # the database cannot be reached for a while, or is cut off within a transaction
    disk_full: float = 0.0  # the disk takes no page more for a while
    call_lost: float = 0.0  # the server sees nothing
    call_late: float = 0.0  # the server sees it minutes or hours after the kit has given it up
    answer_lost: float = 0.0  # the server has acted, and no answer comes, or a proxy's page
    refused: float = 0.0  # nobody listens there, for this one call
    lost: float = 0.0
    doubled: float = 0.0
    late: float = 0.0
    reorder: float = 0.03
    garbled: float = 0.0  # of the answers of one device
    receiver_down: float = 0.0  # of the hours
    slow: float = 0.0  # of the moments at which the service lags behind by hours
    clock_jumps: float = 0.0  # of the moments at which our machine's clock is set, ahead or back
    server_jumps: float = 0.0  # of the moments at which the server's clock is set ahead


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    seed: int
    specs: tuple[DeviceSpec, ...]
    releases: dict[Platform, tuple[Release, ...]]
    storage: str  # kv | pgsql
    delete: bool  # the server forgets answered commands
    census: bool  # versions and supervision are asked for; else a list tells them
    item: bool  # the target is a macOS item
    actions: dict[Platform, tuple[InstallAction, ...]]
    max_user_deferrals: int | None
    window: Window
    download_window: Window | None
    blackouts: tuple[Blackout, ...]
    tries: int
    batch_ids: int
    deeds: tuple[Deed, ...]
    faults: Faults
    broken_plan: bool  # a second rollout whose plan cannot be read any more
    waves: tuple[Wave, ...]
    limits: Limits
    slots_per_site: int
    late_minutes: tuple[int, int]  # how late the late events are
    skew: int  # how far the server's clock is ahead of ours from the beginning
    declares: bool  # a server of declarations stands beside each MDM server
    enforce_days: int
    approval_hours: float  # after which another person approves of each rollout; 0: none has to
    starts_at: int  # the rollout
    deadline_at: int
    calm_at: int  # faults end
    ends_at: int

    @property
    def garbled(self) -> int | None:
        """The number of the device whose answers cannot be read."""
        return len(self.specs) - 1 if self.faults.garbled else None

    def spec_of(self, number: int) -> DeviceSpec | None:
        """The device of that number; None where a shortened story has left it out."""
        return next((spec for spec in self.specs if spec.udid.endswith(f"-{number}")), None)


def scenario(seed: int) -> Scenario:
    """The same seed, the same story."""
    luck = Random(f"scenario {seed}")
    item = luck.random() < 0.05
    specs = tuple(_spec(number, luck, item) for number in range(luck.choice((2, 2, 2, 3, 3, 3, 4, 4, 7))))
    starts_at = MONDAY + int(luck.uniform(1, 12) * HOUR)
    deadline_at = starts_at + int(luck.uniform(1, 3) * DAY)
    calm_at = max(deadline_at - int(luck.uniform(-0.5, 1.5) * DAY), starts_at + DAY)
    mac = luck.choice(_MAC_POLICIES)
    deferring = mac == (_ACTIONS.INSTALL_LATER,) and luck.random() < 0.7
    mobile = luck.choice(_MOBILE_POLICIES)
    nightly = luck.random() < 0.45
    opens = luck.choice((time(22), time(20, 30), time(1), time(8)))
    closes = luck.choice((time(4), time(6, 15), time(5), time(12)))
    storage = luck.choice(("kv", "pgsql"))
    declared, approved, refused = (Random(f"{what} {seed}") for what in ("declarations", "approval", "refused"))
    return Scenario(
        seed=seed,
        specs=specs,
        releases={platform: _releases(platform) for platform in _PRODUCTS},
        storage=storage,
        delete=storage == "pgsql" and luck.random() < 0.4,
        census=luck.random() < 0.15,
        item=item,
        actions={
            Platform.MACOS: (_ACTIONS.INSTALL_ASAP,) if item else mac,
            **dict.fromkeys((Platform.IOS, Platform.IPADOS, Platform.TVOS), mobile),
        },
        max_user_deferrals=luck.choice((0, 1, 2, 4)) if deferring and not item else None,
        window=Window(opens=opens, closes=closes) if nightly else Window(),
        download_window=_download_window(luck) if nightly else None,
        blackouts=_blackouts(luck, starts_at),
        tries=luck.choice((1, 2, 3, 3)),
        batch_ids=luck.choice((1, 2, 200)),
        deeds=_deeds(luck, len(specs), starts_at, deadline_at, calm_at),
        faults=replace(_faults(luck), refused=refused.uniform(0.02, 0.3) if refused.random() < 0.25 else 0.0),
        broken_plan=luck.random() < 0.1,
        waves=(waves := _waves(luck, starts_at)),
        limits=_limits(luck),
        slots_per_site=luck.choice((0, 0, 0, 1)) if len(waves) == 1 else 0,
        late_minutes=luck.choice(((2, 900), (2, 900), (600, 6000))),
        skew=int(luck.uniform(-15, 15) * MINUTE) if luck.random() < 0.3 else 0,
        declares=declared.random() < 0.5,
        enforce_days=declared.choice((0, 0, 1, 2)),
        approval_hours=approved.uniform(0.1, 20) if approved.random() < 0.1 else 0,
        starts_at=starts_at,
        deadline_at=deadline_at,
        calm_at=calm_at,
        ends_at=calm_at + 80 * HOUR,
    )


def _download_window(luck: Random) -> Window | None:
    return luck.choice((None, None, Window(), Window(opens=time(12), closes=time(20))))


def _blackouts(luck: Random, starts_at: int) -> tuple[Blackout, ...]:
    if luck.random() < 0.85:
        return ()
    first = datetime.fromtimestamp(starts_at // SECOND, UTC).date() + timedelta(days=luck.randrange(2))
    where = luck.choice(("", "", 'platform == "iPadOS"', 'platform == "macOS" or platform == "tvOS"'))
    return (Blackout(first=first, last=first + timedelta(days=luck.randrange(2)), where=where, reason="exams"),)


def _waves(luck: Random, starts_at: int) -> tuple[Wave, ...]:
    """Mostly all at once; else a pace, or some devices first."""
    kind, pace = luck.random(), luck.choice((0, 1, 2))
    if kind < 0.55:
        return (Wave(),)
    if kind < 0.7:
        return (Wave(pace=max(1, pace)),)
    opens = luck.choice(
        (
            Opening(done_share=luck.choice((0.5, 1.0)), soak_hours=luck.choice((0, 2, 12))),
            Opening(at=starts_at + int(luck.uniform(1, 30) * HOUR)),
            Opening(by_hand=True),
        )
    )
    return (Wave(name="first", who=Who(cover=("platform",)), pace=pace), Wave(name="rest", opens=opens))


def _limits(luck: Random) -> Limits:
    if luck.random() < 0.7:
        return Limits()
    return Limits(failures=luck.choice((1, 2)), failure_share=luck.choice((0.0, 0.4)), false_halt=0.3)


def _spec(number: int, luck: Random, item: bool) -> DeviceSpec:
    platform = Platform.MACOS if item else luck.choice(tuple(_PRODUCTS))
    return DeviceSpec(
        udid=f"{platform.value.upper()}-{number}",
        serial=f"SERIAL{number}",
        platform=platform,
        os_version=luck.choice(_STARTS[platform]) if luck.random() > 0.04 else "27.0",
        build="22A1",
        model="M1",
        product_name=_PRODUCTS[platform],
        name=f"Device {number}",
        time_zone=luck.choice(_ZONES),
        supervised=luck.random() > 0.06,
        passcode=platform in (Platform.IOS, Platform.IPADOS) and luck.random() < 0.4,
        shared_ipad=platform is Platform.IPADOS and luck.random() < 0.1,
        bootstrap_token=luck.random() < 0.8,
        newest_major=luck.choice((26, 26, 26, 27)),
        behaviour=PROFILES[luck.choice(tuple(PROFILES))],
        seed=luck.getrandbits(40),
    )


def _releases(platform: Platform) -> tuple[Release, ...]:
    older = release(platform, "15.7.2" if platform is Platform.MACOS else "18.7.2", "22H1")
    found = (older, release(platform, TARGET, "23B1"), release(platform, "27.0", "24A330"))
    extra = Release(version="5.1", build="5B1", product_key=ITEM, name="Firmware", os=False)
    return (*found, extra) if platform is Platform.MACOS else found


def _deeds(luck: Random, devices: int, starts_at: int, deadline_at: int, calm_at: int) -> tuple[Deed, ...]:
    def some_time(until: int = 0) -> int:
        return int(luck.uniform(starts_at + 10 * MINUTE, until or deadline_at - HOUR))

    deeds: list[Deed] = []
    for stop, share in (("pause", 0.35), ("halt", 0.1)):
        if luck.random() < share:
            at = some_time()
            deeds += [Deed(at=at, what=stop), Deed(at=at + int(luck.uniform(0.2, 40) * HOUR), what="resume")]
    if luck.random() < 0.25:
        deeds.append(Deed(at=some_time(), what="cancel"))
        if luck.random() < 0.8:
            deeds.append(Deed(at=deeds[-1].at + int(luck.uniform(0.1, 10) * HOUR), what="start"))
    for what, share in (("abandon", 0.2), ("stranger", 0.3), ("enrol", 0.25), ("check_out", 0.1), ("rubbish", 0.15)):
        while luck.random() < share:
            deeds.append(Deed(at=some_time(calm_at), what=what, device=luck.randrange(devices)))
    if luck.random() < 0.25:
        hold = Deed(at=some_time(), what="hold", device=luck.randrange(devices))
        deeds += [hold, replace(hold, what="release", at=hold.at + int(luck.uniform(0.5, 40) * HOUR))]
    deeds += [Deed(at=some_time(), what=what) for what in ("open", "lift") if luck.random() < 0.5]
    deeds += [Deed(at=some_time(), what=what) for what in ("retry", "extend") if luck.random() < 0.12]
    if luck.random() < 0.08:
        deeds.append(Deed(at=some_time(calm_at), what="move", device=luck.randrange(devices)))
    while luck.random() < 0.12:
        deeds.append(Deed(at=some_time(calm_at), what="storm"))
    if luck.random() < 0.1:
        backed_up = Deed(at=some_time(calm_at), what="back_up")
        later = backed_up.at + int(luck.uniform(0.1, 20) * HOUR)
        deeds += [backed_up, Deed(at=min(later, calm_at - MINUTE), what="restore")]
    return tuple(sorted(deeds, key=lambda deed: deed.at))


def _faults(luck: Random) -> Faults:
    def share(odds: float, low: float, high: float) -> float:
        return luck.uniform(low, high) if luck.random() < odds else 0.0

    return Faults(
        crash_commit=share(0.6, 0.005, 0.06),
        crash_call=share(0.5, 0.02, 0.25),
        store_fails=share(0.2, 0.005, 0.05),
        store_away=share(0.12, 0.005, 0.05),
        disk_full=share(0.12, 0.005, 0.05),
        call_lost=share(0.3, 0.02, 0.3),
        call_late=share(0.25, 0.02, 0.25),
        answer_lost=share(0.5, 0.02, 0.4),
        lost=share(0.4, 0.01, 0.3),
        doubled=share(0.4, 0.01, 0.4),
        late=share(0.4, 0.02, 0.3),
        reorder=share(0.7, 0.02, 0.5),
        garbled=share(0.15, 0.3, 1.0),
        receiver_down=share(0.2, 0.02, 0.15),
        slow=share(0.4, 0.01, 0.1),
        clock_jumps=share(0.15, 0.005, 0.05),
        server_jumps=share(0.1, 0.005, 0.05),
    )


# --- shorter stories ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """What is left of a seed's story: so failing ones are made short, and named. None: all of it."""

    seed: int
    shares: Mapping[str, float] = field(default_factory=dict)  # of faults, instead of those that it draws
    devices: tuple[int, ...] | None = None  # numbers
    deeds: tuple[int, ...] | None = None  # their places
    faults: tuple[str, ...] | None = None  # kinds
    plain: tuple[str, ...] = ()  # what is as it is by default, of PLAIN
    hours: int | None = None  # of chaos

    def story(self) -> Scenario:
        """The story that is left."""
        story = scenario(self.seed)
        story = replace(story, faults=replace(story.faults, **self.shares))
        if self.devices is not None:
            kept = [spec for number in self.devices if (spec := story.spec_of(number))]
            story = replace(story, specs=tuple(kept))
        if self.deeds is not None:
            story = replace(story, deeds=tuple(story.deeds[place] for place in self.deeds))
        if self.faults is not None:
            story = replace(story, faults=Faults(**{"reorder": 0.0, **self._shares(story.faults)}))
        for name in self.plain:
            story = PLAIN[name](story)
        if self.hours is not None:
            calm_at = min(story.calm_at, story.starts_at + self.hours * HOUR)
            story = replace(story, calm_at=calm_at, ends_at=calm_at + 80 * HOUR)
        return story

    def _shares(self, faults: Faults) -> dict[str, float]:
        return {name: getattr(faults, name) for name in self.faults or ()}

    @staticmethod
    def name_of(text: str) -> str:
        """What people call a named seed."""
        return str(json.loads(text).get("name", text))

    def to_json(self) -> str:
        whole = asdict(Cut(seed=self.seed))
        changed = {key: value for key, value in asdict(self).items() if value != whole[key]}
        return json.dumps({"seed": self.seed} | changed)

    @classmethod
    def from_json(cls, text: str) -> "Cut":
        """Of a number, or of what `to_json` wrote; other keys are for people."""
        words: Mapping[str, Any] = json.loads(text)
        if isinstance(words, int):
            return cls(seed=words)
        known = {each.name for each in fields(cls)}
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in words.items() if k in known})


PLAIN: Mapping[str, Callable[[Scenario], Scenario]] = {
    "approval": lambda story: replace(story, approval_hours=0),
    "window": lambda story: replace(story, window=Window(), download_window=None),
    "download_window": lambda story: replace(story, download_window=None),
    "blackouts": lambda story: replace(story, blackouts=()),
    "waves": lambda story: replace(story, waves=(Wave(),), slots_per_site=0),
    "limits": lambda story: replace(story, limits=Limits()),
    "broken_plan": lambda story: replace(story, broken_plan=False),
    "census": lambda story: replace(story, census=False),
    "skew": lambda story: replace(story, skew=0),
    "batch_ids": lambda story: replace(story, batch_ids=200),
    "declarations": lambda story: replace(story, declares=False),
    "storage": lambda story: replace(story, storage="kv", delete=False),
    "habits": lambda story: replace(
        story, specs=tuple(replace(spec, behaviour=PROFILES["always_on"]) for spec in story.specs)
    ),
    "zones": lambda story: replace(story, specs=tuple(replace(spec, time_zone="UTC") for spec in story.specs)),
}
