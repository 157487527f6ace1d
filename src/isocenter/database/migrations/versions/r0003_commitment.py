"""Storage commitment: requests of others, requests of ours, and what became of each instance."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0003"
down_revision = "0002"

_TEXT: TypeEngine[str] = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_ID: TypeEngine[int] = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, _TEXT, nullable=False, server_default="")


def upgrade() -> None:
    """Add them, empty."""
    op.create_table(
        "commitment",
        sa.Column("id", _ID, primary_key=True),
        *map(_text, ("role", "state", "ae", "peer", "address", "way", "transaction_uid", "digest", "comment")),
        sa.Column("status", sa.Integer),
        sa.Column("attempts", sa.BigInteger, nullable=False, server_default="0"),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("due_at", "created_at", "changed_at")),
    )
    op.create_index("ix_commitment_transaction", "commitment", ["transaction_uid"])
    op.create_index("ix_commitment_due", "commitment", ["role", "state", "due_at"])
    op.create_table(
        "commitment_instance",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("commitment", _ID, sa.ForeignKey("commitment.id"), nullable=False),
        *map(_text, ("sop_class", "sop_uid")),
        sa.Column("failure", sa.Integer),
        _text("retrieve_aet"),
    )
    op.create_index("ix_commitment_instance", "commitment_instance", ["commitment"])
    op.create_index("ix_commitment_instance_uid", "commitment_instance", ["sop_uid"])
