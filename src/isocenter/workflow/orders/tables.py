"""The tables of orders: by which numbers an order is known, and which of its steps are held back.

What an order asks for stands in the worklist; these rows stay for some time when its items are purged, so that a
message which knows the order by another one of its numbers finds it still.
"""

from sqlalchemy import BigInteger, Column, Index, Table

from isocenter.database.tables import identity, metadata, text

order_number = Table(
    "order_number",
    metadata,
    identity(),
    text("kind"),  # placer, filler, appointment ...
    text("authority"),  # who assigned the number
    text("number"),
    text("order_key"),
    Column("noted_at", BigInteger, nullable=False),
    Index("uq_order_number", "kind", "number", "authority", unique=True),
    Index("ix_order_number_key", "order_key"),
)

order_hold = Table(
    "order_hold",
    metadata,
    identity(),
    text("order_key"),
    text("step_id"),
    text("state"),  # that the step comes back to
    Column("noted_at", BigInteger, nullable=False),
    Index("uq_order_hold", "order_key", "step_id", unique=True),
)
