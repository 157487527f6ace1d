"""Worklist items."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0009"
down_revision = "0008"

_TEXT: TypeEngine[str] = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_ID: TypeEngine[int] = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_START = ["start_date", "start_time", "id"]
_TEXTS = (
    *("uid", "order_key", "step_id", "state", "source", "identity", "patient_fold"),
    *("name_fold", "name_ideographic_fold", "name_phonetic_fold", "accession", "study_uid", "procedure_id"),
    *("modality", "start_date", "start_time", "attributes"),
)
_INDEXED = {
    "ix_worklist_start": _START,
    "ix_worklist_modality": ["modality", *_START],
    "ix_worklist_state": ["state", "changed_at"],
    "ix_worklist_identity": ["identity"],
    "ix_worklist_patient": ["patient_fold"],
    "ix_worklist_name": ["name_fold"],
    "ix_worklist_name_ideographic": ["name_ideographic_fold"],
    "ix_worklist_name_phonetic": ["name_phonetic_fold"],
    "ix_worklist_accession": ["accession"],
    "ix_worklist_study": ["study_uid"],
    "ix_worklist_procedure": ["procedure_id"],
    "ix_worklist_step_id": ["step_id"],
}


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, _TEXT, nullable=False, server_default="")


def upgrade() -> None:
    """Add their tables."""
    op.create_table(
        "worklist_item",
        sa.Column("id", _ID, primary_key=True),
        *map(_text, _TEXTS),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("created_at", "changed_at")),
    )
    op.create_index("uq_worklist_uid", "worklist_item", ["uid"], unique=True)
    op.create_index("uq_worklist_step", "worklist_item", ["order_key", "step_id"], unique=True)
    for name, columns in _INDEXED.items():
        op.create_index(name, "worklist_item", columns)
    op.create_table(
        "worklist_station",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("item", _ID, sa.ForeignKey("worklist_item.id"), nullable=False),
        *map(_text, ("station", "start_date")),
    )
    op.create_index("ix_worklist_station_item", "worklist_station", ["item"])
    op.create_index("ix_worklist_station", "worklist_station", ["station", "start_date", "item"])
