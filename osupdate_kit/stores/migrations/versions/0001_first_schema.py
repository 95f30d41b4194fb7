"""The first schema, that of version 0.1.0. Frozen: what comes later is a step of its own.

A test knows what it makes by its digest, and compares what all steps make with `stores/schema.py`.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _columns(kind: Any, *names: str, nullable: bool = False) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind, nullable=nullable) for name in names]


def _where(text: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(text), "postgresql_where": sa.text(text)}


def upgrade() -> None:
    op.create_table(
        "acts",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        *_columns(sa.BigInteger, "at"),
        *_columns(sa.Text, "who", "what"),
        *_columns(sa.BigInteger, "rollout"),
        *_columns(sa.Text, "detail"),
        *_columns(sa.BigInteger, "finished_at"),
        *_columns(sa.Text, "outcome"),
        sa.PrimaryKeyConstraint("id", name="pk_acts"),
    )
    op.create_index("ix_acts_open", "acts", ["id"], **_where("finished_at = 0"))
    op.create_table(
        "audit",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        *_columns(sa.BigInteger, "at"),
        *_columns(sa.Text, "who", "what"),
        *_columns(sa.BigInteger, "rollout", "count"),
        *_columns(sa.Text, "detail"),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_table(
        "census",
        *_columns(NAME, "server", "enrollment_id"),
        *_columns(sa.BigInteger, "at"),
        sa.PrimaryKeyConstraint("server", "enrollment_id", name="pk_census"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_census_at", "census", ["at"])
    op.create_table(
        "commands",
        *_columns(NAME, "uuid", "server"),
        *_columns(sa.Text, "request_type"),
        *_columns(sa.BigInteger, "rollout"),
        *_columns(sa.Text, "command"),
        *_columns(sa.BigInteger, "at"),
        sa.PrimaryKeyConstraint("uuid", name="pk_commands"),
    )
    op.create_table(
        "cursors",
        *_columns(NAME, "name"),
        *_columns(sa.Text, "value"),
        sa.PrimaryKeyConstraint("name", name="pk_cursors"),
    )
    op.create_table(
        "devices",
        *_columns(NAME, "server", "enrollment_id"),
        *_columns(sa.Text, "udid", "serial", "name", "platform", "model", "os_version", "build_version"),
        *_columns(sa.Boolean, "supervised", nullable=True),
        *_columns(sa.Text, "enrollment_type", "site", "ring", "time_zone"),
        *_columns(sa.Boolean, "declared", "enrolled", "awaiting_configuration"),
        *_columns(sa.BigInteger, "last_seen_at"),
        *_columns(sa.Text, "attributes", "told"),
        *_columns(sa.BigInteger, "added_at", "info_at", "newest_at"),
        *_columns(sa.Text, "facts"),
        sa.PrimaryKeyConstraint("server", "enrollment_id", name="pk_devices"),
    )
    op.create_index("ix_devices_serial", "devices", ["server", "serial"])
    op.create_table(
        "events",
        sa.Column("seq", ID, autoincrement=False, nullable=False),
        *_columns(NAME, "server", "enrollment_id"),
        *_columns(sa.Text, "kind"),
        *_columns(sa.BigInteger, "at", "recorded_at"),
        *_columns(NAME, "digest"),
        *_columns(sa.BigInteger, "server_at", "rollout", "outbox"),
        *_columns(sa.Text, "command_uuid", "evidence"),
        sa.PrimaryKeyConstraint("seq", name="pk_events"),
        sa.UniqueConstraint("server", "enrollment_id", "digest", name="uq_events_server"),
    )
    op.create_table(
        "holds",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        *_columns(NAME, "server", "enrollment_id"),
        *_columns(sa.BigInteger, "at", "until_at"),
        *_columns(sa.Text, "who", "reason"),
        *_columns(sa.BigInteger, "released_at"),
        *_columns(sa.Text, "released_by"),
        sa.PrimaryKeyConstraint("id", name="pk_holds"),
    )
    op.create_index("ix_holds_open", "holds", ["server", "enrollment_id"], **_where("released_at = 0"))
    op.create_table(
        "inbox",
        sa.Column("id", ID, sa.Identity(), nullable=False),
        *_columns(NAME, "server"),
        *_columns(sa.Text, "kind"),
        *_columns(sa.BigInteger, "received_at"),
        *_columns(sa.LargeBinary, "body"),
        sa.PrimaryKeyConstraint("id", name="pk_inbox"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "outbox",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        *_columns(NAME, "server", "enrollment_id"),
        *_columns(sa.BigInteger, "rollout"),
        *_columns(sa.Text, "kind", "request_type"),
        *_columns(sa.SmallInteger, "role"),
        *_columns(sa.Text, "command", "status"),
        *_columns(NAME, "command_uuid"),
        *_columns(sa.BigInteger, "created_at", "not_before", "gate", "attempts"),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
    )
    op.create_index("ix_outbox_device", "outbox", ["server", "enrollment_id", "command_uuid"])
    op.create_index("ix_outbox_ready", "outbox", ["server", "not_before", "id"], **_where("status = 'intended'"))
    op.create_index(
        "ix_outbox_unsure",
        "outbox",
        ["server", "not_before"],
        **_where("kind = 'step' AND status IN ('sending', 'unknown')"),
    )
    op.create_index(
        "ix_outbox_unsure_uuid",
        "outbox",
        ["command_uuid"],
        **_where("kind = 'step' AND status IN ('sending', 'unknown')"),
    )
    op.create_table(
        "plans",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        *_columns(sa.Text, "name", "yaml", "sha256", "author"),
        *_columns(sa.BigInteger, "created_at", "members"),
        sa.PrimaryKeyConstraint("id", name="pk_plans"),
        sa.UniqueConstraint("sha256", name="uq_plans_sha256"),
    )
    op.create_table(
        "servers",
        *_columns(NAME, "name"),
        *_columns(sa.Text, "kind"),
        *_columns(sa.BigInteger, "added_at"),
        sa.PrimaryKeyConstraint("name", name="pk_servers"),
    )
    op.create_table(
        "members",
        sa.Column("plan", sa.BigInteger, autoincrement=False, nullable=False),
        *_columns(NAME, "server", "enrollment_id"),
        *_columns(
            sa.Text,
            "udid",
            "serial",
            "platform",
            "model",
            "os_version",
            "time_zone",
            "site",
            "ring",
            "wave",
            "target",
            "instrument",
            "barrier",
            "reason",
        ),
        sa.PrimaryKeyConstraint("plan", "server", "enrollment_id", name="pk_members"),
        sa.ForeignKeyConstraint(["plan"], ["plans.id"], name="fk_members_plan"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "raw_bodies",
        sa.Column("seq", ID, autoincrement=False, nullable=False),
        *_columns(sa.LargeBinary, "body"),
        *_columns(sa.BigInteger, "at"),
        sa.PrimaryKeyConstraint("seq", name="pk_raw_bodies"),
        sa.ForeignKeyConstraint(["seq"], ["events.seq"], name="fk_raw_bodies_seq"),
    )
    op.create_index("ix_raw_bodies_at", "raw_bodies", ["at"])
    op.create_table(
        "rollouts",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("plan", sa.BigInteger, nullable=False),
        *_columns(sa.Text, "status"),
        *_columns(sa.BigInteger, "started_at", "start_seq", "deadline_at"),
        *_columns(sa.Text, "who", "reason"),
        *_columns(sa.BigInteger, "changed_at", "resumed_at"),
        sa.PrimaryKeyConstraint("id", name="pk_rollouts"),
        sa.ForeignKeyConstraint(["plan"], ["plans.id"], name="fk_rollouts_plan"),
    )
    op.create_table(
        "journey",
        sa.Column("rollout", sa.BigInteger, autoincrement=False, nullable=False),
        *_columns(NAME, "server", "enrollment_id"),
        *_columns(
            sa.Text,
            "udid",
            "serial",
            "platform",
            "model",
            "os_version_start",
            "time_zone",
            "site",
            "ring",
            "wave",
            "target",
            "instrument",
            "barrier",
            "reason",
            "state",
            "armed",
        ),
        *_columns(sa.Boolean, "regressed", "ready"),
        *_columns(sa.Text, "os_version", "action_asked", "action_returned"),
        *_columns(sa.BigInteger, "deferrals_used", "deferrals_remaining", nullable=True),
        *_columns(sa.Text, "failure", "failure_text"),
        *_columns(sa.BigInteger, "commands_sent", "progress_at", "done_at", "updated_at", "updated_seq"),
        *_columns(sa.Boolean, "live"),
        *_columns(sa.BigInteger, "due_at", nullable=True),
        *_columns(sa.BigInteger, "admitted_at"),
        sa.PrimaryKeyConstraint("rollout", "server", "enrollment_id", name="pk_journey"),
        sa.ForeignKeyConstraint(["rollout"], ["rollouts.id"], name="fk_journey_rollout"),
    )
    op.create_index("ix_journey_device", "journey", ["server", "enrollment_id"])
    op.create_index("ix_journey_due", "journey", ["due_at"], **_where("due_at IS NOT NULL"))
    op.create_index(
        "ix_journey_waits",
        "journey",
        ["rollout", "wave", "admitted_at", "enrollment_id"],
        **_where("live AND admitted_at <= 0"),
    )
    op.create_index("uq_journey_live", "journey", ["server", "enrollment_id"], unique=True, **_where("live"))
    op.create_table(
        "transitions",
        sa.Column("id", ID, sa.Identity(), nullable=False),
        sa.Column("rollout", sa.BigInteger, nullable=False),
        *_columns(NAME, "server", "enrollment_id"),
        *_columns(sa.BigInteger, "at", "known_seq"),
        *_columns(sa.Text, "state"),
        *_columns(sa.SmallInteger, "sign"),
        sa.PrimaryKeyConstraint("id", name="pk_transitions"),
        sa.ForeignKeyConstraint(["rollout"], ["rollouts.id"], name="fk_transitions_rollout"),
    )
    op.create_index("ix_transitions_device", "transitions", ["rollout", "server", "enrollment_id"])
    op.create_table(
        "waves",
        sa.Column("rollout", sa.BigInteger, autoincrement=False, nullable=False),
        *_columns(NAME, "name"),
        *_columns(sa.BigInteger, "position", "opened_at"),
        *_columns(sa.Text, "who"),
        *_columns(sa.BigInteger, "pace", "changed_at"),
        *_columns(sa.Text, "waits_for"),
        sa.PrimaryKeyConstraint("rollout", "name", name="pk_waves"),
        sa.ForeignKeyConstraint(["rollout"], ["rollouts.id"], name="fk_waves_rollout"),
    )
    op.create_table(
        "halts",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("rollout", sa.BigInteger, nullable=False),
        *_columns(sa.Text, "dimension", "value"),
        *_columns(sa.BigInteger, "at"),
        *_columns(sa.Text, "reason"),
        *_columns(sa.BigInteger, "begun", "failed"),
        *_columns(sa.Text, "forgiven"),
        *_columns(sa.BigInteger, "lifted_at"),
        *_columns(sa.Text, "lifted_by"),
        sa.PrimaryKeyConstraint("id", name="pk_halts"),
        sa.ForeignKeyConstraint(["rollout"], ["rollouts.id"], name="fk_halts_rollout"),
    )
    op.create_index("ix_halts_rollout", "halts", ["rollout"])
    op.create_table(
        "alerts",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        *_columns(sa.Text, "kind", "subject", "text"),
        *_columns(sa.BigInteger, "at", "sent_at", "over_at"),
        sa.PrimaryKeyConstraint("id", name="pk_alerts"),
    )
    op.create_index("ix_alerts_open", "alerts", ["kind", "subject"], **_where("over_at = 0"))
    op.create_table(
        "minutes",
        *_columns(sa.BigInteger, "rollout", "at"),
        *_columns(NAME, "state"),
        *_columns(sa.BigInteger, "change"),
        sa.PrimaryKeyConstraint("rollout", "at", "state", name="pk_minutes"),
        sa.ForeignKeyConstraint(["rollout"], ["rollouts.id"], name="fk_minutes_rollout"),
        sqlite_with_rowid=False,
    )
