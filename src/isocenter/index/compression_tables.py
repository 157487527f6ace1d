"""The tables of compression: what stands in the place of what was received, and what was looked at and left."""

from sqlalchemy import BigInteger, Column, Index, Table, UniqueConstraint

from isocenter.database.tables import count, identity, metadata, text

compression = Table(
    "compression",
    metadata,
    identity(),
    text("original_key"),  # of the object that was compressed, which is gone or about to go
    text("store_key"),  # of the object that stands in its place
    text("original_digest"),  # SHA-256 of the data set that was compressed
    text("original_syntax"),
    Column("original_size", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    text("pixels"),  # digest of the decoded samples, which both have
    count("at"),
    UniqueConstraint("original_key", name="uq_compression_original_key"),
    Index("ix_compression_store_key", "store_key"),
    Index("ix_compression_original_digest", "original_digest"),
)

compression_left = Table(
    "compression_left",
    metadata,
    identity(),
    text("store_key"),
    text("target"),  # Transfer Syntax UID that it was to go to
    text("reason"),  # derived, not-smaller, or why it could not be; `lifecycle.compressing`
    text("study_uid", index=True),
    count("at"),
    UniqueConstraint("store_key", "target", name="uq_compression_left"),
)
"""Objects that a rule was for and that stay as they are, so that nobody tries for ever."""
