"""The version of the stored AEs and peers, and when each of them was changed last."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add them; what is stored already becomes part of version 0."""
    registry = op.create_table(
        "registry",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(registry, [{"id": 1, "version": 0, "changed_at": 0}])
    for table in ("ae", "peer"):
        op.add_column(table, sa.Column("changed_at", sa.BigInteger, nullable=False, server_default="0"))
