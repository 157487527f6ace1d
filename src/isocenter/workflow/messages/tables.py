"""The tables of HL7: messages that were received, and those that are to be sent."""

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table

from isocenter.database.tables import count, identity, metadata, text

hl7_message = Table(
    "hl7_message",
    metadata,
    identity(),
    text("feed"),
    text("application"),  # MSH-3.1
    text("facility"),  # MSH-4.1
    text("control_id"),  # MSH-10
    text("digest"),  # of the content, to tell a repeated message from another with its control ID
    text("kind"),  # ADT^A08
    text("address"),  # that it came from
    text("state"),  # received, processed, refused
    text("flag"),  # same-id: the control ID was used for another message before
    text("error"),  # what was wrong with it; no patient data
    text("node"),  # who has it under way
    count("runs"),  # how often it was processed or refused
    Column("received_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("answer", LargeBinary),  # the acknowledgement of the application
    Index("ix_hl7_message_sent", "application", "facility", "control_id", "digest", unique=True),
    Index("ix_hl7_message_state", "state", "id"),
    Index("ix_hl7_message_received", "received_at"),
)

hl7_outgoing = Table(
    "hl7_outgoing",
    metadata,
    identity(),
    text("destination"),
    text("kind"),  # ORU^R01
    text("control_id"),
    text("state"),  # waiting, sent, dead, discarded
    text("error"),  # what the receiver had against it, or why it could not be reached; no patient data
    count("attempts"),
    count("taken_until"),  # a sender has it, until then
    Column("created_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Index("ix_hl7_outgoing_state", "destination", "state", "id"),
)
