"""The archive's tables: what docs/design.md calls the data model, for SQLite and PostgreSQL alike.

Text that is matched is NOT NULL with '' for absent and compared by byte (COLLATE "C" on PostgreSQL). A `*_fold` column
holds `dicom.folding.fold` of the value beside it, cut at 256 characters. Dates and times stand as written in the
object; only our own times (`received_at`, `changed_at`, ...) are UTC, in integer microseconds since 1970.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Table,
    UniqueConstraint,
)
from sqlalchemy import text as condition

from isocenter.database.tables import ID as _ID
from isocenter.database.tables import archive, change, consumer, metadata
from isocenter.database.tables import count as _count
from isocenter.database.tables import identity as _id
from isocenter.database.tables import parent as _parent
from isocenter.database.tables import text as _text
from isocenter.index.commitment_tables import commitment, commitment_instance
from isocenter.index.compression_tables import compression, compression_left
from isocenter.index.non_patient_tables import non_patient_instance
from isocenter.registry.tables import ae, peer, registry

__all__ = [
    "ae",
    "archive",
    "attribute",
    "audit",
    "change",
    "commitment",
    "commitment_instance",
    "compression",
    "compression_left",
    "conflict",
    "consumer",
    "edit",
    "exception",
    "instance",
    "instance_version",
    "job",
    "metadata",
    "non_patient_instance",
    "patient",
    "patient_id",
    "peer",
    "redirect",
    "registry",
    "rejection",
    "removal",
    "series",
    "study",
    "study_accession",
]

patient = Table(
    "patient",
    metadata,
    _id(),
    _text("identity"),  # issuer + "\\" + id; "\\\\" + Study Instance UID for the surrogate of an empty Patient ID
    _text("patient_id", index=True),
    _text("issuer"),
    _text("patient_name"),  # UTF-8, with all component groups
    _text("name_fold", index=True),  # alphabetic group
    _text("name_ideographic_fold", index=True),
    _text("name_phonetic_fold", index=True),
    _text("birth_date", index=True),
    _text("birth_time"),
    _text("sex"),
    _text("attributes"),  # DICOM JSON object of the further patient level attributes
    Column("changed_at", BigInteger, nullable=False),
    _text("edits"),  # DICOM JSON of what was edited, null for what was taken out; no arrival changes it
    _count("edited_at"),  # of the latest edit that concerns the row; 0 for none
    _text("given"),  # DICOM JSON of what a person said of a patient whom a move made; '' for one who was received
    UniqueConstraint("identity", name="uq_patient_identity"),
)

patient_id = Table(
    "patient_id",
    metadata,
    _id(),
    _parent("patient", "patient.id"),
    _text("value"),
    _text("issuer"),
    _text("kind"),  # primary, other, prior (merged away)
    UniqueConstraint("patient", "value", "issuer", "kind", name="uq_patient_id"),
    Index("ix_patient_id_value", "value", "issuer"),
)

study = Table(
    "study",
    metadata,
    _id(),
    _parent("patient", "patient.id"),
    _text("study_uid"),
    _text("access_group"),
    _text("study_date"),
    _text("study_time"),
    _text("study_id", index=True),
    _text("accession", index=True),
    _text("accession_issuer"),
    _text("description"),
    _text("description_fold", index=True),
    _text("referring_name"),
    _text("referring_fold", index=True),
    _text("referring_ideographic_fold"),
    _text("referring_phonetic_fold"),
    _text("institution"),  # of the first object; also a series attribute
    _text("institution_fold"),
    _text("timezone"),  # (0008,0201)
    _text("attributes"),
    # the patient's, repeated so that a study level search reads one table
    _text("patient_id"),
    _text("issuer"),
    _text("patient_name"),
    _text("name_fold", index=True),
    _text("name_ideographic_fold"),
    _text("name_phonetic_fold"),
    _text("birth_date"),
    _text("birth_time"),
    _text("sex"),
    Column("received_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    _text("edits"),
    _count("edited_at"),
    _text("moved_from"),  # identity of the patient that its objects name, where it is another's by now
    UniqueConstraint("study_uid", name="uq_study_uid"),
    Index("ix_study_date", "study_date", "id"),
    Index("ix_study_patient_id", "patient_id", "issuer"),
    Index("ix_study_patient", "patient"),
    Index("ix_study_received", "received_at"),
)

study_accession = Table(
    "study_accession",
    metadata,
    _id(),
    _parent("study", "study.id"),
    _text("accession"),
    _text("issuer"),
    UniqueConstraint("study", "accession", "issuer", name="uq_study_accession"),
    Index("ix_study_accession_value", "accession"),
)

series = Table(
    "series",
    metadata,
    _id(),
    _parent("study", "study.id"),
    _text("series_uid", index=True),
    _text("modality"),
    _text("series_number"),
    Column("series_number_value", BigInteger),
    _text("description"),
    _text("description_fold", index=True),
    _text("series_date"),
    _text("series_time"),
    _text("body_part"),
    _text("laterality"),
    _text("patient_position"),
    _text("station"),
    _text("institution"),
    _text("institution_fold"),
    _text("performing_name"),
    _text("performing_fold"),
    _text("manufacturer"),
    _text("model"),
    _text("protocol"),
    _text("protocol_fold"),
    _text("station_aet"),  # (0040,0241)
    _text("step_id"),  # (0040,0253)
    _text("step_start_date"),  # (0040,0244)
    _text("step_start_time"),  # (0040,0245)
    _text("attributes"),
    _count("instances"),  # in force: without rejected and superseded ones
    _count("bytes"),
    _text("sop_classes"),  # distinct, joined by "\\"
    _count("revision"),  # raised by every change below; a pack names the revision it was made of
    Column("received_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    _text("edits"),
    _count("edited_at"),
    _text("moved_from"),  # Study Instance UID that its objects name, where it is in another study by now
    _text("overlay"),  # what is laid over its objects as they leave (index.overlaying); '' for nothing
    UniqueConstraint("study", "series_uid", name="uq_series_study_uid"),
    Index("ix_series_step_date", "step_start_date"),
)

instance = Table(
    "instance",
    metadata,
    _id(),
    _parent("series", "series.id"),
    _parent("study", "study.id"),
    _text("sop_uid", index=True),
    _text("sop_class"),
    _text("syntax"),  # Transfer Syntax UID of the stored object
    _text("instance_number"),
    Column("instance_number_value", BigInteger),
    Column("rows", Integer),
    Column("columns", Integer),
    Column("bits_allocated", SmallInteger),
    Column("frames", Integer),  # NumberOfFrames; null where absent
    _text("image_type"),
    _text("content_date"),
    _text("content_time"),
    _text("attributes"),  # further instance level attributes (GSPS, SR and the like)
    _text("store_key"),
    Column("size", BigInteger, nullable=False),  # bytes of the data set as received
    Column("offset", Integer, nullable=False),  # where the data set starts in the stored file
    _text("digest"),  # SHA-256 of the data set as received, hexadecimal
    _text("character_set"),  # (0008,0005) as written
    Column("frame_table", LargeBinary),  # index.frames: where each frame lies, or null
    _text("source_aet"),
    Column("received_at", BigInteger, nullable=False),
    _text("availability"),  # ONLINE, NEARLINE, OFFLINE
    Column("rejected", SmallInteger, nullable=False, server_default="0"),  # declarations.rejections; 0 for in force
    UniqueConstraint("series", "sop_uid", name="uq_instance_series_uid"),
    UniqueConstraint("store_key", name="uq_instance_store_key"),
    Index("ix_instance_study", "study"),
)

instance_version = Table(
    "instance_version",
    metadata,
    _id(),
    _parent("instance", "instance.id"),
    _text("verdict"),  # version (same pixels), conflict (different), superseded (replaced by policy)
    _text("syntax"),
    _text("store_key"),
    Column("size", BigInteger, nullable=False),
    Column("offset", Integer, nullable=False),
    _text("digest"),
    _text("source_aet"),
    Column("received_at", BigInteger, nullable=False),
    UniqueConstraint("store_key", name="uq_version_store_key"),
    Index("ix_version_instance", "instance"),
)

attribute = Table(
    "attribute",
    metadata,
    _id(),
    Column("level", String(1), nullable=False),  # P, S, E (series), I
    Column("owner", _ID, nullable=False),
    _text("path"),  # "00080100" or nested "00081032.00080100"; items of one sequence share an `item` number
    Column("item", SmallInteger, nullable=False, server_default="0"),
    _text("value"),
    _text("fold"),
    Index("ix_attribute_owner", "level", "owner", "path"),
    Index("ix_attribute_fold", "path", "fold", "owner"),
)

conflict = Table(
    "conflict",
    metadata,
    _id(),
    _text("kind"),  # patient-differs, object-differs, uid-in-other-study, uid-in-other-series, irregular-uid
    _text("study_uid", index=True),
    _text("series_uid"),
    _text("sop_uid"),
    _text("store_key"),
    _text("detail"),  # JSON; no patient data
    Column("opened_at", BigInteger, nullable=False),
    Column("settled_at", BigInteger),
)

exception = Table(
    "exception",
    metadata,
    _id(),
    _text("store_key"),  # of the set-aside object
    _text("reason"),
    _text("comment"),
    _text("sop_class"),
    _text("sop_uid"),
    _text("syntax"),
    _text("calling"),
    _text("called"),
    _text("address"),
    Column("received_at", BigInteger, nullable=False),
    UniqueConstraint("store_key", name="uq_exception_store_key"),
)

removal = Table(
    "removal",
    metadata,
    _id(),
    _text("store_key"),
    _text("reason"),  # equal-duplicate, rejected-duplicate, deleted, compressed
    _text("kept_key"),  # of equal-duplicate and compressed: the object that makes it redundant
    Column("not_before", BigInteger, nullable=False),
    Column("removed_at", BigInteger),
    Index("ix_removal_due", "removed_at", "not_before"),
    UniqueConstraint("store_key", name="uq_removal_store_key"),
)

job = Table(
    "job",
    metadata,
    _id(),
    _text("kind"),
    _text("payload"),  # JSON
    _text("state"),  # waiting, running, done, failed, cancelled
    Column("due_at", BigInteger, nullable=False),
    Column("lease_until", BigInteger, nullable=False, server_default="0"),
    _text("owner"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    _text("progress"),
    _text("error"),
    _text("unique_key"),  # a waiting job with the same kind and key is not added twice
    Column("created_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Index("ix_job_due", "state", "due_at"),
    Index(
        "uq_job_waiting",
        "kind",
        "unique_key",
        unique=True,
        sqlite_where=condition("state = 'waiting' AND unique_key <> ''"),
        postgresql_where=condition("state = 'waiting' AND unique_key <> ''"),
    ),
)

edit = Table(
    "edit",
    metadata,
    _id(),
    _text("level"),
    _text("study_uid", index=True),
    _text("series_uid"),
    _text("sop_uid"),
    _text("changes"),  # DICOM JSON of the new values
    _text("actor"),
    Column("at", BigInteger, nullable=False),
    _text("uid", index=True),  # names the edit, in the journal too
    _text("kind"),
    _text("reason"),
    _text("arguments"),  # JSON: what else the edit says
    _text("old"),  # JSON: what takes it back
    _text("reverted_by"),  # uid of the edit that took it back
)

redirect = Table(
    "redirect",
    metadata,
    _id(),
    _text("study_uid"),  # as objects name it
    _text("series_uid", index=True),
    _text("to_study"),  # where the series was moved
    UniqueConstraint("study_uid", "series_uid", name="uq_redirect"),
)

rejection = Table(
    "rejection",
    metadata,
    _id(),
    _text("note_uid"),  # SOP Instance UID of the Key Object document
    _text("study_uid"),
    _text("series_uid", index=True),
    _text("sop_uid", index=True),
    _count("title"),  # declarations.rejections
    _count("at"),  # when the note was received
    _count("seen"),  # 1 once the instance has been there
    _count("revoked"),
    UniqueConstraint("note_uid", "series_uid", "sop_uid", name="uq_rejection"),
)

audit = Table(
    "audit",
    metadata,
    _id(),
    _text("event"),
    _text("actor"),
    _text("detail"),
    Column("at", BigInteger, nullable=False, index=True),
)
