"""The tables of registered patients: what HL7 said of them, and what was done about it."""

from sqlalchemy import BigInteger, Column, Index, Table

from isocenter.database.tables import count, identity, metadata, parent, text

registered_patient = Table(
    "registered_patient",
    metadata,
    identity(),
    text("identity"),  # issuer, backslash, id
    text("patient_id"),
    text("issuer"),
    text("attributes"),  # DICOM JSON of the demographics
    text("merged_into"),  # the identity that has taken this one's place; '' for none
    text("source"),  # the feed that spoke last
    Column("created_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Index("uq_registered_patient", "identity", unique=True),
    Index("ix_registered_merged", "merged_into"),
)

registered_visit = Table(
    "registered_visit",
    metadata,
    identity(),
    parent("patient", "registered_patient.id"),
    text("visit_id"),  # Admission ID; '' for a visit without a number
    text("account"),  # the account number (PID-18)
    text("state"),  # pending, active, ended, cancelled
    text("attributes"),  # DICOM JSON of PS3.3 C.3.2 to C.3.4: location, diagnosis, state of the patient
    Column("changed_at", BigInteger, nullable=False),
    Index("uq_registered_visit", "patient", "visit_id", unique=True),
)

registered_link = Table(
    "registered_link",
    metadata,
    identity(),
    text("identity"),
    text("other"),  # the same person under another number, and neither is merged (A24)
    Index("uq_registered_link", "identity", "other", unique=True),
    Index("ix_registered_link_other", "other"),
)

patient_event = Table(
    "patient_event",
    metadata,
    identity(),
    Column("at", BigInteger, nullable=False),
    text("feed"),
    text("control_id"),
    text("event"),  # as in MSH-9: ADT^A40
    text("kind"),  # update, merge, rename, move, visit, delete
    text("identity"),
    text("prior"),
    text("actor"),  # of its edits of archived patients and studies, with `reason`
    text("reason"),
    text("undo"),  # JSON: what all was before
    text("remark"),  # what a person should know; no patient data
    count("undone_at"),
    text("undone_by"),
    Index("ix_patient_event_identity", "identity"),
    Index("ix_patient_event_prior", "prior"),
    Index("ix_patient_event_reason", "reason"),
)
"""What messages did to patients, with what takes it back."""
