"""The tables of the stored AEs and peers.

`settings` is a JSON object with what an administrator said of the row, `title` and `host` included; what it leaves out
has its default. The columns beside it repeat what is looked for.
"""

from sqlalchemy import BigInteger, Column, Integer, Table, UniqueConstraint

from isocenter.database.tables import identity, metadata, text

peer = Table(
    "peer",
    metadata,
    identity(),
    text("title"),
    text("host"),
    Column("port", Integer, nullable=False),
    text("settings"),  # JSON
    Column("changed_at", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("title", "host", name="uq_peer_title_host"),
)

ae = Table(
    "ae",
    metadata,
    identity(),
    text("title"),
    text("role"),
    text("settings"),  # JSON
    Column("changed_at", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("title", name="uq_ae_title"),
)

registry = Table(
    "registry",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # one row, 1
    Column("version", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
)
"""The version of `ae` and `peer` together: it rises by one in each transaction that changes them."""
