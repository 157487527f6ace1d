"""Registered patients, what messages did to them, and documents that came as HL7."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0012"
down_revision = "0011"

_TEXT: TypeEngine[str] = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_ID: TypeEngine[int] = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _text(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, _TEXT, nullable=False, server_default="") for name in names]


def _at(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in names]


def _id() -> sa.Column[int]:
    return sa.Column("id", _ID, primary_key=True)


def upgrade() -> None:
    """Add their tables."""
    op.create_table(
        "registered_patient",
        _id(),
        *_text("identity", "patient_id", "issuer", "attributes", "merged_into", "source"),
        *_at("created_at", "changed_at"),
    )
    op.create_index("uq_registered_patient", "registered_patient", ["identity"], unique=True)
    op.create_index("ix_registered_merged", "registered_patient", ["merged_into"])
    op.create_table(
        "registered_visit",
        _id(),
        sa.Column("patient", _ID, sa.ForeignKey("registered_patient.id"), nullable=False),
        *_text("visit_id", "account", "state", "attributes"),
        *_at("changed_at"),
    )
    op.create_index("uq_registered_visit", "registered_visit", ["patient", "visit_id"], unique=True)
    op.create_table("registered_link", _id(), *_text("identity", "other"))
    op.create_index("uq_registered_link", "registered_link", ["identity", "other"], unique=True)
    op.create_index("ix_registered_link_other", "registered_link", ["other"])
    op.create_table(
        "patient_event",
        _id(),
        *_at("at"),
        *_text("feed", "control_id", "event", "kind", "identity", "prior", "actor", "reason", "undo", "remark"),
        sa.Column("undone_at", sa.BigInteger, nullable=False, server_default="0"),
        *_text("undone_by"),
    )
    op.create_index("ix_patient_event_identity", "patient_event", ["identity"])
    op.create_index("ix_patient_event_prior", "patient_event", ["prior"])
    op.create_index("ix_patient_event_reason", "patient_event", ["reason"])
    op.create_table(
        "document",
        _id(),
        *_text("feed", "number", "kind", "version", "state", "study_uid", "series_uid", "sop_class", "sop_uid"),
        sa.Column("instance", sa.BigInteger, nullable=False, server_default="0"),
        *_at("at"),
    )
    op.create_index("uq_document", "document", ["feed", "number", "kind", "version", "study_uid"], unique=True)
    op.create_index("ix_document_sop", "document", ["sop_uid"])
