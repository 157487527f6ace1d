"""What unified procedure steps are found by, and tickets for event channels. The rows of steps that are there already
are made at the next start."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0018"
down_revision = "0016"

_TEXT: TypeEngine[str] = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_ID: TypeEngine[int] = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add the tables; the folded Patient ID is a key like any other."""
    op.drop_index("ix_workitem_patient", "workitem")
    op.drop_column("workitem", "patient_fold")
    op.create_table(
        "workitem_key",
        sa.Column("key", _TEXT, primary_key=True),
        sa.Column("value", _TEXT, primary_key=True),
        sa.Column("workitem", _ID, primary_key=True),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_workitem_key_workitem", "workitem_key", ["workitem"])
    op.create_table(
        "workitem_ticket",
        sa.Column("digest", _TEXT, primary_key=True),
        sa.Column("aet", _TEXT, nullable=False, server_default=""),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
    )
    if op.get_bind().execute(sa.text("SELECT 1 FROM workitem LIMIT 1")).first() is None:
        op.execute("INSERT INTO archive (name, value) VALUES ('workitem_keys', '1')")
