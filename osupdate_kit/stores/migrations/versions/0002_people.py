"""Notes, second approvals and hand-overs: what people say to one another about devices and rollouts.

New tables only: the rows of version 0.1.0 stay as they are. Each rollout gets its line on approval, which is not
wanted of what began before anybody could ask for it.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")

_ASKED = """
INSERT INTO approvals (rollout, plan, devices, wanted, asked_by, asked_at, approved_by, approved_at)
SELECT r.id, r.plan, (SELECT count(*) FROM journey AS j WHERE j.rollout = r.id AND j.barrier = ''), false, r.who,
       r.started_at, '', 0
FROM rollouts AS r
"""


def _columns(kind: Any, *names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind, nullable=False) for name in names]


def upgrade() -> None:
    op.create_table(
        "notes",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        *_columns(sa.BigInteger, "at"),
        *_columns(sa.Text, "who"),
        *_columns(sa.BigInteger, "rollout"),
        *_columns(NAME, "server", "enrollment_id"),
        *_columns(sa.Text, "text"),
        sa.PrimaryKeyConstraint("id", name="pk_notes"),
    )
    op.create_index("ix_notes_device", "notes", ["server", "enrollment_id"])
    op.create_index("ix_notes_rollout", "notes", ["rollout"])
    op.create_table(
        "approvals",
        sa.Column("rollout", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("plan", sa.BigInteger, autoincrement=False, nullable=False),
        *_columns(sa.BigInteger, "devices"),
        *_columns(sa.Boolean, "wanted"),
        *_columns(sa.Text, "asked_by"),
        *_columns(sa.BigInteger, "asked_at"),
        *_columns(sa.Text, "approved_by"),
        *_columns(sa.BigInteger, "approved_at"),
        sa.PrimaryKeyConstraint("rollout", "plan", name="pk_approvals"),
        sa.ForeignKeyConstraint(["rollout"], ["rollouts.id"], name="fk_approvals_rollout"),
        sa.ForeignKeyConstraint(["plan"], ["plans.id"], name="fk_approvals_plan"),
    )
    op.create_table(
        "handovers",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("rollout", sa.BigInteger, nullable=False),
        *_columns(sa.BigInteger, "at"),
        *_columns(sa.Text, "who", "owner", "reason"),
        sa.PrimaryKeyConstraint("id", name="pk_handovers"),
        sa.ForeignKeyConstraint(["rollout"], ["rollouts.id"], name="fk_handovers_rollout"),
    )
    op.create_index("ix_handovers_rollout", "handovers", ["rollout"])
    op.execute(_ASKED)
