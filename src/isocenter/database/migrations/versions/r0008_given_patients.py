"""Patients whom a move made: what was said of them, which their own objects take on as they leave."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0008"
down_revision = "0007"

_TEXT: TypeEngine[str] = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Add it, empty: of former moves nobody knows which made their patient."""
    op.add_column("patient", sa.Column("given", _TEXT, nullable=False, server_default=""))
