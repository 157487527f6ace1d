"""Facts of the index as a whole, as rows of `archive`."""

from sqlalchemy import Connection, insert, select, update

from isocenter.database.connection import Database
from isocenter.database.tables import archive
from isocenter.dicom.folding import FOLD_VERSION
from isocenter.errors import ConfigurationError


def read(connection: Connection, name: str) -> str:
    """The fact called `name`, '' if it was never set."""
    return connection.execute(select(archive.c.value).where(archive.c.name == name)).scalar() or ""


def write(connection: Connection, name: str, value: str) -> None:
    """Set a fact, inside `Database.writing()`."""
    if not connection.execute(update(archive).where(archive.c.name == name).values(value=value)).rowcount:
        connection.execute(insert(archive).values(name=name, value=value))


def claim(database: Database, archive_id: str) -> None:
    """Record that this index belongs to the store of `archive_id`, or check that it does.

    Raises ConfigurationError if it belongs to another store, or was folded in another way (`dicom.folding`): the server
    must not start on such a pair.
    """
    with database.writing() as connection:
        if _claimed(connection, "archive_id", archive_id) != archive_id:
            raise ConfigurationError("database: the index and the store belong to different archives")
        if _claimed(connection, "fold_version", str(FOLD_VERSION)) != str(FOLD_VERSION):
            raise ConfigurationError("database: the index folds text in another way; run `isocenter index rebuild`")


def _claimed(connection: Connection, name: str, value: str) -> str:
    found = read(connection, name)
    if not found:
        write(connection, name, value)
    return found or value
