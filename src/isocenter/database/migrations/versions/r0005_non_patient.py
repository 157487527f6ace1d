"""Instances that belong to no patient."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_TABLE = "non_patient_instance"
_IN_FORCE = sa.text("verdict = ''")


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, _TEXT, nullable=False, server_default="")


def upgrade() -> None:
    """Add their table; what was refused until now lies in the exceptions area."""
    op.create_table(
        _TABLE,
        sa.Column("id", _ID, primary_key=True),
        *(_text(name) for name in ("sop_uid", "sop_class", "verdict", "syntax", "store_key")),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("offset", sa.Integer, nullable=False),
        *(_text(name) for name in ("digest", "character_set", "attributes", "source_aet")),
        sa.Column("received_at", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_non_patient_instance_sop_uid", _TABLE, ["sop_uid"])
    op.create_index("ix_non_patient_class", _TABLE, ["sop_class", "received_at", "sop_uid"])
    op.create_index("uq_non_patient_store_key", _TABLE, ["store_key"], unique=True)
    op.create_index(
        "uq_non_patient_in_force",
        _TABLE,
        ["sop_uid"],
        unique=True,
        sqlite_where=_IN_FORCE,
        postgresql_where=_IN_FORCE,
    )
