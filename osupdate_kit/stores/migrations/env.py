"""Alembic's entry: runs the steps on the connection, and in the transaction, that `migrate.upgrade` hands over."""

from alembic import context

from osupdate_kit.stores.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
