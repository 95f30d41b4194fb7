"""The tables of the ledger, once, for SQLite and PostgreSQL.

Knows columns, keys and indexes. Leaves what the public columns mean to `analysis/tables.py` (a test compares the two),
and how a store gets from one version of this to the next to `migrations/`. Times are microseconds UTC, 0 = never; text
is "" where nobody has said anything; NULL stands only where a number or a yes/no is unknown, or nothing is due.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)  # fmt: skip

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
    }
)

Name = Text().with_variant(Text(collation="C"), "postgresql")  # ordered by bytes on both databases
Id = BigInteger().with_variant(Integer, "sqlite")  # INTEGER PRIMARY KEY is SQLite's row id


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


def _name(name: str, *, primary_key: bool = False) -> Column[str]:
    return Column(name, Name, nullable=False, primary_key=primary_key)


def _number(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False)


def _id(name: str = "id") -> Column[int]:
    return Column(name, Id, primary_key=True, autoincrement=False)


servers = Table("servers", metadata, _name("name", primary_key=True), _text("kind"), _number("added_at"))

devices = Table(
    "devices",
    metadata,
    _name("server", primary_key=True),
    _name("enrollment_id", primary_key=True),
    _text("udid"),
    _text("serial"),
    _text("name"),
    _text("platform"),
    _text("model"),
    _text("os_version"),
    _text("build_version"),
    Column("supervised", Boolean),
    _text("enrollment_type"),
    _text("site"),
    _text("ring"),
    _text("time_zone"),
    _flag("declared"),
    _flag("enrolled"),
    _flag("awaiting_configuration"),
    _number("last_seen_at"),
    _text("attributes"),
    _text("told"),
    _number("added_at"),
    _number("info_at"),
    _number("newest_at"),
    _text("facts"),  # last: a scan for the rest need not read it where it is long
    Index("ix_devices_serial", "server", "serial"),
)

census = Table(  # devices to be asked what they are
    "census",
    metadata,
    _name("server", primary_key=True),
    _name("enrollment_id", primary_key=True),
    _number("at"),
    Index("ix_census_at", "at"),
    sqlite_with_rowid=False,
)

holds = Table(
    "holds",
    metadata,
    _id(),
    _name("server"),
    _name("enrollment_id"),
    _number("at"),
    _number("until_at"),
    _text("who"),
    _text("reason"),
    _number("released_at"),
    _text("released_by"),
    Index("ix_holds_open", "server", "enrollment_id", sqlite_where=text("released_at = 0"),
          postgresql_where=text("released_at = 0")),
)  # fmt: skip

plans = Table(
    "plans",
    metadata,
    _id(),
    _text("name"),
    _text("yaml"),
    _text("sha256"),
    _text("author"),
    _number("created_at"),
    _number("members"),
    UniqueConstraint("sha256"),
)

members = Table(
    "members",
    metadata,
    Column("plan", BigInteger, ForeignKey("plans.id"), primary_key=True, autoincrement=False),
    _name("server", primary_key=True),
    _name("enrollment_id", primary_key=True),
    _text("udid"),
    _text("serial"),
    _text("platform"),
    _text("model"),
    _text("os_version"),
    _text("time_zone"),
    _text("site"),
    _text("ring"),
    _text("wave"),
    _text("target"),
    _text("instrument"),
    _text("barrier"),
    _text("reason"),
    sqlite_with_rowid=False,
)

rollouts = Table(
    "rollouts",
    metadata,
    _id(),
    Column("plan", BigInteger, ForeignKey("plans.id"), nullable=False),
    _text("status"),
    _number("started_at"),
    _number("start_seq"),
    _number("deadline_at"),
    _text("who"),
    _text("reason"),
    _number("changed_at"),
    _number("resumed_at"),
)

_OPEN = text("over_at = 0")
_LIVE = text("live")
_DUE = text("due_at IS NOT NULL")
_WAITS = text("live AND admitted_at <= 0")

journey = Table(
    "journey",
    metadata,
    Column("rollout", BigInteger, ForeignKey("rollouts.id"), primary_key=True, autoincrement=False),
    _name("server", primary_key=True),
    _name("enrollment_id", primary_key=True),
    _text("udid"),
    _text("serial"),
    _text("platform"),
    _text("model"),
    _text("os_version_start"),
    _text("time_zone"),
    _text("site"),
    _text("ring"),
    _text("wave"),
    _text("target"),
    _text("instrument"),
    _text("barrier"),
    _text("reason"),
    _text("state"),
    _text("armed"),
    _flag("regressed"),
    _flag("ready"),
    _text("os_version"),
    _text("action_asked"),
    _text("action_returned"),
    Column("deferrals_used", BigInteger),
    Column("deferrals_remaining", BigInteger),
    _text("failure"),
    _text("failure_text"),
    _number("commands_sent"),
    _number("progress_at"),
    _number("done_at"),
    _number("updated_at"),
    _number("updated_seq"),
    _flag("live"),
    Column("due_at", BigInteger),
    _number("admitted_at"),
    Column("route", Text, nullable=False, server_default=""),
    Column("enforce_at", BigInteger, nullable=False, server_default="0"),
    Index("ix_journey_device", "server", "enrollment_id"),
    Index("uq_journey_live", "server", "enrollment_id", unique=True, sqlite_where=_LIVE, postgresql_where=_LIVE),
    Index("ix_journey_due", "due_at", sqlite_where=_DUE, postgresql_where=_DUE),
    Index(
        "ix_journey_waits",
        "rollout",
        "wave",
        "admitted_at",
        "enrollment_id",
        sqlite_where=_WAITS,
        postgresql_where=_WAITS,
    ),
)

transitions = Table(
    "transitions",
    metadata,
    Column("id", Id, Identity(), primary_key=True),
    Column("rollout", BigInteger, ForeignKey("rollouts.id"), nullable=False),
    _name("server"),
    _name("enrollment_id"),
    _number("at"),
    _number("known_seq"),
    _text("state"),
    Column("sign", SmallInteger, nullable=False),
    Index("ix_transitions_device", "rollout", "server", "enrollment_id"),
)

minutes = Table(  # transitions summed, kept in their transaction: figures over time cost by minutes, not by devices
    "minutes",
    metadata,
    Column("rollout", BigInteger, ForeignKey("rollouts.id"), primary_key=True, autoincrement=False),
    Column("at", BigInteger, primary_key=True, autoincrement=False),
    _name("state", primary_key=True),
    _number("change"),
    sqlite_with_rowid=False,
)

waves = Table(
    "waves",
    metadata,
    Column("rollout", BigInteger, ForeignKey("rollouts.id"), primary_key=True, autoincrement=False),
    _name("name", primary_key=True),
    _number("position"),
    _number("opened_at"),
    _text("who"),
    _number("pace"),
    _number("changed_at"),
    _text("waits_for"),
)

halts = Table(
    "halts",
    metadata,
    _id(),
    Column("rollout", BigInteger, ForeignKey("rollouts.id"), nullable=False),
    _text("dimension"),
    _text("value"),
    _number("at"),
    _text("reason"),
    _number("begun"),
    _number("failed"),
    _text("forgiven"),
    _number("lifted_at"),
    _text("lifted_by"),
    Index("ix_halts_rollout", "rollout"),
)

alerts = Table(
    "alerts",
    metadata,
    _id(),
    _text("kind"),
    _text("subject"),
    _text("text"),
    _number("at"),
    _number("sent_at"),
    _number("over_at"),
    Index("ix_alerts_open", "kind", "subject", sqlite_where=_OPEN, postgresql_where=_OPEN),
)

commands = Table(
    "commands",
    metadata,
    _name("uuid", primary_key=True),
    _name("server"),
    _text("request_type"),
    _number("rollout"),
    _text("command"),
    _number("at"),
)

_READY = text("status = 'intended'")
_UNSURE = text("kind IN ('step', 'assignment') AND status IN ('sending', 'unknown')")

outbox = Table(
    "outbox",
    metadata,
    _id(),
    _name("server"),
    _name("enrollment_id"),
    _number("rollout"),
    _text("kind"),
    _text("request_type"),
    Column("role", SmallInteger, nullable=False),
    _text("command"),
    _text("status"),
    _name("command_uuid"),
    _number("created_at"),
    _number("not_before"),
    _number("gate"),
    _number("attempts"),
    Index("ix_outbox_device", "server", "enrollment_id", "command_uuid"),
    Index("ix_outbox_ready", "server", "not_before", "id", sqlite_where=_READY, postgresql_where=_READY),
    Index("ix_outbox_unsure", "server", "not_before", sqlite_where=_UNSURE, postgresql_where=_UNSURE),
    Index("ix_outbox_unsure_uuid", "command_uuid", sqlite_where=_UNSURE, postgresql_where=_UNSURE),
)

inbox = Table(
    "inbox",
    metadata,
    Column("id", Id, Identity(), primary_key=True),  # never used twice, though rows go
    _name("server"),
    _text("kind"),
    _number("received_at"),
    Column("body", LargeBinary, nullable=False),
    sqlite_autoincrement=True,
)

events = Table(
    "events",
    metadata,
    _id("seq"),
    _name("server"),
    _name("enrollment_id"),
    _text("kind"),
    _number("at"),
    _number("recorded_at"),
    _name("digest"),
    _number("server_at"),
    _number("rollout"),
    _number("outbox"),
    _text("command_uuid"),
    _text("evidence"),
    UniqueConstraint("server", "enrollment_id", "digest"),
)

raw_bodies = Table(
    "raw_bodies",
    metadata,
    Column("seq", Id, ForeignKey("events.seq"), primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
    _number("at"),
    Index("ix_raw_bodies_at", "at"),
)

acts = Table(
    "acts",
    metadata,
    _id(),
    _number("at"),
    _text("who"),
    _text("what"),
    _number("rollout"),
    _text("detail"),
    _number("finished_at"),
    _text("outcome"),
    Index("ix_acts_open", "id", sqlite_where=text("finished_at = 0"), postgresql_where=text("finished_at = 0")),
)

audit = Table(
    "audit",
    metadata,
    _id(),
    _number("at"),
    _text("who"),
    _text("what"),
    _number("rollout"),
    _number("count"),
    _text("detail"),
)

notes = Table(  # of a rollout, or of a device (in a rollout, or at large)
    "notes",
    metadata,
    _id(),
    _number("at"),
    _text("who"),
    _number("rollout"),
    _name("server"),
    _name("enrollment_id"),
    _text("text"),
    Index("ix_notes_device", "server", "enrollment_id"),
    Index("ix_notes_rollout", "rollout"),
)

approvals = Table(  # one for each plan that a rollout goes by: who asked for it, and who else said yes
    "approvals",
    metadata,
    Column("rollout", BigInteger, ForeignKey("rollouts.id"), primary_key=True, autoincrement=False),
    Column("plan", BigInteger, ForeignKey("plans.id"), primary_key=True, autoincrement=False),
    _number("devices"),
    _flag("wanted"),
    _text("asked_by"),
    _number("asked_at"),
    _text("approved_by"),
    _number("approved_at"),
)

handovers = Table(  # the newest names who answers for a rollout; none: whoever started it
    "handovers",
    metadata,
    _id(),
    Column("rollout", BigInteger, ForeignKey("rollouts.id"), nullable=False),
    _number("at"),
    _text("who"),
    _text("owner"),
    _text("reason"),
    Index("ix_handovers_rollout", "rollout"),
)

cursors = Table("cursors", metadata, _name("name", primary_key=True), _text("value"))
