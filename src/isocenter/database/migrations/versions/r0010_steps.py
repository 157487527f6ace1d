"""Performed procedure steps: what was reported, as received and as it holds, and what is to be delivered of it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0010"
down_revision = "0009"

_TEXT: TypeEngine[str] = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_ID: TypeEngine[int] = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, _TEXT, nullable=False, server_default="") for name in names]


def _times(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in names]


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default="0")


def _of_step() -> list[sa.Column[int]]:
    step = sa.Column("step", _ID, sa.ForeignKey("step.id"), nullable=False)
    return [sa.Column("id", _ID, primary_key=True), step]


def upgrade() -> None:
    """Add their tables, empty."""
    op.create_table(
        "step",
        sa.Column("id", _ID, primary_key=True),
        *_texts("sop_uid", "state", "ae", "calling", "address", "station", "modality", "performed_id", "identity"),
        *_texts("character_set", "attributes", "faults", "matching", "comment"),
        *_times("created_at", "changed_at"),
    )
    op.create_index("ix_step_sop_uid", "step", ["sop_uid"], unique=True)
    op.create_index("ix_step_identity", "step", ["identity"])
    op.create_index("ix_step_matching", "step", ["matching", "id"])
    op.create_index("ix_step_changed", "step", ["state", "changed_at"])
    op.create_table(
        "step_item",
        *_of_step(),
        *_texts("study_uid", "accession", "procedure_id", "scheduled_id"),
        sa.Column("entry", _ID),
    )
    op.create_index("ix_step_item_step", "step_item", ["step"])
    op.create_index("ix_step_item_study", "step_item", ["study_uid"])
    op.create_index("ix_step_item_entry", "step_item", ["entry"])
    op.create_table("step_series", *_of_step(), *_texts("series_uid"), _count("instances"))
    op.create_index("ix_step_series_step", "step_series", ["step"])
    op.create_index("ix_step_series_uid", "step_series", ["series_uid"])
    op.create_table(
        "step_message",
        *_of_step(),
        *_texts("operation"),
        sa.Column("status", sa.Integer, nullable=False),
        *_texts("syntax"),
        sa.Column("data", sa.LargeBinary, nullable=False),
        *_texts("calling", "address"),
        *_times("at"),
    )
    op.create_index("ix_step_message_step", "step_message", ["step"])
    op.create_table(
        "step_delivery",
        *_of_step(),
        *_texts("ae", "peer", "operation"),
        sa.Column("event", sa.Integer, nullable=False, server_default="0"),
        *_texts("sop_uid", "syntax"),
        sa.Column("data", sa.LargeBinary),
        *_texts("state", "comment"),
        sa.Column("status", sa.Integer),
        _count("attempts"),
        _count("refusals"),
        *_times("due_at", "created_at", "changed_at"),
    )
    op.create_index("ix_step_delivery_step", "step_delivery", ["step"])
    op.create_index("ix_step_delivery_due", "step_delivery", ["state", "ae", "peer", "id"])
