"""The table of instances that belong to no patient (`declarations.non_patient`)."""

from sqlalchemy import BigInteger, Column, Index, Integer, Table
from sqlalchemy import text as condition

from isocenter.database.tables import identity, metadata, text

non_patient_instance = Table(
    "non_patient_instance",
    metadata,
    identity(),
    text("sop_uid", index=True),
    text("sop_class"),
    text("verdict"),  # '' for the one in force; else as instance_version.verdict
    text("syntax"),
    text("store_key"),
    Column("size", BigInteger, nullable=False),
    Column("offset", Integer, nullable=False),
    text("digest"),
    text("character_set"),
    text("attributes"),  # DICOM JSON of its model's keys
    text("source_aet"),
    Column("received_at", BigInteger, nullable=False),
    Index("uq_non_patient_store_key", "store_key", unique=True),
    Index(
        "uq_non_patient_in_force",
        "sop_uid",
        unique=True,
        sqlite_where=condition("verdict = ''"),
        postgresql_where=condition("verdict = ''"),
    ),
    Index("ix_non_patient_class", "sop_class", "received_at", "sop_uid"),
)
