"""HL7 messages, received and to be sent."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0011"
down_revision = "0010"

_TEXT: TypeEngine[str] = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_ID: TypeEngine[int] = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, _TEXT, nullable=False, server_default="")


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default="0")


def upgrade() -> None:
    """Add their tables."""
    op.create_table(
        "hl7_message",
        sa.Column("id", _ID, primary_key=True),
        *map(_text, ("feed", "application", "facility", "control_id", "digest", "kind", "address")),
        *map(_text, ("state", "flag", "error", "node")),
        _count("runs"),
        sa.Column("received_at", sa.BigInteger, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("answer", sa.LargeBinary),
    )
    sent = ["application", "facility", "control_id", "digest"]
    op.create_index("ix_hl7_message_sent", "hl7_message", sent, unique=True)
    op.create_index("ix_hl7_message_state", "hl7_message", ["state", "id"])
    op.create_index("ix_hl7_message_received", "hl7_message", ["received_at"])
    op.create_table(
        "hl7_outgoing",
        sa.Column("id", _ID, primary_key=True),
        *map(_text, ("destination", "kind", "control_id", "state", "error")),
        *map(_count, ("attempts", "taken_until")),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )
    op.create_index("ix_hl7_outgoing_state", "hl7_outgoing", ["destination", "state", "id"])
