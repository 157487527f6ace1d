"""Studies that wait for reconciliation."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0015"
down_revision = "0014"

_TEXT: TypeEngine[str] = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_ID: TypeEngine[int] = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, _TEXT, nullable=False, server_default="")


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default="0")


def upgrade() -> None:
    """Add their tables."""
    op.create_table(
        "held_study",
        sa.Column("id", _ID, primary_key=True),
        *map(_text, ("ae", "place", "study_uid", "state", "finding", "patient_identity")),
        sa.Column("mixed", sa.Integer, nullable=False, server_default="0"),
        *map(_text, ("patient_id", "patient_name", "accession", "study_date", "modalities", "source_aet")),
        *map(_text, ("model", "candidates", "decision")),
        *map(_count, ("attempts", "handed")),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("arrived_at", "last_at", "changed_at")),
        sa.UniqueConstraint("ae", "study_uid", name="uq_held_study"),
    )
    op.create_index("ix_held_study_state", "held_study", ["state", "last_at"])
    op.create_index("ix_held_study_patient_id", "held_study", ["patient_id"])
    op.create_table(
        "held_instance",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("study", _ID, sa.ForeignKey("held_study.id"), nullable=False),
        *map(_text, ("series_uid", "sop_uid", "sop_class", "syntax", "modality", "store_key")),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("offset", sa.Integer, nullable=False),
        *map(_text, ("digest", "source_aet", "policy")),
        _count("handed"),
        sa.Column("received_at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("store_key", name="uq_held_instance_store_key"),
    )
    op.create_index("ix_held_instance_uid", "held_instance", ["study", "series_uid", "sop_uid"])
