"""The second instrument: by which one a device goes now, and by when a declaration enforces.

Assignments of unknown outcome are looked for like steps. Journeys that are there go on by the instrument of their plan.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_UNSURE = sa.text("kind IN ('step', 'assignment') AND status IN ('sending', 'unknown')")


def upgrade() -> None:
    op.add_column("journey", sa.Column("route", sa.Text, nullable=False, server_default=""))
    op.add_column("journey", sa.Column("enforce_at", sa.BigInteger, nullable=False, server_default="0"))
    op.execute("UPDATE journey SET route = instrument")
    for name, columns in (
        ("ix_outbox_unsure", ["server", "not_before"]),
        ("ix_outbox_unsure_uuid", ["command_uuid"]),
    ):
        op.drop_index(name, table_name="outbox")
        op.create_index(name, "outbox", columns, sqlite_where=_UNSURE, postgresql_where=_UNSURE)
