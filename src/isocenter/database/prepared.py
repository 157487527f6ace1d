"""Statements that are sent by the hundred a second: compiled once, and handed to the driver as they are.

For a short statement SQLAlchemy's own way (cache key, context, result) costs more than the database does with it. What
is prepared here is still written with SQLAlchemy's expressions, runs in the transaction of the connection it is given,
and raises SQLAlchemy's exceptions; its rows are plain tuples. For the few statements that a figure depends on.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import ClauseElement

_FEW: Final = 3
"""Rows up to which one statement after the other costs less than PostgreSQL's driver takes to send many at once."""


class _Text(NamedTuple):
    """A statement as a driver takes it."""

    sql: str
    names: tuple[str, ...] | None
    """The names of its values in their order; None where the driver takes them by name."""
    fixed: Mapping[str, Any]
    """Values that the statement brings along."""

    def values(self, given: Mapping[str, Any]) -> Any:
        """The values as the driver takes them."""
        whole = {**self.fixed, **given} if self.fixed else given
        return whole if self.names is None else [whole[name] for name in self.names]


class Prepared:
    """One statement. Values are given by the names of its `bindparam`s, of an INSERT by its columns, in the types that
    the driver stores: text as plain `str`, times as `int`, content as `bytes`."""

    def __init__(self, statement: ClauseElement, *columns: str) -> None:
        """`columns`: those that an INSERT gives values for."""
        self._statement, self._columns = statement, list(columns) or None
        self._texts: dict[str, _Text] = {}

    def rows(self, connection: Connection, **values: Any) -> list[Any]:
        """What a SELECT finds, or RETURNING tells: a tuple a row."""
        text = self._text(connection.dialect)
        dbapi = connection.connection
        cursor = dbapi.cursor()
        try:
            cursor.execute(text.sql, text.values(values))
            return list(cursor.fetchall())
        except connection.dialect.loaded_dbapi.Error as fault:
            raise _told(connection, text.sql, fault) from fault
        finally:
            cursor.close()

    def first(self, connection: Connection, **values: Any) -> Any:
        """The first row; None for none."""
        found = self.rows(connection, **values)
        return found[0] if found else None

    def run(self, connection: Connection, rows: Iterable[Mapping[str, Any]]) -> int:
        """Do it with the values of each row. How many rows of the table that concerned; -1 where nobody knows."""
        text = self._text(connection.dialect)
        cursor = connection.connection.cursor()
        try:
            listed = [text.values(row) for row in rows]
            if len(listed) > _FEW:
                cursor.executemany(text.sql, listed)
                return int(cursor.rowcount)
            concerned = 0
            for values in listed:
                cursor.execute(text.sql, values)
                concerned += int(cursor.rowcount)
            return concerned
        except connection.dialect.loaded_dbapi.Error as fault:
            raise _told(connection, text.sql, fault) from fault
        finally:
            cursor.close()

    def _text(self, dialect: Dialect) -> _Text:
        found = self._texts.get(dialect.name)
        if found is None:
            compiled = self._statement.compile(dialect=dialect, column_keys=self._columns)
            asked = self._columns or ()
            fixed = {name: each for name, each in compiled.params.items() if each is not None and name not in asked}
            positions = getattr(compiled, "positiontup", None)
            names = tuple(positions) if positions is not None else None
            found = self._texts[dialect.name] = _Text(str(compiled), names, fixed)
        return found


def _told(connection: Connection, sql: str, fault: Exception) -> Exception:
    """What SQLAlchemy makes of a driver's error: its own exception, and no further use of a connection that is lost."""
    dialect = connection.dialect
    lost = dialect.is_disconnect(fault, None, None)  # type: ignore[arg-type]
    if lost:
        connection.invalidate(fault)
    told: Exception = DBAPIError.instance(
        sql,
        None,
        fault,
        dialect.loaded_dbapi.Error,
        hide_parameters=True,
        connection_invalidated=lost,
        dialect=dialect,
    )
    return told
