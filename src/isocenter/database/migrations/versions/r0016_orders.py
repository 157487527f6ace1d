"""Numbers of orders, and steps that are held back."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0016"
down_revision = "0015"

_TEXT: TypeEngine[str] = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_ID: TypeEngine[int] = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, _TEXT, nullable=False, server_default="")


def upgrade() -> None:
    """Add their tables."""
    op.create_table(
        "order_number",
        sa.Column("id", _ID, primary_key=True),
        *map(_text, ("kind", "authority", "number", "order_key")),
        sa.Column("noted_at", sa.BigInteger, nullable=False),
    )
    op.create_index("uq_order_number", "order_number", ["kind", "number", "authority"], unique=True)
    op.create_index("ix_order_number_key", "order_number", ["order_key"])
    op.create_table(
        "order_hold",
        sa.Column("id", _ID, primary_key=True),
        *map(_text, ("order_key", "step_id", "state")),
        sa.Column("noted_at", sa.BigInteger, nullable=False),
    )
    op.create_index("uq_order_hold", "order_hold", ["order_key", "step_id"], unique=True)
