"""The tables of performed procedure steps, their messages, and what is to be delivered of them."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table

from isocenter.database.tables import ID, count, identity, metadata, parent, text

step = Table(
    "step",
    metadata,
    identity(),
    text("sop_uid"),
    text("state"),  # Performed Procedure Step Status (0040,0252)
    text("ae"),  # the AE of ours that was told
    text("calling"),  # the AE title that reported it
    text("address"),
    text("station"),  # Performed Station AE Title (0040,0241)
    text("modality"),
    text("performed_id"),  # Performed Procedure Step ID (0040,0253)
    text("identity"),  # issuer\id of the patient; '' without a Patient ID
    text("character_set"),  # of the N-CREATE
    text("attributes"),  # DICOM JSON
    text("faults"),  # what is amiss, as JSON: [[cause, keyword path], ...]
    text("matching"),  # matched, unscheduled, ordered, unmatched, resolved, accepted
    text("comment"),  # why it is unmatched, or who resolved it; no patient data
    Column("created_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Index("ix_step_sop_uid", "sop_uid", unique=True),
    Index("ix_step_identity", "identity"),
    Index("ix_step_matching", "matching", "id"),
    Index("ix_step_changed", "state", "changed_at"),
)

step_item = Table(
    "step_item",
    metadata,
    identity(),
    parent("step", "step.id"),
    text("study_uid"),
    text("accession"),
    text("procedure_id"),  # Requested Procedure ID
    text("scheduled_id"),  # Scheduled Procedure Step ID
    Column("entry", ID),  # the worklist item; it may be purged before the step
    Index("ix_step_item_step", "step"),
    Index("ix_step_item_study", "study_uid"),
    Index("ix_step_item_entry", "entry"),
)
"""The items of Scheduled Step Attributes Sequence (0040,0270)."""

step_series = Table(
    "step_series",
    metadata,
    identity(),
    parent("step", "step.id"),
    text("series_uid"),
    count("instances"),
    Index("ix_step_series_step", "step"),
    Index("ix_step_series_uid", "series_uid"),
)
"""The items of Performed Series Sequence (0040,0340)."""

step_message = Table(
    "step_message",
    metadata,
    identity(),
    parent("step", "step.id"),
    text("operation"),  # create, set
    Column("status", Integer, nullable=False),  # that it was answered with
    text("syntax"),
    Column("data", LargeBinary, nullable=False),  # the data set as received
    text("calling"),
    text("address"),
    Column("at", BigInteger, nullable=False),
    Index("ix_step_message_step", "step"),
)

step_delivery = Table(
    "step_delivery",
    metadata,
    identity(),
    parent("step", "step.id"),
    text("ae"),  # the AE of ours that sends
    text("peer"),
    text("operation"),  # create, set, event
    Column("event", Integer, nullable=False, server_default="0"),
    text("sop_uid"),
    text("syntax"),
    Column("data", LargeBinary),  # null: an event has none
    text("state"),  # waiting, delivered, failed, discarded
    text("comment"),  # what went wrong last; no patient data
    Column("status", Integer),  # of the peer's last response
    count("attempts"),
    count("refusals"),
    Column("due_at", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Index("ix_step_delivery_step", "step"),
    Index("ix_step_delivery_due", "state", "ae", "peer", "id"),
)
