"""The tables of the worklist.

`attributes` is an item as a whole; the other columns repeat what queries are narrowed by. Names and Patient ID stand
there folded (`dicom.folding`), the rest as written.
"""

from sqlalchemy import BigInteger, Column, Index, Table

from isocenter.database.tables import identity, metadata, parent, text

worklist_item = Table(
    "worklist_item",
    metadata,
    identity(),
    text("uid"),
    text("order_key"),
    text("step_id"),
    text("state"),
    text("source"),  # who made it: a feed, a person, the command line
    text("identity"),  # of the patient: issuer, backslash, id
    text("patient_fold"),  # Patient ID
    text("name_fold"),
    text("name_ideographic_fold"),
    text("name_phonetic_fold"),
    text("accession"),
    text("study_uid"),
    text("procedure_id"),
    text("modality"),
    text("start_date"),
    text("start_time"),
    text("attributes"),  # DICOM JSON
    Column("created_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Index("uq_worklist_uid", "uid", unique=True),
    Index("uq_worklist_step", "order_key", "step_id", unique=True),
    Index("ix_worklist_start", "start_date", "start_time", "id"),
    Index("ix_worklist_modality", "modality", "start_date", "start_time", "id"),
    Index("ix_worklist_state", "state", "changed_at"),
    Index("ix_worklist_identity", "identity"),
    Index("ix_worklist_patient", "patient_fold"),
    Index("ix_worklist_name", "name_fold"),
    Index("ix_worklist_name_ideographic", "name_ideographic_fold"),
    Index("ix_worklist_name_phonetic", "name_phonetic_fold"),
    Index("ix_worklist_accession", "accession"),
    Index("ix_worklist_study", "study_uid"),
    Index("ix_worklist_procedure", "procedure_id"),
    Index("ix_worklist_step_id", "step_id"),
)

worklist_station = Table(
    "worklist_station",
    metadata,
    identity(),
    parent("item", "worklist_item.id"),
    text("station"),  # a Scheduled Station AE Title
    text("start_date"),  # the item's
    Index("ix_worklist_station_item", "item"),
    Index("ix_worklist_station", "station", "start_date", "item"),
)
"""The stations of each item: there may be several."""
