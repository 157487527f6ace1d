"""Notifications: what is to be told to whom, what others told, and when studies are complete."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0014"
down_revision = "0013"

_TEXT: TypeEngine[str] = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_ID: TypeEngine[int] = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, _TEXT, nullable=False, server_default="")


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default="0")


def upgrade() -> None:
    """Add their tables."""
    op.create_table(
        "completeness",
        sa.Column("id", _ID, primary_key=True),
        _text("study_uid"),
        *map(_count, ("instances", "received_at", "times", "complete_at", "request_at")),
        sa.UniqueConstraint("study_uid", name="uq_completeness_study"),
    )
    op.create_table(
        "study_timer",
        sa.Column("id", _ID, primary_key=True),
        *map(_text, ("study_uid", "timer")),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("study_uid", "timer", name="uq_study_timer"),
    )
    op.create_index("ix_study_timer_due", "study_timer", ["due_at"])
    op.create_table(
        "notice",
        sa.Column("id", _ID, primary_key=True),
        *map(_text, ("kind", "ae", "destination", "event", "occasion", "study_uid", "sop_uid", "payload", "state")),
        sa.Column("attempts", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("status", sa.Integer),
        _text("comment"),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("due_at", "created_at", "changed_at")),
        sa.UniqueConstraint("kind", "ae", "destination", "occasion", name="uq_notice_occasion"),
    )
    op.create_index("ix_notice_due", "notice", ["state", "kind", "ae", "destination", "due_at"])
    op.create_index("ix_notice_study", "notice", ["study_uid"])
    op.create_table(
        "notice_received",
        sa.Column("id", _ID, primary_key=True),
        *map(_text, ("kind", "sop_uid", "study_uid", "calling", "called", "address", "digest")),
        _count("instances"),
        _text("content"),
        sa.Column("received_at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("kind", "sop_uid", name="uq_notice_received_uid"),
    )
    op.create_index("ix_notice_received_study", "notice_received", ["study_uid"])
