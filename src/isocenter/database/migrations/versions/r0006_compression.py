"""Compression: what stands in the place of what was received, and what was left as it is."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0006"
down_revision = "0005"

_TEXT: TypeEngine[str] = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_ID: TypeEngine[int] = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, _TEXT, nullable=False, server_default="")


def upgrade() -> None:
    """Add them, empty: nothing was compressed until now."""
    op.create_table(
        "compression",
        sa.Column("id", _ID, primary_key=True),
        *map(_text, ("original_key", "store_key", "original_digest", "original_syntax")),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("original_size", "size")),
        _text("pixels"),
        sa.Column("at", sa.BigInteger, nullable=False, server_default="0"),
        sa.UniqueConstraint("original_key", name="uq_compression_original_key"),
    )
    op.create_index("ix_compression_store_key", "compression", ["store_key"])
    op.create_index("ix_compression_original_digest", "compression", ["original_digest"])
    op.create_table(
        "compression_left",
        sa.Column("id", _ID, primary_key=True),
        *map(_text, ("store_key", "target", "reason", "study_uid")),
        sa.Column("at", sa.BigInteger, nullable=False, server_default="0"),
        sa.UniqueConstraint("store_key", "target", name="uq_compression_left"),
    )
    op.create_index("ix_compression_left_study_uid", "compression_left", ["study_uid"])
