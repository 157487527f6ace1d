"""The first schema: a frozen copy of the tables as they were released."""

from alembic import op
from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    UniqueConstraint,
)
from sqlalchemy import text as condition
from sqlalchemy.types import TypeEngine

revision = "0001"
down_revision = None

_metadata = MetaData()

_TEXT: TypeEngine[str] = String().with_variant(String(collation="C"), "postgresql")
_ID: TypeEngine[int] = BigInteger().with_variant(Integer, "sqlite")


def _identity() -> Column[int]:
    return Column("id", _ID, primary_key=True)


def _text(name: str, *, index: bool = False) -> Column[str]:
    return Column(name, _TEXT, nullable=False, server_default="", index=index)


def _parent(name: str, target: str) -> Column[int]:
    return Column(name, _ID, ForeignKey(target), nullable=False)


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default="0")


Table("archive", _metadata, Column("name", _TEXT, primary_key=True), _text("value"))

Table(
    "change",
    _metadata,
    Column("sequence", _ID, primary_key=True),
    Column("transaction", BigInteger, nullable=False, server_default="0"),
    _text("kind"),
    _text("study_uid"),
    _text("series_uid"),
    _text("sop_uid"),
    _text("store_key"),
    Column("at", BigInteger, nullable=False),
    Index("ix_change_transaction", "transaction", "sequence").ddl_if(dialect="postgresql"),
)

Table(
    "consumer",
    _metadata,
    Column("name", _TEXT, primary_key=True),
    Column("transaction", BigInteger, nullable=False, server_default="0"),
    Column("position", BigInteger, nullable=False, server_default="0"),
)


Table(
    "patient",
    _metadata,
    _identity(),
    _text("identity"),
    _text("patient_id", index=True),
    _text("issuer"),
    _text("patient_name"),
    _text("name_fold", index=True),
    _text("name_ideographic_fold", index=True),
    _text("name_phonetic_fold", index=True),
    _text("birth_date", index=True),
    _text("birth_time"),
    _text("sex"),
    _text("attributes"),
    Column("changed_at", BigInteger, nullable=False),
    UniqueConstraint("identity", name="uq_patient_identity"),
)

Table(
    "patient_id",
    _metadata,
    _identity(),
    _parent("patient", "patient.id"),
    _text("value"),
    _text("issuer"),
    _text("kind"),
    UniqueConstraint("patient", "value", "issuer", "kind", name="uq_patient_id"),
    Index("ix_patient_id_value", "value", "issuer"),
)

Table(
    "study",
    _metadata,
    _identity(),
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
    _text("institution"),
    _text("institution_fold"),
    _text("timezone"),
    _text("attributes"),
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
    UniqueConstraint("study_uid", name="uq_study_uid"),
    Index("ix_study_date", "study_date", "id"),
    Index("ix_study_patient_id", "patient_id", "issuer"),
    Index("ix_study_patient", "patient"),
    Index("ix_study_received", "received_at"),
)

Table(
    "study_accession",
    _metadata,
    _identity(),
    _parent("study", "study.id"),
    _text("accession"),
    _text("issuer"),
    UniqueConstraint("study", "accession", "issuer", name="uq_study_accession"),
    Index("ix_study_accession_value", "accession"),
)

Table(
    "series",
    _metadata,
    _identity(),
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
    _text("station_aet"),
    _text("step_id"),
    _text("step_start_date"),
    _text("step_start_time"),
    _text("attributes"),
    _count("instances"),
    _count("bytes"),
    _text("sop_classes"),
    _count("revision"),
    Column("received_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    UniqueConstraint("study", "series_uid", name="uq_series_study_uid"),
    Index("ix_series_step_date", "step_start_date"),
)

Table(
    "instance",
    _metadata,
    _identity(),
    _parent("series", "series.id"),
    _parent("study", "study.id"),
    _text("sop_uid", index=True),
    _text("sop_class"),
    _text("syntax"),
    _text("instance_number"),
    Column("instance_number_value", BigInteger),
    Column("rows", Integer),
    Column("columns", Integer),
    Column("bits_allocated", SmallInteger),
    Column("frames", Integer),
    _text("image_type"),
    _text("content_date"),
    _text("content_time"),
    _text("attributes"),
    _text("store_key"),
    Column("size", BigInteger, nullable=False),
    Column("offset", Integer, nullable=False),
    _text("digest"),
    _text("character_set"),
    Column("frame_table", LargeBinary),
    _text("source_aet"),
    Column("received_at", BigInteger, nullable=False),
    _text("availability"),
    Column("rejected", SmallInteger, nullable=False, server_default="0"),
    UniqueConstraint("series", "sop_uid", name="uq_instance_series_uid"),
    UniqueConstraint("store_key", name="uq_instance_store_key"),
    Index("ix_instance_study", "study"),
)

Table(
    "instance_version",
    _metadata,
    _identity(),
    _parent("instance", "instance.id"),
    _text("verdict"),
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

Table(
    "attribute",
    _metadata,
    _identity(),
    Column("level", String(1), nullable=False),
    Column("owner", _ID, nullable=False),
    _text("path"),
    Column("item", SmallInteger, nullable=False, server_default="0"),
    _text("value"),
    _text("fold"),
    Index("ix_attribute_owner", "level", "owner", "path"),
    Index("ix_attribute_fold", "path", "fold", "owner"),
)

Table(
    "conflict",
    _metadata,
    _identity(),
    _text("kind"),
    _text("study_uid", index=True),
    _text("series_uid"),
    _text("sop_uid"),
    _text("store_key"),
    _text("detail"),
    Column("opened_at", BigInteger, nullable=False),
    Column("settled_at", BigInteger),
)

Table(
    "exception",
    _metadata,
    _identity(),
    _text("store_key"),
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

Table(
    "removal",
    _metadata,
    _identity(),
    _text("store_key"),
    _text("reason"),
    _text("kept_key"),
    Column("not_before", BigInteger, nullable=False),
    Column("removed_at", BigInteger),
    Index("ix_removal_due", "removed_at", "not_before"),
    UniqueConstraint("store_key", name="uq_removal_store_key"),
)

Table(
    "job",
    _metadata,
    _identity(),
    _text("kind"),
    _text("payload"),
    _text("state"),
    Column("due_at", BigInteger, nullable=False),
    Column("lease_until", BigInteger, nullable=False, server_default="0"),
    _text("owner"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    _text("progress"),
    _text("error"),
    _text("unique_key"),
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

Table(
    "peer",
    _metadata,
    _identity(),
    _text("title"),
    _text("host"),
    Column("port", Integer, nullable=False),
    _text("settings"),
    UniqueConstraint("title", "host", name="uq_peer_title_host"),
)

Table(
    "ae",
    _metadata,
    _identity(),
    _text("title"),
    _text("role"),
    _text("settings"),
    UniqueConstraint("title", name="uq_ae_title"),
)

Table(
    "edit",
    _metadata,
    _identity(),
    _text("level"),
    _text("study_uid", index=True),
    _text("series_uid"),
    _text("sop_uid"),
    _text("changes"),
    _text("actor"),
    Column("at", BigInteger, nullable=False),
)

Table(
    "audit",
    _metadata,
    _identity(),
    _text("event"),
    _text("actor"),
    _text("detail"),
    Column("at", BigInteger, nullable=False, index=True),
)


def upgrade() -> None:
    """Create everything."""
    _metadata.create_all(op.get_bind())
