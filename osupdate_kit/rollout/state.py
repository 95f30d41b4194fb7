"""Facts, their join, and the lines that read a state off them.

Knows what one device's evidence adds up to. Every cell of `Facts` is a maximum, a union, or the newest by the server's
clock, so order and repeats of the evidence cannot matter (I7). Leaves to `engine.py` what is done next, and to
`shown.py` what time adds.
"""

from collections.abc import Iterator, Mapping
from enum import IntEnum, StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import astuple, replace

from osupdate_kit.protocol.rules import command_available
from osupdate_kit.protocol.terms import InstallAction, Platform, RequestType
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout import assignments as assigned
from osupdate_kit.rollout.assignments import Assignment, Said, Told
from osupdate_kit.rollout.events import EventKind, RolloutEvent
from osupdate_kit.rollout.journey import Armed, Box, Instrument
from osupdate_kit.rollout.policy import FIRST, INSTALL, Steps


class State(StrEnum):
    """Closed list; every device of a rollout is in exactly one (design: States)."""

    BARRED = "barred"
    HELD = "held"
    KNOCKING = "knocking"
    QUEUED = "queued"
    NOT_NOW = "not_now"
    LISTING = "listing"
    SCHEDULED = "scheduled"
    DOWNLOADING = "downloading"
    DOWNLOADED = "downloaded"
    DEFERRED = "deferred"
    INSTALLING = "installing"
    VERIFYING = "verifying"
    SILENT = "silent"
    STALLED = "stalled"
    DONE = "done"
    NOTIFIED = "notified"
    DOWNLOADED_END = "downloaded_end"
    FAILED = "failed"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


ENDS = frozenset({State.BARRED, State.DONE, State.NOTIFIED, State.DOWNLOADED_END, State.FAILED, State.EXPIRED})
ATTENTION = frozenset({State.SILENT, State.STALLED, State.UNKNOWN})


class Answer(IntEnum):
    """The device's answer to a step. The later name wins: *Acknowledged* is the most careful reading."""

    NONE = 0
    NOT_NOW = 1
    FAILED = 2
    NEEDS_DOWNLOAD = 3
    NO_UPDATE = 4
    ACKNOWLEDGED = 5


class Look(IntEnum):
    """What OSUpdateStatus saw; of two answers at one instant the later name wins."""

    NOTHING = 0
    LOADING = 1
    READY = 2
    INSTALLING = 3


_CAN_INSTALL = frozenset(action.value for action in InstallAction if action.can_install)
_PERHAPS_SENT = frozenset({Box.SENDING, Box.QUEUED})


class Step(NamedTuple):
    """One ScheduleOSUpdate of ours, by its outbox row."""

    rollout: int
    role: int = 0
    action: str = ""
    box: int = Box.INTENDED
    answer: int = Answer.NONE
    queued_at: int = 0  # no later than this by the server's clock; 0 = not known
    returned: str = ""  # the InstallAction that the device names in its answer
    failed_at: int = 0  # our clock, newest
    lasting: bool = False  # a failure that no retry can mend
    dead: bool = False  # declared so by a person

    @property
    def installs(self) -> bool:
        """May it start an install? What the device says it does counts as well as what it was asked."""
        return self.action in _CAN_INSTALL or self.returned in _CAN_INSTALL

    @property
    def is_install(self) -> bool:
        """Is it the install step, or a first one that the device takes for it (a `Default` after the download)?"""
        return self.installs and (self.role == INSTALL or self.returned in _CAN_INSTALL)

    @property
    def perhaps_sent(self) -> bool:
        return self.box in _PERHAPS_SENT

    @property
    def counts(self) -> bool:
        """Is it one of the tries? What was withdrawn before it was sent is none."""
        return self.box != Box.WITHDRAWN

    def join(self, other: "Step") -> "Step":
        return Step(
            self.rollout or other.rollout,
            max(self.role, other.role),
            max(self.action, other.action),
            max(self.box, other.box),
            max(self.answer, other.answer),
            max(self.queued_at, other.queued_at),
            max(self.returned, other.returned),
            max(self.failed_at, other.failed_at),
            self.lasting or other.lasting,
            self.dead or other.dead,
        )


class Asked(NamedTuple):
    """The newest query of one type: its outbox row, our time, and the rollout it was asked for."""

    outbox: int = 0
    at: int = 0
    rollout: int = 0


class Seen(NamedTuple):
    """What OSUpdateStatus said, newest by the server's clock."""

    at: int = 0
    look: int = Look.NOTHING
    share: float = 0.0  # of the download, 0–1


class Version(NamedTuple):
    """What DeviceInformation said, newest by the server's clock."""

    at: int = 0
    os_version: str = ""
    build: str = ""
    supplemental_build: str = ""
    extra: str = ""
    since: int = 0  # the first time it said so, as far as the worker knew then; 0: not known


class Deferrals(NamedTuple):
    at: int = 0
    most: int = 0
    remaining: int = 0
    next_install_at: int = 0


class Moment(NamedTuple):
    """An instant by the server's clock, and when we knew."""

    at: int = 0
    known_at: int = 0


class Knock(NamedTuple):
    """The push of one window: which opening of it, and the server's time of the first push (0 = not known)."""

    gate: int = 0
    pushed_at: int = 0

    def join(self, other: "Knock") -> "Knock":
        if self.gate != other.gate:
            return max(self, other)
        known = [k.pushed_at for k in (self, other) if k.pushed_at]
        return Knock(self.gate, min(known, default=0))


class Failure(NamedTuple):
    """The newest failure, for people."""

    at: int = 0
    kind: str = ""
    text: str = ""


class Item(NamedTuple):
    """One entry of AvailableOSUpdates that matters to us."""

    product_key: str
    version: str
    build: str


class Listed(NamedTuple):
    at: int = 0
    items: tuple[Item, ...] = ()


class Facts(msgspec.Struct, frozen=True, array_like=True):  # whose copies cost a tenth of a NamedTuple's
    """What is known of one device, over all rollouts."""

    steps: Mapping[int, Step] = MappingProxyType({})
    asked: Mapping[str, Asked] = MappingProxyType({})
    answered: Mapping[str, Asked] = MappingProxyType({})
    seen: Seen = Seen()
    version: Version = Version()
    needs_download_at: int = 0
    doubt: Moment = Moment()
    foreign_at: int = 0
    cleared_at: int = 0
    proven: Mapping[int, int] = MappingProxyType({})  # by rollout: when its target was first reported, our clock
    knock: Knock = Knock()
    pushed_at: int = 0  # newest push of any kind, our clock
    idle_at: int = 0
    listed: Listed = Listed()
    enrolled_at: int = 0
    checked_out_at: int = 0
    deferrals: Deferrals = Deferrals()
    failures: Mapping[int, Failure] = MappingProxyType({})  # by rollout
    progress: Moment = Moment()  # `at`: how far (a rank), `known_at`: since when
    contact_at: int = 0  # newest evidence from the device, our clock
    scanned_at: int = 0  # newest scan that macOS says it began
    retried: Mapping[int, int] = MappingProxyType({})  # by rollout: steps up to this outbox row are no tries any more
    offered: Mapping[str, int] = MappingProxyType({})  # by product key aimed at: newest list that named it
    assignments: Mapping[int, Assignment] = assigned.NONE  # to declarations of ours, by outbox row
    told: Told = Told()
    untold: Told = Told()  # the newest DeclarativeManagement that it answered by an Error
    said: Mapping[str, Said] = MappingProxyType({})  # by what a status report speaks of, see evidence.py

    # --- read off ---

    @property
    def looked_at(self) -> int:
        """Since when we know what goes on: both queries answered, or the device said that nothing is downloaded."""
        return max(min(self.seen.at, self.version.at), self.needs_download_at)

    @property
    def in_doubt(self) -> bool:
        return self.doubt.at > self.looked_at

    @property
    def installing(self) -> bool:
        return self.seen.look == Look.INSTALLING and self.seen.at >= self.needs_download_at

    @property
    def ready(self) -> bool:
        return self.seen.look == Look.READY and self.seen.at >= self.needs_download_at

    @property
    def loading(self) -> bool:
        return self.seen.look == Look.LOADING and self.seen.at >= self.needs_download_at

    @property
    def unresolved(self) -> bool:
        """Something happened after which only a query tells whether an install is in progress; or one is."""
        return self.installing or self.in_doubt or self.loads_all_the_same

    @property
    def loads_all_the_same(self) -> bool:
        """It downloads, and has answered an install step of ours by an Error: it may install, too, when it is done."""
        return self.loading and any(
            step.installs and step.answer == Answer.FAILED and not self._over(step) for step in self.steps.values()
        )

    def is_open(self, step: Step) -> bool:
        """Sent or perhaps sent, and no final answer: it may be on the server."""
        if not step.perhaps_sent or step.answer > Answer.NOT_NOW or step.dead:
            return False
        return not self.cleared_at > step.queued_at > 0

    def open_steps(self) -> list[Step]:
        """Oldest first."""
        return [step for _, step in sorted(self.steps.items()) if self.is_open(step)]

    @property
    def may_have_installed(self) -> bool:
        """Was an install step of ours sent, or perhaps?"""
        return any(step.installs and step.perhaps_sent for step in self.steps.values())

    @property
    def accepted(self) -> bool:
        """It has acknowledged an install: never asked again, until the target shows or a person decides."""
        for step in self.steps.values():
            if step.answer == Answer.ACKNOWLEDGED and step.is_install and not self._over(step):
                return True
        return False

    def _over(self, step: Step) -> bool:
        return step.dead or step.rollout in self.proven

    @property
    def on_server(self) -> bool:
        """May the server still hand out a step of ours that can install?"""
        return any(step.installs and self.is_open(step) for step in self.steps.values())

    @property
    def armed(self) -> Armed:
        """Sent or perhaps sent, can install, not refused by an Error or "no update", target not reported.

        Or declared, and neither taken back nor done.
        """
        if self.assignments:
            declared, rollout = assigned.armed(self.assignments, self.told)
            if declared and rollout not in self.proven:
                return declared
        found = Armed.NO
        for step in self.steps.values():
            if step.installs and step.answer in _ARMED and step.perhaps_sent and not self._over(step):
                if step.answer == Answer.ACKNOWLEDGED:
                    return Armed.ON_DEVICE
                found = Armed.ON_SERVER
        return found

    def of_rollout(self, rollout: int) -> Iterator[Step]:
        return (step for step in self.steps.values() if step.rollout == rollout)

    def used_up(self, rollout: int, role: int, tries: int) -> bool:
        since = self.retried.get(rollout, 0)
        of_role = [step for number, step in self.steps.items() if number > since and step.rollout == rollout]
        mine = [step for step in of_role if step.role == role and step.counts]
        return len(mine) >= tries or any(step.lasting for step in mine)

    def knocked(self, gate: int) -> int:
        """0 not pushed in this window · 1 pushed · 2 seen since, by an Idle the server made after the push.

        A push for another window that opened later came later still, and counts for this one, too.
        """
        if not gate or self.knock.gate < gate:
            return 0
        return 2 if self.idle_at > self.knock.pushed_at > 0 else 1

    def open_query(self, rollout: int) -> Asked | None:
        """The newest question of this rollout without an answer."""
        return max((asked for t, asked in self.asked.items() if self.waits_for(t, rollout)), default=None)

    def waits_for(self, request_type: str, rollout: int) -> bool:
        """Has this rollout a question of this type without an answer?"""
        asked = self.asked.get(request_type, Asked())
        return asked.rollout == rollout and asked.outbox > self._answered(request_type)

    def _answered(self, request_type: str) -> int:
        return self.answered[request_type].outbox if request_type in self.answered else 0

    @property
    def gone(self) -> bool:
        return self.checked_out_at > self.enrolled_at

    # --- kept ---

    def to_json(self) -> str:
        """One text for equal facts, whatever the order in which they became known."""
        cells: list[Any] = list(astuple(self))
        if not (self.assignments or self.said or self.told.outbox or self.untold.outbox):
            del cells[_DECLARED:]  # of most devices nothing stands there
        for place in _BY_KEY:
            if place < len(cells) and len(cells[place]) > 1:
                cells[place] = dict(sorted(cells[place].items()))
        return _ENCODER.encode(cells).decode()

    @classmethod
    def from_json(cls, text: str) -> "Facts":
        return _DECODER.decode(text) if text else cls()


_DECLARED = Facts.__struct_fields__.index("assignments")
_BY_KEY = tuple(place for place, cell in enumerate(astuple(Facts())) if isinstance(cell, Mapping))
_ENCODER = msgspec.json.Encoder(enc_hook=dict)  # a read-only mapping is a mapping
_DECODER = msgspec.json.Decoder(Facts)
_ARMED = (Answer.NONE, Answer.NOT_NOW, Answer.ACKNOWLEDGED)

# --- The fold ---------------------------------------------------------------------------------------------------------

_BOXES = {
    EventKind.INTENDED: Box.INTENDED,
    EventKind.WITHDRAWN: Box.WITHDRAWN,
    EventKind.SENDING: Box.SENDING,
    EventKind.REFUSED: Box.REFUSED,
    EventKind.QUEUED: Box.QUEUED,  # of an assignment: the server has done it
    EventKind.ANSWERED: Box.QUEUED,  # an answer to a UUID implies that it was queued
}
_ANSWERS = {
    "not_now": Answer.NOT_NOW,
    "failed": Answer.FAILED,
    "needs_download": Answer.NEEDS_DOWNLOAD,
    "no_update": Answer.NO_UPDATE,
    "acknowledged": Answer.ACKNOWLEDGED,
}
_LOOKS = {"nothing": Look.NOTHING, "loading": Look.LOADING, "ready": Look.READY, "installing": Look.INSTALLING}
_FROM_DEVICE = frozenset(
    {
        EventKind.ANSWERED, EventKind.FOREIGN, EventKind.IDLE, EventKind.AUTHENTICATED,
        EventKind.ENROLLED, EventKind.CHECKED_OUT, EventKind.REPORTED,
    }
)  # fmt: skip
_SAYS = frozenset({EventKind.ANSWERED, EventKind.REFUSED, EventKind.REPORTED})


def fold(facts: Facts, event: RolloutEvent) -> Facts:
    """Join one event in. Commutative, associative, idempotent."""
    kind = event.kind
    if kind in _FROM_DEVICE and event.recorded_at > facts.contact_at:
        facts = replace(facts, contact_at=event.recorded_at)
    if kind is EventKind.IDLE:
        return replace(facts, idle_at=max(facts.idle_at, event.server_at))
    if kind is EventKind.AUTHENTICATED:
        return replace(
            facts,
            cleared_at=max(facts.cleared_at, event.server_at),
            enrolled_at=max(facts.enrolled_at, event.server_at),
            doubt=max(facts.doubt, Moment(event.server_at, event.recorded_at)),
        )
    if kind is EventKind.ENROLLED:
        return replace(facts, enrolled_at=max(facts.enrolled_at, event.server_at))
    if kind is EventKind.CHECKED_OUT:
        return replace(facts, checked_out_at=max(facts.checked_out_at, event.server_at))
    if kind is EventKind.FOREIGN:
        return replace(
            facts,
            foreign_at=max(facts.foreign_at, event.server_at),
            doubt=max(facts.doubt, Moment(event.server_at, event.recorded_at)),
        )
    if kind is EventKind.RETRIED:
        since = max(facts.retried.get(event.rollout, 0), event.outbox)
        return replace(facts, retried={**facts.retried, event.rollout: since})
    of = event.evidence.get("of")
    if of == "push":
        return _fold_push(facts, event)
    if of == "step":
        facts = _fold_step(facts, event)
    elif of == "query":
        facts = _fold_query(facts, event)
    elif of in ("assignment", "report"):
        facts = _fold_declared(facts, event)
    return _fold_words(facts, event) if kind in _SAYS else facts


def _fold_push(facts: Facts, event: RolloutEvent) -> Facts:
    if event.kind not in (EventKind.SENDING, EventKind.PUSHED):
        return facts
    gate: Any = event.evidence.get("gate", 0)
    pushed_at = event.server_at if event.kind is EventKind.PUSHED else 0
    if event.kind is EventKind.SENDING:
        facts = replace(facts, pushed_at=max(facts.pushed_at, event.recorded_at))
    return replace(facts, knock=facts.knock.join(Knock(gate, pushed_at))) if gate else facts


def _fold_step(facts: Facts, event: RolloutEvent) -> Facts:
    words: Any = event.evidence
    answer = _ANSWERS.get(words.get("answer", ""), Answer.NONE)
    news = Step(
        event.rollout,
        words["role"],
        words["action"],
        _BOXES.get(event.kind, Box.INTENDED),
        answer,
        event.server_at if event.kind is EventKind.QUEUED else 0,
        words.get("returned", ""),
        event.recorded_at if answer == Answer.FAILED or event.kind is EventKind.REFUSED else 0,
        bool(words.get("lasting")),
        event.kind is EventKind.ABANDONED,
    )
    known = facts.steps.get(event.outbox)
    step = news.join(known) if known else news
    steps = {**facts.steps, event.outbox: step}
    if event.kind is EventKind.ANSWERED and (
        answer == Answer.NO_UPDATE or (answer in (Answer.FAILED, Answer.ACKNOWLEDGED) and news.installs)
    ):
        return replace(facts, steps=steps, doubt=max(facts.doubt, Moment(event.server_at, event.recorded_at)))
    if answer == Answer.NEEDS_DOWNLOAD:
        return replace(facts, steps=steps, needs_download_at=max(facts.needs_download_at, event.server_at))
    return replace(facts, steps=steps)


def _fold_query(facts: Facts, event: RolloutEvent) -> Facts:
    request_type = str(event.evidence["type"])
    news = Asked(event.outbox, event.recorded_at, event.rollout)
    if event.kind is EventKind.ANSWERED and event.evidence.get("answer") != "not_now":
        newest = max(facts.answered.get(request_type, news), news)
        facts = replace(facts, answered={**facts.answered, request_type: newest})
        return _fold_told(facts, event) if request_type == RequestType.DECLARATIVE_MANAGEMENT else facts
    if event.kind is EventKind.INTENDED:
        newest = max(facts.asked.get(request_type, news), news)
        return replace(facts, asked={**facts.asked, request_type: newest})
    return facts


def _fold_told(facts: Facts, event: RolloutEvent) -> Facts:
    if event.evidence.get("answer") == "failed":
        return replace(facts, untold=max(facts.untold, Told(event.outbox, event.server_at)))
    return replace(facts, told=max(facts.told, Told(event.outbox, event.server_at)))


def _fold_declared(facts: Facts, event: RolloutEvent) -> Facts:
    """What becomes of an assignment; or what the device reports, of the one that held when the report came."""
    words: Any = event.evidence
    if event.kind is EventKind.REPORTED:
        said = {what: max(facts.said.get(what, Said()), Said(event.server_at, text)) for what, text in words["said"]}
        facts = replace(facts, said={**facts.said, **said})
        if not event.outbox:
            return facts
        news = Assignment(
            event.rollout,
            failures=words.get("failures", 0),
            invalid_at=event.server_at if words.get("invalid") else 0,
        )
    else:
        news = Assignment(
            event.rollout,
            words["role"],
            _BOXES.get(event.kind, Box.INTENDED),
            words["set"],
            words["enforce_at"],
            refused_at=event.recorded_at if event.kind is EventKind.REFUSED else 0,
            done_at=event.recorded_at if event.kind is EventKind.QUEUED else 0,
            given_up=bool(words.get("given_up")),
            again=bool(words.get("again")),
        )
    known = facts.assignments.get(event.outbox)
    assignments = {**facts.assignments, event.outbox: news.join(known) if known else news}
    return replace(facts, assignments=assignments)


def _fold_words(facts: Facts, event: RolloutEvent) -> Facts:
    """What an answer says beside being one. Its keys: see `evidence.py`."""
    words: Any = event.evidence
    at = event.server_at
    changes: dict[str, Any] = {}
    if "look" in words:
        changes["seen"] = max(facts.seen, Seen(at, _LOOKS[words["look"]], words.get("share", 0.0)))
    if "os_version" in words:
        version = Version(
            at, words["os_version"], words.get("build", ""), words.get("supplemental_build", ""),
            words.get("extra", ""), words.get("since", 0),
        )  # fmt: skip
        changes["version"] = max(facts.version, version)
    if "deferrals" in words:
        changes["deferrals"] = max(facts.deferrals, Deferrals(at, *words["deferrals"]))
    if "items" in words:
        items = tuple(Item(*item) for item in words["items"])
        changes["listed"] = max(facts.listed, Listed(at, items))
    if "offered" in words:
        changes["offered"] = {**facts.offered, **{k: max(at, facts.offered.get(k, 0)) for k in words["offered"]}}
    if "failure" in words:
        kind, text = words["failure"]
        news = Failure(at, kind, text)
        newest = max(facts.failures.get(event.rollout, news), news)
        changes["failures"] = {**facts.failures, event.rollout: newest}
    if "scanned" in words:
        changes["scanned_at"] = max(facts.scanned_at, at)
    if "proves" in words:
        first = {rollout: min(event.at, facts.proven.get(rollout, event.at)) for rollout in words["proves"]}
        changes["proven"] = {**facts.proven, **first}
    if "progress" in words:
        further = Moment(words["progress"], event.recorded_at)
        changes["progress"] = _furthest(facts.progress, further)
    return replace(facts, **changes) if changes else facts


def _furthest(one: Moment, other: Moment) -> Moment:
    """How far it came, and when we first knew: waiting at the same place is no progress."""
    if one.at != other.at:
        return max(one, other)
    return min(one, other)


# --- The lines --------------------------------------------------------------------------------------------------------


class Course(NamedTuple):
    """What the plan wants of one device: read off the plan, the same for all devices of a platform."""

    rollout: int
    steps: Steps
    listing: bool = False  # scan and list before the first step (macOS)
    item: bool = False  # the target is a product key: only a fresh list can show that it is gone
    instrument: Instrument = Instrument.COMMAND  # by the plan's verdict; `route` says which one it is now
    platform: Platform = Platform.IOS
    can_declare: bool = False  # has its server declarations?


def route(facts: Facts, course: Course) -> Instrument:
    """By which instrument now: a device that crosses a line goes on by the other one.

    It reports an OS without the commands, or answers an Error to DeclarativeManagement. Where neither is left, the
    plan's own stays, and its failure shows.
    """
    if course.instrument is Instrument.DECLARATION:
        back = facts.untold > facts.told and _has_commands(facts, course)
        return Instrument.COMMAND if back else Instrument.DECLARATION
    return Instrument.DECLARATION if crossed(facts, course) else course.instrument


def declares(facts: Facts, course: Course) -> bool:
    return route(facts, course) is Instrument.DECLARATION


def in_doubt(facts: Facts, course: Course) -> bool:
    """Must a query be answered first? Where the commands are gone, the version alone settles what they left behind."""
    if not facts.in_doubt or not declares(facts, course):
        return facts.in_doubt
    return bool(facts.steps) and facts.doubt.at > facts.version.at


def is_installing(facts: Facts, course: Course) -> bool:
    """By OSUpdateStatus, which nobody asks any more where the commands are gone."""
    return facts.installing and not (facts.version.at > facts.seen.at and declares(facts, course))


def crossed(facts: Facts, course: Course) -> bool:
    """Planned by command, and the OS that it reports has none any more: what it accepted before is over."""
    if course.instrument is not Instrument.COMMAND or not course.can_declare or not facts.version.os_version:
        return False
    return not _has_commands(facts, course)


def _has_commands(facts: Facts, course: Course) -> bool:
    return not facts.version.os_version or _commands_on(course.platform, facts.version.os_version)


@lru_cache(maxsize=4096)
def _commands_on(platform: Platform, os_version: str) -> bool:
    return command_available(RequestType.SCHEDULE_OS_UPDATE, platform, OSVersion.parse(os_version))


def state_of(facts: Facts, course: Course, gate: int) -> State:
    """First line that fits. `gate`: the opening of the window that is open now, 0 = shut (or paused, held).

    The stored journey is read with an open window; what time adds is laid over it when it is shown.
    """
    if course.rollout in facts.proven:
        return State.DONE
    if facts.gone:
        return State.UNKNOWN
    if is_installing(facts, course):
        return State.INSTALLING
    if facts.accepted and not crossed(facts, course):
        if facts.in_doubt:
            return State.SCHEDULED
        return State.DOWNLOADING if facts.loading else State.DEFERRED
    waiting = facts.open_steps()
    if any(step.installs for step in waiting):
        return State.NOT_NOW if any(step.answer == Answer.NOT_NOW for step in waiting) else State.QUEUED
    if in_doubt(facts, course):
        return State.VERIFYING
    if declares(facts, course):
        return declared_state(facts, course)
    if facts.loads_all_the_same:
        return State.DOWNLOADING
    ready = facts.ready
    if not ready and waiting:
        return State.NOT_NOW if waiting[-1].answer == Answer.NOT_NOW else State.QUEUED
    last = facts.steps[max(facts.steps)] if facts.steps else None
    if last and last.role == FIRST and last.answer == Answer.ACKNOWLEDGED and not facts._over(last):
        if last.action == InstallAction.NOTIFY_ONLY:
            return State.NOTIFIED if last.rollout == course.rollout else State.HELD
        if not ready:
            return State.DOWNLOADING
    if ready and course.steps.install is None:
        return State.DOWNLOADED_END
    if is_listing(facts, course):
        return State.LISTING
    role = next_role(facts, course)
    intended = any(step.box == Box.INTENDED for step in facts.steps.values())
    if facts.used_up(course.rollout, role, course.steps.tries) and not intended:
        return State.FAILED
    if not gate:
        return State.DOWNLOADED if ready else State.HELD
    return State.KNOCKING if facts.knocked(gate) else State.DOWNLOADED if ready else State.HELD


_INSTALL_STATES = {
    "downloading": State.DOWNLOADING,
    "prepared": State.DOWNLOADED,
    "installing": State.INSTALLING,
}


def declared_state(facts: Facts, course: Course) -> State:
    """The lines of a device that updates itself by a declaration of ours."""
    if declaration_failed(facts, course):
        return State.FAILED
    there = assigned.held(facts.assignments)
    if there is None or there[1].rollout != course.rollout:
        return State.HELD
    number, assignment = there
    if assignment.invalid_at > facts.version.at:
        return State.VERIFYING  # so is a declaration whose target the device has reached by now
    if facts.told.outbox < number:
        return State.QUEUED
    return _INSTALL_STATES.get(facts.said.get("state", Said()).text, State.SCHEDULED)


def declaration_failed(facts: Facts, course: Course) -> bool:
    """The device cannot take declarations, calls ours invalid, or has failed as often as the plan allows."""
    since = facts.retried.get(course.rollout, 0)
    rows = [(n, one) for n, one in assigned.of_rollout(facts.assignments, course.rollout) if n > since]
    if facts.untold > facts.told and any(n < facts.untold.outbox for n, _ in rows):
        return True
    mine = [one for _, one in rows]
    if any(0 < one.invalid_at <= facts.version.at for one in mine):
        return True
    refused = sum(one.box == Box.REFUSED for one in mine)
    return refused >= course.steps.tries or any(one.failures >= course.steps.tries for one in mine)


def next_role(facts: Facts, course: Course) -> int:
    """Which of the two steps comes next."""
    if course.steps.first is None:
        return INSTALL
    return INSTALL if facts.ready and course.steps.install else FIRST


def is_listing(facts: Facts, course: Course) -> bool:
    """macOS: scan and list are under way and nothing has been sent in this rollout yet."""
    if not course.listing or any(True for _ in facts.of_rollout(course.rollout)):
        return False
    asked = facts.asked.get(RequestType.SCHEDULE_OS_UPDATE_SCAN, Asked())
    return asked.rollout == course.rollout and not has_listed(facts, course)


def has_listed(facts: Facts, course: Course) -> bool:
    answered = facts.answered.get(RequestType.AVAILABLE_OS_UPDATES, Asked())
    return answered.rollout == course.rollout
