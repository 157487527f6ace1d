"""The tables of storage commitment (PS3.4 J): requests that others made of us, and those that we make of others."""

from sqlalchemy import BigInteger, Column, Index, Integer, Table

from isocenter.database.tables import count, identity, metadata, parent, text

commitment = Table(
    "commitment",
    metadata,
    identity(),
    text("role"),  # ours: scp, scu; web: asked over HTTP, with the states of scp
    text("state"),  # scp: accepted, reported, undelivered; scu: asking, requested, and how it ended
    text("ae"),  # the AE title of ours
    text("peer"),  # the AE title of the peer
    text("address"),  # scp: the IP address that the request came from
    text("way"),  # scp: new, same, either
    text("transaction_uid"),
    text("digest"),  # of the references, to tell a repeated request from another with its transaction UID
    text("comment"),  # what went wrong last; no patient data
    Column("status", Integer),  # of the peer's last response
    count("attempts"),
    Column("due_at", BigInteger, nullable=False),  # scp: the next try to report; scu: when it counts as expired
    Column("created_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Index("ix_commitment_transaction", "transaction_uid"),
    Index("ix_commitment_due", "role", "state", "due_at"),
)

commitment_instance = Table(
    "commitment_instance",
    metadata,
    identity(),
    parent("commitment", "commitment.id"),
    text("sop_class"),
    text("sop_uid"),
    Column("failure", Integer),  # Failure Reason (0008,1197); 0: committed; null: not known yet
    text("retrieve_aet"),  # scu: where the peer says that it may be retrieved from
    text("study_uid"),  # web: where the request says that it belongs, if it does
    text("series_uid"),
    Index("ix_commitment_instance", "commitment"),
    Index("ix_commitment_instance_uid", "sop_uid"),
)
