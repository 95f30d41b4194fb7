"""Which version of the schema a store has, and how it gets to ours.

The steps are Alembic's, in `migrations/`; Alembic is imported only when there is a step to take.
"""

from sqlalchemy import Connection, inspect, text

from osupdate_kit.errors import StoreError

REVISIONS = ("0001", "0002", "0003")  # oldest first; the last one is the schema of this package
UPGRADE = "osupdate-kit store upgrade"


def version_of(connection: Connection) -> str:
    """The store's revision; "" for an empty one. StoreError for a database that holds something else."""
    tables = inspect(connection).get_table_names()
    if "alembic_version" not in tables:
        if tables:
            raise StoreError(
                f"The database holds tables of something else, such as {sorted(tables)[0]}.",
                remedy="Give the store a database, or a file, of its own.",
            )
        return ""
    return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or "")


def check(version: str, where: str) -> None:
    """Pass only our own revision."""
    if version == REVISIONS[-1]:
        return
    if version and version not in REVISIONS:
        raise StoreError(
            f"The store {where} was written by a newer osupdate-kit (schema {version}; ours is {REVISIONS[-1]}).",
            remedy="Upgrade the package: pip install --upgrade osupdate-kit.",
        )
    if not version:
        raise StoreError(f"The store {where} is empty.", remedy=f"Make it: {UPGRADE}.")
    raise StoreError(
        f"The store {where} has the older schema {version}; ours is {REVISIONS[-1]}.",
        remedy=f"Stop the service, then run: {UPGRADE}. It copies a SQLite store first; back PostgreSQL up yourself.",
    )


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Take every step up to `revision`, in the caller's transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "osupdate_kit.stores:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
