"""What edits, merges, splits and rejection notes leave behind in the index."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, _TEXT, nullable=False, server_default="")


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default="0")


_ADDED = {
    "patient": ("edits",),
    "study": ("edits", "moved_from"),
    "series": ("edits", "moved_from", "overlay"),
    "edit": ("uid", "kind", "reason", "arguments", "old", "reverted_by"),
}


def upgrade() -> None:
    """Add them; nothing that is stored is edited or rejected yet."""
    for table, columns in _ADDED.items():
        for column in columns:
            op.add_column(table, _text(column))
    for table in ("patient", "study", "series"):
        op.add_column(table, _number("edited_at"))
    op.create_index("ix_edit_uid", "edit", ["uid"])
    op.create_table(
        "redirect",
        sa.Column("id", _ID, primary_key=True),
        *(_text(name) for name in ("study_uid", "series_uid", "to_study")),
        sa.UniqueConstraint("study_uid", "series_uid", name="uq_redirect"),
    )
    op.create_index("ix_redirect_series_uid", "redirect", ["series_uid"])
    op.create_table(
        "rejection",
        sa.Column("id", _ID, primary_key=True),
        *(_text(name) for name in ("note_uid", "study_uid", "series_uid", "sop_uid")),
        *(_number(name) for name in ("title", "at", "seen", "revoked")),
        sa.UniqueConstraint("note_uid", "series_uid", "sop_uid", name="uq_rejection"),
    )
    op.create_index("ix_rejection_series_uid", "rejection", ["series_uid"])
    op.create_index("ix_rejection_sop_uid", "rejection", ["sop_uid"])
