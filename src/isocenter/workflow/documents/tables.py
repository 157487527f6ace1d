"""The table of documents that came as HL7."""

from sqlalchemy import BigInteger, Column, Index, Table

from isocenter.database.tables import count, identity, metadata, text

document = Table(
    "document",
    metadata,
    identity(),
    text("feed"),
    text("number"),  # the filler's order number, or the document's own
    text("kind"),  # text, pdf
    text("version"),  # of its content
    text("state"),  # stored, cancelled
    text("study_uid"),
    text("series_uid"),
    text("sop_class"),
    text("sop_uid"),
    count("instance"),  # Instance Number (0020,0013)
    Column("at", BigInteger, nullable=False),
    Index("uq_document", "feed", "number", "kind", "version", "study_uid", unique=True),
    Index("ix_document_sop", "sop_uid"),
)
