"""Storage commitment over HTTP: where a request says that its instances belong."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0007"
down_revision = "0006"

_TEXT: TypeEngine[str] = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Add them, empty: requests over DIMSE name no study."""
    for name in ("study_uid", "series_uid"):
        op.add_column("commitment_instance", sa.Column(name, _TEXT, nullable=False, server_default=""))
