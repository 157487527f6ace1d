"""The tables that every installation has whatever it archives, and the column shapes that all rooms share.

`metadata` gathers the tables of all rooms: a room that owns tables declares them against it (`index.tables`).
"""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, MetaData, String, Table
from sqlalchemy.types import TypeEngine

metadata = MetaData()

TEXT: TypeEngine[str] = String().with_variant(String(collation="C"), "postgresql")
"""Text that is compared by byte on both databases."""
# SQLite gives row ids only to columns declared INTEGER PRIMARY KEY
ID: TypeEngine[int] = BigInteger().with_variant(Integer, "sqlite")


def identity() -> Column[int]:
    """The surrogate primary key `id`."""
    return Column("id", ID, primary_key=True)


def text(name: str, *, index: bool = False) -> Column[str]:
    """A text column, NOT NULL with '' for absent."""
    return Column(name, TEXT, nullable=False, server_default="", index=index)


def parent(name: str, target: str) -> Column[int]:
    """A reference to the row that owns this one."""
    return Column(name, ID, ForeignKey(target), nullable=False)


def count(name: str) -> Column[int]:
    """A number that only ever counts."""
    return Column(name, BigInteger, nullable=False, server_default="0")


archive = Table("archive", metadata, Column("name", TEXT, primary_key=True), text("value"))
"""Facts of this index as a whole: `archive_id` (the same in the store), `fold_version`."""

change = Table(
    "change",
    metadata,
    Column("sequence", ID, primary_key=True),
    Column("transaction", BigInteger, nullable=False, server_default="0"),  # pg_current_xact_id(); 0 on SQLite
    text("kind"),  # stored, version, conflict, replaced, deleted, edited, rejected, restored, compressed
    text("study_uid"),
    text("series_uid"),
    text("sop_uid"),
    text("store_key"),
    Column("at", BigInteger, nullable=False),
    # SQLite has one writer: sequence numbers are in commit order and the primary key serves
    Index("ix_change_transaction", "transaction", "sequence").ddl_if(dialect="postgresql"),
)

consumer = Table(
    "consumer",
    metadata,
    Column("name", TEXT, primary_key=True),
    Column("transaction", BigInteger, nullable=False, server_default="0"),
    Column("position", BigInteger, nullable=False, server_default="0"),
)
"""How far each reader of the change feed has come: `transaction` and sequence (`position`) of the last row taken."""
