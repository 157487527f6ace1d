"""The tables of studies that wait for reconciliation: those that are held, whose objects lie in a store of their own
(`holding`), and those of the archive that were looked for in a worklist.

Times are integer microseconds UTC. What the store alone can give back, without what persons have decided since the
last backup, is given back by `adopting`.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, Table, UniqueConstraint

from isocenter.database.tables import count, identity, metadata, parent, text

held_study = Table(
    "held_study",
    metadata,
    identity(),
    text("ae"),  # title of the AE that received it
    text("place"),  # states.Place: where its objects are
    text("study_uid"),
    text("state"),  # states.State
    text("finding"),  # states.Finding: what the worklist said
    text("patient_identity"),  # issuer\\id of its first object
    Column("mixed", Integer, nullable=False, server_default="0"),  # 1: its objects name several patients
    text("patient_id", index=True),
    text("patient_name"),
    text("accession"),
    text("study_date"),
    text("modalities"),  # distinct, joined by "\\"
    text("source_aet"),  # of its first object
    text("model"),  # DICOM JSON: patient and study of its first object
    text("candidates"),  # JSON list: the worklist items that were found last
    text("decision"),  # JSON (decision.Decision); '' while there is none
    count("attempts"),  # questions to worklists that failed since it last was quiet
    count("handed"),  # objects that went to the archive
    Column("arrived_at", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),  # its newest object
    Column("changed_at", BigInteger, nullable=False),
    UniqueConstraint("ae", "study_uid", name="uq_held_study"),
    Index("ix_held_study_state", "state", "last_at"),
)

held_instance = Table(
    "held_instance",
    metadata,
    identity(),
    parent("study", "held_study.id"),
    text("series_uid"),
    text("sop_uid"),
    text("sop_class"),
    text("syntax"),
    text("modality"),
    text("store_key"),  # in the store of what is held
    Column("size", BigInteger, nullable=False),  # bytes of the data set
    Column("offset", Integer, nullable=False),
    text("digest"),
    text("source_aet"),
    text("policy"),  # what the AE does with duplicates
    count("handed"),  # 1: the archive has it, its file may go
    Column("received_at", BigInteger, nullable=False),
    UniqueConstraint("store_key", name="uq_held_instance_store_key"),
    Index("ix_held_instance_uid", "study", "series_uid", "sop_uid"),
)
