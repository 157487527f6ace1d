"""The tables of the unified worklist.

`attributes` of a workitem is the whole of it but its Transaction UID, which nobody may read; the other columns, and
`workitem_key`, repeat what queries are narrowed by.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, Table

from isocenter.database.tables import ID, TEXT, count, identity, metadata, text

workitem = Table(
    "workitem",
    metadata,
    identity(),
    text("uid"),
    text("state"),
    text("transaction_uid"),  # the lock of the performer; '' while nobody claimed it
    text("attributes"),  # DICOM JSON; '' once it was removed
    Column("created_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),  # when it came to a final state
    Column("removed_at", BigInteger),  # what is left of it only says that it was there
    Index("uq_workitem_uid", "uid", unique=True),
    Index("ix_workitem_state", "state", "id"),
    Index("ix_workitem_ended", "ended_at"),
)

workitem_key = Table(
    "workitem_key",
    metadata,
    Column("key", TEXT, primary_key=True),  # the attribute's path
    Column("value", TEXT, primary_key=True),  # folded, or a date and time as it is written
    Column("workitem", ID, primary_key=True),
    Index("ix_workitem_key_workitem", "workitem"),
    sqlite_with_rowid=False,
)
"""What workitems are found by (`keying`)."""

workitem_watch = Table(
    "workitem_watch",
    metadata,
    identity(),
    text("aet"),  # the AE that is told
    text("ae"),  # the AE of ours that was asked
    text("address"),  # where the request came from
    text("way"),  # dimse, web
    text("filter"),  # JSON list of (path, text); '' for every workitem
    count("locked"),
    Column("created_at", BigInteger, nullable=False),
    Index("uq_workitem_watch", "aet", "filter", unique=True),
)
"""Global subscriptions, filtered or not: what new workitems are subscribed to."""

workitem_subscription = Table(
    "workitem_subscription",
    metadata,
    identity(),
    Column("workitem", ID, nullable=False),
    text("aet"),
    text("ae"),
    text("address"),
    text("way"),
    count("locked"),
    count("filtered"),  # it came about by a filtered global subscription
    Index("uq_workitem_subscription", "workitem", "aet", unique=True),
    Index("ix_workitem_subscription_aet", "aet"),
)

workitem_event = Table(
    "workitem_event",
    metadata,
    identity(),
    Column("transaction", BigInteger, nullable=False, server_default="0"),  # as in `change`
    text("uid"),
    Column("type", Integer, nullable=False),
    text("aet"),
    text("ae"),
    text("address"),
    text("way"),
    text("state"),  # waiting, delivered, undelivered
    text("attributes"),  # DICOM JSON
    text("comment"),
    count("attempts"),
    Column("created_at", BigInteger, nullable=False),
    Index("ix_workitem_event_waiting", "way", "state", "aet", "id"),
    Index("ix_workitem_event_channel", "aet", "transaction", "id"),
    Index("ix_workitem_event_created", "created_at"),
)

workitem_channel = Table(
    "workitem_channel",
    metadata,
    Column("aet", TEXT, primary_key=True),
    Column("transaction", BigInteger, nullable=False, server_default="0"),
    count("position"),
)
"""How far each AE has read its events over WebSocket: a later connection goes on from there."""

workitem_ticket = Table(
    "workitem_ticket",
    metadata,
    Column("digest", TEXT, primary_key=True),  # SHA-256
    text("aet"),
    Column("expires_at", BigInteger, nullable=False),
)
"""Leave to open an event channel, once and soon (`tickets`)."""
