"""The data contract: every public table, its columns, their types, units and meaning. No I/O.

Charts, reports, the lake and other engines rely on it; a test compares the stores with it. What is not here is private
to the ledger. Times are microseconds since 1970 UTC, 0 = never; text is "" where nothing is known.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Kind(StrEnum):
    TEXT = "text"
    NUMBER = "number"  # 64-bit integer
    FLAG = "flag"  # yes or no
    TIME = "time"  # 64-bit integer, microseconds since 1970 UTC
    JSON = "json"  # text


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    kind: Kind
    meaning: str
    nullable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """`key`: the columns that name a row; `watermark`: a number that only grows, by which new rows can be fetched."""

    name: str
    meaning: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    watermark: str = ""


def _text(name: str, meaning: str) -> Column:
    return Column(name, Kind.TEXT, meaning)


def _number(name: str, meaning: str, *, nullable: bool = False) -> Column:
    return Column(name, Kind.NUMBER, meaning, nullable)


def _flag(name: str, meaning: str, *, nullable: bool = False) -> Column:
    return Column(name, Kind.FLAG, meaning, nullable)


def _time(name: str, meaning: str, *, nullable: bool = False) -> Column:
    return Column(name, Kind.TIME, meaning, nullable)


_KEY = (
    _text("server", "name of the MDM server in the settings"),
    _text("enrollment_id", "the id by which that server addresses the device"),
)
_FROZEN = (
    _text("udid", "the device's identity"),
    _text("serial", "serial number; ties a device together across servers and enrolments"),
    _text("platform", "iOS, iPadOS, macOS, tvOS, visionOS, watchOS"),
    _text("model", "product name then, such as iPad13,18"),
)
_GROUPS = (
    _text("time_zone", "tz database name; windows are in this time"),
    _text("site", "where it belongs, by the operator's list"),
    _text("ring", "standing group across rollouts"),
    _text("wave", "slice of the plan"),
    _text("target", "what this device shall report, where the plan's target is a rule; empty: the plan's own"),
    _text("instrument", "command, declaration, or none when barred"),
    _text("barrier", "first reason that bars it; empty: not barred"),
    _text("reason", "all reasons in words"),
)

_ALL = (
    Table(
        name="servers",
        meaning="MDM servers that the store knows",
        key=("name",),
        columns=(
            _text("name", "name in the settings"),
            _text("kind", "nanomdm, …"),
            _time("added_at", "when the store first knew it"),
        ),
    ),
    Table(
        name="devices",
        meaning="the inventory: each enrolment as it was last described",
        key=("server", "enrollment_id"),
        columns=(
            *_KEY,
            _text("udid", "the device's identity"),
            _text("serial", "serial number"),
            _text("name", "the device's name, as its user wrote it: data, never markup"),
            _text("platform", "iOS, iPadOS, macOS, tvOS, visionOS, watchOS"),
            _text("model", "product name, such as iPad13,18"),
            _text("os_version", "newest version reported"),
            _text("build_version", "its build"),
            _flag("supervised", "supervised by the organisation; NULL: not known", nullable=True),
            _text("enrollment_type", "Device, User, …"),
            _text("site", "where it belongs, by the operator's list"),
            _text("ring", "standing group across rollouts"),
            _text("time_zone", "tz database name"),
            _flag("declared", "an active declaration manages its updates"),
            _flag("enrolled", "false after CheckOut"),
            _flag("awaiting_configuration", "in Setup Assistant, waiting for us"),
            _time("last_seen_at", "when it last spoke to its server"),
            Column("attributes", Kind.JSON, "further columns of the operator's own lists"),
            Column("told", Kind.JSON, "what else it told of itself: free space, battery, …"),
            _time("added_at", "when the store first knew it"),
            _time("info_at", "server's time of the newest report of itself"),
            _time("newest_at", "newest event that its facts hold"),
            Column("facts", Kind.JSON, "what its events add up to, as rollout/state.py keeps it"),
        ),
    ),
    Table(
        name="holds",
        meaning="devices that a person keeps out of everything that can install",
        key=("id",),
        columns=(
            _number("id", "number of the hold"),
            *_KEY,
            _time("at", "since when"),
            _time("until_at", "until when; 0: until released"),
            _text("who", "who holds it"),
            _text("reason", "why"),
            _time("released_at", "0: not released"),
            _text("released_by", "who released it"),
        ),
    ),
    Table(
        name="plans",
        meaning="frozen plans",
        key=("id",),
        columns=(
            _number("id", "number of the plan"),
            _text("name", "its name"),
            _text("yaml", "the policy, as it is read and compared"),
            _text("sha256", "of the YAML"),
            _text("author", "who made it"),
            _time("created_at", "when"),
            _number("members", "devices in it, barred ones too"),
        ),
    ),
    Table(
        name="members",
        meaning="devices of a plan with their verdicts, as they were when it was made",
        key=("plan", "server", "enrollment_id"),
        columns=(
            _number("plan", "plans.id"),
            *_KEY,
            *_FROZEN,
            _text("os_version", "version then"),
            *_GROUPS,
        ),
    ),
    Table(
        name="rollouts",
        meaning="plans that were started",
        key=("id",),
        columns=(
            _number("id", "number of the rollout"),
            _number("plan", "plans.id"),
            _text("status", "running, paused, halted, cancelled, ended"),
            _time("started_at", "when"),
            _number("start_seq", "events.seq of the last event before it"),
            _time("deadline_at", "when it ends at the latest"),
            _text("who", "who started it"),
            _text("reason", "of the newest status"),
            _time("changed_at", "since when it has this status"),
            _time("resumed_at", "when it last ran again"),
        ),
    ),
    Table(
        name="journey",
        meaning="one row per rollout and device: the newest state. Selected = sum over states, by every dimension (I5)",
        key=("rollout", "server", "enrollment_id"),
        columns=(
            _number("rollout", "rollouts.id"),
            *_KEY,
            *_FROZEN,
            _text("os_version_start", "version when the plan was made"),
            *_GROUPS,
            _text("state", "as read off the facts with an open window; waiting and attention depend on now"),
            _text("armed", "may still install because of us: on the server, on the device; empty: no"),
            _flag("regressed", "was done, and reports less since"),
            _flag("ready", "the download is there"),
            _text("os_version", "newest version reported since"),
            _text("action_asked", "InstallAction of the newest step"),
            _text("action_returned", "InstallAction that the device answered with"),
            _number("deferrals_used", "by its user; NULL: not reported", nullable=True),
            _number("deferrals_remaining", "NULL: not reported", nullable=True),
            _text("failure", "class of the newest failure"),
            _text("failure_text", "its words: data from a device"),
            _number("commands_sent", "steps that went out, or perhaps"),
            _time("progress_at", "newest evidence of progress"),
            _time("done_at", "first proof of the target; it counts from the rollout's start at the earliest"),
            _time("updated_at", "newest evidence"),
            _number("updated_seq", "events.seq that it was last read off after; 0: as it began"),
            _flag("live", "in this rollout now; at most one row per device"),
            _time("due_at", "when it is looked at next; NULL: when something happens", nullable=True),
            _time(
                "admitted_at",
                "since when it may begin, by wave, pace and slots of its site; 0: not yet, less: its place lapsed then",
            ),
            _text("route", "the instrument that it goes by now: command or declaration; `instrument` is the plan's"),
            _time("enforce_at", "deadline of its newest declaration, by its own time zone; 0: none"),
        ),
    ),
    Table(
        name="waves",
        meaning="waves of the rollouts: which are open, and what the others wait for",
        key=("rollout", "name"),
        columns=(
            _number("rollout", "rollouts.id"),
            _text("name", "its name in the plan"),
            _number("position", "its place in the plan, from 0"),
            _time("opened_at", "since when it is open; 0: it waits"),
            _text("who", "who opened it; service: by itself"),
            _number("pace", "devices that may be under way at once; 0: as many as there are"),
            _time("changed_at", "when that last changed"),
            _text("waits_for", "why it does not open, or does not go on, in words"),
        ),
    ),
    Table(
        name="halts",
        meaning="what was stopped by its own figures; only a person lifts it",
        key=("id",),
        watermark="id",
        columns=(
            _number("id", "order of recording"),
            _number("rollout", "rollouts.id"),
            _text("dimension", "model, os_version_start, site, platform, wave; empty: the whole rollout"),
            _text("value", "which one of them"),
            _time("at", "since when"),
            _text("reason", "the figures, in words"),
            _number("begun", "devices of it that had begun by then"),
            _number("failed", "those of them that had failed"),
            Column("forgiven", Kind.JSON, "figures when it was lifted, by cell: it is judged from there on"),
            _time("lifted_at", "0: it stands"),
            _text("lifted_by", "who lifted it"),
        ),
    ),
    Table(
        name="alerts",
        meaning="what people were told of without asking",
        key=("id",),
        watermark="id",
        columns=(
            _number("id", "order of recording"),
            _text("kind", "halted, approval_waits, gate_waits, armed_after_window, webhook_silent, …"),
            _text("subject", "the rollout, server or report that it is about"),
            _text("text", "what was said"),
            _time("at", "since when it is so"),
            _time("sent_at", "when it was sent; 0: not yet"),
            _time("over_at", "when it was so no longer; 0: it still is"),
        ),
    ),
    Table(
        name="transitions",
        meaning="signed changes: the devices in a state at any instant are the sum of signs up to it",
        key=("id",),
        watermark="id",
        columns=(
            _number("id", "order of recording"),
            _number("rollout", "rollouts.id"),
            *_KEY,
            _time("at", "when it happened (as_of)"),
            _number("known_seq", "events.seq after which it was known (known_at)"),
            _text("state", "the state entered or left"),
            _number("sign", "+1 entered, -1 left"),
        ),
    ),
    Table(
        name="minutes",
        meaning="transitions by rollout, minute and state, summed: what figures over time read",
        key=("rollout", "at", "state"),
        columns=(
            _number("rollout", "rollouts.id"),
            _time("at", "the whole minute by which they had happened; those of the start: rollouts.started_at"),
            _text("state", "the state entered or left"),
            _number("change", "sum of the signs"),
        ),
    ),
    Table(
        name="commands",
        meaning="command UUIDs of ours",
        key=("uuid",),
        columns=(
            _text("uuid", "command UUID; devices may share it"),
            _text("server", "name of the MDM server"),
            _text("request_type", "ScheduleOSUpdate, …"),
            _number("rollout", "rollouts.id; 0: none"),
            Column("command", Kind.JSON, "the request, canonical"),
            _time("at", "when it was about to go out"),
        ),
    ),
    Table(
        name="outbox",
        meaning="intentions: one command or push for one device",
        key=("id",),
        columns=(
            _number("id", "number of the intention, in order"),
            *_KEY,
            _number("rollout", "rollouts.id; 0: none"),
            _text("kind", "step, query, push"),
            _text("request_type", "ScheduleOSUpdate, …; empty for a push"),
            _number("role", "of a step: 1 first, 2 install"),
            Column("command", Kind.JSON, "the request, canonical; empty for a push"),
            _text("status", "intended, withdrawn, sending, unknown, queued, refused, pushed"),
            _text("command_uuid", "under which it went out"),
            _time("created_at", "when it was decided"),
            _time("not_before", "when it may go out"),
            _time("gate", "of a push that knocks: opening of the window it knocks in"),
            _number("attempts", "how often its batch was split"),
        ),
    ),
    Table(
        name="events",
        meaning="evidence: immutable, in order of recording",
        key=("seq",),
        watermark="seq",
        columns=(
            _number("seq", "order of recording; gaps mean nothing"),
            *_KEY,
            _text("kind", "what happened"),
            _time("at", "when it happened, on our clock"),
            _time("recorded_at", "when we knew"),
            _text("digest", "recognises a repeat; unique for a device"),
            _time("server_at", "the server's own time stamp"),
            _number("rollout", "rollouts.id; 0: none"),
            _number("outbox", "outbox.id of the intention it speaks of; 0: none"),
            _text("command_uuid", "of the command it speaks of"),
            Column("evidence", Kind.JSON, "values by kind"),
        ),
    ),
    Table(
        name="audit",
        meaning="acts of people, and of the service on its own",
        key=("id",),
        watermark="id",
        columns=(
            _number("id", "order of recording"),
            _time("at", "when"),
            _text("who", "who"),
            _text("what", "what"),
            _number("rollout", "rollouts.id; 0: none"),
            _number("count", "how many devices"),
            _text("detail", "further words"),
        ),
    ),
    Table(
        name="notes",
        meaning="what people wrote about a rollout or a device, for others",
        key=("id",),
        watermark="id",
        columns=(
            _number("id", "order of recording"),
            _time("at", "when"),
            _text("who", "who wrote it"),
            _number("rollout", "rollouts.id; 0: of the device at large"),
            _text("server", "servers.name; empty: of the whole rollout"),
            _text("enrollment_id", "the device; empty: of the whole rollout"),
            _text("text", "as it was written: data, never markup"),
        ),
    ),
    Table(
        name="approvals",
        meaning="each plan that a rollout began or went on by, and who else approved of it",
        key=("rollout", "plan"),
        columns=(
            _number("rollout", "rollouts.id"),
            _number("plan", "plans.id"),
            _number("devices", "that take it, when it was asked for"),
            _flag("wanted", "nothing is sent until another person approves"),
            _text("asked_by", "who began or revised the rollout"),
            _time("asked_at", "when"),
            _text("approved_by", "the second person"),
            _time("approved_at", "0: not approved"),
        ),
    ),
    Table(
        name="handovers",
        meaning="who answers for a rollout, by the newest row; without one it is who started it",
        key=("id",),
        watermark="id",
        columns=(
            _number("id", "order of recording"),
            _number("rollout", "rollouts.id"),
            _time("at", "when"),
            _text("who", "who handed it over"),
            _text("owner", "to whom"),
            _text("reason", "what the other should know"),
        ),
    ),
)

TABLES: Mapping[str, Table] = MappingProxyType({table.name: table for table in _ALL})
