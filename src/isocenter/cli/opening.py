"""The index that a command works on, and the AEs and peers that it holds."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import SQLAlchemyError

from isocenter import database
from isocenter.config import Settings
from isocenter.database import Database
from isocenter.errors import ConfigurationError, Reason, Retriable
from isocenter.registry.roster import Roster, merged
from isocenter.registry.stored import read


@contextmanager
def opened(settings: Settings) -> Iterator[Database]:
    """The index's database, whose schema must be this program's; ConfigurationError where there is no archive yet."""
    if not (settings.store_root / "archive.json").exists():
        raise ConfigurationError(f"data: there is no archive in {settings.data}; a first start of the server makes it")
    try:
        database.check_schema(settings.database_url)
        index = database.open(settings.database_url, pool_size=1)
        try:
            yield index
        finally:
            index.close()
    except SQLAlchemyError as error:
        raise Retriable(Reason.OUT_OF_RESOURCES, f"the database can't be reached ({type(error).__name__})") from error


def known(settings: Settings) -> Roster:
    """The AEs and peers that hold; ConfigurationError where there is no archive yet."""
    with opened(settings) as index, index.reading(snapshot=True) as connection:
        return merged(settings, read(connection))
