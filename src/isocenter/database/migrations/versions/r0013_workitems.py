"""Unified procedure steps."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0013"
down_revision = "0012"

_TEXT: TypeEngine[str] = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_ID: TypeEngine[int] = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _text(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, _TEXT, nullable=False, server_default="") for name in names]


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default="0")


def _times(*names: str, nullable: bool = False) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=nullable) for name in names]


def upgrade() -> None:
    """Add their tables."""
    op.create_table(
        "workitem",
        sa.Column("id", _ID, primary_key=True),
        *_text("uid", "state", "transaction_uid", "patient_fold", "attributes"),
        *_times("created_at", "changed_at"),
        *_times("ended_at", "removed_at", nullable=True),
    )
    op.create_index("uq_workitem_uid", "workitem", ["uid"], unique=True)
    op.create_index("ix_workitem_state", "workitem", ["state", "id"])
    op.create_index("ix_workitem_patient", "workitem", ["patient_fold"])
    op.create_index("ix_workitem_ended", "workitem", ["ended_at"])
    op.create_table(
        "workitem_watch",
        sa.Column("id", _ID, primary_key=True),
        *_text("aet", "ae", "address", "way", "filter"),
        _count("locked"),
        *_times("created_at"),
    )
    op.create_index("uq_workitem_watch", "workitem_watch", ["aet", "filter"], unique=True)
    op.create_table(
        "workitem_subscription",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("workitem", _ID, nullable=False),
        *_text("aet", "ae", "address", "way"),
        _count("locked"),
        _count("filtered"),
    )
    op.create_index("uq_workitem_subscription", "workitem_subscription", ["workitem", "aet"], unique=True)
    op.create_index("ix_workitem_subscription_aet", "workitem_subscription", ["aet"])
    _events()
    op.create_table(
        "workitem_channel", sa.Column("aet", _TEXT, primary_key=True), _count("transaction"), _count("position")
    )


def _events() -> None:
    op.create_table(
        "workitem_event",
        sa.Column("id", _ID, primary_key=True),
        _count("transaction"),
        *_text("uid"),
        sa.Column("type", sa.Integer, nullable=False),
        *_text("aet", "ae", "address", "way", "state", "attributes", "comment"),
        _count("attempts"),
        *_times("created_at"),
    )
    op.create_index("ix_workitem_event_waiting", "workitem_event", ["way", "state", "aet", "id"])
    op.create_index("ix_workitem_event_channel", "workitem_event", ["aet", "transaction", "id"])
    op.create_index("ix_workitem_event_created", "workitem_event", ["created_at"])
